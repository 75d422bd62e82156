#pragma once

/// @file
/// What the versions of the edge features (portable, AVX2, AVX-512) share. Each gives the bits of the definition in
/// `detail/triplet_chi2.hpp` and `edge_features_plain.cpp`.

#include <cstddef>
#include <cstdint>
#include <rheinfall/tracking/edge_features.hpp>
#include <span>

namespace rheinfall::detail {

/// A hit as segments see it: what depends on the hit alone, once per hit.
struct alignas(32) HitRecord {
    float x, y, z;       ///< [mm]
    float radius;        ///< r, at least 1e-3 [mm]
    float azimuth_var;   ///< (2 rphi / radius)^2, rphi the standard deviation along the azimuth
    float z_var;         ///< [mm^2]
    float radius_sigma;  ///< [mm]
    float rphi_var;      ///< rphi^2 [mm^2]
};

/// An edge as the triplet chi2 sees it; the fields of `Segment`.
struct alignas(32) SegmentRecord {
    float curvature, cot_theta;
    float curvature_inner, curvature_outer;
    float cot_theta_inner, cot_theta_outer;
    float outer_radius_squared;
    float unused;
};

inline constexpr std::size_t floats_per_record = 8;

/// A hit as edge features see it.
struct alignas(16) PointRecord {
    float r, phi, z, eta;
};

/// The edges of one event, sorted by source.
struct SegmentWork {
    EdgesView edges;
    std::span<const std::uint32_t> out_offsets;  ///< edges that leave hit h are [out_offsets[h], out_offsets[h + 1])
    const SegmentRecord* segments;
};

/// Which edges have a continuation that is good enough, one value per edge.
struct EdgeMarks {
    std::span<std::uint8_t> continues_outward, continues_inward;
};

/// Three hits a, b, c of two edges that share one, as quadruplets see them.
struct alignas(32) TripletRecord {
    float curvature;                   ///< of the circle through the three, signed [1/mm]
    float cot_theta_chi2;              ///< 1 degree of freedom: cot(theta) of both edges agrees
    float first_var, last_var;         ///< variance of the curvature by the errors of a and of c
    float inner_weight, outer_weight;  ///< change of the curvature by a's and by c's shift; by b's: less their sum
    float middle_var;                  ///< of b, across the chord from a to c [mm^2]
    float scattering_var;              ///< of the curvature, by multiple scattering at 1 GeV
};

/// A bit for each edge, and words behind the last that may be read.
using EdgeBits = const std::uint64_t*;

/// Which pairs of edges that share a hit are looked at: those of an inner edge in `inner`, or of an outer edge in
/// `outer`; where `done` is not null, without those that have an edge in it.
struct PairChoice {
    EdgeBits inner, outer, done;
    const std::uint8_t* before_outer;  ///< one value per hit: whether edges in `outer` may leave it
};

/// Where each triplet found that has an edge of `missing` marks its other edge: `follows` its outer one, `precedes` its
/// inner one. Null: nothing is marked.
struct TripletMarks {
    EdgeBits missing;
    std::uint8_t* follows;
    std::uint8_t* precedes;
    std::uint8_t* before;           ///< per hit: edges marked in `precedes` leave it
    std::uint32_t no_edge, no_hit;  ///< behind the last ones: what is not to be marked goes there
};

/// Triplets by rising inner edge. The arrays hold `slack` more than there is room for, since whole vectors are written.
struct TripletList {
    static constexpr std::size_t slack = 16;

    std::span<TripletRecord> records;
    std::span<std::uint32_t> inner, outer;  ///< the edges
};

/// The steps that take the time, each over [first, last).
struct EdgeSteps {
    /// Of hits.
    void (*place_hits)(const HitsView& hits, const TripletModel& model, HitRecord* to, std::size_t first,
                       std::size_t last);
    /// Of hits.
    void (*place_points)(const HitsView& hits, PointRecord* to, std::size_t first, std::size_t last);
    /// Of hits; rows of `n_node_features`.
    void (*scale_points)(const HitsView& hits, float* rows, std::size_t first, std::size_t last);
    /// Of edges.
    void (*make_segments)(const EdgesView& edges, const HitRecord* hits, SegmentRecord* to, std::size_t first,
                          std::size_t last);
    /// Of hits in which two edges meet: each edge enters one hit and leaves one, so tasks write to different values of
    /// @p out, which must hold `no_continuation` before.
    void (*compare_segments)(const SegmentWork& work, const TripletModel& model, const ContinuationChi2& out,
                             std::size_t first, std::size_t last);
    /// As compare_segments, but says only whether there is a chi2 below @p chi2_max; @p marks must hold 0 before.
    void (*mark_segments)(const SegmentWork& work, const TripletModel& model, float chi2_max, const EdgeMarks& marks,
                          std::size_t first, std::size_t last);
    /// Lists the chosen triplets of inner edges in [first, last) whose cot(theta) agrees within @p chi2_max; returns
    /// how many there are, more than there is room for perhaps. All are kept where there are `TripletList::slack` fewer
    /// than the arrays of @p list hold. Tasks of other edges may write the same marks.
    std::size_t (*find_triplets)(const SegmentWork& work, const HitRecord* hits, const TripletModel& model,
                                 float chi2_max, const PairChoice& choice, const TripletMarks& marks,
                                 const TripletList& list, std::size_t first, std::size_t last);
    /// Marks the edges of each quadruplet, a triplet of @p inner in [first, last) and one of @p outer whose inner edge
    /// is the outer edge of the other, with a chi2 below @p chi2_max. The triplets of @p outer with inner edge e are
    /// [first_by_inner[e], first_by_inner[e + 1]). Tasks of other triplets may write the same marks.
    void (*mark_quadruplets)(const TripletList& inner, const TripletList& outer,
                             std::span<const std::uint32_t> first_by_inner, const TripletModel& model, float chi2_max,
                             std::span<std::uint8_t> marks, std::size_t first, std::size_t last);
    /// Of edges; rows of `n_edge_features`.
    void (*fill_features)(const EdgesView& edges, const PointRecord* points, const ContinuationChi2& chi2, float* rows,
                          std::size_t first, std::size_t last);
};

/// The best that this processor has.
const EdgeSteps& edge_steps() noexcept;
const EdgeSteps& edge_steps_portable() noexcept;
#if defined(__x86_64__)
const EdgeSteps& edge_steps_avx2() noexcept;
const EdgeSteps& edge_steps_avx512() noexcept;
#endif

Status triplet_chi2_by(const EdgeSteps& steps, const HitsView& hits, const EdgesView& edges, const TripletModel& model,
                       const ContinuationChi2& out, Workspace& workspace, const ParallelFor& parallel_for) noexcept;
PruneResult prune_edges_by(const EdgeSteps& steps, const HitsView& hits, const EdgesBuffer& edges,
                           const TripletModel& model, const PruneCuts& cuts, const ContinuationChi2& out,
                           Workspace& workspace, const ParallelFor& parallel_for) noexcept;
void node_features_by(const EdgeSteps& steps, const HitsView& hits, std::span<float> out,
                      const ParallelFor& parallel_for) noexcept;
Status edge_features_by(const EdgeSteps& steps, const HitsView& hits, const EdgesView& edges,
                        const ContinuationChi2& chi2, std::span<float> out, Workspace& workspace,
                        const ParallelFor& parallel_for) noexcept;

}  // namespace rheinfall::detail
