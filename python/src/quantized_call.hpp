#pragma once

#include <Python.h>
#include <structmember.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/quantized/network.hpp>
#include <vector>

#include "batches.hpp"

/// Calls of networks and forests on the plain CPython API: a trigger's network takes 50 ns, while a binding that
/// converts arguments takes hundreds. Nothing here computes: arrays are checked and handed to `run`.
namespace quantized_call {

using rheinfall::Status;
using rheinfall::Workspace;
using rheinfall::quantized::ConstArray;
using rheinfall::quantized::ElementType;
using rheinfall::quantized::MutableArray;

/// What a call needs of a model, whatever its class; `model` lives as long as `owner`, its nanobind object.
struct Callee {
    PyObject* owner = nullptr;
    const void* model = nullptr;
    Status (*run)(const void* model, ConstArray in, MutableArray out, std::size_t n_events,
                  Workspace& workspace) noexcept = nullptr;
    Status (*run_batch)(const void* model, ConstArray in, MutableArray out, std::size_t n_events) = nullptr;  // threads
    std::size_t (*workspace_size)(const void* model, std::size_t n_events) = nullptr;
    unsigned output_types = 0;  // bit i: an array of ElementType i holds every output
    Py_ssize_t n_inputs = 0;    // values of one event
    Py_ssize_t n_outputs = 0;   // and of its result
    std::vector<Py_ssize_t> input_shape;
    ElementType integers = ElementType::int64;   // of results as stored integers, where the call chooses
    ElementType singles = ElementType::float32;  // of results for float32: float64 where that could lose a bit
    std::optional<ElementType> result;           // whatever the input: that of a forest with float scores
    bool drops_axis = false;                     // a single output has no axis: that of a forest of one class
    Py_ssize_t release_from = 0;                 // events from which a call takes long enough to let other threads run
};

/// Fills all of @p callee but `owner` from a nanobind object; false where it is neither a network nor a forest.
bool describe_callee(PyObject* object, Callee& callee);

/// The base of the Python classes of networks and forests.
struct Model {
    PyObject ob_base;
    vectorcallfunc vectorcall;
    Callee callee;
    Workspace workspace;  // of the calls that keep the GIL, which therefore come one at a time
    Py_ssize_t workspace_events;
    PyObject* spare[2];  // results of single events, to be filled again once nobody else holds them; may be null
    int next_spare;
};

/// An array in memory, checked but for its shape.
struct Array {
    void* data = nullptr;
    ElementType type = ElementType::int8;
    int n_dimensions = 0;
    const Py_ssize_t* shape = nullptr;
};

/// How many events an input of this shape holds: (n_inputs), (n, n_inputs), or the same with the network's own shape
/// of one event; -1 (and an exception) where it is neither. @p single: the shape is that of one event.
Py_ssize_t count_events_of_shape(const Callee& callee, const Array& x, bool& single);

[[nodiscard]] inline Py_ssize_t count_events(const Callee& callee, const Array& x, bool& single) {
    single = x.n_dimensions == 1 && x.shape[0] == callee.n_inputs;
    if (single) [[likely]]
        return 1;
    return count_events_of_shape(callee, x, single);
}

/// Whether @p out has the shape of the result and a type that holds it; else an exception.
bool check_output_shape(const Callee& callee, const Array& out, Py_ssize_t n_events, bool single);
void refuse_output_type();

[[nodiscard]] inline bool check_output(const Callee& callee, const Array& out, Py_ssize_t n_events, bool single) {
    const bool usual = single && out.n_dimensions == 1 && out.shape[0] == callee.n_outputs;
    if (!usual && !check_output_shape(callee, out, n_events, single)) return false;
    if ((callee.output_types >> static_cast<unsigned>(out.type) & 1U) != 0) [[likely]]
        return true;
    refuse_output_type();
    return false;
}

/// Sets the exception that a status stands for; it names the first value at fault.
void raise_status(const Callee& callee, Status status, const Array& x, Py_ssize_t n_events);

/// Room for @p n_events in @p workspace; false and a MemoryError where there is none.
bool reserve(const Callee& callee, Workspace& workspace, Py_ssize_t n_events);

[[nodiscard]] inline Status run(const Callee& callee, const Array& x, const Array& out, Py_ssize_t n_events,
                                Workspace& workspace) noexcept {
    return callee.run(callee.model, {x.data, x.type}, {out.data, out.type}, static_cast<std::size_t>(n_events),
                      workspace);
}

/// The same for large batches, on all threads and without the GIL; false and an exception where memory is short.
bool run_batch(const Callee& callee, const Array& x, const Array& out, Py_ssize_t n_events, Status& status);

/// The two arguments (x, out), by position or by name; false and a TypeError where they are not that.
bool take_x_and_out(const char* function, PyObject* const* arguments, Py_ssize_t n_arguments, PyObject* names,
                    PyObject* (&pair)[2]);

/// False and a ValueError where x and out share memory.
[[nodiscard]] inline bool check_apart(const Callee& callee, const Array& x, const Array& out, Py_ssize_t n_events) {
    const auto* x_begin = static_cast<const char*>(x.data);
    const auto* out_begin = static_cast<const char*>(out.data);
    const auto* x_end = x_begin + n_events * callee.n_inputs * static_cast<Py_ssize_t>(size_of(x.type));
    const auto* out_end = out_begin + n_events * callee.n_outputs * static_cast<Py_ssize_t>(size_of(out.type));
    const std::less<> before;  // defined also between two arrays
    if (!before(x_begin, out_end) || !before(out_begin, x_end)) [[likely]]
        return true;
    PyErr_SetString(PyExc_ValueError, "out: shares memory with x");
    return false;
}

/// False and an exception where a subclass has not initialised its base.
[[nodiscard]] inline bool is_ready(const Model& model) {
    if (model.callee.run != nullptr) [[likely]]
        return true;
    PyErr_SetString(PyExc_RuntimeError, "the model was not initialised: a subclass must call super().__init__");
    return false;
}

/// Whether an object that is no NumPy array can be one by DLPack or CUDA's array interface; and the call that takes it,
/// in Python (rheinfall/quantized/device.py), which takes far longer than these.
[[nodiscard]] bool lies_elsewhere(PyObject* object);
PyObject* call_elsewhere(PyObject* model, const char* method, PyObject* const* arrays, Py_ssize_t n_arrays);

/// `model.bind(x, out)`: a callable that holds both buffers.
PyObject* bind(PyObject* self, PyObject* const* arguments, Py_ssize_t n_arguments, PyObject* names);

/// Creates the types and puts them into the module; false and an exception where that fails.
bool add_bound_type(PyObject* module);
bool add_model_type(PyObject* module);

}  // namespace quantized_call
