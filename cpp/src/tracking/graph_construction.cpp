#include <rheinfall/tracking/graph_construction.hpp>

#include <algorithm>

#include "core/instruction_sets.hpp"
#include "tracking/detail/join_index.hpp"
#include "tracking/graph_construction_hits.hpp"
#include "tracking/graph_construction_work.hpp"

namespace rheinfall {
namespace {

using detail::CandidateRoom;
using detail::Candidates;
using detail::GraphSteps;
using detail::GraphWork;
using detail::Partners;
using detail::PointArrays;
using detail::Row;
using detail::TagMemory;

/// Everything that one event needs, carved out of the workspace.
struct Scratch {
    std::span<std::uint32_t> module_of_hit;   ///< by caller's hit
    std::span<std::uint32_t> module_offsets;  ///< hits of module m are [offsets[m], offsets[m + 1]) in `order`
    std::span<std::uint32_t> order;           ///< caller's hit, by module, then in the caller's order
    std::span<Row> rows;                      ///< by hit in `order`
    std::span<std::uint32_t> edge_offsets;    ///< by caller's hit
    PointArrays points;                       ///< in that order
    Candidates candidates;

    static std::size_t size(const ModuleMap& map, const GraphLimits& limits) {
        return 2 * Workspace::padded<std::uint32_t>(limits.n_hits) +
               Workspace::padded<std::uint32_t>(map.n_modules() + 1) + PointArrays::bytes(limits.n_hits) +
               Workspace::padded<Row>(limits.n_hits) + Workspace::padded<std::uint32_t>(limits.n_hits + 1) +
               Candidates::bytes(limits.n_doublets, limits.n_hits);
    }

    Scratch(const ModuleMap& map, const GraphLimits& limits, std::size_t n_hits, Workspace& workspace)
        : module_of_hit(workspace.take<std::uint32_t>(n_hits)),
          module_offsets(workspace.take<std::uint32_t>(map.n_modules() + 1)),
          order(workspace.take<std::uint32_t>(n_hits)),
          rows(workspace.take<Row>(n_hits)),
          edge_offsets(workspace.take<std::uint32_t>(n_hits + 1)),
          points(n_hits, workspace),
          candidates(limits.n_doublets, n_hits, workspace) {}
};

/// Calls `visit(source, target)` in the caller's numbering for each tagged candidate, by rising hit in `order`.
template <class Visit>
void for_each_edge(const Scratch& s, std::size_t n_used, Visit&& visit) {
    for (std::size_t k = 0; k < n_used; ++k) {
        for (std::size_t c = s.rows[k].begin; c < s.rows[k].end; ++c) {
            if (s.candidates.tagged[c] != 0) visit(s.order[k], s.order[s.candidates.target[c]]);
        }
    }
}

/// Writes the tagged candidates of a room as they stand. Which are tagged is not to be foreseen: no branch asks.
void write_in_order(const CandidateRoom& room, const Scratch& s, std::span<std::int64_t> source,
                    std::span<std::int64_t> target) {
    const std::size_t n_edges = room.n_edges;
    std::size_t n = 0;
    for (std::size_t c = room.begin; n < n_edges; ++c) {
        target[n] = static_cast<std::int64_t>(c);
        n += s.candidates.tagged[c];
    }
    std::size_t k = room.first_hit;
    for (std::size_t e = 0; e < n_edges;) {
        const bool leaves = static_cast<std::size_t>(target[e]) < s.rows[k].end;
        source[e] = s.order[k];
        e += leaves ? 1 : 0;
        k += leaves ? 0 : 1;
    }
    for (std::size_t e = 0; e < n_edges; ++e) {
        target[e] = s.order[s.candidates.target[static_cast<std::size_t>(target[e])]];
    }
}

/// Writes the tagged candidates, sorted by (source, target) in the caller's numbering.
std::size_t write_edges(std::span<CandidateRoom> rooms, std::size_t n_hits, std::size_t n_used, Scratch& s,
                        EdgesBuffer edges, const ParallelFor& parallel_for) {
    parallel_for(rooms.size(), [&](std::size_t t) {
        std::size_t n = 0;
        for (const std::uint8_t tag : s.candidates.tagged.subspan(rooms[t].begin, rooms[t].n)) n += tag;
        rooms[t].n_edges = n;
    });
    std::size_t n_edges = 0;
    for (const CandidateRoom& room : rooms) n_edges += room.n_edges;
    if (n_edges > edges.source.size()) return n_edges;
    const auto order = s.order.first(n_used);
    if (std::ranges::is_sorted(order)) {  // hits that come by module: rows and their targets rise already
        parallel_for(rooms.size(), [&](std::size_t t) {
            std::size_t before = 0;
            for (const CandidateRoom& room : rooms.first(t)) before += room.n_edges;
            const std::size_t n = rooms[t].n_edges;
            write_in_order(rooms[t], s, edges.source.subspan(before, n), edges.target.subspan(before, n));
        });
        return n_edges;
    }
    std::ranges::fill(s.edge_offsets, 0u);
    for_each_edge(s, n_used, [&](std::uint32_t source, std::uint32_t) { ++s.edge_offsets[source]; });
    std::uint32_t offset = 0;
    for (auto& entry : s.edge_offsets) {
        const std::uint32_t count = entry;
        entry = offset;
        offset += count;
    }
    for_each_edge(s, n_used, [&](std::uint32_t source, std::uint32_t target) {
        const std::uint32_t at = s.edge_offsets[source]++;
        edges.source[at] = source;
        edges.target[at] = target;
    });
    std::uint32_t begin = 0;
    for (std::size_t i = 0; i < n_hits; ++i) {
        const std::uint32_t end = s.edge_offsets[i];
        std::sort(edges.target.begin() + begin, edges.target.begin() + end);
        begin = end;
    }
    return n_edges;
}

/// Cuts the inner modules into runs of about equal work, each with its share of the candidates' room.
void share_out(const ModuleMap& map, const Scratch& s, std::size_t capacity, std::span<CandidateRoom> rooms,
               std::span<std::size_t> first_module) {
    // Listing the hits of a neighbour costs as much as some 60 pairs of hits.
    constexpr double neighbour_cost = 60;
    const auto& first_doublet = map.join_index().first_doublet;
    const auto cost = [&](std::size_t m) {
        const std::size_t n_inner = s.module_offsets[m + 1] - s.module_offsets[m];
        if (n_inner == 0) return 0.0;
        std::size_t n_outer = 0;
        for (std::size_t d = first_doublet[m]; d < first_doublet[m + 1]; ++d) {
            const std::uint32_t outer = map.doublet_outer()[d];
            n_outer += s.module_offsets[outer + 1] - s.module_offsets[outer];
        }
        return neighbour_cost * static_cast<double>(first_doublet[m + 1] - first_doublet[m]) +
               static_cast<double>(n_inner) * static_cast<double>(n_outer);
    };
    const std::size_t n = rooms.size();
    double total = 0;
    if (n > 1) {
        for (std::size_t m = 0; m < map.n_modules(); ++m) total += cost(m);
    }
    std::size_t m = 0;
    double done = 0;
    for (std::size_t t = 0; t < n; ++t) {
        first_module[t] = m;
        const double until = total * static_cast<double>(t + 1) / static_cast<double>(n);
        if (t + 1 == n) m = map.n_modules();
        for (; m < map.n_modules() && done < until; ++m) done += cost(m);
        rooms[t] = {capacity * t / n, capacity * (t + 1) / n, 0};
    }
    first_module[n] = map.n_modules();
}

/// What a candidate meets differs by far, so threads take one small part after the other.
std::size_t parts_to_tag(std::size_t n_tasks) {
    return n_tasks == 1 ? 1 : 4 * n_tasks;
}

/// Cuts the inner modules into runs of about as many candidates.
void share_candidates(const ModuleMap& map, const Scratch& s, std::size_t n_candidates,
                      std::span<std::size_t> first_module) {
    const std::size_t n = first_module.size() - 1;
    std::size_t done = 0;
    std::size_t t = 1;
    first_module[0] = 0;
    first_module[n] = map.n_modules();
    for (std::size_t m = 0; m < map.n_modules() && t < n; ++m) {
        const std::size_t begin = s.module_offsets[m];
        const std::size_t end = s.module_offsets[m + 1];
        if (begin != end) done += s.rows[end - 1].end - s.rows[begin].begin;
        for (; t < n && done * n >= n_candidates * t; ++t) first_module[t] = m + 1;
    }
}

/// Gives each task the room for as many candidates as it found before.
void share_by_need(std::span<CandidateRoom> rooms) {
    std::size_t begin = 0;
    for (CandidateRoom& room : rooms) {
        const std::size_t end = begin + room.n;
        room = {begin, end, 0};
        begin = end;
    }
}

}  // namespace

std::size_t graph_workspace_size(const ModuleMap& map, const GraphLimits& limits, std::size_t n_threads) {
    return Scratch::size(map, limits) + Workspace::padded<CandidateRoom>(n_threads) +
           Workspace::padded<std::size_t>(parts_to_tag(n_threads) + 1) + Workspace::padded<Partners>(n_threads) +
           Workspace::padded<TagMemory>(parts_to_tag(n_threads));
}

GraphResult detail::build_graph_by(const GraphSteps& steps, const ModuleMap& map, const HitsView& hits,
                                   const GraphLimits& limits, EdgesBuffer edges, Workspace& workspace,
                                   const ParallelFor& parallel_for) noexcept {
    GraphResult result;
    if (hits.size() == 0) {
        result.status = Status::empty;
        return result;
    }
    const WorkspaceScope scope(workspace);
    const std::size_t n_tasks = parallel_for.n_threads();
    const auto rooms = workspace.take<CandidateRoom>(n_tasks);
    const std::size_t n_parts = parts_to_tag(n_tasks);
    const auto first_module = workspace.take<std::size_t>(n_parts + 1);
    const auto partners = workspace.take<Partners>(n_tasks);
    const auto memory = workspace.take<TagMemory>(n_parts);
    Scratch s(map, limits, hits.size(), workspace);
    if (hits.size() > limits.n_hits || limits.n_hits > detail::max_number || limits.n_doublets > detail::max_number ||
        workspace.overflowed()) {
        result.status = Status::capacity_exceeded;
        return result;
    }

    detail::bucket_hits(map, hits, {s.module_of_hit, s.module_offsets, s.order}, result);
    parallel_for(n_tasks, [&](std::size_t t) {
        const std::size_t first = map.n_modules() * t / n_tasks;
        const std::size_t last = map.n_modules() * (t + 1) / n_tasks;
        steps.place_points(hits, s.order, s.points, s.module_offsets[first], s.module_offsets[last]);
    });
    GraphWork work{map, s.module_offsets, s.points, s.rows, s.candidates};
    share_out(map, s, limits.n_doublets, rooms, first_module.first(n_tasks + 1));
    const auto find_all = [&] {
        for (std::size_t t = 0; t < n_tasks; ++t) {
            rooms[t].first_block = Candidates::max_blocks(rooms[t].begin, hits.size());
            rooms[t].first_hit = s.module_offsets[first_module[t]];
        }
        parallel_for(n_tasks, [&](std::size_t t) {
            steps.find_candidates(work, first_module[t], first_module[t + 1], rooms[t], partners[t]);
        });
    };
    find_all();
    bool fits = true;
    for (const CandidateRoom& room : rooms) {
        fits = fits && room.n <= room.end - room.begin;
        result.n_doublets += room.n;
    }
    if (result.n_doublets > limits.n_doublets) {
        result.status = Status::capacity_exceeded;
        return result;
    }
    if (!fits) {  // The tasks found unequal shares: once more, so that what fits does not depend on their number.
        share_by_need(rooms);
        find_all();
    }

    work.end_of_rooms = rooms.back().end;
    for (const CandidateRoom& room : rooms) work.headless = work.headless || room.headless;
    const std::uint8_t all_are_edges = map.doublets_only() ? 1 : 0;
    for (const CandidateRoom& room : rooms) {
        std::fill_n(s.candidates.tagged.begin() + static_cast<std::ptrdiff_t>(room.begin), room.n, all_are_edges);
    }
    if (!map.doublets_only()) {
        share_candidates(map, s, result.n_doublets, first_module);
        parallel_for(n_parts,
                     [&](std::size_t t) { steps.tag_triplets(work, first_module[t], first_module[t + 1], memory[t]); });
    }
    result.n_edges = write_edges(rooms, hits.size(), s.module_offsets[map.n_modules()], s, edges, parallel_for);
    if (result.n_edges > edges.source.size()) {
        result.status = Status::capacity_exceeded;
        return result;
    }
    if (result.n_edges == 0) result.status = Status::empty;
    if (result.n_unknown_modules > 0) result.status = worst(result.status, Status::unknown_modules);
    if (result.n_not_finite > 0) result.status = worst(result.status, Status::not_finite);
    return result;
}

const detail::GraphSteps& detail::graph_steps() noexcept {
#if defined(__x86_64__)
    if (detail::has_avx512()) {
        return graph_steps_avx512();
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) return graph_steps_avx2();
#endif
    return graph_steps_portable();
}

GraphResult build_graph(const ModuleMap& map, const HitsView& hits, const GraphLimits& limits, EdgesBuffer edges,
                        Workspace& workspace, const ParallelFor& parallel_for) noexcept {
    return detail::build_graph_by(detail::graph_steps(), map, hits, limits, edges, workspace, parallel_for);
}

}  // namespace rheinfall
