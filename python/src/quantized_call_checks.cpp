#include <algorithm>
#include <cmath>
#include <cstdint>
#include <new>
#include <string>

#include "quantized_call.hpp"

namespace quantized_call {

namespace {

std::string to_text(int n, const Py_ssize_t* shape) {
    std::string text = "(";
    for (int i = 0; i < n; ++i) text += std::to_string(shape[i]) + (i + 1 < n ? ", " : n == 1 ? "," : "");
    return text + ")";
}

bool ends_with(const Array& x, const std::vector<Py_ssize_t>& shape) {
    const auto extra = static_cast<std::size_t>(x.n_dimensions) - shape.size();
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (x.shape[extra + i] != shape[i]) return false;
    }
    return true;
}

template <class T>
Py_ssize_t find_not_finite(const void* data, Py_ssize_t n) {
    const T* values = static_cast<const T*>(data);
    return std::find_if(values, values + n, [](T value) { return !std::isfinite(value); }) - values;
}

}  // namespace

Py_ssize_t count_events_of_shape(const Callee& callee, const Array& x, bool& single) {
    const auto n = static_cast<std::size_t>(x.n_dimensions);
    if (x.n_dimensions == 2 && x.shape[1] == callee.n_inputs) return x.shape[0];
    const std::vector<Py_ssize_t>& own = callee.input_shape;
    if (own.size() > 1 && n >= own.size() && n <= own.size() + 1 && ends_with(x, own)) {
        single = n == own.size();
        return single ? 1 : x.shape[0];
    }
    const std::string values = std::to_string(callee.n_inputs);
    std::string expected = "(" + values + ",) or (n, " + values + ")";
    if (own.size() > 1) {
        const std::string shape = to_text(static_cast<int>(own.size()), own.data());
        expected += ", or " + shape + " or (n, " + shape.substr(1);
    }
    PyErr_Format(PyExc_ValueError, "x: expected shape %s, got %s", expected.c_str(),
                 to_text(x.n_dimensions, x.shape).c_str());
    return -1;
}

bool check_output_shape(const Callee& callee, const Array& out, Py_ssize_t n_events, bool single) {
    const Py_ssize_t expected[2] = {n_events, callee.n_outputs};
    const Py_ssize_t* wanted = single ? expected + 1 : expected;
    const int n_wanted = single ? 1 : 2;
    const bool fits = (out.n_dimensions == n_wanted || (callee.drops_axis && out.n_dimensions == n_wanted - 1)) &&
                      std::equal(out.shape, out.shape + out.n_dimensions, wanted);
    if (!fits) {
        PyErr_Format(PyExc_ValueError, "out: expected shape %s, got %s",
                     to_text(callee.drops_axis ? n_wanted - 1 : n_wanted, wanted).c_str(),
                     to_text(out.n_dimensions, out.shape).c_str());
    }
    return fits;
}

void refuse_output_type() {
    PyErr_SetString(PyExc_TypeError,
                    "out: its integers are too narrow for the type of the result, or unsigned where that is signed");
}

void raise_status(const Callee& callee, Status status, const Array& x, Py_ssize_t n_events) {
    const Py_ssize_t n = n_events * callee.n_inputs;
    if (status == Status::not_finite) {
        const Py_ssize_t first =
            x.type == ElementType::float32 ? find_not_finite<float>(x.data, n) : find_not_finite<double>(x.data, n);
        PyErr_Format(PyExc_ValueError, "x: some values are NaN or infinite, the first at flat index %zd", first);
    } else if (status == Status::out_of_range) {
        PyErr_SetString(PyExc_ValueError, "x: some integers lie outside the input type");
    } else if (status == Status::invalid_argument) {
        PyErr_SetString(PyExc_TypeError,
                        "the outputs have signed types and 64 unsigned bits: no integer type holds both");
    } else {
        PyErr_Format(PyExc_RuntimeError, "status %s", to_string(status));
    }
}

bool take_x_and_out(const char* function, PyObject* const* arguments, Py_ssize_t n_arguments, PyObject* names,
                    PyObject* (&pair)[2]) {
    const Py_ssize_t n_names = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    pair[0] = pair[1] = nullptr;
    bool good = n_arguments + n_names == 2;
    for (Py_ssize_t i = 0; good && i < 2; ++i) {
        Py_ssize_t target = i;
        if (i >= n_arguments) {
            PyObject* name = PyTuple_GET_ITEM(names, i - n_arguments);
            const bool is_x = PyUnicode_CompareWithASCIIString(name, "x") == 0;
            good = is_x || PyUnicode_CompareWithASCIIString(name, "out") == 0;
            target = is_x ? 0 : 1;
        }
        good = good && pair[target] == nullptr;
        pair[target] = arguments[i];
    }
    if (!good) PyErr_Format(PyExc_TypeError, "%s(x, out): expected two arrays", function);
    return good;
}

bool reserve(const Callee& callee, Workspace& workspace, Py_ssize_t n_events) {
    try {
        workspace.reserve(callee.workspace_size(callee.model, static_cast<std::size_t>(n_events)));
        return true;
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return false;
}

bool lies_elsewhere(PyObject* object) {
    const bool has_dlpack =
        PyObject_HasAttrString(object, "__dlpack__") != 0 && PyObject_HasAttrString(object, "__dlpack_device__") != 0;
    return has_dlpack || PyObject_HasAttrString(object, "__cuda_array_interface__") != 0;
}

PyObject* call_elsewhere(PyObject* model, const char* method, PyObject* const* arrays, Py_ssize_t n_arrays) {
    PyObject* module = PyImport_ImportModule("rheinfall.quantized.device");
    if (module == nullptr) return nullptr;
    PyObject* result = PyObject_CallMethod(module, "call_elsewhere", "OsOO", model, method, arrays[0],
                                           n_arrays > 1 ? arrays[1] : Py_None);
    Py_DECREF(module);
    return result;
}

bool run_batch(const Callee& callee, const Array& x, const Array& out, Py_ssize_t n_events, Status& status) {
    PyThreadState* state = PyEval_SaveThread();
    std::string problem;
    try {
        status =
            callee.run_batch(callee.model, {x.data, x.type}, {out.data, out.type}, static_cast<std::size_t>(n_events));
    } catch (const std::exception& error) {
        problem = error.what();
    }
    PyEval_RestoreThread(state);
    if (!problem.empty()) PyErr_Format(PyExc_MemoryError, "a batch of %zd events: %s", n_events, problem.c_str());
    return problem.empty();
}

}  // namespace quantized_call
