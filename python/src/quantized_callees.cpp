#include <nanobind/nanobind.h>

#include <algorithm>
#include <rheinfall/quantized/forest.hpp>

#include "batches.hpp"
#include "bindings.hpp"
#include "quantized/ir.hpp"
#include "quantized/summary.hpp"
#include "quantized_call.hpp"

namespace nb = nanobind;

namespace quantized_call {

namespace {

using rheinfall::quantized::FixedType;
using rheinfall::quantized::Forest;
using rheinfall::quantized::Isa;
using rheinfall::quantized::Network;
using rheinfall::quantized::NumberType;
using rheinfall::quantized::Output;

/// From how many events on a call takes some 10 µs, beside which 0.1 µs for the GIL is nothing.
Py_ssize_t choose_release(const Network& network) {
    std::int64_t work = 1024;
    for (const auto& layer : rheinfall::quantized::summarize(network.graph(), network.ranges())) work += layer.macs;
    const std::int64_t budget = network.isa() == Isa::exact ? 1 << 14 : 1 << 20;
    return static_cast<Py_ssize_t>(std::max<std::int64_t>(budget / work, 1));
}

/// Whether float32 holds every real value of the outputs.
bool fits_float32(const Network& network) {
    return std::ranges::all_of(network.graph().outputs, [&](const Output& output) {
        const FixedType& type = network.graph().type(output.value);
        const int magnitude = type.width - (type.is_signed ? 1 : 0);
        return !output.real && magnitude <= 24 && type.fraction() >= -64 && type.fraction() <= 120;
    });
}

std::vector<Py_ssize_t> shape_of(const Network& network) {
    if (network.inputs().size() != 1) return {static_cast<Py_ssize_t>(network.n_inputs())};
    const auto& shape = network.inputs().front().shape;
    return {shape.begin(), shape.end()};
}

std::size_t count_inputs(const Network& network) noexcept {
    return network.n_inputs();
}
std::size_t count_outputs(const Network& network) noexcept {
    return network.n_outputs();
}
std::size_t count_inputs(const Forest& forest) noexcept {
    return forest.n_features();
}
std::size_t count_outputs(const Forest& forest) noexcept {
    return forest.n_classes();
}

template <class T>
const T* find(PyObject* object) {
    const T* model = nullptr;
    return nb::try_cast<const T*>(nb::handle(object), model, false) ? model : nullptr;
}

template <class T>
void describe(const T& model, Callee& callee) {
    callee.model = &model;
    callee.n_inputs = static_cast<Py_ssize_t>(count_inputs(model));
    callee.n_outputs = static_cast<Py_ssize_t>(count_outputs(model));
    callee.integers = model.fits_output(ElementType::int64) ? ElementType::int64 : ElementType::uint64;
    for (unsigned type = 0; type <= static_cast<unsigned>(ElementType::float64); ++type) {
        if (model.fits_output(static_cast<ElementType>(type))) callee.output_types |= 1U << type;
    }
    callee.workspace_size = [](const void* m, std::size_t n) { return static_cast<const T*>(m)->workspace_size(n); };
    callee.run_batch = [](const void* m, ConstArray in, MutableArray out, std::size_t n) {
        const T& self = *static_cast<const T*>(m);
        return run_events(self, count_inputs(self), count_outputs(self), in, out, n);
    };
    callee.run = [](const void* m, ConstArray in, MutableArray out, std::size_t n, Workspace& workspace) noexcept {
        return static_cast<const T*>(m)->run(in, out, n, workspace);
    };
}

void describe_forest(const Forest& forest, Callee& callee) {
    describe(forest, callee);
    callee.input_shape = {callee.n_inputs};
    callee.release_from = forest.isa() == Isa::exact ? 8 : 64;
    callee.drops_axis = callee.n_outputs == 1;
    const NumberType::Kind score = forest.score_type().kind;
    if (score == NumberType::Kind::float32) callee.result = ElementType::float32;
    if (score == NumberType::Kind::float64) callee.result = ElementType::float64;
}

void describe_network(const Network& network, Callee& callee) {
    describe(network, callee);
    callee.input_shape = shape_of(network);
    callee.release_from = choose_release(network);
    callee.singles = fits_float32(network) ? ElementType::float32 : ElementType::float64;
}

}  // namespace

bool describe_callee(PyObject* object, Callee& callee) {
    if (const auto* network = find<Network>(object)) {
        describe_network(*network, callee);
    } else if (const auto* forest = find<Forest>(object)) {
        describe_forest(*forest, callee);
    } else {
        return false;
    }
    return true;
}

}  // namespace quantized_call

void bind_quantized_calls(nb::module_& m) {
    if (!quantized_call::add_model_type(m.ptr()) || !quantized_call::add_bound_type(m.ptr())) throw nb::python_error();
}
