#pragma once

/// @file
/// The join of candidates that share a hit, over a `Lanes` type that says how many are looked at together. Included
/// by each version of graph construction after it has chosen its instructions, hence everything has internal linkage.
///
/// A candidate meets those that leave its target: dozens in a dense event, of which hardly one changes direction
/// by as little as their triplet allows. So the change of dz/dr is judged first, in 16-bit steps; what remains is put
/// aside without a branch, and judged exactly when everything it needs has been asked of memory.

#include "tracking/detail/hit_geometry.hpp"
#include "tracking/detail/triplet_codes.hpp"
#include "tracking/graph_construction_work.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see above

/// The triplets of one inner doublet, by their outer doublet (counted from the first of the middle module).
struct Windows {
    static constexpr std::size_t capacity = 64;

    /// Windows of the change of dz/dr in `slope_steps`; without a triplet an empty one.
    alignas(64) std::array<std::int16_t, capacity> low;
    alignas(64) std::array<std::int16_t, capacity> high;
    std::array<std::uint32_t, capacity> triplet;
};

/// Candidate `inner`, which leaves hit `source`, and a set of up to 32 of those that leave its target, from `outer` on.
struct Meeting {
    std::uint32_t source, inner, outer, pass;
};

inline std::int16_t narrow_window(float steps) {
    if (!(steps > -32768.0f)) return -32768;  // NaN too: what follows judges exactly
    return steps < 32767.0f ? static_cast<std::int16_t>(steps) : std::int16_t{32767};
}

template <class Lanes>
class Tagger {
public:
    explicit Tagger(const GraphWork& work) : w_(work), c_(work.candidates), p_(work.points) {}

    /// Tags what begins on @p module.
    void tag(std::size_t module) {
        const std::size_t begin = w_.module_offsets[module];
        const std::size_t end = w_.module_offsets[module + 1];
        if (begin == end) return;
        first_ = w_.first_doublet[module];
        const std::size_t n_doublets = w_.first_doublet[module + 1] - first_;
        const std::size_t n_listed = n_doublets < max_windows ? n_doublets : max_windows;
        for (std::size_t d = 0; d < n_listed; ++d) list_windows(d);
        for (std::size_t i = begin; i < end; ++i) {
            const Row row = w_.rows[i];
            for (std::size_t c = row.begin; c < row.end; ++c) join(i, c, row.steep != 0);
        }
        decide_meetings();
    }

private:
    enum class Windowing : std::uint8_t {
        none,   ///< no triplet begins with the doublet
        half,   ///< the first 32 windows suffice
        full,   ///< all do
        exact,  ///< too many doublets leave the middle module
    };
    struct Pair {
        std::uint32_t source, inner, outer, triplet;
    };
    static constexpr std::size_t max_windows = 64;
    static constexpr std::size_t max_meetings = 512;
    static constexpr std::size_t max_pairs = 128;

    [[nodiscard]] Interval slope_limits(std::size_t t) const {
        const auto& codes = w_.map.triplet_codes()[t].differences;
        return {decode_bfloat16(codes[0]), decode_bfloat16(codes[1])};
    }

    void list_windows(std::size_t d) {
        Windows& w = windows_[d];
        const auto offsets = w_.map.triplet_offsets();
        const std::size_t begin = offsets[first_ + d];
        const std::size_t end = offsets[first_ + d + 1];
        const std::size_t middle = w_.map.doublet_outer()[first_ + d];
        const std::size_t first_outer = w_.first_doublet[middle];
        const std::size_t n_outer = w_.first_doublet[middle + 1] - first_outer;
        windowing_[d] = begin == end                   ? Windowing::none
                        : n_outer <= 32                ? Windowing::half
                        : n_outer <= Windows::capacity ? Windowing::full
                                                       : Windowing::exact;
        if (windowing_[d] == Windowing::none || windowing_[d] == Windowing::exact) return;
        w.low.fill(32767);
        w.high.fill(-32768);
        for (std::size_t t = begin; t < end; ++t) {
            const std::size_t k = w_.map.triplet_outer()[t] - first_outer;
            const Interval limits = slope_limits(t);
            // Each value is within half a step of its number, the float difference within far less: two steps would do
            // but for truncation here.
            w.low[k] = narrow_window(limits.low * slope_steps - 3.0f);
            w.high[k] = narrow_window(limits.high * slope_steps + 3.0f);
            w.triplet[k] = static_cast<std::uint32_t>(t);
        }
    }

    /// Joins candidate @p c, which leaves hit @p i, with those that leave its target.
    void join(std::size_t i, std::size_t c, bool steep) {
        const std::size_t d = c_.doublet[c];
        const Row row = w_.rows[c_.target[c]];
        if (row.begin == row.end) return;
        const Windowing windowing = d < max_windows ? windowing_[d] : Windowing::exact;
        if (windowing == Windowing::none) return;
        const std::size_t n_blocks = (row.end - row.begin) / 32 + 1;
        if (windowing == Windowing::exact || steep || row.steep != 0 || n_blocks > max_meetings) {
            return join_exactly(i, c, row);
        }
        if (n_meetings_ + n_blocks > max_meetings) decide_meetings();
        std::size_t n = n_meetings_;
        for (std::size_t j = row.begin; j < row.end; j += 32) {
            const std::size_t n_outer = row.end - j < 32 ? row.end - j : 32;
            const std::uint32_t pass = Lanes::meet(windows_[d], windowing == Windowing::half, c_.narrow_dzdr[c],
                                                   &c_.narrow_dzdr[j], &c_.doublet[j], n_outer);
            meetings_[n] = {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(c), static_cast<std::uint32_t>(j),
                            pass};
            n += pass != 0 ? 1 : 0;  // which pass is not to be foreseen: no branch
        }
        n_meetings_ = n;
    }

    void join_exactly(std::size_t i, std::size_t c, const Row& row) {
        const std::size_t d = first_ + c_.doublet[c];
        const std::size_t first_outer = w_.first_doublet[w_.map.doublet_outer()[d]];
        const auto offsets = w_.map.triplet_offsets();
        for (std::size_t j = row.begin; j < row.end; ++j) {
            for (std::size_t t = offsets[d]; t < offsets[d + 1]; ++t) {
                if (w_.map.triplet_outer()[t] == first_outer + c_.doublet[j]) decide(i, c, j, t);
            }
        }
    }

    void decide_meetings() {
        std::size_t n = 0;
        for (std::size_t k = 0; k < n_meetings_; ++k) {
            const Meeting m = meetings_[k];
            const auto& triplet = windows_[c_.doublet[m.inner]].triplet;
            for (std::uint32_t pass = m.pass; pass != 0; pass &= pass - 1) {
                const std::size_t outer = m.outer + static_cast<std::size_t>(__builtin_ctz(pass));
                const std::uint32_t t = triplet[c_.doublet[outer]];
                __builtin_prefetch(&w_.map.triplet_codes()[t]);
                __builtin_prefetch(&w_.map.doublet_limits()[w_.map.triplet_outer()[t]]);
                __builtin_prefetch(&c_.target[outer]);
                __builtin_prefetch(&c_.dzdr[outer]);
                pairs_[n++] = {m.source, m.inner, static_cast<std::uint32_t>(outer), t};
                if (n == max_pairs) {
                    decide_pairs(n);
                    n = 0;
                }
            }
        }
        decide_pairs(n);
        n_meetings_ = 0;
    }

    void decide_pairs(std::size_t n) {
        for (std::size_t k = 0; k < n; ++k) {
            decide(pairs_[k].source, pairs_[k].inner, pairs_[k].outer, pairs_[k].triplet);
        }
    }

    /// Tags candidates @p c, from hit @p i, and @p outer, which meet, if they are within triplet @p t.
    void decide(std::size_t i, std::size_t c, std::size_t outer, std::size_t t) {
        const auto& codes = w_.map.triplet_codes()[t];
        const std::size_t middle = c_.target[c];
        const std::size_t last = c_.target[outer];
        const auto limits = w_.map.doublet_limits();
        const Interval slopes = slope_limits(t);
        const float change = c_.dzdr[c] - c_.dzdr[outer];
        const bool pairs_pass =
            Lanes::passes_pairs(limits[first_ + c_.doublet[c]], limits[w_.map.triplet_outer()[t]], codes,
                                &p_.together[4 * i], &p_.together[4 * middle], &p_.together[4 * last]);
        if (!(pairs_pass & (change >= slopes.low) & (change <= slopes.high))) return;
        if (c_.is_tagged(c) && c_.is_tagged(outer)) return;
        const auto point = [&](std::size_t hit) { return SpacePoint{p_.x[hit], p_.y[hit], 0, 0, 0, 0}; };
        const Interval bends{decode_bfloat16(codes.differences[2]), decode_bfloat16(codes.differences[3])};
        if (!bends.contains(bend(w_.map.bend_convention(), point(i), point(middle), point(last)))) return;
        c_.tag(c);
        c_.tag(outer);
    }

    std::array<Windows, max_windows> windows_;
    std::array<Meeting, max_meetings + 1> meetings_;
    std::array<Pair, max_pairs> pairs_;
    const GraphWork& w_;
    const Candidates& c_;
    const PointArrays& p_;
    std::size_t first_ = 0;  ///< first doublet of the module at work
    std::size_t n_meetings_ = 0;
    std::array<Windowing, max_windows> windowing_;
};

/// The doublets of one module whose outer modules have hits, with their limits side by side.
struct Neighbour {
    DoubletLimits limits;
    std::uint32_t begin, end;  ///< hits of the outer module
    std::uint32_t doublet;     ///< counted from the module's first
};

/// Finds the candidates of module after module; `Lanes::Pairs` looks at the pairs of one hit with one neighbour.
template <class Lanes>
class Finder {
public:
    Finder(const GraphWork& work, CandidateRoom& room) : w_(work), room_(room) {}

    void find(std::size_t module) {
        const std::size_t begin = w_.module_offsets[module];
        const std::size_t end = w_.module_offsets[module + 1];
        if (begin == end) return;
        const std::size_t first = w_.first_doublet[module];
        const std::size_t last = w_.first_doublet[module + 1];
        const std::size_t n_listed = last - first <= max_listed ? list_neighbours(first, last) : 0;
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t before = room_.begin + room_.n;
            bool steep = false;
            for (std::size_t k = 0; k < n_listed; ++k) Lanes::find_pairs(w_, i, neighbours_[k], room_, steep);
            if (last - first > max_listed) {
                for (std::size_t d = first; d < last; ++d) Lanes::find_pairs(w_, i, neighbour(d, first), room_, steep);
            }
            w_.rows[i] = {static_cast<std::uint32_t>(before),
                          static_cast<std::uint32_t>(room_.begin + room_.n) & max_candidates, steep ? 1u : 0u};
        }
    }

private:
    static constexpr std::size_t max_listed = 128;

    [[nodiscard]] Neighbour neighbour(std::size_t d, std::size_t first) const {
        const std::uint32_t outer = w_.map.doublet_outer()[d];
        return {w_.map.doublet_limits()[d], w_.module_offsets[outer], w_.module_offsets[outer + 1],
                static_cast<std::uint32_t>(d - first)};
    }

    std::size_t list_neighbours(std::size_t first, std::size_t last) {
        std::size_t n = 0;
        for (std::size_t d = first; d < last; ++d) {
            neighbours_[n] = neighbour(d, first);
            n += neighbours_[n].begin != neighbours_[n].end ? 1 : 0;
        }
        return n;
    }

    const GraphWork& w_;
    CandidateRoom& room_;
    std::array<Neighbour, max_listed> neighbours_;
};

/// The steps of a version.
template <class Lanes>
struct StepsOf {
    static void find_candidates(const GraphWork& work, std::size_t first, std::size_t last,
                                CandidateRoom& room) noexcept {
        Finder<Lanes> finder(work, room);
        for (std::size_t m = first; m < last; ++m) finder.find(m);
    }
    static void tag_triplets(const GraphWork& work, std::size_t first, std::size_t last) noexcept {
        Tagger<Lanes> tagger(work);
        for (std::size_t m = first; m < last; ++m) tagger.tag(m);
    }
};

}  // namespace
}  // namespace rheinfall::detail
