#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <optional>
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/tracking/graph_construction_cuda.hpp>
#include <rheinfall/tracking/radius_graph_cuda.hpp>
#include <span>
#include <stdexcept>
#include <string>

#include "bindings.hpp"
#include "device_scratch.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using rheinfall::CurrentDevice;
using rheinfall::GraphLimits;
using rheinfall::GraphResult;
using rheinfall::RadiusGraphPlan;
using rheinfall::RadiusGraphResult;

namespace {

struct EdgeRows {
    std::span<std::int64_t> source, target;

    EdgeRows(const DeviceOutput& edges, int device) {
        const std::span<std::int64_t> all = values_of<std::int64_t>(edges, "edges", device, 2);
        if (edges.shape(0) != 2) throw std::invalid_argument("edges: expected shape (2, capacity)");
        source = all.first(all.size() / 2);
        target = all.last(all.size() / 2);
    }
};

RadiusGraphPlan plan_of(double r, std::optional<std::size_t> max_neighbours, bool loop, bool directed) {
    return {r, max_neighbours.value_or(RadiusGraphPlan::no_cap), loop, directed};
}

rheinfall::PointsView points_of(const DeviceInput& points, int device) {
    const std::span<const float> values = values_of<const float>(points, "points", device, 2);
    return {values, points.shape(0), points.shape(1)};
}

std::size_t radius_graph_bytes(const DeviceInput& points, double r, std::optional<std::size_t> max_neighbours,
                               bool loop, bool directed, std::size_t capacity, int device) {
    const rheinfall::PointsView view = points_of(points, device);
    const RadiusGraphPlan plan = plan_of(r, max_neighbours, loop, directed);
    rheinfall::check_radius_graph(plan, view);
    rheinfall::require_cuda_device("radius_graph", device);
    const CurrentDevice scope(device);
    return result_bytes + rheinfall::radius_graph_workspace_size(plan, view.n_points, view.dimension, capacity);
}

nb::tuple radius_graph(const DeviceInput& points, double r, std::optional<std::size_t> max_neighbours, bool loop,
                       bool directed, const DeviceOutput& counts, const DeviceOutput& edges,
                       const DeviceOutput& scratch, std::uintptr_t stream, int device) {
    const rheinfall::PointsView view = points_of(points, device);
    const RadiusGraphPlan plan = plan_of(r, max_neighbours, loop, directed);
    const std::span<std::int64_t> neighbours = values_of<std::int64_t>(counts, "counts", device);
    const EdgeRows rows(edges, device);
    Scratch given(scratch, device);
    RadiusGraphResult result;
    {
        const nb::gil_scoped_release no_gil;
        const CurrentDevice scope(device);
        rheinfall::build_radius_graph(stream_of(stream), plan, given.workspace(), view, neighbours, rows.source,
                                      rows.target, given.result<RadiusGraphResult>());
        result = given.read<RadiusGraphResult>(stream_of(stream));
    }
    return nb::make_tuple(rheinfall::to_string(result.status), result.n_edges);
}

class ModuleMapOnDevice {
public:
    ModuleMapOnDevice(const rheinfall::ModuleMap& map, int device) : device_(device) {
        rheinfall::require_cuda_device("build_graph", device);
        const nb::gil_scoped_release no_gil;
        const CurrentDevice scope(device);
        map_.emplace(map);
    }

    [[nodiscard]] std::size_t scratch_bytes(std::size_t n_hits, std::size_t n_doublets) const {
        const CurrentDevice scope(device_);
        return result_bytes + rheinfall::graph_workspace_size(*map_, {n_hits, n_doublets});
    }

    nb::tuple build(const DeviceInput& x, const DeviceInput& y, const DeviceInput& z, const DeviceInput& module_id,
                    std::size_t n_doublets, const DeviceOutput& edges, const DeviceOutput& scratch,
                    std::uintptr_t stream) const {
        const HitArrays hits(x, y, z, module_id, device_);
        const EdgeRows rows(edges, device_);
        Scratch given(scratch, device_);
        const GraphLimits limits{hits.view.size(), n_doublets};
        GraphResult result;
        {
            const nb::gil_scoped_release no_gil;
            const CurrentDevice scope(device_);
            rheinfall::build_graph(stream_of(stream), *map_, {hits.view}, limits, {rows.source, rows.target},
                                   given.workspace(), given.result<GraphResult>());
            result = given.read<GraphResult>(stream_of(stream));
        }
        return nb::make_tuple(rheinfall::to_string(result.status), result.n_edges, result.n_doublets,
                              result.n_unknown_modules, result.n_not_finite);
    }

    [[nodiscard]] std::size_t bytes() const noexcept { return map_->bytes(); }
    [[nodiscard]] int device() const noexcept { return device_; }

private:
    int device_;
    std::optional<rheinfall::DeviceModuleMap> map_;
};

/// Copies the first @p n of each row of @p edges to @p out, (2, n), in the order of a stream.
void take_edges(const DeviceOutput& edges, const DeviceOutput& out, std::uintptr_t stream, int device) {
    const EdgeRows from(edges, device), to(out, device);
    const std::size_t n = to.source.size();
    if (n > from.source.size()) throw std::invalid_argument("out: expected at most as many edges as there are");
    const nb::gil_scoped_release no_gil;
    const CurrentDevice scope(device);
    rheinfall::copy_on_device(stream_of(stream), to.source.data(), from.source.data(), to.source.size_bytes());
    rheinfall::copy_on_device(stream_of(stream), to.target.data(), from.target.data(), to.target.size_bytes());
}

}  // namespace

void bind_tracking_device(nb::module_& m) {
    m.def("radius_graph_device_bytes", &radius_graph_bytes, "points"_a.noconvert(), "r"_a, "max_neighbours"_a.none(),
          "loop"_a, "directed"_a, "capacity"_a, "device"_a, "Bytes of scratch memory of radius_graph_on_device.");
    m.def("radius_graph_on_device", &radius_graph, "points"_a.noconvert(), "r"_a, "max_neighbours"_a.none(), "loop"_a,
          "directed"_a, "counts"_a.noconvert(), "edges"_a.noconvert(), "scratch"_a.noconvert(), "stream"_a, "device"_a,
          "Fill counts (n,) and edges (2, capacity), and wait: status and number of edges.");
    m.def("take_edges_on_device", &take_edges, "edges"_a.noconvert(), "out"_a.noconvert(), "stream"_a, "device"_a,
          "Copy the first columns of edges to out (2, n), in the order of a stream.");
    m.def(
        "check_hits_on_device",
        [](const DeviceInput& x, const DeviceInput& y, const DeviceInput& z, const DeviceInput& module_id, int device) {
            return HitArrays(x, y, z, module_id, device).view.size();
        },
        "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(), "module_id"_a.noconvert(), "device"_a,
        "Their number; refuses what build_graph does not take.");
    nb::class_<ModuleMapOnDevice>(m, "ModuleMapOnDevice", "A module map in the memory of a CUDA device.")
        .def(nb::init<const rheinfall::ModuleMap&, int>(), "map"_a, "device"_a)
        .def("scratch_bytes", &ModuleMapOnDevice::scratch_bytes, "n_hits"_a, "n_doublets"_a,
             "Bytes of scratch memory of build.")
        .def("build", &ModuleMapOnDevice::build, "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(),
             "module_id"_a.noconvert(), "n_doublets"_a, "edges"_a.noconvert(), "scratch"_a.noconvert(), "stream"_a,
             "Fill edges (2, capacity), and wait: status, n_edges, n_doublets, n_unknown_modules, n_not_finite.")
        .def_prop_ro("bytes", &ModuleMapOnDevice::bytes)
        .def_prop_ro("device", &ModuleMapOnDevice::device);
}
