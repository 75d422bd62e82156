// A C++ program that embeds a Python interpreter, calls the Python API on a simulated event, and checks what comes
// back.
#include <pybind11/embed.h>
#include <pybind11/numpy.h>

#include <cstdint>
#include <cstdio>
#include <exception>

namespace py = pybind11;
using namespace py::literals;

int main() try {
    const py::scoped_interpreter interpreter;
    const py::module_ rf = py::module_::import("rheinfall");
    const py::object simulate = rf.attr("simulation").attr("simulate");
    const py::object map = rf.attr("ModuleMap").attr("build")(simulate(5, "pile_up"_a = 2, "seed"_a = 1));
    const py::object event = py::list(simulate(1, "pile_up"_a = 2, "seed"_a = 9))[0];
    const py::object graph = rf.attr("build_graph")(event.attr("hits"), map);
    const auto edges = graph.attr("edge_index").cast<py::array_t<std::int64_t, py::array::c_style>>();
    if (edges.ndim() != 2 || edges.shape(0) != 2 || edges.shape(1) == 0) return 1;
    py::array_t<float> scores(edges.shape(1));
    for (py::ssize_t e = 0; e < scores.size(); ++e) scores.mutable_at(e) = 0.9F;
    const py::object tracks = rf.attr("build_tracks")(graph, scores, "components");
    std::printf("%s: %zu edges, %zu tracks\n", rf.attr("__version__").cast<std::string>().c_str(),
                static_cast<std::size_t>(edges.shape(1)), py::len(tracks));
    return py::len(tracks) > 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "embed_python: %s\n", error.what());
    return 2;
}
