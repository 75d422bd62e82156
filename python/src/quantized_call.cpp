#include "quantized_call.hpp"

#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#include <numpy/arrayobject.h>

#include <array>
#include <new>

namespace quantized_call {

namespace {

constexpr int no_type = -1;

/// ElementType of NumPy's type numbers.
constexpr std::array<int, NPY_DOUBLE + 1> make_element_types() {
    std::array<int, NPY_DOUBLE + 1> types{};
    types.fill(no_type);
    const auto set = [&types](int number, ElementType type) {
        types[static_cast<std::size_t>(number)] = static_cast<int>(type);
    };
    set(NPY_INT8, ElementType::int8), set(NPY_INT16, ElementType::int16);
    set(NPY_UINT8, ElementType::uint8), set(NPY_UINT16, ElementType::uint16);
    set(NPY_INT32, ElementType::int32), set(NPY_UINT32, ElementType::uint32);
    set(NPY_LONG, sizeof(long) == 8 ? ElementType::int64 : ElementType::int32);
    set(NPY_ULONG, sizeof(long) == 8 ? ElementType::uint64 : ElementType::uint32);
    set(NPY_LONGLONG, ElementType::int64), set(NPY_ULONGLONG, ElementType::uint64);
    set(NPY_FLOAT32, ElementType::float32), set(NPY_FLOAT64, ElementType::float64);
    return types;
}
constexpr auto element_types = make_element_types();

int element_type(PyArrayObject* array) noexcept {
    const int number = PyArray_TYPE(array);
    return number >= 0 && number <= NPY_DOUBLE ? element_types[static_cast<std::size_t>(number)] : no_type;
}

/// Says why @p object is no array that can be read, or written, in place.
void refuse_array(PyObject* object, const char* name, bool writable) {
    if (!PyArray_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a NumPy array, got %s", name, Py_TYPE(object)->tp_name);
        return;
    }
    auto* array = reinterpret_cast<PyArrayObject*>(object);
    if (element_type(array) == no_type || !PyArray_ISNOTSWAPPED(array)) {
        PyErr_Format(PyExc_TypeError, "%s: expected float32, float64 or integers in this machine's byte order, got %S",
                     name, reinterpret_cast<PyObject*>(PyArray_DESCR(array)));
    } else if (writable && !PyArray_ISWRITEABLE(array)) {
        PyErr_Format(PyExc_ValueError, "%s: the array is read-only", name);
    } else {
        PyErr_Format(PyExc_ValueError, "%s: expected a C-contiguous, aligned array (numpy.ascontiguousarray makes one)",
                     name);
    }
}

inline bool read_array(PyObject* object, const char* name, int flags, Array& array) {
    if (PyArray_Check(object)) {
        auto* numpy = reinterpret_cast<PyArrayObject*>(object);
        const int type = element_type(numpy);
        if (type != no_type && PyArray_CHKFLAGS(numpy, flags) && PyArray_ISNOTSWAPPED(numpy)) {
            array = {PyArray_DATA(numpy), static_cast<ElementType>(type), PyArray_NDIM(numpy), PyArray_DIMS(numpy)};
            return true;
        }
    }
    refuse_array(object, name, (flags & NPY_ARRAY_WRITEABLE) != 0);
    return false;
}

Status run_model(Model& self, const Array& x, const Array& out, Py_ssize_t n_events, bool& failed) {
    if (n_events >= self.callee.release_from) {  // meanwhile other threads may call this model
        Status status = Status::ok;
        failed = !run_batch(self.callee, x, out, n_events, status);
        return status;
    }
    if (n_events > self.workspace_events) {
        failed = !reserve(self.callee, self.workspace, n_events);
        if (failed) return Status::ok;
        self.workspace_events = n_events;
    }
    return run(self.callee, x, out, n_events, self.workspace);
}

bool run_checked(Model& self, const Array& x, const Array& out, Py_ssize_t n_events) {
    bool failed = false;
    const Status status = run_model(self, x, out, n_events, failed);
    if (failed) return false;
    if (status == Status::ok) [[likely]]
        return true;
    raise_status(self.callee, status, x, n_events);
    return false;
}

/// The type of a result that the call makes: floats for floats, stored integers for integers.
ElementType result_type(const Callee& callee, ElementType x) noexcept {
    if (callee.result) [[unlikely]]
        return *callee.result;
    if (x == ElementType::float32) return callee.singles;
    return x == ElementType::float64 ? x : callee.integers;
}

int numpy_type(ElementType type) noexcept {
    return type == ElementType::float32   ? NPY_FLOAT32
           : type == ElementType::float64 ? NPY_FLOAT64
           : type == ElementType::int64   ? NPY_INT64
                                          : NPY_UINT64;
}

/// Whether an array that a call made is as it was made, and held by nobody but its model: no other reference, none that
/// is weak, no view.
bool is_unheld(PyObject* object, Py_ssize_t n, PyArray_Descr* type) noexcept {
    if (object == nullptr || Py_REFCNT(object) != 1) return false;
    auto* array = reinterpret_cast<PyArrayObject*>(object);
    return reinterpret_cast<PyArrayObject_fields*>(object)->weakreflist == nullptr && PyArray_DESCR(array) == type &&
           PyArray_NDIM(array) == 1 && PyArray_DIM(array, 0) == n && PyArray_BASE(array) == nullptr &&
           PyArray_CHKFLAGS(array, NPY_ARRAY_CARRAY | NPY_ARRAY_OWNDATA);
}

/// An array for the result of one event. To make one takes as long as to run a small network, so one that the caller
/// has let go of is filled again: two of them, as a loop that assigns results to a name holds one during the call.
PyObject* take_result(Model& self, Py_ssize_t n, ElementType type) {
    PyArray_Descr* descriptor = PyArray_DescrFromType(numpy_type(type));
    for (PyObject* spare : self.spare) {
        if (!is_unheld(spare, n, descriptor)) continue;
        Py_DECREF(descriptor);
        return Py_NewRef(spare);
    }
    npy_intp shape[1] = {n};
    PyObject* result =
        PyArray_NewFromDescr(&PyArray_Type, descriptor, 1, shape, nullptr, nullptr, 0, nullptr);  // takes descriptor
    constexpr Py_ssize_t most = 4096;  // elements that are worth keeping
    if (result != nullptr && n <= most) {
        PyObject*& slot = self.spare[self.next_spare];
        self.next_spare = 1 - self.next_spare;
        PyObject* old = slot;
        slot = Py_NewRef(result);
        Py_XDECREF(old);
    }
    return result;
}

PyObject* call_model(PyObject* object, PyObject* const* arguments, std::size_t n_flagged, PyObject* names) {
    auto& self = *reinterpret_cast<Model*>(object);
    if (PyVectorcall_NARGS(n_flagged) != 1 || (names != nullptr && PyTuple_GET_SIZE(names) != 0)) {
        PyErr_Format(PyExc_TypeError, "%s(x): expected one array, by position", Py_TYPE(object)->tp_name);
        return nullptr;
    }
    Array x;
    bool single = false;
    if (!is_ready(self)) return nullptr;
    if (!PyArray_Check(arguments[0]) && lies_elsewhere(arguments[0])) [[unlikely]]
        return call_elsewhere(object, "__call__", arguments, 1);
    if (!read_array(arguments[0], "x", NPY_ARRAY_CARRAY_RO, x)) return nullptr;
    const Py_ssize_t n_events = count_events(self.callee, x, single);
    if (n_events < 0) return nullptr;
    npy_intp shape[2] = {n_events, self.callee.n_outputs};
    const ElementType type = result_type(self.callee, x.type);
    const int n_dimensions = (single ? 1 : 2) - (self.callee.drops_axis ? 1 : 0);
    PyObject* result = single && n_dimensions == 1
                           ? take_result(self, shape[1], type)
                           : PyArray_SimpleNew(n_dimensions, single ? shape + 1 : shape, numpy_type(type));
    if (result == nullptr) return nullptr;
    const Array out{PyArray_DATA(reinterpret_cast<PyArrayObject*>(result)), type, 0, nullptr};
    if (run_checked(self, x, out, n_events)) [[likely]]
        return result;
    Py_DECREF(result);
    return nullptr;
}

PyObject* run_into(PyObject* object, PyObject* const* arguments, Py_ssize_t n_arguments, PyObject* names) {
    auto& self = *reinterpret_cast<Model*>(object);
    PyObject* by_name[2];
    if (n_arguments != 2 || names != nullptr) [[unlikely]] {
        if (!take_x_and_out("run_into", arguments, n_arguments, names, by_name)) return nullptr;
        arguments = by_name;
    }
    Array x;
    Array out;
    bool single = false;
    if (!is_ready(self)) return nullptr;
    if (!PyArray_Check(arguments[0]) || !PyArray_Check(arguments[1])) [[unlikely]] {
        if (lies_elsewhere(arguments[0]) && lies_elsewhere(arguments[1]))
            return call_elsewhere(object, "run_into", arguments, 2);
    }
    if (!read_array(arguments[0], "x", NPY_ARRAY_CARRAY_RO, x) ||
        !read_array(arguments[1], "out", NPY_ARRAY_CARRAY, out)) {
        return nullptr;
    }
    const Py_ssize_t n_events = count_events(self.callee, x, single);
    if (n_events < 0 || !check_output(self.callee, out, n_events, single) ||
        !check_apart(self.callee, x, out, n_events) || !run_checked(self, x, out, n_events)) {
        return nullptr;
    }
    return Py_NewRef(arguments[1]);
}

/// Stored integers in and out: what a call does with integers, for those alone.
PyObject* run_integers(PyObject* object, PyObject* x) {
    if (PyArray_Check(x) && PyArray_ISFLOAT(reinterpret_cast<PyArrayObject*>(x))) {
        PyErr_Format(PyExc_TypeError, "x: expected integers, got %S",
                     reinterpret_cast<PyObject*>(PyArray_DESCR(reinterpret_cast<PyArrayObject*>(x))));
        return nullptr;
    }
    if (!PyArray_Check(x) && lies_elsewhere(x)) return call_elsewhere(object, "run_integers", &x, 1);
    return call_model(object, &x, 1, nullptr);
}

int init_model(PyObject* object, PyObject* arguments, PyObject* names) {
    auto& self = *reinterpret_cast<Model*>(object);
    if (PyTuple_GET_SIZE(arguments) != 1 || names != nullptr) {
        PyErr_SetString(PyExc_TypeError, "expected the compiled network or forest");
        return -1;
    }
    PyObject* owner = PyTuple_GET_ITEM(arguments, 0);
    if (self.callee.owner != nullptr) {
        PyErr_SetString(PyExc_RuntimeError, "the model is initialised already");
        return -1;
    }
    if (!describe_callee(owner, self.callee)) {
        if (PyErr_Occurred() == nullptr) {
            PyErr_Format(PyExc_TypeError, "expected the compiled network or forest, got %s", Py_TYPE(owner)->tp_name);
        }
        return -1;
    }
    self.callee.owner = Py_NewRef(owner);
    return 0;
}

PyObject* new_model(PyTypeObject* type, PyObject* /*arguments*/, PyObject* /*names*/) {
    PyObject* object = type->tp_alloc(type, 0);
    if (object == nullptr) return nullptr;
    auto& self = *reinterpret_cast<Model*>(object);
    self.vectorcall = call_model;
    new (&self.callee) Callee;
    new (&self.workspace) Workspace;
    return object;
}

int traverse_model(PyObject* object, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(reinterpret_cast<Model*>(object)->callee.owner);
    return 0;
}

void free_model(PyObject* object) {
    PyTypeObject* type = Py_TYPE(object);
    auto& self = *reinterpret_cast<Model*>(object);
    PyObject_GC_UnTrack(object);
    PyObject* owner = self.callee.owner;
    for (PyObject* spare : self.spare) Py_XDECREF(spare);
    self.workspace.~Workspace();
    self.callee.~Callee();
    Py_XDECREF(owner);
    type->tp_free(object);
    Py_DECREF(type);
}

/// Before Python 3.12 a class statement's type does not inherit the vectorcall, which costs a call 20 ns.
PyObject* init_subclass(PyObject* type, PyObject* /*nothing*/) {
#if PY_VERSION_HEX < 0x030C0000
    auto* subtype = reinterpret_cast<PyTypeObject*>(type);
    if (subtype->tp_call == PyVectorcall_Call && subtype->tp_vectorcall_offset > 0) {
        subtype->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    }
#else
    static_cast<void>(type);
#endif
    Py_RETURN_NONE;
}

template <class Function>
PyCFunction as_c_function(Function* function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef model_methods[] = {
    {"bind", as_c_function(bind), METH_FASTCALL | METH_KEYWORDS,
     "bind($self, x, out)\n--\n\n"
     "Hold both buffers, checked once; the result, called without arguments, runs on what x holds then, fills out\n"
     "and returns it. x: float32, float64 (real values) or integers (stored integers of the input's type), "
     "C-contiguous,\n"
     "shape (n_inputs,) or (n, n_inputs); out: writable, likewise, (n_outputs,) or (n, n_outputs), any of these "
     "types.\n"
     "Any object with the buffer protocol. Raises ValueError or TypeError where a buffer does not fit; the call "
     "raises\n"
     "ValueError where x holds a NaN, an infinity, or an integer outside the input's type."},
    {"run_into", as_c_function(run_into), METH_FASTCALL | METH_KEYWORDS,
     "run_into($self, x, out)\n--\n\nThe same as calling with x, into an array of yours, which is returned."},
    {"run_integers", as_c_function(run_integers), METH_O,
     "run_integers($self, x, /)\n--\n\nStored integers in, stored integers out: the firmware's own numbers. As a call, "
     "for integers alone."},
    {"__init_subclass__", as_c_function(init_subclass), METH_NOARGS | METH_CLASS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyMemberDef model_members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Model, vectorcall), READONLY, nullptr},
                               {nullptr, 0, 0, 0, nullptr}};

PyType_Slot model_slots[] = {{Py_tp_new, reinterpret_cast<void*>(new_model)},
                             {Py_tp_init, reinterpret_cast<void*>(init_model)},
                             {Py_tp_dealloc, reinterpret_cast<void*>(free_model)},
                             {Py_tp_traverse, reinterpret_cast<void*>(traverse_model)},
                             {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                             {Py_tp_methods, model_methods},
                             {Py_tp_members, model_members},
                             {Py_tp_doc, const_cast<char*>("Calls of a quantized network or forest.")},
                             {0, nullptr}};

PyType_Spec model_spec = {"rheinfall._core._QuantizedModel", static_cast<int>(sizeof(Model)), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
                          model_slots};

}  // namespace

bool add_model_type(PyObject* module) {
    if (_import_array() < 0) return false;
    PyObject* type = PyType_FromModuleAndSpec(module, &model_spec, nullptr);
    if (type == nullptr) return false;
    const bool added = PyModule_AddObjectRef(module, "_QuantizedModel", type) == 0;
    Py_DECREF(type);
    return added;
}

}  // namespace quantized_call
