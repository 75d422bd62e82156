#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <rheinfall/quantized/network_cuda.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "device_arrays.hpp"
#include "elements.hpp"
#include "quantized_call.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace rheinfall::quantized;

namespace {

constexpr std::array<const char*, 4> kernel_names = {"best", "layers", "dot_products", "tensor_cores"};
constexpr std::array<const char*, 10> type_names = {"int8",   "int16",  "int32",  "int64",   "uint8",
                                                    "uint16", "uint32", "uint64", "float32", "float64"};

DeviceKernel kernel_of(const std::string& name) {
    for (std::size_t i = 0; i < kernel_names.size(); ++i)
        if (name == kernel_names[i]) return static_cast<DeviceKernel>(i);
    throw std::invalid_argument("kernel: expected best, layers, dot_products or tensor_cores; got " + name);
}

/// A network on a device, for arrays that lie there; what they hold is checked before CUDA is asked for anything.
class DeviceCalls {
public:
    DeviceCalls(const nb::object& network, int device, const std::string& kernel)
        : owner_(network), device_(device), kernel_(kernel_of(kernel)) {
        if (device < 0)
            throw std::invalid_argument("device: expected the number of a CUDA device, got " + std::to_string(device));
        if (!quantized_call::describe_callee(network.ptr(), callee_)) throw nb::type_error("expected a network");
    }

    void upload() {
        const Network& network = nb::cast<const Network&>(owner_);
        const nb::gil_scoped_release no_gil;
        const std::lock_guard lock(uploading_);
        if (!network_) network_.emplace(network, kernel_, device_);
    }

    /// Shape and type of the result that a call makes for x.
    [[nodiscard]] nb::tuple result_of(const DeviceInput& x) const {
        bool single = false;
        const std::size_t n_events = count(x, single);
        const ElementType in = element_type(x.dtype(), "x");
        const ElementType out = in == ElementType::float32 ? callee_.singles : is_floating(in) ? in : callee_.integers;
        const nb::object outputs = nb::int_(callee_.n_outputs);
        return nb::make_tuple(single ? nb::make_tuple(outputs) : nb::make_tuple(n_events, outputs),
                              type_names[static_cast<std::size_t>(out)]);
    }

    void run(const DeviceInput& x, const DeviceOutput& out, std::uintptr_t stream,
             const std::optional<DeviceOutput>& flags, bool packed) {
        const Work work = check(x, out, packed);
        std::uint32_t* word = nullptr;
        if (flags) {
            const ElementType type = check_place(*flags, "flags");
            if (flags->size() != 1 || (type != ElementType::int32 && type != ElementType::uint32))
                throw std::invalid_argument("flags: expected one integer of 32 bits");
            word = static_cast<std::uint32_t*>(flags->data());
        }
        upload();
        const nb::gil_scoped_release no_gil;
        network_->run(stream_of(stream), work.in, work.out, work.n_events, word);
    }

    void run_and_wait(const DeviceInput& x, const DeviceOutput& out, std::uintptr_t stream) {
        const Work work = check(x, out, false);
        upload();
        rheinfall::Status status = rheinfall::Status::ok;
        {
            const nb::gil_scoped_release no_gil;
            status = network_->run_and_wait(stream_of(stream), work.in, work.out, work.n_events);
        }
        if (status == rheinfall::Status::not_finite) throw std::invalid_argument("x: some values are NaN or infinite");
        if (status == rheinfall::Status::out_of_range)
            throw std::invalid_argument("x: some integers lie outside the input type");
    }

    [[nodiscard]] const char* kernel() {
        upload();
        return kernel_names[static_cast<std::size_t>(network_->kernel())];
    }
    [[nodiscard]] int device() const { return device_; }

private:
    struct Work {
        DeviceEvents in;
        MutableArray out;
        std::size_t n_events = 0;
    };

    /// The type of an array that lies on this device in one piece.
    template <class Array>
    ElementType check_place(const Array& array, const char* name) const {
        const ElementType type = element_type(array.dtype(), name);
        require_on_device(array, name, device_);
        return type;
    }

    template <class Array>
    static quantized_call::Array describe(const Array& array, std::vector<Py_ssize_t>& shape) {
        for (std::size_t axis = 0; axis < array.ndim(); ++axis)
            shape.push_back(static_cast<Py_ssize_t>(array.shape(axis)));
        return {const_cast<void*>(static_cast<const void*>(array.data())), element_type(array.dtype(), "array"),
                static_cast<int>(shape.size()), shape.data()};
    }

    std::size_t count(const DeviceInput& x, bool& single) const {
        check_place(x, "x");
        std::vector<Py_ssize_t> shape;
        const Py_ssize_t n = quantized_call::count_events(callee_, describe(x, shape), single);
        if (n < 0) throw nb::python_error();
        return static_cast<std::size_t>(n);
    }

    /// The number of packed events; their rows are checked as those of `DeviceNetwork::packed_bytes`.
    std::size_t count_packed(const DeviceInput& x) const {
        const ElementType type = check_place(x, "x");
        const Network& network = nb::cast<const Network&>(owner_);
        const auto inputs = network.inputs();
        if (inputs.size() != 1 || inputs[0].type.width > 32)
            throw std::invalid_argument("x: packed events are for one input of at most 32 bits");
        const std::size_t n_words = (network.n_inputs() * static_cast<std::size_t>(inputs[0].type.width) + 31) / 32;
        if (type != ElementType::int32 && type != ElementType::uint32)
            throw nb::type_error("x: expected packed events as int32 or uint32");
        if (x.ndim() != 2 || x.shape(1) != n_words)
            throw std::invalid_argument("x: expected packed events of shape (n, " + std::to_string(n_words) + ")");
        return x.shape(0);
    }

    Work check(const DeviceInput& x, const DeviceOutput& out, bool packed) const {
        bool single = false;
        std::vector<Py_ssize_t> shape_x, shape_out;
        Work work;
        work.n_events = packed ? count_packed(x) : count(x, single);
        check_place(out, "out");
        const auto n = static_cast<Py_ssize_t>(work.n_events);
        const quantized_call::Array from = describe(x, shape_x), to = describe(out, shape_out);
        if (!quantized_call::check_output(callee_, to, n, single)) throw nb::python_error();
        const auto* x_begin = static_cast<const std::byte*>(from.data);
        const auto* out_begin = static_cast<const std::byte*>(to.data);
        const std::less<> before;  // defined also between two arrays
        if (before(x_begin, out_begin + out.nbytes()) && before(out_begin, x_begin + x.nbytes()))
            throw std::invalid_argument("out: shares memory with x");
        work.in = {from.data, from.type, packed};
        work.out = {to.data, to.type};
        return work;
    }

    nb::object owner_;
    int device_;
    DeviceKernel kernel_;
    quantized_call::Callee callee_;
    std::mutex uploading_;
    std::optional<DeviceNetwork> network_;
};

}  // namespace

void bind_quantized_device(nb::module_& m) {
    nb::class_<DeviceCalls>(m, "DeviceCalls", "A network on a CUDA device; see rheinfall.quantized.DeviceNetwork.")
        .def(nb::init<const nb::object&, int, const std::string&>(), "network"_a, "device"_a, "kernel"_a)
        .def("upload", &DeviceCalls::upload, "Lower and upload, if that was not done before.")
        .def("result_of", &DeviceCalls::result_of, "x"_a.noconvert(), "Shape and element type of the result for x.")
        .def("run", &DeviceCalls::run, "x"_a.noconvert(), "out"_a.noconvert(), "stream"_a,
             "flags"_a.noconvert().none() = nb::none(), "packed"_a = false, "Fill out in the order of a stream.")
        .def("run_and_wait", &DeviceCalls::run_and_wait, "x"_a.noconvert(), "out"_a.noconvert(), "stream"_a,
             "Fill out, wait for it, and refuse values that the input's type does not hold.")
        .def_prop_ro("kernel", &DeviceCalls::kernel)
        .def_prop_ro("device", &DeviceCalls::device);
}
