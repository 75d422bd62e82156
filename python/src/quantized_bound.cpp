
#include <cstring>
#include <new>

#include "quantized_call.hpp"

namespace quantized_call {

namespace {

/// A model with both its buffers: a call checks nothing but the status.
struct Bound {
    PyObject ob_base;
    vectorcallfunc vectorcall;
    Model* model;
    Array x;
    Array out;
    Py_ssize_t n_events;
    Workspace workspace;
    Py_buffer x_buffer;
    Py_buffer out_buffer;
};

PyTypeObject* bound_type = nullptr;

[[gnu::noinline]] PyObject* raise(const Bound& self, Status status) {
    raise_status(self.model->callee, status, self.x, self.n_events);
    return nullptr;
}

bool takes_no_argument(std::size_t n_flagged, PyObject* names) {
    if (PyVectorcall_NARGS(n_flagged) == 0 && (names == nullptr || PyTuple_GET_SIZE(names) == 0)) [[likely]]
        return true;
    PyErr_SetString(PyExc_TypeError, "a bound call takes no arguments: its buffers are x and out");
    return false;
}

PyObject* call_small(PyObject* object, PyObject* const* /*arguments*/, std::size_t n_flagged, PyObject* names) {
    auto& self = *reinterpret_cast<Bound*>(object);
    if (!takes_no_argument(n_flagged, names)) return nullptr;
    const Status status = run(self.model->callee, self.x, self.out, self.n_events, self.workspace);
    if (status != Status::ok) [[unlikely]]
        return raise(self, status);
    return Py_NewRef(self.out_buffer.obj);
}

PyObject* call_large(PyObject* object, PyObject* const* /*arguments*/, std::size_t n_flagged, PyObject* names) {
    auto& self = *reinterpret_cast<Bound*>(object);
    if (!takes_no_argument(n_flagged, names)) return nullptr;
    Status status = Status::ok;
    if (!run_batch(self.model->callee, self.x, self.out, self.n_events, status)) return nullptr;
    if (status != Status::ok) [[unlikely]]
        return raise(self, status);
    return Py_NewRef(self.out_buffer.obj);
}

/// The element type of a buffer's format; false for any other.
bool parse_format(const Py_buffer& buffer, ElementType& type) {
    const char* format = buffer.format == nullptr ? "B" : buffer.format;
    if (*format == '@' || *format == '=' || *format == (PY_LITTLE_ENDIAN ? '<' : '>')) ++format;
    if (format[0] == '\0' || format[1] != '\0') return false;
    constexpr ElementType signed_types[] = {ElementType::int8, ElementType::int16, ElementType::int32,
                                            ElementType::int64};
    constexpr ElementType unsigned_types[] = {ElementType::uint8, ElementType::uint16, ElementType::uint32,
                                              ElementType::uint64};
    const std::size_t log2_size = buffer.itemsize == 1 ? 0 : buffer.itemsize == 2 ? 1 : buffer.itemsize == 4 ? 2 : 3;
    if (std::strchr("bhilq", *format) != nullptr) {
        type = signed_types[log2_size];
    } else if (std::strchr("BHILQ", *format) != nullptr) {
        type = unsigned_types[log2_size];
    } else if (*format == 'f' || *format == 'd') {
        type = *format == 'f' ? ElementType::float32 : ElementType::float64;
    } else {
        return false;
    }
    return true;
}

bool acquire(PyObject* object, const char* name, bool writable, Py_buffer& buffer, Array& array) {
    if (PyObject_GetBuffer(object, &buffer, PyBUF_FORMAT | PyBUF_STRIDES) != 0) {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "%s: expected an array or another object with a buffer, got %s", name,
                     Py_TYPE(object)->tp_name);
        return false;
    }
    if (!parse_format(buffer, array.type)) {
        PyErr_Format(PyExc_TypeError,
                     "%s: expected float32, float64 or integers in this machine's byte order, got the "
                     "buffer format '%s'",
                     name, buffer.format);
    } else if (writable && buffer.readonly != 0) {
        PyErr_Format(PyExc_ValueError, "%s: the buffer is read-only", name);
    } else if (PyBuffer_IsContiguous(&buffer, 'C') == 0) {
        PyErr_Format(PyExc_ValueError,
                     "%s: expected a C-contiguous buffer, got a strided one "
                     "(numpy.ascontiguousarray makes one)",
                     name);
    } else if (reinterpret_cast<std::uintptr_t>(buffer.buf) % static_cast<std::size_t>(buffer.itemsize) != 0) {
        PyErr_Format(PyExc_ValueError, "%s: the buffer is not aligned to its elements of %zd bytes", name,
                     buffer.itemsize);
    } else {
        array.data = buffer.buf;
        array.n_dimensions = buffer.ndim;
        array.shape = buffer.shape;
        return true;
    }
    return false;
}

bool check_pair(Bound& self) {
    bool single = false;
    const Callee& callee = self.model->callee;
    self.n_events = count_events(callee, self.x, single);
    if (self.n_events < 0 || !check_output(callee, self.out, self.n_events, single) ||
        !check_apart(callee, self.x, self.out, self.n_events)) {
        return false;
    }
    return self.n_events >= callee.release_from || reserve(callee, self.workspace, self.n_events);
}

int traverse_bound(PyObject* object, visitproc visit, void* arg) {
    auto& self = *reinterpret_cast<Bound*>(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(reinterpret_cast<PyObject*>(self.model));
    Py_VISIT(self.x_buffer.obj);
    Py_VISIT(self.out_buffer.obj);
    return 0;
}

void free_bound(PyObject* object) {
    auto& self = *reinterpret_cast<Bound*>(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    PyBuffer_Release(&self.x_buffer);
    PyBuffer_Release(&self.out_buffer);
    Py_XDECREF(reinterpret_cast<PyObject*>(self.model));
    self.workspace.~Workspace();
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject* get_x(PyObject* object, void* /*nothing*/) {
    return Py_NewRef(reinterpret_cast<Bound*>(object)->x_buffer.obj);
}
PyObject* get_out(PyObject* object, void* /*nothing*/) {
    return Py_NewRef(reinterpret_cast<Bound*>(object)->out_buffer.obj);
}
PyObject* get_model(PyObject* object, void* /*nothing*/) {
    return Py_NewRef(reinterpret_cast<PyObject*>(reinterpret_cast<Bound*>(object)->model));
}

PyGetSetDef bound_attributes[] = {
    {"x", get_x, nullptr, "The input's buffer: change its values, not its memory.", nullptr},
    {"out", get_out, nullptr, "The result's buffer, which each call fills.", nullptr},
    {"model", get_model, nullptr, "The network or forest.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef bound_members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Bound, vectorcall), READONLY, nullptr},
                               {nullptr, 0, 0, 0, nullptr}};

PyType_Slot bound_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(free_bound)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse_bound)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_getset, bound_attributes},
    {Py_tp_members, bound_members},
    {Py_tp_doc, const_cast<char*>("What bind(x, out) returns: call it without arguments to run on what x holds.")},
    {0, nullptr}};

PyType_Spec bound_spec = {
    "rheinfall._core._BoundCall", static_cast<int>(sizeof(Bound)), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    bound_slots};

}  // namespace

PyObject* bind(PyObject* object, PyObject* const* arguments, Py_ssize_t n_arguments, PyObject* names) {
    PyObject* pair[2];
    if (!take_x_and_out("bind", arguments, n_arguments, names, pair)) return nullptr;
    auto* model = reinterpret_cast<Model*>(object);
    if (!is_ready(*model)) return nullptr;
    PyObject* result = bound_type->tp_alloc(bound_type, 0);
    if (result == nullptr) return nullptr;
    auto& self = *reinterpret_cast<Bound*>(result);
    new (&self.workspace) Workspace;
    self.model = reinterpret_cast<Model*>(Py_NewRef(object));
    if (!acquire(pair[0], "x", false, self.x_buffer, self.x) ||
        !acquire(pair[1], "out", true, self.out_buffer, self.out) || !check_pair(self)) {
        Py_DECREF(result);
        return nullptr;
    }
    self.vectorcall = self.n_events >= model->callee.release_from ? call_large : call_small;
    return result;
}

bool add_bound_type(PyObject* module) {
    PyObject* type = PyType_FromModuleAndSpec(module, &bound_spec, nullptr);
    if (type == nullptr) return false;
    bound_type = reinterpret_cast<PyTypeObject*>(type);  // kept as long as the process
    return PyModule_AddObjectRef(module, "_BoundCall", type) == 0;
}

}  // namespace quantized_call
