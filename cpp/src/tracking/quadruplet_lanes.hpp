#pragma once

/// @file
/// The chi2 of quadruplets on vectors; see docs/edge_features.md. Included by each version of the edge features after
/// it has chosen its instructions, hence everything has internal linkage.

#include <cstring>

#include "tracking/edge_features_lanes.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see above

template <class Lanes>
struct QuadrupletLanes : EdgeLanes<Lanes> {
    using Edge = EdgeLanes<Lanes>;
    using Float = typename Lanes::Float;
    using Edge::at_least;
    using Edge::n;
    using Edge::square;
    using typename Edge::Few;
    using typename Edge::Pairs;

    /// A direction in the transverse plane: from one hit to another.
    struct Chord {
        Float x, y, length;

        Chord(const Float* from, const Float* to)
            : x(to[0] - from[0]), y(to[1] - from[1]), length(at_least(Lanes::root(x * x + y * y), 1e-3f)) {}
    };

    /// Variances of a hit: across a chord in the transverse plane, and of z less what its error along the chord does.
    struct Errors {
        Float across_var, z_var;

        Errors(const Float* hit, const Chord& chord, Float cot_theta) {
            const Float scale = chord.length * hit[3];
            const Float radial = (chord.x * hit[0] + chord.y * hit[1]) / scale;
            const Float azimuthal = (chord.y * hit[0] - chord.x * hit[1]) / scale;
            across_var = hit[7] * square(radial) + square(hit[6] * azimuthal);
            z_var = hit[5] + square(cot_theta * (hit[6] * radial));
        }
    };

    static Float arc_of(Float curvature, Float chord) {
        const Float u2 = square(Lanes::set(0.5f) * curvature * chord);
        return chord * (Lanes::set(1.0f) + u2 * (Lanes::set(0.166666667f) + Lanes::set(0.075f) * u2));
    }

    static Float inverse_pt_of(const TripletModel& model, Float curvature) {
        return at_least(magnitude<Lanes>(curvature) / Lanes::set(0.3e-3f * model.field), 1.0f / model.min_chi2_pt);
    }

    /// The fields of `TripletRecord` of three hits, from inside to outside.
    static void make_triplet(const TripletModel& model, const Float* a, const Float* b, const Float* c, Float* to) {
        const Float one = Lanes::set(1.0f);
        const Chord inner(a, b);
        const Chord outer(b, c);
        const Chord whole(a, c);
        const Float cross = inner.x * outer.y - inner.y * outer.x;
        const Float curvature = Lanes::set(2.0f) * cross / (inner.length * outer.length * whole.length);
        const Float inner_cot = (b[2] - a[2]) / arc_of(curvature, inner.length);
        const Float outer_cot = (c[2] - b[2]) / arc_of(curvature, outer.length);
        const Float cot = Lanes::set(0.5f) * (inner_cot + outer_cot);
        const Float cot2 = square(cot);
        const Errors first(a, inner, cot);
        const Errors middle(b, whole, cot);
        const Errors last(c, outer, cot);
        const Float inner_slope = one / inner.length;
        const Float outer_slope = one / outer.length;
        // At 1 GeV; Highland without the logarithm.
        const Float angle_var = Lanes::set(square_of(0.0136f) * model.layer_x0) * Lanes::root(one + cot2);
        const Float cot_var = first.z_var * square(inner_slope) + middle.z_var * square(inner_slope + outer_slope) +
                              last.z_var * square(outer_slope) +
                              square(inverse_pt_of(model, curvature)) * angle_var * (one + cot2);
        const Float scale = Lanes::set(2.0f) / whole.length;
        const Float inner_weight = scale * inner_slope;
        const Float outer_weight = scale * outer_slope;
        to[0] = curvature;
        to[1] = square(inner_cot - outer_cot) / cot_var;
        to[2] = first.across_var * square(inner_weight);
        to[3] = last.across_var * square(outer_weight);
        to[4] = inner_weight;
        to[5] = outer_weight;
        to[6] = middle.across_var;
        to[7] = square(scale) * angle_var;
    }

    static float square_of(float v) { return v * v; }

    /// chi2 (3 degrees of freedom) of two triplets that share an edge.
    static Float quadruplet_chi2(const TripletModel& model, const Float* inner, const Float* outer) {
        const Float mean = Lanes::set(0.5f) * (inner[0] + outer[0]);
        const Float curvature_var = inner[2] + inner[6] * square(inner[4] + inner[5] + outer[4]) +
                                    outer[6] * square(inner[5] + outer[4] + outer[5]) + outer[3] +
                                    square(inverse_pt_of(model, mean)) * (inner[7] + outer[7]) +
                                    square(Lanes::set(model.field_spread) * mean);
        return square(inner[0] - outer[0]) / curvature_var + (inner[1] + outer[1]);
    }

    /// The bits of 32 edges from @p k on.
    static std::uint32_t bits_from(EdgeBits words, std::size_t k) {
        const std::size_t shift = k % 64;
        return static_cast<std::uint32_t>(words[k / 64] >> shift | words[k / 64 + 1] << 1 << (63 - shift));
    }
    static std::uint32_t bit_of(EdgeBits words, std::size_t e) {
        return static_cast<std::uint32_t>(words[e / 64] >> e % 64) & 1u;
    }

    /// The chosen ones of @p e paired with @p count edges from @p k on.
    static std::uint32_t choose(const PairChoice& choice, std::size_t e, std::size_t k, std::size_t count) {
        const std::uint32_t among = count < 32 ? (1u << count) - 1u : ~0u;
        const std::uint32_t chosen = ((0u - bit_of(choice.inner, e)) | bits_from(choice.outer, k)) & among;
        if (choice.done == nullptr) return chosen;
        return chosen & ~((0u - bit_of(choice.done, e)) | bits_from(choice.done, k));
    }

    /// Pairs of edges that share a hit, and their three hits.
    struct Chosen {
        static constexpr std::size_t most = 256;
        alignas(64) std::uint32_t inner[most + n];
        alignas(64) std::uint32_t outer[most + n];
        alignas(64) std::uint32_t hits[3][most + n];
        std::size_t size = 0;
    };

    /// The ends of the edges of a short vector from @p k on, or of as many as there are.
    static void targets_from(const EdgesView& edges, std::size_t k, std::uint32_t* to) {
        const std::int64_t* from = edges.target.data() + k;
        const std::size_t left = edges.size() - k;
        if (left >= Few::n) {
            for (std::size_t lane = 0; lane < Few::n; ++lane) to[lane] = static_cast<std::uint32_t>(from[lane]);
        } else {
            for (std::size_t lane = 0; lane < left; ++lane) to[lane] = static_cast<std::uint32_t>(from[lane]);
        }
    }

    /// Inner edges that may have a chosen pair.
    struct Candidates {
        static constexpr std::size_t most = 512;
        std::uint32_t edges[most];
        std::size_t size = 0;

        /// Of the edges in [first, last), at most `most`. Whether an edge is one is not to be foreseen, so no branch
        /// asks; what the next step reads at random is on its way meanwhile.
        Candidates(const SegmentWork& work, const PairChoice& choice, std::size_t first, std::size_t last) {
            for (std::size_t e = first; e < last; ++e) {
                const auto row = static_cast<std::size_t>(work.edges.target[e]);
                const std::uint32_t begin = work.out_offsets[row];
                __builtin_prefetch(work.edges.target.data() + begin);
                edges[size] = static_cast<std::uint32_t>(e);
                const bool any = (bit_of(choice.inner, e) | choice.before_outer[row]) != 0;
                size += (any & (begin < work.out_offsets[row + 1])) ? 1 : 0;
            }
        }
    };

    /// Calls `flush` with the chosen pairs of inner edges in [first, last).
    template <class Flush>
    static void list_chosen(const SegmentWork& work, const PairChoice& choice, std::size_t first, std::size_t last,
                            Flush&& flush) {
        Chosen pairs;
        for (std::size_t e = first; e < last; e += Candidates::most) {
            const Candidates inner(work, choice, e, Edge::least(e + Candidates::most, last));
            for (std::size_t i = 0; i < inner.size; ++i) pair_up(work, choice, inner.edges[i], pairs, flush);
        }
        flush(pairs);
    }

    /// Appends the chosen pairs of one inner edge; no branch asks which are chosen.
    template <class Flush>
    static void pair_up(const SegmentWork& work, const PairChoice& choice, std::uint32_t e, Chosen& pairs,
                        Flush&& flush) {
        alignas(64) std::uint32_t outer[Few::n];
        alignas(64) std::uint32_t ends[Few::n] = {};
        const auto row = static_cast<std::uint32_t>(work.edges.target[e]);
        const auto source = static_cast<std::uint32_t>(work.edges.source[e]);
        const std::size_t end = work.out_offsets[row + 1];
        for (std::size_t k = work.out_offsets[row]; k < end; k += Few::n) {
            const std::uint32_t chosen = choose(choice, e, k, Edge::least(Few::n, end - k));
            Few::store(outer, Few::load(Edge::lanes) + Few::set(static_cast<std::uint32_t>(k)));
            targets_from(work.edges, k, ends);
            Few::pack(pairs.outer + pairs.size, outer, chosen);
            Few::pack(pairs.hits[2] + pairs.size, ends, chosen);
            Few::store(pairs.inner + pairs.size, Few::set(e));
            Few::store(pairs.hits[0] + pairs.size, Few::set(source));
            Few::store(pairs.hits[1] + pairs.size, Few::set(row));
            pairs.size += static_cast<std::size_t>(std::popcount(chosen));
            if (pairs.size + Few::n <= Chosen::most) continue;
            flush(pairs);
            pairs.size = 0;
        }
    }

    static std::size_t find_triplets(const SegmentWork& work, const HitRecord* hits, const TripletModel& model,
                                     float chi2_max, const PairChoice& choice, const TripletMarks& marks,
                                     const TripletList& list, std::size_t first, std::size_t last) {
        std::size_t n_found = 0;
        list_chosen(work, choice, first, last, [&](Chosen& pairs) {
            for (std::size_t i = pairs.size; i % n != 0; ++i) {
                for (auto& hit : pairs.hits) hit[i] = 0;
            }
            for (std::size_t i = 0; i < pairs.size; ++i) __builtin_prefetch(hits + pairs.hits[2][i]);
            for (std::size_t k = 0; k < pairs.size; k += n) {
                n_found += add_triplets(hits, model, chi2_max, marks, list, pairs, k, n_found);
            }
        });
        return n_found;
    }

    /// Appends the triplets of the vector of pairs from @p k on, if there is room; returns how many there are.
    static std::size_t add_triplets(const HitRecord* hits, const TripletModel& model, float chi2_max,
                                    const TripletMarks& marks, const TripletList& list, const Chosen& pairs,
                                    std::size_t k, std::size_t n_found) {
        Float hit[3][floats_per_record];
        for (std::size_t i = 0; i < 3; ++i) Edge::gather(hits, pairs.hits[i] + k, hit[i]);
        Float triplet[floats_per_record];
        make_triplet(model, hit[0], hit[1], hit[2], triplet);
        const std::uint32_t good =
            Lanes::bits(Lanes::gt(Lanes::set(chi2_max), triplet[1])) & Lanes::bits(Lanes::first(pairs.size - k));
        const auto n_good = static_cast<std::size_t>(std::popcount(good));
        if (n_good == 0) return 0;
        alignas(64) std::uint32_t inner[n];
        alignas(64) std::uint32_t outer[n];
        Lanes::pack(inner, pairs.inner + k, good);
        Lanes::pack(outer, pairs.outer + k, good);
        if (marks.follows != nullptr) mark_others(marks, pairs.hits[0] + k, good, inner, outer);
        if (n_found + n > list.inner.size()) return n_good;  // counted, not kept
        Lanes::store(list.inner.data() + n_found, Lanes::load(inner));
        Lanes::store(list.outer.data() + n_found, Lanes::load(outer));
        alignas(64) float rows[floats_per_record * n];
        Lanes::scatter_four(rows, floats_per_record, triplet);
        Lanes::scatter_four(rows + 4, floats_per_record, triplet + 4);
        std::size_t at = n_found;
        for (std::uint32_t left = good; left != 0; left &= left - 1, ++at) {
            const float* row = rows + floats_per_record * static_cast<std::size_t>(std::countr_zero(left));
            std::memcpy(&list.records[at], row, sizeof(TripletRecord));
        }
        return n_good;
    }

    /// Whether it is marked does not depend on which of several tasks does it.
    static void mark(std::uint8_t& marked) { __atomic_store_n(&marked, std::uint8_t{1}, __ATOMIC_RELAXED); }

    static void mark_others(const TripletMarks& marks, const std::uint32_t* first_hit, std::uint32_t good,
                            const std::uint32_t* inner, const std::uint32_t* outer) {
        for (std::uint32_t left = good; left != 0; left &= left - 1, ++inner, ++outer) {
            mark(marks.follows[bit_of(marks.missing, *inner) != 0 ? *outer : marks.no_edge]);
            const bool precedes = bit_of(marks.missing, *outer) != 0;
            mark(marks.precedes[precedes ? *inner : marks.no_edge]);
            mark(marks.before[precedes ? first_hit[std::countr_zero(left)] : marks.no_hit]);
        }
    }

    static void mark_quadruplets(const TripletList& inner_list, const TripletList& outer_list,
                                 std::span<const std::uint32_t> first_by_inner, const TripletModel& model,
                                 float chi2_max, std::span<std::uint8_t> marks, std::size_t first, std::size_t last) {
        const TripletRecord* records = inner_list.records.data() + first;
        const std::uint32_t* inner_edge = inner_list.inner.data() + first;
        const std::uint32_t* shared_edge = inner_list.outer.data() + first;
        Edge::list_pairs(
            last - first, [&](std::size_t t) { return static_cast<std::size_t>(shared_edge[t]); }, first_by_inner, 0,
            first_by_inner.size() - 1,
            [&](Pairs& pairs) {
                std::size_t n_good = 0;
                for (std::size_t i = pairs.size; i % n != 0; ++i) pairs.inner[i] = pairs.outer[i] = 0;
                for (std::size_t k = 0; k < pairs.size; k += n) {
                    Float inner[floats_per_record];
                    Float outer[floats_per_record];
                    Edge::gather(records, pairs.inner + k, inner);
                    Edge::gather(outer_list.records.data(), pairs.outer + k, outer);
                    const Float chi2 = quadruplet_chi2(model, inner, outer);
                    n_good = Edge::keep_good(pairs, k, Lanes::gt(Lanes::set(chi2_max), chi2), n_good);
                }
                for (std::size_t i = 0; i < n_good; ++i) {
                    mark(marks[inner_edge[pairs.inner[i]]]);
                    mark(marks[shared_edge[pairs.inner[i]]]);
                    mark(marks[outer_list.outer[pairs.outer[i]]]);
                }
            });
    }
};

template <class Lanes>
constexpr EdgeSteps edge_steps_of() {
    using Steps = EdgeLanes<Lanes>;
    using Quadruplets = QuadrupletLanes<Lanes>;
    return {Steps::place_hits,          Steps::place_points,           Steps::scale_points,
            Steps::make_segments,       Steps::compare_segments,       Steps::mark_segments,
            Quadruplets::find_triplets, Quadruplets::mark_quadruplets, Steps::fill_features};
}

}  // namespace
}  // namespace rheinfall::detail
