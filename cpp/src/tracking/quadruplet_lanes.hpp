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

    static std::size_t find_triplets(const SegmentWork& work, const HitRecord* hits, const TripletModel& model,
                                     float chi2_max, const TripletList& list) {
        std::size_t n_found = 0;
        Edge::list_continuations(work, 0, work.out_offsets.size() - 1, [&](Pairs& pairs) {
            for (std::size_t i = pairs.size; i % n != 0; ++i) pairs.inner[i] = pairs.outer[i] = 0;
            for (std::size_t k = 0; k < pairs.size; k += n) {
                n_found += add_triplets(work, hits, model, chi2_max, list, pairs, k, n_found);
            }
        });
        return n_found;
    }

    /// Appends the triplets of the vector of pairs from @p k on, if there is room; returns how many there are.
    static std::size_t add_triplets(const SegmentWork& work, const HitRecord* hits, const TripletModel& model,
                                    float chi2_max, const TripletList& list, const Pairs& pairs, std::size_t k,
                                    std::size_t n_found) {
        alignas(64) std::uint32_t index[3][n];
        for (std::size_t lane = 0; lane < n; ++lane) {
            index[0][lane] = static_cast<std::uint32_t>(work.edges.source[pairs.inner[k + lane]]);
            index[1][lane] = static_cast<std::uint32_t>(work.edges.target[pairs.inner[k + lane]]);
            index[2][lane] = static_cast<std::uint32_t>(work.edges.target[pairs.outer[k + lane]]);
        }
        Float hit[3][floats_per_record];
        for (std::size_t i = 0; i < 3; ++i) Edge::gather(hits, index[i], hit[i]);
        Float triplet[floats_per_record];
        make_triplet(model, hit[0], hit[1], hit[2], triplet);
        const std::uint32_t good =
            Lanes::bits(Lanes::gt(Lanes::set(chi2_max), triplet[1])) & Lanes::bits(Lanes::first(pairs.size - k));
        const auto n_good = static_cast<std::size_t>(std::popcount(good));
        if (n_found + n > list.inner.size()) return n_good;  // counted, not kept
        Lanes::pack(list.inner.data() + n_found, pairs.inner + k, good);
        Lanes::pack(list.outer.data() + n_found, pairs.outer + k, good);
        alignas(64) float rows[floats_per_record * n];
        Lanes::scatter_four(rows, floats_per_record, triplet);
        Lanes::scatter_four(rows + 4, floats_per_record, triplet + 4);
        TripletRecord* to = list.records.data() + n_found;
        for (std::size_t lane = 0; lane < n; ++lane) {
            std::memcpy(to, rows + floats_per_record * lane, sizeof(TripletRecord));
            to += good >> lane & 1u;
        }
        return n_good;
    }

    static void mark_quadruplets(const TripletList& list, std::size_t n_triplets,
                                 std::span<const std::uint32_t> first_by_inner, const TripletModel& model,
                                 float chi2_max, std::span<std::uint8_t> marks) {
        Edge::list_pairs(
            n_triplets, [&](std::size_t t) { return static_cast<std::size_t>(list.outer[t]); }, first_by_inner, 0,
            first_by_inner.size() - 1,
            [&](Pairs& pairs) {
                std::size_t n_good = 0;
                for (std::size_t i = pairs.size; i % n != 0; ++i) pairs.inner[i] = pairs.outer[i] = 0;
                for (std::size_t k = 0; k < pairs.size; k += n) {
                    Float inner[floats_per_record];
                    Float outer[floats_per_record];
                    Edge::gather(list.records.data(), pairs.inner + k, inner);
                    Edge::gather(list.records.data(), pairs.outer + k, outer);
                    const Float chi2 = quadruplet_chi2(model, inner, outer);
                    n_good = Edge::keep_good(pairs, k, Lanes::gt(Lanes::set(chi2_max), chi2), n_good);
                }
                for (std::size_t i = 0; i < n_good; ++i) {
                    marks[list.inner[pairs.inner[i]]] = 1;
                    marks[list.outer[pairs.inner[i]]] = 1;
                    marks[list.outer[pairs.outer[i]]] = 1;
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
