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
    float x, y, z;        ///< [mm]
    float radius;         ///< r, at least 1e-3 [mm]
    float azimuth_var;    ///< (2 rphi / radius)^2, rphi the standard deviation along the azimuth
    float z_var;          ///< [mm^2]
    float radius_sigma;   ///< [mm]
    float unused = 0.0f;  ///< records are moved as two vectors of four
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
                           const TripletModel& model, float chi2_max, const ContinuationChi2& out, Workspace& workspace,
                           const ParallelFor& parallel_for) noexcept;
void node_features_by(const EdgeSteps& steps, const HitsView& hits, std::span<float> out,
                      const ParallelFor& parallel_for) noexcept;
Status edge_features_by(const EdgeSteps& steps, const HitsView& hits, const EdgesView& edges,
                        const ContinuationChi2& chi2, std::span<float> out, Workspace& workspace,
                        const ParallelFor& parallel_for) noexcept;

}  // namespace rheinfall::detail
