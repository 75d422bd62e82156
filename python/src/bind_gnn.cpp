#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <stdexcept>
#include <string>

#include "arrays.hpp"
#include "bindings.hpp"
#include "core/checksum.hpp"
#include "gnn_precision.hpp"
#include "threads.hpp"
#include "workspaces.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using rheinfall::EdgeClassifier;
using Features = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using EdgeIndex = nb::ndarray<const std::int64_t, nb::shape<2, -1>, nb::c_contig, nb::device::cpu>;
using Result = nb::typed<nb::tuple, nb::ndarray<nb::numpy, float, nb::ndim<1>>, nb::str>;

constexpr std::array<const char*, 5> isa_names = {"best", "portable", "avx2", "avx512", "avx512_bf16"};

rheinfall::GnnIsa isa_of(const std::string& name) {
    for (std::size_t i = 0; i < isa_names.size(); ++i) {
        if (name == isa_names[i]) return static_cast<rheinfall::GnnIsa>(i);
    }
    throw std::invalid_argument("isa: expected best, portable, avx2, avx512 or avx512_bf16; got " + name);
}

Result run(const EdgeClassifier& classifier, const Features& nodes, const EdgeIndex& edges, const Features& features,
           bool scores, std::size_t n_threads) {
    const std::size_t n = edges.shape(1);
    auto out = std::make_unique_for_overwrite<float[]>(n);
    rheinfall::Status status{};
    {
        nb::gil_scoped_release no_gil;
        rheinfall::Workspace& workspace = kept_workspace();
        rheinfall::StdThreads threads(n_threads == 0 ? num_threads() : n_threads);
        const rheinfall::ParallelFor parallel_for = threads.parallel_for();
        workspace.reserve(classifier.workspace_size({nodes.shape(0), n}, parallel_for.n_threads()));
        const rheinfall::EdgeClassifierInput input{
            nodes.shape(0), as_span(nodes), {{edges.data(), n}, {edges.data() + n, n}}, as_span(features)};
        status =
            classifier.run(workspace, input, scores ? rheinfall::EdgeOutput::scores : rheinfall::EdgeOutput::logits,
                           {out.get(), n}, parallel_for);
    }
    return Result(nb::make_tuple(numpy_owning(std::move(out), {n}), nb::str(rheinfall::to_string(status))));
}

}  // namespace

void bind_gnn(nb::module_& m) {
    nb::class_<EdgeClassifier>(m, "EdgeClassifier", "A compiled graph network; see rheinfall.EdgeClassifier.")
        .def_static(
            "parse",
            [](const nb::bytes& data, const std::string& name, const std::string& isa, const std::string& precision) {
                return EdgeClassifier::parse({static_cast<const std::byte*>(data.data()), data.size()}, name,
                                             isa_of(isa), gnn_precision(precision));
            },
            "data"_a, "name"_a, "isa"_a, "precision"_a, "A network in the format of docs/gnn_format.md.")
        .def_prop_ro("n_node_features", &EdgeClassifier::n_node_features)
        .def_prop_ro("n_edge_features", &EdgeClassifier::n_edge_features)
        .def_prop_ro("isa", [](const EdgeClassifier& c) { return isa_names[static_cast<std::size_t>(c.isa())]; })
        .def(
            "explain",
            [](const EdgeClassifier& c, std::size_t n_nodes, std::size_t n_edges) {
                return c.explain({n_nodes, n_edges});
            },
            "n_nodes"_a, "n_edges"_a, "The plan as text.")
        .def(
            "linear_flops",
            [](const EdgeClassifier& c, std::size_t n_nodes, std::size_t n_edges) {
                return c.linear_flops({n_nodes, n_edges});
            },
            "n_nodes"_a, "n_edges"_a, "Floating-point operations of linear operations.")
        .def(
            "workspace_size",
            [](const EdgeClassifier& c, std::size_t n_nodes, std::size_t n_edges, std::size_t n_threads) {
                return c.workspace_size({n_nodes, n_edges}, n_threads);
            },
            "n_nodes"_a, "n_edges"_a, "n_threads"_a, "Bytes of memory that one graph takes.")
        .def("run", &run, "node_features"_a.noconvert(), "edge_index"_a.noconvert(), "edge_features"_a.noconvert(),
             "scores"_a, "n_threads"_a,
             "Results in the order of the edges, and a status. n_threads 0: as set_num_threads says.");
    m.def(
        "checksum",
        [](const nb::bytes& data) {
            return rheinfall::detail::checksum({static_cast<const std::byte*>(data.data()), data.size()});
        },
        "data"_a, "The checksum of our files.");
}
