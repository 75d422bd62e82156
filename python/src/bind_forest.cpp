#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <optional>
#include <rheinfall/quantized/forest.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "arrays.hpp"
#include "bindings.hpp"
#include "elements.hpp"

namespace nb = nanobind;
using namespace nb::literals;
namespace quantized = rheinfall::quantized;
using quantized::Forest;
using quantized::Isa;

namespace {

const char* run(const Forest& forest, const AnyInput& x, const AnyOutput& out) {
    if (x.ndim() != 2 || x.shape(1) != forest.n_features()) {
        throw std::invalid_argument("x: expected shape (n, " + std::to_string(forest.n_features()) + ")");
    }
    const std::size_t n_events = x.shape(0);
    if (out.ndim() != 2 || out.shape(0) != n_events || out.shape(1) != forest.n_classes()) {
        throw std::invalid_argument("out: expected shape (" + std::to_string(n_events) + ", " +
                                    std::to_string(forest.n_classes()) + ")");
    }
    const quantized::ConstArray in{x.data(), element_type(x.dtype(), "x")};
    const quantized::MutableArray to{out.data(), element_type(out.dtype(), "out")};
    if (!forest.fits_output(to.type)) throw nb::type_error("out: its type does not hold every score");
    const nb::gil_scoped_release no_gil;
    rheinfall::Workspace workspace;
    workspace.reserve(forest.workspace_size(n_events));
    return rheinfall::to_string(forest.run(in, to, n_events, workspace));
}

nb::dict info(const Forest& forest) {
    const quantized::ForestPlanInfo plan = forest.plan_info();
    nb::dict result;
    result["isa"] = isa_name(plan.isa);
    result["kernel"] = plan.kernel;
    result["bytes"] = plan.bytes;
    result["any_order"] = plan.any_order;
    result["max_depth"] = plan.max_depth;
    result["n_nodes"] = plan.n_nodes;
    result["n_trees"] = forest.n_trees();
    return result;
}

}  // namespace

void bind_forest(nb::module_& m) {
    nb::class_<Forest>(m, "Forest", "A forest of decision trees; see rheinfall.quantized.Forest.")
        .def_static(
            "from_json",
            [](std::string_view text, std::string_view file_name, const std::string& isa) {
                const Isa chosen = isa_of(isa);
                const nb::gil_scoped_release no_gil;
                return Forest::from_json(text, file_name, {chosen});
            },
            "text"_a, "file_name"_a, "isa"_a,
            "Read a document of docs/forest_format.md; a RuntimeError says what is wrong with it.")
        .def_prop_ro("n_features", &Forest::n_features)
        .def_prop_ro("n_classes", &Forest::n_classes)
        .def_prop_ro("info", &info)
        .def("run", &run, "x"_a.noconvert(), "out"_a.noconvert(),
             "Compute raw scores of x (n, n_features) into out (n, n_classes); returns the status.");
}
