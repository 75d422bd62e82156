// The graph by its definition, doublet after doublet and triplet after triplet: what tests and benchmarks compare the
// tuned versions with.
#include "tracking/graph_construction_plain.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "tracking/detail/hit_geometry.hpp"
#include "tracking/detail/triplet_codes.hpp"
#include "tracking/graph_construction_hits.hpp"

namespace rheinfall::detail {
namespace {

/// Hit pairs within their doublet's limits, one array per field: joins look at targets and slopes of millions, and at
/// the rest of few. Hits are numbered by module, then phi.
struct Candidates {
    std::span<std::uint32_t> source;  ///< rising within a doublet
    std::span<std::uint32_t> target;
    std::span<float> dzdr;
    std::span<DoubletQuantities> quantities;
    std::span<std::uint8_t> tagged;  ///< 1 for an edge of the graph

    static std::size_t bytes(std::size_t n) {
        return 2 * Workspace::padded<std::uint32_t>(n) + Workspace::padded<float>(n) +
               Workspace::padded<DoubletQuantities>(n) + Workspace::padded<std::uint8_t>(n);
    }

    Candidates(std::size_t n, Workspace& workspace)
        : source(workspace.take<std::uint32_t>(n)),
          target(workspace.take<std::uint32_t>(n)),
          dzdr(workspace.take<float>(n)),
          quantities(workspace.take<DoubletQuantities>(n)),
          tagged(workspace.take<std::uint8_t>(n)) {}
};

/// The candidates of one doublet, and which of the middle hits (numbered modulo 64) they touch: two doublets whose
/// signatures share no bit share no hit.
struct CandidateRange {
    std::size_t begin;
    std::uint64_t source_signature;
    std::uint64_t target_signature;
    std::size_t
        rows;  ///< candidates that leave hit k of the inner module are [rows[k], rows[k + 1]) of `Scratch::rows`
    std::uint32_t size;
};

std::uint64_t signature_bit(std::uint32_t hit) {
    return std::uint64_t{1} << (hit & 63u);
}

/// Everything that one event needs, carved out of the workspace.
struct Scratch {
    std::span<std::uint32_t> module_of_hit;   ///< by caller's hit
    std::span<std::uint32_t> module_offsets;  ///< hits of module m are [offsets[m], offsets[m + 1]) in `order`
    std::span<std::uint32_t> order;           ///< caller's hit, by module and phi
    std::span<SpacePoint> points;             ///< in that order
    std::span<CandidateRange> ranges;         ///< by doublet
    std::span<std::uint32_t> rows;            ///< by doublet and hit of its inner module, one more at the end of each
    std::span<std::uint32_t> edge_offsets;    ///< by caller's hit
    Candidates candidates;

    /// Most rows that an event of so many hits can need: each hit has one for each doublet that begins on its module.
    static std::size_t max_rows(const ModuleMap& map, std::size_t n_hits) {
        return map.max_doublets_per_module() * n_hits + map.n_doublets();
    }

    static std::size_t size(const ModuleMap& map, const GraphLimits& limits) {
        return 2 * Workspace::padded<std::uint32_t>(limits.n_hits) +
               Workspace::padded<std::uint32_t>(map.n_modules() + 1) + Workspace::padded<SpacePoint>(limits.n_hits) +
               Workspace::padded<CandidateRange>(map.n_doublets()) +
               Workspace::padded<std::uint32_t>(max_rows(map, limits.n_hits)) +
               Workspace::padded<std::uint32_t>(limits.n_hits + 1) + Candidates::bytes(limits.n_doublets);
    }

    Scratch(const ModuleMap& map, const GraphLimits& limits, std::size_t n_hits, Workspace& workspace)
        : module_of_hit(workspace.take<std::uint32_t>(n_hits)),
          module_offsets(workspace.take<std::uint32_t>(map.n_modules() + 1)),
          order(workspace.take<std::uint32_t>(n_hits)),
          points(workspace.take<SpacePoint>(n_hits)),
          ranges(workspace.take<CandidateRange>(map.n_doublets())),
          rows(workspace.take<std::uint32_t>(max_rows(map, n_hits))),
          edge_offsets(workspace.take<std::uint32_t>(n_hits + 1)),
          candidates(limits.n_doublets, workspace) {}
};

/// Computes the points of modules [first, last) and sorts each module's hits by (phi, caller's hit).
void sort_modules(const HitsView& hits, Scratch& s, std::size_t first, std::size_t last) {
    const auto point = [&hits](std::uint32_t i) { return make_space_point(hits.x[i], hits.y[i], hits.z[i]); };
    for (std::size_t m = first; m < last; ++m) {
        const std::size_t begin = s.module_offsets[m];
        const std::size_t end = s.module_offsets[m + 1];
        for (std::size_t k = begin; k < end; ++k) s.points[k] = point(s.order[k]);
        // Insertion sort: a module has a handful of hits, and a degenerate event pays with time only.
        if (end - begin <= 64) {
            for (std::size_t k = begin + 1; k < end; ++k) {
                const SpacePoint moving = s.points[k];
                const std::uint32_t hit = s.order[k];
                std::size_t at = k;
                for (; at > begin && moving.phi < s.points[at - 1].phi; --at) {
                    s.points[at] = s.points[at - 1];
                    s.order[at] = s.order[at - 1];
                }
                s.points[at] = moving;
                s.order[at] = hit;
            }
        } else {
            std::sort(s.order.begin() + static_cast<std::ptrdiff_t>(begin),
                      s.order.begin() + static_cast<std::ptrdiff_t>(end), [&](std::uint32_t a, std::uint32_t b) {
                          const float phi_a = atan2(hits.y[a], hits.x[a]);
                          const float phi_b = atan2(hits.y[b], hits.x[b]);
                          return phi_a < phi_b || (phi_a == phi_b && a < b);
                      });
            for (std::size_t k = begin; k < end; ++k) s.points[k] = point(s.order[k]);
        }
    }
}

/// Where one task writes its candidates.
struct Output {
    std::size_t begin;
    std::size_t end;
    std::size_t n = 0;  ///< candidates found, beyond the capacity too
};

/// Hits of the outer module whose phi may lie within the limits of dphi: a contiguous window, or everything where the
/// window would wrap. Only saves work: `passes` decides.
struct Window {
    std::size_t begin;
    std::size_t end;
};

Window phi_window(const Scratch& s, float phi, const Interval& dphi, std::size_t begin, std::size_t end) {
    constexpr float slack = 4e-6f;  // a few float32 steps at pi, more than the rounding of dphi
    const float low = phi + dphi.low - slack;
    const float high = phi + dphi.high + slack;
    if (low < -pi || high > pi) return {begin, end};
    const auto first = s.points.begin();
    const auto from =
        std::lower_bound(first + static_cast<std::ptrdiff_t>(begin), first + static_cast<std::ptrdiff_t>(end), low,
                         [](const SpacePoint& p, float v) { return p.phi < v; });
    auto to = from;
    const auto last = first + static_cast<std::ptrdiff_t>(end);
    while (to != last && to->phi <= high) ++to;
    return {static_cast<std::size_t>(from - first), static_cast<std::size_t>(to - first)};
}

/// Finds the candidates of doublet @p d.
void find_candidates(const ModuleMap& map, Scratch& s, std::size_t d, Output& out) {
    const std::uint32_t inner = map.doublet_inner()[d];
    const std::uint32_t outer = map.doublet_outer()[d];
    const std::size_t begin1 = s.module_offsets[inner];
    const std::size_t end1 = s.module_offsets[inner + 1];
    const std::size_t begin2 = s.module_offsets[outer];
    const std::size_t end2 = s.module_offsets[outer + 1];
    CandidateRange range{out.begin + out.n, 0, 0, s.ranges[d].rows, 0};
    if (begin1 != end1 && begin2 != end2) {
        const DoubletLimits limits = map.doublet_limits()[d];
        for (std::size_t i = begin1; i < end1; ++i) {
            const SpacePoint& a = s.points[i];
            s.rows[range.rows + i - begin1] = static_cast<std::uint32_t>(out.begin + out.n);
            const Window window = phi_window(s, a.phi, limits.dphi, begin2, end2);
            for (std::size_t j = window.begin; j < window.end; ++j) {
                const SpacePoint& b = s.points[j];
                // Two quantities of `passes` need no division, and one of them turns most pairs away.
                if (!limits.deta.contains(b.eta - a.eta) || !limits.dphi.contains(delta_phi(a, b))) continue;
                const auto q = doublet_quantities(a, b);
                if (i == j || !passes(limits, q)) continue;
                const std::size_t at = out.begin + out.n++;
                if (at >= out.end) continue;
                const auto source = static_cast<std::uint32_t>(i);
                const auto target = static_cast<std::uint32_t>(j);
                s.candidates.source[at] = source;
                s.candidates.target[at] = target;
                s.candidates.dzdr[at] = slope_dzdr(a, b);
                s.candidates.quantities[at] = q;
                range.source_signature |= signature_bit(source);
                range.target_signature |= signature_bit(target);
                ++range.size;
            }
        }
        s.rows[range.rows + end1 - begin1] = static_cast<std::uint32_t>(out.begin + out.n);
    }
    s.ranges[d] = range;
}

/// Tags both edges of each pair of candidates of inner doublet @p d that passes a triplet. Tasks may tag the same edge,
/// so the flag is atomic. The change of slope is tested first: it needs the least and turns most pairs away.
void tag_triplets(const ModuleMap& map, Scratch& s, std::size_t d) {
    const CandidateRange inner = s.ranges[d];
    if (inner.size == 0) return;
    const Candidates& c = s.candidates;
    const Bend convention = map.bend_convention();
    const std::size_t first_middle = s.module_offsets[map.doublet_outer()[d]];
    const auto tag = [&c](std::size_t candidate) {
        std::atomic_ref<std::uint8_t>(c.tagged[candidate]).store(1, std::memory_order_relaxed);
    };
    for (std::size_t t = map.triplet_offsets()[d]; t < map.triplet_offsets()[d + 1]; ++t) {
        const CandidateRange& outer = s.ranges[map.triplet_outer()[t]];
        if ((inner.target_signature & outer.source_signature) == 0) continue;
        const Interval diff_dzdr = map.triplet_diff_dzdr(t);
        bool decoded = false;  // few triplets get as far as their other limits
        TripletLimits limits;
        for (std::size_t i = inner.begin; i < inner.begin + inner.size; ++i) {
            const auto row = s.rows.subspan(outer.rows + c.target[i] - first_middle, 2);
            for (std::size_t j = row[0]; j < row[1]; ++j) {
                if (!diff_dzdr.contains(c.dzdr[i] - c.dzdr[j])) continue;
                if (!decoded) limits = map.triplet_limits(d, t);
                decoded = true;
                if (!passes(limits.inner, c.quantities[i])) break;
                if (!passes(limits.outer, c.quantities[j])) continue;
                const float bend =
                    detail::bend(convention, s.points[c.source[i]], s.points[c.target[i]], s.points[c.target[j]]);
                if (!limits.bend.contains(bend)) continue;
                tag(i);
                tag(j);
            }
        }
    }
}

/// Writes the tagged candidates, sorted by (source, target) in the caller's numbering.
std::size_t write_edges(std::span<const Output> outputs, std::size_t n_hits, Scratch& s, EdgesBuffer edges) {
    std::ranges::fill(s.edge_offsets, 0u);
    std::size_t n_edges = 0;
    const auto for_each_edge = [&](auto&& visit) {
        for (const Output& out : outputs) {
            for (std::size_t c = out.begin; c < out.begin + out.n; ++c) {
                if (s.candidates.tagged[c] != 0)
                    visit(s.order[s.candidates.source[c]], s.order[s.candidates.target[c]]);
            }
        }
    };
    for_each_edge([&](std::uint32_t source, std::uint32_t) {
        ++s.edge_offsets[source];
        ++n_edges;
    });
    if (n_edges > edges.source.size()) return n_edges;
    std::uint32_t offset = 0;
    for (auto& entry : s.edge_offsets) {
        const std::uint32_t count = entry;
        entry = offset;
        offset += count;
    }
    for_each_edge([&](std::uint32_t source, std::uint32_t target) {
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

/// Cuts the doublets into runs of about equal work, each with its share of the candidates' room, and gives each its
/// rows.
void share_out(const ModuleMap& map, Scratch& s, std::span<Output> outputs, std::span<std::size_t> first_doublet) {
    const auto cost = [&](std::size_t d) {
        const std::uint32_t a = map.doublet_inner()[d];
        const std::uint32_t b = map.doublet_outer()[d];
        return 1.0 + static_cast<double>(s.module_offsets[a + 1] - s.module_offsets[a]) *
                         static_cast<double>(s.module_offsets[b + 1] - s.module_offsets[b]);
    };
    double total = 0;
    std::size_t n_rows = 0;
    for (std::size_t d = 0; d < map.n_doublets(); ++d) {
        total += cost(d);
        const std::uint32_t inner = map.doublet_inner()[d];
        s.ranges[d].rows = n_rows;
        n_rows += s.module_offsets[inner + 1] - s.module_offsets[inner] + 1;
    }
    const std::size_t n = outputs.size();
    const std::size_t capacity = s.candidates.source.size();
    std::size_t d = 0;
    double done = 0;
    for (std::size_t t = 0; t < n; ++t) {
        first_doublet[t] = d;
        const double until = total * static_cast<double>(t + 1) / static_cast<double>(n);
        for (; d < map.n_doublets() && (done < until || t + 1 == n); ++d) done += cost(d);
        outputs[t] = {capacity * t / n, capacity * (t + 1) / n};
    }
    first_doublet[n] = map.n_doublets();
}

/// Gives each task the room for as many candidates as it found before.
void share_by_need(std::span<Output> outputs) {
    std::size_t begin = 0;
    for (Output& out : outputs) {
        const std::size_t end = begin + out.n;
        out = {begin, end};
        begin = end;
    }
}

}  // namespace

std::size_t graph_workspace_size_plain(const ModuleMap& map, const GraphLimits& limits, std::size_t n_threads) {
    return Scratch::size(map, limits) + Workspace::padded<Output>(n_threads) +
           Workspace::padded<std::size_t>(n_threads + 1);
}

GraphResult build_graph_plain(const ModuleMap& map, const HitsView& hits, const GraphLimits& limits, EdgesBuffer edges,
                              Workspace& workspace, const ParallelFor& parallel_for) noexcept {
    GraphResult result;
    if (hits.size() == 0) {
        result.status = Status::empty;
        return result;
    }
    const WorkspaceScope scope(workspace);
    const std::size_t n_tasks = parallel_for.n_threads();
    const auto outputs = workspace.take<Output>(n_tasks);
    const auto first_doublet = workspace.take<std::size_t>(n_tasks + 1);
    Scratch s(map, limits, hits.size(), workspace);
    constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();  // hits and candidates have 32-bit numbers
    if (hits.size() > limits.n_hits || limits.n_hits > most || limits.n_doublets > most || workspace.overflowed()) {
        result.status = Status::capacity_exceeded;
        return result;
    }

    bucket_hits(map, hits, {s.module_of_hit, s.module_offsets, s.order}, result);
    parallel_for(n_tasks, [&](std::size_t t) {
        sort_modules(hits, s, map.n_modules() * t / n_tasks, map.n_modules() * (t + 1) / n_tasks);
    });
    share_out(map, s, outputs, first_doublet);
    const auto find_all = [&] {
        parallel_for(n_tasks, [&](std::size_t t) {
            for (std::size_t d = first_doublet[t]; d < first_doublet[t + 1]; ++d)
                find_candidates(map, s, d, outputs[t]);
        });
    };
    find_all();
    bool fits = true;
    for (const Output& out : outputs) {
        fits = fits && out.n <= out.end - out.begin;
        result.n_doublets += out.n;
    }
    if (result.n_doublets > limits.n_doublets) {
        result.status = Status::capacity_exceeded;
        return result;
    }
    if (!fits) {  // The tasks found unequal shares: once more, so that what fits does not depend on their number.
        share_by_need(outputs);
        find_all();
    }

    const std::uint8_t all_are_edges = map.doublets_only() ? 1 : 0;
    for (const Output& out : outputs) {
        std::fill_n(s.candidates.tagged.begin() + static_cast<std::ptrdiff_t>(out.begin), out.n, all_are_edges);
    }
    if (!map.doublets_only()) {
        parallel_for(n_tasks, [&](std::size_t t) {
            for (std::size_t d = first_doublet[t]; d < first_doublet[t + 1]; ++d) tag_triplets(map, s, d);
        });
    }
    result.n_edges = write_edges(outputs, hits.size(), s, edges);
    if (result.n_edges > edges.source.size()) {
        result.status = Status::capacity_exceeded;
        return result;
    }
    if (result.n_edges == 0) result.status = Status::empty;
    if (result.n_unknown_modules > 0) result.status = worst(result.status, Status::unknown_modules);
    if (result.n_not_finite > 0) result.status = worst(result.status, Status::not_finite);
    return result;
}

}  // namespace rheinfall::detail
