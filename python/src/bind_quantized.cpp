#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/quantized/network.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "arrays.hpp"
#include "bindings.hpp"
#include "elements.hpp"
#include "quantized/ir.hpp"
#include "quantized/plan.hpp"
#include "quantized/summary.hpp"
#include "quantized/type_text.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;
namespace quantized = rheinfall::quantized;
using quantized::ConstArray;
using quantized::MutableArray;
using quantized::Network;
using rheinfall::Status;

namespace {

constexpr std::size_t events_per_task = 1024;

std::size_t element_size(quantized::ElementType type) noexcept {
    if (quantized::is_floating(type)) return type == quantized::ElementType::float32 ? 4 : 8;
    return std::size_t{1} << (static_cast<std::size_t>(type) % 4);
}

/// Events from `first` on of an array of events.
template <class Array>
Array from_event(Array array, std::size_t first, std::size_t values_per_event) noexcept {
    const std::size_t bytes = first * values_per_event * element_size(array.type);
    if constexpr (std::is_same_v<Array, ConstArray>) {
        array.data = static_cast<const std::byte*>(array.data) + bytes;
    } else {
        array.data = static_cast<std::byte*>(array.data) + bytes;
    }
    return array;
}

/// Large batches are cut over the threads; each event is computed alike, so no result depends on that.
Status run_events(const Network& network, ConstArray in, MutableArray out, std::size_t n_events) {
    const std::size_t n_tasks = std::min(num_threads(), std::max<std::size_t>(n_events / events_per_task, 1));
    std::atomic<Status> status{Status::ok};
    const auto run_task = [&](std::size_t task) {
        const std::size_t first = n_events * task / n_tasks;
        const std::size_t n = n_events * (task + 1) / n_tasks - first;
        rheinfall::Workspace workspace;
        workspace.reserve(network.workspace_size(n));
        const Status found = network.run(from_event(in, first, network.n_inputs()),
                                         from_event(out, first, network.n_outputs()), n, workspace);
        Status known = status.load();
        while (known < found && !status.compare_exchange_weak(known, found)) {
        }
    };
    if (n_tasks == 1) {
        run_task(0);
    } else {
        rheinfall::StdThreads threads(n_tasks);
        threads.parallel_for()(n_tasks, run_task);
    }
    return status.load();
}

const char* run(const Network& network, const AnyInput& x, const AnyOutput& out) {
    if (x.ndim() != 2 || x.shape(1) != network.n_inputs()) {
        throw std::invalid_argument("x: expected shape (n, " + std::to_string(network.n_inputs()) + ")");
    }
    const std::size_t n_events = x.shape(0);
    if (out.ndim() != 2 || out.shape(0) != n_events || out.shape(1) != network.n_outputs()) {
        throw std::invalid_argument("out: expected shape (" + std::to_string(n_events) + ", " +
                                    std::to_string(network.n_outputs()) + ")");
    }
    const ConstArray in{x.data(), element_type(x.dtype(), "x")};
    const MutableArray to{out.data(), element_type(out.dtype(), "out")};
    if (!network.fits_output(to.type)) throw nb::type_error("out: its integers do not hold every output");
    const nb::gil_scoped_release no_gil;
    return rheinfall::to_string(run_events(network, in, to, n_events));
}

nb::list describe(std::span<const quantized::Port> ports) {
    nb::list result;
    for (const auto& port : ports) {
        nb::dict entry;
        entry["name"] = port.name;
        entry["shape"] = nb::tuple(nb::cast(port.shape));
        entry["type"] = quantized::to_text(port.type);
        result.append(entry);
    }
    return result;
}

/// An integer that may take more than 64 bits.
nb::object integer(const std::string& digits) {
    return nb::module_::import_("builtins").attr("int")(digits);
}

nb::dict describe(const quantized::LayerSummary::Accumulator& accumulator) {
    nb::dict result;
    result["type"] = accumulator.type;
    result["range"] = nb::make_tuple(integer(accumulator.lowest), integer(accumulator.highest));
    result["bits"] = accumulator.bits;
    result["product_bits"] = accumulator.product_bits;
    result["products_round"] = accumulator.products_round;
    result["products_overflow"] = accumulator.products_overflow;
    result["sums_overflow"] = accumulator.sums_overflow;
    result["order_matters"] = accumulator.order_matters;
    result["is_plain_sum"] = accumulator.is_plain_sum;
    return result;
}

nb::dict describe(const quantized::LayerSummary& layer) {
    nb::dict result;
    result["name"] = layer.name;
    result["op"] = layer.op;
    result["inputs"] = layer.inputs;
    result["shape"] = nb::tuple(nb::cast(layer.shape));
    result["type"] = layer.type;
    result["range"] = nb::make_tuple(integer(layer.lowest), integer(layer.highest));
    result["macs"] = layer.macs;
    result["weights"] = layer.weights;
    result["nonzeros"] = layer.nonzeros;
    result["bits"] = layer.bits;
    result["work_bits"] = layer.work_bits;
    result["rounds"] = layer.result_rounds;
    result["overflows"] = layer.result_overflows;
    result["accumulator"] = layer.accumulator ? nb::object(describe(*layer.accumulator)) : nb::none();
    return result;
}

nb::dict describe(const Network& network) {
    const quantized::Graph& graph = network.graph();
    nb::dict result;
    result["name"] = graph.name;
    result["source"] = graph.source;
    result["isa"] = isa_name(network.isa());
    result["inputs"] = describe(network.inputs());
    result["outputs"] = describe(network.outputs());
    nb::list layers;
    for (const auto& layer : quantized::summarize(graph, network.ranges())) layers.append(describe(layer));
    result["layers"] = layers;
    nb::list steps;
    if (network.plan() != nullptr) {
        for (const auto& note : network.plan()->notes) {
            nb::dict step;
            step["layers"] = note.layers;
            step["kernel"] = note.kernel;
            steps.append(step);
        }
    }
    result["steps"] = steps;
    result["refusal"] = network.plan_refusal();
    result["traps"] = graph.traps;
    return result;
}

}  // namespace

void bind_quantized(nb::module_& m) {
    nb::class_<Network>(m, "Network", "A quantized network; see rheinfall.quantized.Network.")
        .def_static(
            "from_json",
            [](std::string_view text, std::string_view file_name, const std::string& isa) {
                const quantized::NetworkOptions options{isa_of(isa)};
                const nb::gil_scoped_release no_gil;
                return Network::from_json(text, file_name, options);
            },
            "text"_a, "file_name"_a, "isa"_a,
            "Read a document of docs/quantized_format.md; a RuntimeError says what is wrong with it.")
        .def_prop_ro("n_inputs", &Network::n_inputs)
        .def_prop_ro("n_outputs", &Network::n_outputs)
        .def_prop_ro("isa", [](const Network& network) { return isa_name(network.isa()); })
        .def_prop_ro("inputs", [](const Network& network) { return describe(network.inputs()); })
        .def_prop_ro("outputs", [](const Network& network) { return describe(network.outputs()); })
        .def("workspace_size", &Network::workspace_size, "n_events"_a, "Bytes of workspace for so many events.")
        .def(
            "describe", [](const Network& network) { return describe(network); },
            "What is known of the network and its layers; see rheinfall.quantized.Network.describe.")
        .def("run", &run, "x"_a.noconvert(), "out"_a.noconvert(),
             "Compute events x (n, n_inputs) into out (n, n_outputs); returns the status.");
}
