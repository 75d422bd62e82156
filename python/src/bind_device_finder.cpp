#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/tracking/track_finder_cuda.hpp>
#include <span>
#include <stdexcept>
#include <string>

#include "bindings.hpp"
#include "device_scratch.hpp"
#include "gnn_precision.hpp"
#include "triplet_model.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using rheinfall::CurrentDevice;
using rheinfall::TrackFinderLimits;
using rheinfall::TrackFinderOptions;
using rheinfall::TrackFinderResult;

namespace {

constexpr const char* who = "DeviceTrackFinder";

/// A finder in the memory of a device.
class FinderOnDevice {
public:
    FinderOnDevice(const rheinfall::ModuleMap& map, const nb::bytes& network, const std::string& name,
                   const std::string& precision, bool scores, const rheinfall::TrackBuildingPlan& plan,
                   std::optional<float> chi2_max, const VolumeResolution& resolution, float field, float layer_x0,
                   float field_spread, float min_chi2_pt, int device)
        : device_(device) {
        rheinfall::require_cuda_device(who, device);
        TrackFinderOptions options;
        options.chi2_max = chi2_max.value_or(std::numeric_limits<float>::infinity());
        options.triplet_model = triplet_model(resolution, field, layer_x0, field_spread, min_chi2_pt);
        options.building = plan;
        const std::span bytes(static_cast<const std::byte*>(network.data()), network.size());
        const nb::gil_scoped_release no_gil;
        const CurrentDevice scope(device);
        finder_.emplace(map, options, rheinfall::DeviceEdgeClassifier::parse(bytes, name, gnn_precision(precision)),
                        scores ? rheinfall::EdgeOutput::scores : rheinfall::EdgeOutput::logits);
    }

    [[nodiscard]] std::size_t scratch_bytes(std::size_t n_hits, std::size_t n_doublets, std::size_t n_edges) const {
        const CurrentDevice scope(device_);
        return result_bytes + finder_->workspace_size({n_hits, n_doublets, n_edges});
    }
    [[nodiscard]] const rheinfall::DeviceTrackFinder& finder() const { return *finder_; }
    [[nodiscard]] int device() const noexcept { return device_; }

private:
    int device_;
    std::optional<rheinfall::DeviceTrackFinder> finder_;
};

/// The arrays of one event in flight, kept alive.
struct EventArrays {
    DeviceInput x, y, z, module_id;
    std::optional<DeviceInput> n_hits;
    DeviceOutput offsets, hits, labels, scratch;
};

/// A finder with the arrays of one event: checked once, then run as often as they are filled.
class BoundFinder {
public:
    BoundFinder(const FinderOnDevice& finder, const EventArrays& arrays, const TrackFinderLimits& limits)
        : arrays_(arrays),
          finder_(finder.finder()),
          device_(finder.device()),
          limits_(limits),
          hits_{HitArrays(arrays.x, arrays.y, arrays.z, arrays.module_id, device_).view},
          scratch_(arrays.scratch, device_) {
        tracks_.offsets = values_of<std::int64_t>(arrays.offsets, "offsets", device_);
        tracks_.hits = values_of<std::int64_t>(arrays.hits, "hits", device_);
        tracks_.labels = values_of<std::int64_t>(arrays.labels, "labels", device_);
        if (!arrays.n_hits) return;
        const DeviceInput& word = *arrays.n_hits;
        require_on_device(word, "n_hits", device_);
        const bool fits = word.dtype() == nb::dtype<std::uint32_t>() || word.dtype() == nb::dtype<std::int32_t>();
        if (!fits || word.size() != 1) throw std::invalid_argument("n_hits: expected one integer of 32 bits");
        hits_.n_hits = static_cast<const std::uint32_t*>(word.data());
    }

    void run(std::uintptr_t stream) {
        const nb::gil_scoped_release no_gil;
        const CurrentDevice scope(device_);
        finder_.run(stream_of(stream), scratch_.workspace(), hits_, limits_, tracks_,
                    scratch_.result<TrackFinderResult>());
    }
    [[nodiscard]] nb::tuple read(std::uintptr_t stream) const {
        TrackFinderResult r;
        {
            const nb::gil_scoped_release no_gil;
            const CurrentDevice scope(device_);
            r = scratch_.read<TrackFinderResult>(stream_of(stream));
        }
        return nb::make_tuple(rheinfall::to_string(r.status), r.n_tracks, r.n_track_hits, r.n_edges, r.n_pruned_edges,
                              r.n_doublets, r.n_unknown_modules, r.n_not_finite);
    }

private:
    EventArrays arrays_;
    rheinfall::DeviceTrackFinder finder_;
    int device_;
    TrackFinderLimits limits_;
    rheinfall::DeviceHits hits_;
    rheinfall::DeviceTracks tracks_;
    Scratch scratch_;
};

}  // namespace

void bind_device_finder(nb::module_& m) {
    nb::class_<FinderOnDevice>(m, "FinderOnDevice", "A finder in the memory of a CUDA device.")
        .def(nb::init<const rheinfall::ModuleMap&, const nb::bytes&, const std::string&, const std::string&, bool,
                      const rheinfall::TrackBuildingPlan&, std::optional<float>, const VolumeResolution&, float, float,
                      float, float, int>(),
             "map"_a, "network"_a, "name"_a, "precision"_a, "scores"_a, "plan"_a, "chi2_max"_a.none(), "resolution"_a,
             "field"_a, "layer_x0"_a, "field_spread"_a, "min_chi2_pt"_a, "device"_a)
        .def("scratch_bytes", &FinderOnDevice::scratch_bytes, "n_hits"_a, "n_doublets"_a, "n_edges"_a,
             "Bytes of scratch memory of an event.")
        .def_prop_ro("device", &FinderOnDevice::device);
    nb::class_<BoundFinder>(m, "BoundFinder", "A finder on a device with the arrays of one event in flight.")
        .def(
            "__init__",
            [](BoundFinder* self, const FinderOnDevice& finder, const DeviceInput& x, const DeviceInput& y,
               const DeviceInput& z, const DeviceInput& module_id, const std::optional<DeviceInput>& n_hits,
               std::size_t n_doublets, std::size_t n_edges, const DeviceOutput& offsets, const DeviceOutput& hits,
               const DeviceOutput& labels, const DeviceOutput& scratch) {
                const TrackFinderLimits limits{x.size(), n_doublets, n_edges};
                new (self) BoundFinder(finder, {x, y, z, module_id, n_hits, offsets, hits, labels, scratch}, limits);
            },
            "finder"_a, "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(), "module_id"_a.noconvert(),
            "n_hits"_a.noconvert().none(), "n_doublets"_a, "n_edges"_a, "offsets"_a.noconvert(), "hits"_a.noconvert(),
            "labels"_a.noconvert(), "scratch"_a.noconvert())
        .def("run", &BoundFinder::run, "stream"_a, "Find the tracks in the order of a stream; returns at once.")
        .def("read", &BoundFinder::read, "stream"_a,
             "Wait: status, n_tracks, n_track_hits, n_edges, n_pruned_edges, n_doublets, n_unknown_modules, "
             "n_not_finite.");
}
