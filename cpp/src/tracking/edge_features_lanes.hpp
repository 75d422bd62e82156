#pragma once

/// @file
/// The steps of `edge_features_work.hpp` on vectors, operation by operation as in `detail/triplet_chi2.hpp` and
/// `edge_features_plain.cpp`. Included by each version after it has chosen its instructions, hence everything has
/// internal linkage.
///
/// Hits and edges are read at random, so their records lie together and are turned into vectors by transposing. Pairs
/// of edges that share a hit are listed first and then compared, a full vector at a time: a hit has 3 or 4 outgoing
/// edges, far fewer than a vector has lanes. The list is filled by whole vectors and its results are kept by minima, as
/// few branches as possible depend on the event.

#include <array>
#include <bit>
#include <cstring>

#include "tracking/edge_features_work.hpp"
#include "tracking/graph_construction_lanes.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see above

constexpr int volume_of_id = 56;

// Minima and maxima of single values without branches: GCC makes some of a pair of conditions on floats.
#if defined(__SSE2__)
using Single = __m128;
inline Single read(const float* from) {
    return _mm_load_ss(from);
}
inline void write(float* to, Single v) {
    _mm_store_ss(to, v);
}
inline Single smaller_of(Single a, Single b) {
    return _mm_min_ss(a, b);
}
inline Single larger_of(Single a, Single b) {
    return _mm_max_ss(a, b);
}
#else
using Single = float;
inline Single read(const float* from) {
    return *from;
}
inline void write(float* to, Single v) {
    *to = v;
}
inline Single smaller_of(Single a, Single b) {
    return a < b ? a : b;
}
inline Single larger_of(Single a, Single b) {
    return a > b ? a : b;
}
#endif

template <class Lanes>
struct EdgeLanes {
    using Float = typename Lanes::Float;
    using Few = typename Lanes::Few;
    static constexpr std::size_t n = Lanes::n;
    static constexpr std::size_t n_vectors = floats_per_record;

    static Float square(Float v) { return v * v; }
    static Float at_least(Float v, float least) {
        return Lanes::select(Lanes::gt(v, Lanes::set(least)), v, Lanes::set(least));
    }
    static Float zero() { return Lanes::set(0.0f); }

    static std::size_t least(std::size_t a, std::size_t b) { return a < b ? a : b; }

    /// @p count values, and zeros.
    static Float load(const float* from, std::size_t count) {
        if (count == n) return Lanes::load(from);
        alignas(64) float some[n] = {};
        for (std::size_t lane = 0; lane < count; ++lane) some[lane] = from[lane];
        return Lanes::load(some);
    }

    /// The records of @p index, one vector for each field.
    static void gather(const void* records, const std::uint32_t* index, Float* to) {
        Lanes::gather_eight(static_cast<const float*>(records), index, to);
    }

    /// Writes four columns of @p count rows.
    static void scatter(float* rows, std::size_t stride, const Float* columns, std::size_t count) {
        if (count == n) return Lanes::scatter_four(rows, stride, columns);
        alignas(64) float some[4 * n];
        Lanes::scatter_four(some, 4, columns);
        for (std::size_t lane = 0; lane < count; ++lane) std::memcpy(rows + stride * lane, some + 4 * lane, 16);
    }

    static void place_hits(const HitsView& hits, const TripletModel& model, HitRecord* to, std::size_t first,
                           std::size_t last) {
        const HitResolution* resolution = model.resolution_by_volume.data();
        alignas(64) float sigmas[3][n] = {};
        for (std::size_t k = first; k < last; k += n) {
            const std::size_t count = least(n, last - k);
            for (std::size_t lane = 0; lane < count; ++lane) {
                const HitResolution& s = resolution[hits.module_id[k + lane] >> volume_of_id];
                sigmas[0][lane] = s.rphi;
                sigmas[1][lane] = s.z;
                sigmas[2][lane] = s.r;
            }
            const Float x = load(hits.x.data() + k, count);
            const Float y = load(hits.y.data() + k, count);
            const Float r = at_least(Lanes::root(x * x + y * y), 1e-3f);
            const Float place[4] = {x, y, load(hits.z.data() + k, count), r};
            const Float errors[4] = {square(Lanes::set(2.0f) * Lanes::load(sigmas[0]) / r),
                                     square(Lanes::load(sigmas[1])), Lanes::load(sigmas[2]),
                                     square(Lanes::load(sigmas[0]))};
            scatter(&to[k].x, floats_per_record, place, count);
            scatter(&to[k].azimuth_var, floats_per_record, errors, count);
        }
    }

    static void place(const HitsView& hits, std::size_t k, std::size_t count, Float* point) {
        const Float x = load(hits.x.data() + k, count);
        const Float y = load(hits.y.data() + k, count);
        point[0] = Lanes::root(x * x + y * y);
        point[1] = arctan2<Lanes>(y, x);
        point[2] = load(hits.z.data() + k, count);
        point[3] = Lanes::select(Lanes::gt(point[0], zero()), arsinh<Lanes>(point[2] / point[0]), zero());
    }

    static void place_points(const HitsView& hits, PointRecord* to, std::size_t first, std::size_t last) {
        for (std::size_t k = first; k < last; k += n) {
            const std::size_t count = least(n, last - k);
            Float point[4];
            place(hits, k, count, point);
            scatter(&to[k].r, 4, point, count);
        }
    }

    static void scale_points(const HitsView& hits, float* rows, std::size_t first, std::size_t last) {
        const float scales[4] = {1000.0f, pi, 1000.0f, 1.0f};
        for (std::size_t k = first; k < last; k += n) {
            const std::size_t count = least(n, last - k);
            Float point[4];
            place(hits, k, count, point);
            // What is not finite times nothing is not a number.
            const Float x = load(hits.x.data() + k, count);
            const Float y = load(hits.y.data() + k, count);
            const Float sum = x * zero() + y * zero() + point[2] * zero();
            for (std::size_t i = 0; i < 4; ++i) {
                point[i] = Lanes::select(Lanes::eq(sum, zero()), point[i] / Lanes::set(scales[i]), zero());
            }
            scatter(rows + 4 * k, 4, point, count);
        }
    }

    /// The ends of the edges from @p first on; the last one again in lanes beyond @p count.
    static void ends(const EdgesView& edges, std::size_t first, std::size_t count, std::uint32_t* source,
                     std::uint32_t* target) {
        for (std::size_t lane = 0; lane < n; ++lane) {
            const std::size_t e = first + least(lane, count - 1);
            source[lane] = static_cast<std::uint32_t>(edges.source[e]);
            target[lane] = static_cast<std::uint32_t>(edges.target[e]);
        }
    }

    /// As `make_segment`.
    static void make_segments(const EdgesView& edges, const HitRecord* hits, SegmentRecord* to, std::size_t first,
                              std::size_t last) {
        alignas(64) std::uint32_t source[n];
        alignas(64) std::uint32_t target[n];
        for (std::size_t k = first; k < last; k += n) {
            const std::size_t count = least(n, last - k);
            ends(edges, k, count, source, target);
            Float a[n_vectors];
            Float b[n_vectors];
            gather(hits, source, a);
            gather(hits, target, b);
            const Float chord = at_least(Lanes::root(square(b[0] - a[0]) + square(b[1] - a[1])), 1e-3f);
            const Float curvature = Lanes::set(2.0f) * (a[0] * b[1] - a[1] * b[0]) / (a[3] * b[3] * chord);
            const Float u2 = square(Lanes::set(0.5f) * curvature * chord);
            const Float arc = chord * (Lanes::set(1.0f) + u2 * (Lanes::set(0.166666667f) + Lanes::set(0.075f) * u2));
            const Float cot = (b[2] - a[2]) / arc;
            const auto curvature_sigma = [&](const Float* hit) {
                return Lanes::root(hit[4] + square(curvature * hit[6])) / chord;
            };
            const auto cot_sigma = [&](const Float* hit) { return Lanes::root(hit[5] + square(cot * hit[6])) / chord; };
            const Float bends[4] = {curvature, cot, curvature_sigma(a), curvature_sigma(b)};
            const Float rest[4] = {cot_sigma(a), cot_sigma(b), square(b[3]), zero()};
            scatter(&to[k].curvature, floats_per_record, bends, count);
            scatter(&to[k].cot_theta_inner, floats_per_record, rest, count);
        }
    }

    /// As `chi2`, of the fields of two segments.
    static Float chi2_of(const TripletModel& model, const Float* inner, const Float* outer) {
        const Float mean = Lanes::set(0.5f) * (inner[0] + outer[0]);
        const Float inverse_pt =
            at_least(magnitude<Lanes>(mean) / Lanes::set(0.3e-3f * model.field), 1.0f / model.min_chi2_pt);
        const Float one = Lanes::set(1.0f);
        const Float cot2 = square(Lanes::set(0.5f) * (inner[1] + outer[1]));
        const Float oblique = Lanes::root(one + cot2);
        const Float angle_var = square(Lanes::set(0.0136f) * inverse_pt) * Lanes::set(model.layer_x0) * oblique;
        const Float curvature_var = square(inner[2]) + square(inner[3] + outer[2]) + square(outer[3]) +
                                    Lanes::set(4.0f) * angle_var / outer[6] +
                                    square(Lanes::set(model.field_spread) * mean);
        const Float cot_var =
            square(inner[4]) + square(inner[5] + outer[4]) + square(outer[5]) + angle_var * (one + cot2);
        return square(inner[0] - outer[0]) / curvature_var + square(inner[1] - outer[1]) / cot_var;
    }

    alignas(64) static constexpr std::uint32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

    /// Pairs of edges that share a hit.
    struct Pairs {
        static constexpr std::size_t most = 1024;
        alignas(64) std::uint32_t inner[most + n];
        alignas(64) std::uint32_t outer[most + n];
        alignas(64) float chi2[most + n];
        alignas(64) float start[most + n];  ///< `no_continuation` where the pairs of another inner edge begin, else 0
        std::size_t size = 0;

        /// Appends (@p edge, k) for @p count values of k, at most as many as there is room for.
        void append(std::uint32_t edge, std::uint32_t k, std::size_t count) {
            for (std::size_t at = 0; at < count; at += Few::n) {
                Few::store(inner + size + at, Few::set(edge));
                Few::store(start + size + at, Few::set(0.0f));
                Few::store(outer + size + at, Few::load(lanes) + Few::set(k + static_cast<std::uint32_t>(at)));
            }
            start[size] = size == 0 ? 0.0f : no_continuation;  // the first ones may be of the edge of the last ones
            size += count;
        }
    };

    /// Calls `take(k, chi2)` for each vector of pairs, those from k on.
    template <class Take>
    static void compare(const SegmentWork& work, const TripletModel& model, Pairs& pairs, Take&& take) {
        for (std::size_t i = pairs.size; i % n != 0; ++i) pairs.inner[i] = pairs.outer[i] = 0;
        for (std::size_t k = 0; k < pairs.size; k += n) {
            Float inner[n_vectors];
            Float outer[n_vectors];
            gather(work.segments, pairs.inner + k, inner);
            gather(work.segments, pairs.outer + k, outer);
            take(k, chi2_of(model, inner, outer));
        }
    }

    /// The two smallest; what is not a number is none of them.
    struct BestTwo {
        Single best, second;

        BestTwo(const float* from_best, const float* from_second) : best(read(from_best)), second(read(from_second)) {}

        void add(Single v) {
            const Single larger = larger_of(best, v);
            best = smaller_of(v, best);
            second = smaller_of(larger, second);
        }
        /// Forgets what it saw where @p least is `no_continuation`, which nothing exceeds; nothing is less than 0.
        void raise(Single least) {
            best = larger_of(best, least);
            second = larger_of(second, least);
        }
        void store(float* to_best, float* to_second) const {
            write(to_best, best);
            write(to_second, second);
        }
    };

    static void keep_best(const Pairs& pairs, const ContinuationChi2& out) {
        if (pairs.size == 0) return;
        // The pairs of an edge stand together: its best two stay in registers. Whether the next pair is of the same
        // edge is not to be foreseen, so no branch asks.
        BestTwo outward(&out.out_best[pairs.inner[0]], &out.out_second[pairs.inner[0]]);
        for (std::size_t i = 0; i < pairs.size; ++i) {
            const std::uint32_t inner = pairs.inner[i];
            const std::uint32_t outer = pairs.outer[i];
            const Single value = read(&pairs.chi2[i]);
            outward.raise(read(&pairs.start[i]));
            outward.add(value);
            outward.store(&out.out_best[inner], &out.out_second[inner]);
            BestTwo inward(&out.in_best[outer], &out.in_second[outer]);
            inward.add(value);
            inward.store(&out.in_best[outer], &out.in_second[outer]);
        }
    }

    /// Calls `flush(pairs)` with the pairs (e, k) for each e in [0, size) and k of row `row_of(e)` of @p offsets, rows
    /// in [first, last) alone, a batch at a time.
    template <class RowOf, class Flush>
    static void list_pairs(std::size_t size, RowOf&& row_of, std::span<const std::uint32_t> offsets, std::size_t first,
                           std::size_t last, Flush&& flush) {
        Pairs pairs;
        for (std::size_t e = 0; e < size; ++e) {
            const std::size_t row = row_of(e);
            if (row < first || row >= last) continue;
            std::uint32_t k = offsets[row];
            for (std::size_t left = offsets[row + 1] - k; left > 0;) {
                if (pairs.size + left > Pairs::most && pairs.size > 0) {
                    flush(pairs);
                    pairs.size = 0;
                }
                const std::size_t count = least(left, Pairs::most);
                pairs.append(static_cast<std::uint32_t>(e), k, count);
                k += static_cast<std::uint32_t>(count);
                left -= count;
            }
        }
        flush(pairs);
    }

    /// Of edges that share a hit in [first, last).
    template <class Flush>
    static void list_continuations(const SegmentWork& work, std::size_t first, std::size_t last, Flush&& flush) {
        list_pairs(
            work.edges.size(), [&](std::size_t e) { return static_cast<std::size_t>(work.edges.target[e]); },
            work.out_offsets, first, last, flush);
    }

    /// Moves the good ones of the vector of pairs from @p k on to @p n_good, which stands before or at k.
    static std::size_t keep_good(Pairs& pairs, std::size_t k, typename Lanes::Mask good, std::size_t n_good) {
        const std::uint32_t chosen = Lanes::bits(good) & Lanes::bits(Lanes::first(pairs.size - k));
        Lanes::pack(pairs.inner + n_good, pairs.inner + k, chosen);
        Lanes::pack(pairs.outer + n_good, pairs.outer + k, chosen);
        return n_good + static_cast<std::size_t>(std::popcount(chosen));
    }

    static void compare_segments(const SegmentWork& work, const TripletModel& model, const ContinuationChi2& out,
                                 std::size_t first, std::size_t last) {
        list_continuations(work, first, last, [&](Pairs& pairs) {
            compare(work, model, pairs, [&](std::size_t k, Float chi2) { Lanes::store(pairs.chi2 + k, chi2); });
            keep_best(pairs, out);
        });
    }

    static void mark_segments(const SegmentWork& work, const TripletModel& model, float chi2_max,
                              const EdgeMarks& marks, std::size_t first, std::size_t last) {
        list_continuations(work, first, last, [&](Pairs& pairs) {
            std::size_t n_good = 0;
            compare(work, model, pairs, [&](std::size_t k, Float chi2) {
                n_good = keep_good(pairs, k, Lanes::gt(Lanes::set(chi2_max), chi2), n_good);
            });
            for (std::size_t i = 0; i < n_good; ++i) {
                marks.continues_outward[pairs.inner[i]] = 1;
                marks.continues_inward[pairs.outer[i]] = 1;
            }
        });
    }

    static Float log_chi2(const float* from, std::size_t count) {
        return Lanes::set(0.25f) * logarithm<Lanes>(Lanes::set(1.0f) + load(from, count));
    }

    static void fill_features(const EdgesView& edges, const PointRecord* points, const ContinuationChi2& chi2,
                              float* rows, std::size_t first, std::size_t last) {
        const Float thousand = Lanes::set(1000.0f);
        const Float most = Lanes::set(100.0f);
        alignas(64) std::uint32_t source[n];
        alignas(64) std::uint32_t target[n];
        for (std::size_t k = first; k < last; k += n) {
            const std::size_t count = least(n, last - k);
            ends(edges, k, count, source, target);
            Float a[4];
            Float b[4];
            Lanes::gather_four(&points->r, 4, source, a);
            Lanes::gather_four(&points->r, 4, target, b);
            Float column[n_edge_features];
            column[0] = (b[0] - a[0]) / thousand;
            column[1] = wrap<Lanes>(b[1] - a[1]) / Lanes::set(pi);
            column[2] = (b[2] - a[2]) / thousand;
            column[3] = b[3] - a[3];
            const Float nonzero = Lanes::select(Lanes::eq(column[0], zero()), Lanes::set(1e-9f), column[0]);
            const Float slope = column[1] / nonzero;
            const Float below = Lanes::select(Lanes::gt(slope, most), most, slope);
            column[4] = Lanes::select(Lanes::gt(-most, slope), -most, below);
            column[5] = Lanes::set(0.5f) * ((a[0] + b[0]) / thousand) * column[4];
            column[6] = log_chi2(chi2.out_best.data() + k, count);
            column[7] = log_chi2(chi2.out_second.data() + k, count);
            column[8] = log_chi2(chi2.in_best.data() + k, count);
            column[9] = log_chi2(chi2.in_second.data() + k, count);
            float* row = rows + n_edge_features * k;
            scatter(row, n_edge_features, column, count);
            scatter(row + 4, n_edge_features, column + 4, count);
            scatter(row + 6, n_edge_features, column + 6, count);
        }
    }
};

}  // namespace
}  // namespace rheinfall::detail
