// Compiled and linked, but not yet run on a GPU: the bodies of the kernels are tested on the host (tests/cpp), in the
// order of find_device_tracks; the launches and the CUB calls are not.
#include <rheinfall/tracking/track_finder_cuda.hpp>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>

#include "core/executor.hpp"
#include "tracking/bundle.hpp"
#include "tracking/detail/device_finder_steps.hpp"
#include "tracking/track_finder_device.hpp"

namespace rheinfall {

struct DeviceTrackFinder::Impl {
    TrackFinderOptions options;
    DeviceModuleMap map;
    std::optional<DeviceEdgeClassifier> network;
    EdgeOutput output = EdgeOutput::scores;

    Impl(const ModuleMap& module_map, const TrackFinderOptions& given)
        : options(checked(module_map, given)), map(module_map) {}
    Impl(const ModuleMap& module_map, const TrackFinderOptions& given, const DeviceEdgeClassifier& classifier,
         EdgeOutput score)
        : Impl(module_map, given) {
        detail::check_finder_network(classifier.n_node_features(), classifier.n_edge_features());
        network = classifier;
        output = score;
    }

    /// As a finder of the CPU has them.
    static TrackFinderOptions checked(const ModuleMap& module_map, const TrackFinderOptions& given) {
        detail::check_device_finder_options(given);
        return TrackFinder(module_map, given).options();
    }
    template <class Arena>
    [[nodiscard]] detail::DeviceFinder take(Arena& arena, const TrackFinderLimits& limits) const {
        const bool has_edge_rows = network && network->n_edge_features() > 0;
        return detail::take_device_finder(arena, options, limits, network.has_value(), has_edge_rows);
    }
};

namespace {

/// Scratch of CUB for the order of so many hits.
std::size_t order_scratch_bytes(const detail::DeviceFinder& g) {
    detail::ScratchMeter meter;
    detail::order_device_hits(meter, g);
    return meter.bytes();
}

/// Runs each stage by its public function, in the order of a stream.
class CudaStages {
public:
    CudaStages(CudaStream stream, Workspace& workspace, const DeviceTrackFinder::Impl& impl,
               const TrackFinderLimits& limits)
        : stream_(stream), workspace_(workspace), impl_(impl), limits_(limits) {}

    template <class Body>
    void for_each(std::uint64_t n, const Body& body) const {
        detail::CudaExecutor(stream_, {}).for_each(n, body);
    }
    void order_hits(detail::DeviceFinder g) const {
        const WorkspaceScope scope(workspace_);
        detail::WorkspaceArena arena(workspace_);
        detail::take_hit_order(arena, g);
        const auto scratch = workspace_.take<std::byte>(order_scratch_bytes(g));
        const detail::CudaExecutor executor(stream_, scratch);
        detail::order_device_hits(executor, g);
    }
    void build_graph(const DeviceHits& hits, const EdgesBuffer& edges, GraphResult* result) const {
        rheinfall::build_graph(stream_, impl_.map, hits, {limits_.n_hits, limits_.n_doublets}, edges, workspace_,
                               result);
    }
    void prune_edges(const HitsView& hits, const DeviceEdges& edges, const TripletModel& model, const PruneCuts& cuts,
                     const EdgesBuffer& left, const ContinuationChi2& chi2, PruneResult* result) const {
        rheinfall::prune_edges(stream_, hits, edges, model, cuts, left, chi2, workspace_, result);
    }
    void graph_features(const DeviceHits& hits, const DeviceEdges& edges, const ContinuationChi2& chi2,
                        std::span<float> nodes, std::span<float> rows) const {
        rheinfall::graph_features(stream_, hits, edges, chi2, nodes, rows, workspace_);
    }
    void score_edges(const DeviceEdgeClassifierInput& input, std::span<float> scores, Status* status) const {
        impl_.network->run(stream_, workspace_, input, impl_.output, scores, status);
    }
    void build_tracks(const DeviceScoredGraph& graph, const DeviceTracks& tracks) const {
        rheinfall::build_tracks(stream_, impl_.options.building, workspace_, graph, tracks);
    }

private:
    CudaStream stream_;
    Workspace& workspace_;
    const DeviceTrackFinder::Impl& impl_;
    const TrackFinderLimits& limits_;
};

}  // namespace

DeviceTrackFinder DeviceTrackFinder::load_bundle(const std::string& folder) {
    const detail::Bundle bundle = detail::read_bundle(folder);
    return {ModuleMap::load(bundle.map_path), bundle.options,
            DeviceEdgeClassifier::load(bundle.network_path, bundle.precision), bundle.output};
}

DeviceTrackFinder::DeviceTrackFinder(const ModuleMap& map, const TrackFinderOptions& options)
    : impl_(std::make_shared<const Impl>(map, options)) {}

DeviceTrackFinder::DeviceTrackFinder(const ModuleMap& map, const TrackFinderOptions& options,
                                     const DeviceEdgeClassifier& network, EdgeOutput output)
    : impl_(std::make_shared<const Impl>(map, options, network, output)) {}

const TrackFinderOptions& DeviceTrackFinder::options() const noexcept {
    return impl_->options;
}

bool DeviceTrackFinder::has_network() const noexcept {
    return impl_->network.has_value();
}

std::size_t DeviceTrackFinder::workspace_size(const TrackFinderLimits& given) const {
    const TrackFinderLimits limits = detail::device_finder_limits(given);
    detail::MeasuringArena arena;
    const detail::DeviceFinder g = impl_->take(arena, limits);
    detail::MeasuringArena ordering;
    detail::DeviceFinder nowhere = g;
    detail::take_hit_order(ordering, nowhere);
    static_cast<void>(ordering.take<std::byte>(order_scratch_bytes(g)));
    const std::size_t n = limits.n_hits;
    const std::size_t scoring = impl_->network ? impl_->network->workspace_size({n, limits.n_edges}) : 0;
    return arena.bytes() +
           std::max({ordering.bytes(), scoring, graph_workspace_size(impl_->map, {n, limits.n_doublets}),
                     prune_edges_device_workspace_size(n, limits.n_edges), edge_features_workspace_size(n),
                     track_building_workspace_size(impl_->options.building, {n, limits.n_edges}, true)});
}

void DeviceTrackFinder::run(CudaStream stream, Workspace& workspace, const DeviceHits& hits,
                            const TrackFinderLimits& given, const DeviceTracks& tracks,
                            TrackFinderResult* result) const {
    detail::check_device_finder(hits, given, tracks, result);
    const TrackFinderLimits limits = detail::device_finder_limits(given);
    const std::size_t needed = workspace_size(limits);
    const std::size_t left = workspace.capacity() - workspace.mark();
    if (left < needed) {
        throw std::invalid_argument("workspace: expected " + std::to_string(needed) + " bytes left, got " +
                                    std::to_string(left));
    }
    const WorkspaceScope scope(workspace);
    detail::WorkspaceArena arena(workspace);
    detail::DeviceFinder g = impl_->take(arena, limits);
    detail::set_device_finder(g, hits, tracks, result);
    CudaStages stages(stream, workspace, *impl_, limits);
    detail::find_device_tracks(stages, impl_->options, tracks, g);
}

}  // namespace rheinfall
