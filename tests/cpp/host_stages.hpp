#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gnn/device_steps.hpp"
#include "gnn/edge_classifier_device.hpp"
#include "gnn/ir_reader.hpp"
#include "host_executor.hpp"
#include "tracking/detail/device_features_steps.hpp"
#include "tracking/detail/device_finder_steps.hpp"
#include "tracking/detail/device_graph_steps.hpp"
#include "tracking/detail/device_tracks_steps.hpp"
#include "tracking/edge_features_device.hpp"
#include "tracking/graph_construction_device.hpp"
#include "tracking/track_building_device.hpp"
#include "tracking/track_finder_device.hpp"

/// Memory of the host as an arena hands it out, full of rubbish; each array stands alone, so that a sanitizer sees when
/// its end is passed by much.
class HostArena {
public:
    template <class T>
    [[nodiscard]] T* take(std::size_t n) {
        auto& block = blocks_.emplace_back(n * sizeof(T) + alignment, std::byte{0xa5});
        const auto past = reinterpret_cast<std::uintptr_t>(block.data()) % alignment;
        return reinterpret_cast<T*>(block.data() + (alignment - past) % alignment);
    }

private:
    static constexpr std::size_t alignment = rheinfall::Workspace::alignment;
    std::vector<std::vector<std::byte>> blocks_;
};

/// Runs the stages of `find_device_tracks` on the host, each by its bodies: what the functions of CUDA do, but for
/// launches and CUB.
template <class Executor>
class HostStages {
public:
    HostStages(const rheinfall::ModuleMap& map, const rheinfall::TrackFinderOptions& options,
               const rheinfall::TrackFinderLimits& limits, Executor on)
        : map_(map), options_(options), limits_(limits), on_(on), first_(rheinfall::detail::first_doublets(map)) {}

    void use_network(std::span<const std::byte> bytes, rheinfall::EdgeOutput output) {
        network_ =
            rheinfall::gnn::flatten(rheinfall::gnn::make_plan(rheinfall::gnn::read_graph(bytes, "test"), "test"));
        output_ = output;
    }
    [[nodiscard]] bool has_network() const { return network_.has_value(); }
    [[nodiscard]] bool has_edge_rows() const { return network_ && network_->n_edge_features > 0; }

    template <class Body>
    void for_each(std::uint64_t n, const Body& body) {
        on_.for_each(n, body);
    }
    void order_hits(rheinfall::detail::DeviceFinder g) {
        HostArena arena;
        rheinfall::detail::take_hit_order(arena, g);
        rheinfall::detail::order_device_hits(on_, g);
    }
    void build_graph(const rheinfall::DeviceHits& hits, const rheinfall::EdgesBuffer& edges,
                     rheinfall::GraphResult* result) {
        namespace detail = rheinfall::detail;
        const rheinfall::GraphLimits limits{limits_.n_hits, limits_.n_doublets};
        detail::check_device_graph(hits, limits, edges, result);
        const detail::DeviceMapView view{map_.modules().data(),         first_.data(),
                                         map_.doublet_outer().data(),   map_.doublet_limits().data(),
                                         map_.triplet_offsets().data(), map_.triplet_outer().data(),
                                         map_.triplet_codes().data(),   static_cast<std::uint32_t>(map_.n_modules()),
                                         map_.bend_convention(),        map_.doublets_only()};
        HostArena arena;
        detail::DeviceGraph g = detail::take_device_graph(arena, view, limits.n_hits, limits.n_doublets);
        detail::set_device_graph(g, hits, edges, result);
        detail::build_device_graph(on_, g);
    }
    void prune_edges(const rheinfall::HitsView& hits, const rheinfall::DeviceEdges& edges,
                     const rheinfall::TripletModel& model, const rheinfall::PruneCuts& cuts,
                     const rheinfall::EdgesBuffer& left, const rheinfall::ContinuationChi2& chi2,
                     rheinfall::PruneResult* result) {
        namespace detail = rheinfall::detail;
        detail::check_device_pruning(hits, edges, cuts, left, chi2, result);
        HostArena arena;
        detail::DevicePruner g = detail::take_device_pruner(arena, hits.size(), edges.arrays.size());
        detail::set_device_pruner(g, hits, edges, cuts, left, chi2, result);
        detail::prune_device_edges(on_, model, g);
    }
    void graph_features(const rheinfall::DeviceHits& hits, const rheinfall::DeviceEdges& edges,
                        const rheinfall::ContinuationChi2& chi2, std::span<float> nodes, std::span<float> rows) {
        namespace detail = rheinfall::detail;
        detail::check_device_features(hits, edges, chi2, nodes, rows);
        HostArena arena;
        detail::DeviceFeatures g = detail::device_features(hits, edges, chi2, nodes, rows);
        g.points = arena.take<detail::DevicePoint>(hits.arrays.size());
        detail::make_device_features(on_, g);
    }
    void score_edges(const rheinfall::DeviceEdgeClassifierInput& input, std::span<float> scores,
                     rheinfall::Status* status) {
        namespace gnn = rheinfall::gnn;
        gnn::check_device_call(*network_, input.graph, scores, status);
        HostArena arena;
        gnn::DeviceEvent g = gnn::take_device_event(arena, *network_, input.graph.n_nodes, input.graph.edges.size());
        gnn::set_caller(g, input, output_, scores, status);
        g.arrays_in = network_->arrays.data();
        g.buffers = network_->buffers.data();
        gnn::run_device_network(on_, *network_, network_->instructions.data(), g);
    }
    void build_tracks(const rheinfall::DeviceScoredGraph& graph, const rheinfall::DeviceTracks& tracks) {
        namespace detail = rheinfall::detail;
        detail::check_device_tracks(options_.building, graph.graph, tracks);
        HostArena arena;
        detail::DeviceTrackBuilder t = detail::take_device_tracks(
            arena, options_.building, {graph.graph.n_nodes, graph.graph.edges.size()}, graph.graph.hits.size() > 0);
        detail::set_device_tracks(graph, tracks, t);
        detail::build_device_tracks(on_, t);
    }

private:
    const rheinfall::ModuleMap& map_;
    rheinfall::TrackFinderOptions options_;
    rheinfall::TrackFinderLimits limits_;
    Executor on_;
    std::vector<std::uint32_t> first_;
    std::optional<rheinfall::gnn::DeviceNetwork> network_;
    rheinfall::EdgeOutput output_ = rheinfall::EdgeOutput::scores;
};
