#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <rheinfall/quantized/network.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "arrays.hpp"
#include "batches.hpp"
#include "bindings.hpp"
#include "elements.hpp"
#include "quantized/ir.hpp"
#include "quantized/plan.hpp"
#include "quantized/summary.hpp"
#include "quantized/type_text.hpp"

namespace nb = nanobind;
using namespace nb::literals;
namespace quantized = rheinfall::quantized;
using quantized::ConstArray;
using quantized::MutableArray;
using quantized::Network;

namespace {

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
    return rheinfall::to_string(run_events(network, network.n_inputs(), network.n_outputs(), in, to, n_events));
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
