#pragma once

/// @file
/// The join of candidates that share a hit, over a `Lanes` type: vectors of floats and what can be done with them.
/// Included by each version of graph construction after it has chosen its instructions, hence everything has internal
/// linkage.
///
/// A candidate meets those that leave its target: dozens in a dense event, of which hardly one changes direction by as
/// little as their triplet allows. So the change of dz/dr is judged first, in steps of 16 bits, against what any
/// triplet of the candidate's doublet allows: 64 at a time, one subtraction and one comparison. What remains goes
/// through lists, each judged by what is cheapest next and left without a branch that could not be foreseen.

#include <algorithm>
#include <cmath>
#include <limits>

#include "tracking/detail/triplet_codes.hpp"
#include "tracking/graph_construction_lanes.hpp"
#include "tracking/graph_construction_work.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see above

/// A window of steps, modulo 65536: the first one, and how many follow.
struct StepWindow {
    std::uint16_t first, last;
};

/// The differences in steps of values whose difference is within @p limits.
inline StepWindow step_window(const Interval& limits) {
    const float first = std::ceil(limits.low * slope_steps - 1.01f);
    const float last = std::floor(limits.high * slope_steps + 1.01f);
    // All steps, where what follows judges alone; NaN too.
    if (!(std::fabs(first) < 32000.0f && std::fabs(last) < 32000.0f)) return {0, 65535};
    if (last < first) return {0, 0};
    return {static_cast<std::uint16_t>(static_cast<int>(first)), static_cast<std::uint16_t>(last - first)};
}

/// To be joined by `&` where `&&` would branch.
inline std::size_t one_if(bool condition) {
    return condition ? 1 : 0;
}

template <class Lanes>
class Tagger {
    using Float = typename Lanes::Float;

public:
    Tagger(const GraphWork& work, TagMemory& memory) : w_(work), p_(work.points), c_(work.candidates), m_(memory) {}

    /// Tags what begins on @p module.
    void tag(std::size_t module) {
        const std::size_t begin = w_.module_offsets[module];
        const std::size_t end = w_.module_offsets[module + 1];
        if (begin == end || w_.rows[begin].begin == w_.rows[end - 1].end) return;
        first_ = w_.first_doublet[module];
        const std::size_t n_doublets = w_.first_doublet[module + 1] - first_;
        if (list_joints(n_doublets)) {
            join(begin, w_.rows[begin].begin, w_.rows[end - 1].end);
        } else {
            for (std::size_t i = begin; i < end; ++i) join_exactly(i);
        }
    }

    /// Judges what is still listed.
    void finish() {
        judge(n_matches_);
        n_matches_ = 0;
    }

private:
    static constexpr std::uint32_t none = 0xffffffffu;

    [[nodiscard]] Interval slope_limits(std::size_t t) const {
        const auto& codes = w_.map.triplet_codes()[t].differences;
        return {decode_bfloat16(codes[0]), decode_bfloat16(codes[1])};
    }

    /// Lists the triplets of the module's @p n_doublets doublets; false if they are too many.
    bool list_joints(std::size_t n_doublets) {
        if (n_doublets > TagMemory::max_joints) return false;
        std::size_t table = 0;
        for (std::size_t d = 0; d < n_doublets; ++d) {
            const std::size_t middle = w_.map.doublet_outer()[first_ + d];
            const std::size_t n_outer = w_.first_doublet[middle + 1] - w_.first_doublet[middle];
            if (table + n_outer > TagMemory::max_triplets) return false;
            list_joint(d, table, n_outer);
            table += n_outer;
        }
        return true;
    }

    void list_joint(std::size_t d, std::size_t table, std::size_t n_outer) {
        const auto offsets = w_.map.triplet_offsets();
        const std::size_t begin = offsets[first_ + d];
        const std::size_t end = offsets[first_ + d + 1];
        const std::size_t middle = w_.map.doublet_outer()[first_ + d];
        m_.joints[d] = {0, 0, 0, 0};
        if (begin == end || w_.module_offsets[middle] == w_.module_offsets[middle + 1]) return;
        std::fill_n(&m_.triplets[table], n_outer, none);
        Interval all{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
        for (std::size_t t = begin; t < end; ++t) {
            const Interval limits = slope_limits(t);
            all.low = limits.low < all.low ? limits.low : all.low;
            all.high = limits.high > all.high ? limits.high : all.high;
            m_.triplets[table + w_.map.triplet_outer()[t] - w_.first_doublet[middle]] = static_cast<std::uint32_t>(t);
        }
        const StepWindow window = step_window(all);
        m_.joints[d] = {static_cast<std::uint16_t>(table), window.first, window.last, max_meeting};
    }

    /// Joins the candidates [begin, end), which leave hits from @p source on, with those that leave their targets.
    void join(std::size_t source, std::size_t begin, std::size_t end) {
        source_ = source;
        constexpr std::size_t most = TagMemory::max_meetings / 2;
        for (; begin < end; begin += most) {
            if (n_meetings_ > most) match();
            join(begin, std::min(end, begin + most));
        }
        match();
    }

    /// Of these candidates, at most half as many as there is room for meetings. Works on copies of what never changes,
    /// which the compiler would read again after each write.
    void join(std::size_t begin, std::size_t end) {
        const std::uint32_t* const target = c_.target.data();
        const std::uint16_t* const doublet = c_.doublet.data();
        const std::uint16_t* const step = c_.step.data();
        const Row* const rows = w_.rows.data();
        const Joint* const joints = m_.joints.data();
        Meeting* to = &m_.meetings[n_meetings_];
        for (std::size_t c = begin; c < end; ++c) {
            const Joint joint = joints[doublet[c]];
            const Row row = rows[target[c]];
            const std::uint32_t n_outer = row.end - row.begin;
            const auto from = static_cast<std::uint16_t>(step[c] - joint.first);
            const std::uint32_t n_met = n_outer < joint.n_most ? n_outer : joint.n_most;
            *to = {Lanes::meet(step + row.begin, from, joint.last, n_met), c | std::uint64_t{row.begin} << 32};
            to += to->passed != 0 ? 1 : 0;  // not to be foreseen: no branch
            if (n_outer > max_meeting) [[unlikely]] {
                n_meetings_ = static_cast<std::size_t>(to - m_.meetings.data());
                meet_rest(c, joint, row, end - c);
                to = &m_.meetings[n_meetings_];
            }
        }
        n_meetings_ = static_cast<std::size_t>(to - m_.meetings.data());
    }

    /// What a candidate meets beyond the first; leaves room for @p n_to_come.
    void meet_rest(std::size_t c, const Joint& joint, const Row& row, std::size_t n_to_come) {
        if (joint.n_most == 0) return;
        const auto from = static_cast<std::uint16_t>(c_.step[c] - joint.first);
        for (std::size_t outer = row.begin + max_meeting; outer < row.end; outer += max_meeting) {
            if (n_meetings_ + n_to_come >= TagMemory::max_meetings) match();
            const std::size_t n_met = std::min<std::size_t>(row.end - outer, max_meeting);
            m_.meetings[n_meetings_] = {Lanes::meet(&c_.step[outer], from, joint.last, n_met), c | outer << 32};
            n_meetings_ += m_.meetings[n_meetings_].passed != 0 ? 1 : 0;
        }
    }

    void join_exactly(std::size_t i) {
        const auto offsets = w_.map.triplet_offsets();
        for (std::size_t c = w_.rows[i].begin; c < w_.rows[i].end; ++c) {
            const Row row = w_.rows[c_.target[c]];
            const std::size_t d = first_ + c_.doublet[c];
            const std::size_t first_outer = w_.first_doublet[w_.map.doublet_outer()[d]];
            for (std::size_t o = row.begin; o < row.end; ++o) {
                for (std::size_t t = offsets[d]; t < offsets[d + 1]; ++t) {
                    const bool same = w_.map.triplet_outer()[t] == first_outer + c_.doublet[o];
                    if (!same || !slope_limits(t).contains(c_.dzdr[c] - c_.dzdr[o])) continue;
                    m_.matches[n_matches_] = {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(c),
                                              static_cast<std::uint32_t>(o), static_cast<std::uint32_t>(d),
                                              static_cast<std::uint32_t>(t)};
                    if (++n_matches_ >= TagMemory::max_matches) finish();
                }
            }
        }
    }

    /// Lists the pairs within their own triplet's limits of the change of dz/dr.
    void match() {
        for (std::size_t k = 0; k < n_meetings_; ++k) {
            const Meeting& m = m_.meetings[k];
            const std::size_t o = m.outer() + static_cast<std::size_t>(__builtin_ctzll(m.passed));
            __builtin_prefetch(&c_.doublet[o]);
            __builtin_prefetch(&c_.dzdr[o]);
            __builtin_prefetch(&c_.target[o]);
        }
        const std::uint16_t* const doublet = c_.doublet.data();
        const float* const dzdr = c_.dzdr.data();
        const ModuleMap::TripletCodes* const codes = w_.map.triplet_codes().data();
        Match* to = &m_.matches[n_matches_];
        for (std::size_t k = 0; k < n_meetings_; ++k) {
            const Meeting m = m_.meetings[k];
            const std::uint32_t d = doublet[m.inner()];
            const std::uint32_t* const triplets = &m_.triplets[m_.joints[d].table];
            const float slope = dzdr[m.inner()];
            while (m.inner() >= w_.rows[source_].end) ++source_;
            const auto add = [&](std::uint64_t passed, bool exists) {
                const std::uint32_t o = m.outer() + static_cast<std::uint32_t>(__builtin_ctzll(passed));
                const std::uint32_t t = triplets[doublet[o]];
                const auto& limits = codes[t != none ? t : 0].differences;
                const float change = slope - dzdr[o];
                *to = {static_cast<std::uint32_t>(source_), m.inner(), o, static_cast<std::uint32_t>(first_) + d, t};
                to += one_if(t != none) & one_if(change >= decode_bfloat16(limits[0])) &
                      one_if(change <= decode_bfloat16(limits[1])) & one_if(exists);
            };
            add(m.passed, true);
            // Mostly there are one or two: the second is looked at even where there is none.
            std::uint64_t rest = m.passed & (m.passed - 1);
            add(rest != 0 ? rest : m.passed, rest != 0);
            for (rest &= rest - 1; rest != 0; rest &= rest - 1) add(rest, true);
            if (to >= &m_.matches[TagMemory::max_matches]) {
                judge(static_cast<std::size_t>(to - m_.matches.data()));
                to = m_.matches.data();
            }
        }
        n_matches_ = static_cast<std::size_t>(to - m_.matches.data());
        n_meetings_ = 0;
    }

    /// Tags those of the @p n matches that bend by as little as their triplet allows, and of which either pair is
    /// within its limits.
    void judge(std::size_t n) {
        for (std::size_t k = 0; k < n; ++k) __builtin_prefetch(hit(c_.target[m_.matches[k].outer]));
        for (std::size_t k = 0; k < n; ++k) measure(k);
        std::size_t n_near = 0;
        for (std::size_t k = 0; k < n; k += Lanes::n) {
            const auto passed = Lanes::bits(within(bends(k), Lanes::load(&m_.measured.bends[k])) & Lanes::first(n - k));
            Lanes::store(&m_.near[n_near], Lanes::pack(Lanes::count_from(static_cast<std::uint32_t>(k)), passed));
            n_near += static_cast<std::size_t>(__builtin_popcount(passed));
        }
        const auto limits = w_.map.doublet_limits();
        const auto outer_doublet = w_.map.triplet_outer();
        for (std::size_t k = 0; k < n_near; ++k) {
            __builtin_prefetch(&limits[outer_doublet[m_.matches[m_.near[k]].triplet]]);
        }
        for (std::size_t k = 0; k < n_near; ++k) {
            const Match& m = m_.matches[m_.near[k]];
            const bool passed = Lanes::passes_pairs(limits[m.doublet], limits[outer_doublet[m.triplet]],
                                                    w_.map.triplet_codes()[m.triplet], hit(m.source),
                                                    hit(c_.target[m.inner]), hit(c_.target[m.outer]));
            Candidates::tag(passed ? c_.tagged[m.inner] : m_.trash);
            Candidates::tag(passed ? c_.tagged[m.outer] : m_.trash);
        }
    }

    [[nodiscard]] const float* hit(std::size_t i) const { return p_.together.data() + PointArrays::stride * i; }

    /// The two segments of match @p k.
    void measure(std::size_t k) {
        const Match& m = m_.matches[k];
        const float* a = hit(m.source);
        const float* b = hit(c_.target[m.inner]);
        const float* c = hit(c_.target[m.outer]);
        const auto& differences = w_.map.triplet_codes()[m.triplet].differences;
        TagMemory::Measured& to = m_.measured;
        to.x12[k] = b[PointArrays::x] - a[PointArrays::x];
        to.y12[k] = b[PointArrays::y] - a[PointArrays::y];
        to.x23[k] = c[PointArrays::x] - b[PointArrays::x];
        to.y23[k] = c[PointArrays::y] - b[PointArrays::y];
        to.bends[k] = differences[2] | static_cast<std::uint32_t>(differences[3]) << 16;
    }

    /// Whether @p value is within limits of two bfloat16, the low one in the lower half.
    template <class Int>
    [[nodiscard]] static auto within(Float value, Int limits) {
        return Lanes::ge(value, Lanes::lower_bfloat16(limits)) & Lanes::le(value, Lanes::upper_bfloat16(limits));
    }

    /// As `bend`, of the matches from @p k on.
    [[nodiscard]] Float bends(std::size_t k) const {
        const Float x12 = Lanes::load(&m_.measured.x12[k]);
        const Float y12 = Lanes::load(&m_.measured.y12[k]);
        const Float x23 = Lanes::load(&m_.measured.x23[k]);
        const Float y23 = Lanes::load(&m_.measured.y23[k]);
        if (w_.map.bend_convention() == Bend::slope_difference) {
            return y12 / divisors<Lanes>(x12) - y23 / divisors<Lanes>(x23);
        }
        return arctan2<Lanes>(x12 * y23 - y12 * x23, x12 * x23 + y12 * y23);
    }

    const GraphWork& w_;
    const PointArrays& p_;
    const Candidates& c_;
    TagMemory& m_;
    std::size_t first_ = 0;   ///< first doublet of the module at work
    std::size_t source_ = 0;  ///< hit that the candidates of the next meetings leave
    std::size_t n_meetings_ = 0;
    std::size_t n_matches_ = 0;
};

}  // namespace
}  // namespace rheinfall::detail
