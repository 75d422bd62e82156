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

template <class Lanes>
class Tagger {
    using Float = typename Lanes::Float;

public:
    Tagger(const GraphWork& work, TaskMemory& memory)
        : w_(work), p_(work.points), c_(work.candidates), m_(memory), trash_(c_.tagged.size() - 1) {}

    /// Tags what begins on @p module.
    void tag(std::size_t module) {
        const std::size_t begin = w_.module_offsets[module];
        const std::size_t end = w_.module_offsets[module + 1];
        if (begin == end || w_.rows[begin].begin == w_.rows[end - 1].end) return;
        first_ = w_.first_doublet[module];
        const bool listed = list_joints(w_.first_doublet[module + 1] - first_);
        for (std::size_t i = begin; i < end; ++i) {
            if (listed) {
                join(i);
            } else {
                join_exactly(i);
            }
        }
        match();
    }

    /// Tags what is still listed.
    void finish() {
        judge_met();
        judge_near();
    }

private:
    static constexpr std::uint32_t none = 0xffffffffu;

    [[nodiscard]] Interval slope_limits(std::size_t t) const {
        const auto& codes = w_.map.triplet_codes()[t].differences;
        return {decode_bfloat16(codes[0]), decode_bfloat16(codes[1])};
    }

    /// Lists the triplets of the module's @p n_doublets doublets; false if they are too many.
    bool list_joints(std::size_t n_doublets) {
        if (n_doublets > TaskMemory::max_joints) return false;
        std::size_t table = 0;
        for (std::size_t d = 0; d < n_doublets; ++d) {
            const std::size_t middle = w_.map.doublet_outer()[first_ + d];
            const std::size_t n_outer = w_.first_doublet[middle + 1] - w_.first_doublet[middle];
            if (table + n_outer > TaskMemory::max_triplets) return false;
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
        m_.n_met_at_most[d] = 0;
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
        m_.joints[d] = {static_cast<std::uint32_t>(table), window.first, window.last};
        m_.n_met_at_most[d] = max_meeting;
    }

    /// Joins the candidates that leave hit @p i with those that leave their targets.
    void join(std::size_t i) {
        const Row row = w_.rows[i];
        for (std::size_t begin = row.begin; begin < row.end; begin += TaskMemory::max_meetings / 2) {
            if (n_meetings_ > TaskMemory::max_meetings / 2) match();
            const std::size_t end = std::min<std::size_t>(row.end, begin + TaskMemory::max_meetings / 2);
            for (std::size_t c = begin; c < end; ++c) {
                const std::size_t d = c_.doublet[c];
                const Joint joint = m_.joints[d];
                const Row next = w_.rows[c_.target[c]];
                const std::size_t n_outer = next.end - next.begin;
                meet(i, c, joint, next.begin, std::min<std::size_t>(n_outer, m_.n_met_at_most[d]));
                if (n_outer > max_meeting) meet_rest(i, c, joint, next);
            }
        }
    }

    void meet(std::size_t i, std::size_t c, const Joint& joint, std::size_t outer, std::size_t n_outer) {
        const auto from = static_cast<std::uint16_t>(c_.step[c] - joint.first);
        const std::uint64_t passed = Lanes::meet(&c_.step[outer], from, joint.last, n_outer);
        m_.meetings[n_meetings_] = {passed, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(c),
                                    static_cast<std::uint32_t>(outer), joint.table};
        n_meetings_ += passed != 0 ? 1 : 0;  // not to be foreseen: no branch
    }

    void meet_rest(std::size_t i, std::size_t c, const Joint& joint, const Row& row) {
        if (m_.n_met_at_most[c_.doublet[c]] == 0) return;
        for (std::size_t outer = row.begin + max_meeting; outer < row.end; outer += max_meeting) {
            if (n_meetings_ > TaskMemory::max_meetings / 2) match();
            meet(i, c, joint, outer, std::min(row.end - outer, max_meeting));
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
                    if (same && slope_limits(t).contains(c_.dzdr[c] - c_.dzdr[o])) add_pair(i, c, o, t);
                }
            }
        }
    }

    /// Lists the pairs within their own triplet's limits of the change of dz/dr.
    void match() {
        std::size_t n = 0;
        for (std::size_t k = 0; k < n_meetings_; ++k) {
            const Meeting& m = m_.meetings[k];
            const std::uint32_t* table = &m_.triplets[m.table];
            const float dzdr = c_.dzdr[m.inner];
            const auto add = [&](std::uint64_t passed) {
                const std::size_t o = m.outer + static_cast<std::size_t>(__builtin_ctzll(passed));
                const std::uint32_t t = table[c_.doublet[o]];
                m_.matches[n] = {static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(o), t};
                const Interval limits = slope_limits(t != none ? t : 0);
                const float change = dzdr - c_.dzdr[o];
                n += (t != none) & (change >= limits.low) & (change <= limits.high);
            };
            add(m.passed);
            // Mostly there are one or two: the second is looked at even where there is none.
            std::uint64_t rest = m.passed & (m.passed - 1);
            const std::size_t n_one = n;
            add(rest != 0 ? rest : m.passed);
            n = rest != 0 ? n : n_one;
            for (rest &= rest - 1; rest != 0; rest &= rest - 1) add(rest);
            if (n >= TaskMemory::max_matches) {
                add_pairs(n);
                n = 0;
            }
        }
        add_pairs(n);
        n_meetings_ = 0;
    }

    void add_pairs(std::size_t n) {
        for (std::size_t k = 0; k < n; ++k) {
            const Match& match = m_.matches[k];
            const Meeting& m = m_.meetings[match.meeting];
            add_pair(m.source, m.inner, match.outer, match.triplet);
        }
    }

    void add_pair(std::size_t source, std::size_t inner, std::size_t outer, std::size_t triplet) {
        if (n_met_ == Pairs::capacity) judge_met();
        const std::size_t n = n_met_++;
        const std::size_t middle = c_.target[inner];
        const std::size_t last = c_.target[outer];
        const auto& differences = w_.map.triplet_codes()[triplet].differences;
        Pairs& to = m_.met;
        to.x12[n] = p_.x[middle] - p_.x[source];
        to.y12[n] = p_.y[middle] - p_.y[source];
        to.x23[n] = p_.x[last] - p_.x[middle];
        to.y23[n] = p_.y[last] - p_.y[middle];
        to.bends[n] = differences[2] | static_cast<std::uint32_t>(differences[3]) << 16;
        to.source[n] = static_cast<std::uint32_t>(source);
        to.inner[n] = static_cast<std::uint32_t>(inner);
        to.outer[n] = static_cast<std::uint32_t>(outer);
        to.doublet[n] = static_cast<std::uint32_t>(first_ + c_.doublet[inner]);
        to.triplet[n] = static_cast<std::uint32_t>(triplet);
    }

    /// Lists those of the pairs that met which bend by as little as their triplet allows.
    void judge_met() {
        const Pairs& from = m_.met;
        for (std::size_t k = 0; k < n_met_; k += Lanes::n) {
            if (n_near_ > Pairs::capacity - Lanes::n) judge_near();
            const auto passed = Lanes::bits(within(bends(k), Lanes::load(&from.bends[k])) & Lanes::first(n_met_ - k));
            Pairs& to = m_.near;
            Lanes::store(&to.source[n_near_], Lanes::pack(Lanes::load(&from.source[k]), passed));
            Lanes::store(&to.doublet[n_near_], Lanes::pack(Lanes::load(&from.doublet[k]), passed));
            Lanes::store(&to.inner[n_near_], Lanes::pack(Lanes::load(&from.inner[k]), passed));
            Lanes::store(&to.outer[n_near_], Lanes::pack(Lanes::load(&from.outer[k]), passed));
            Lanes::store(&to.triplet[n_near_], Lanes::pack(Lanes::load(&from.triplet[k]), passed));
            n_near_ += static_cast<std::size_t>(__builtin_popcount(passed));
        }
        n_met_ = 0;
    }

    /// Tags those of the pairs near to a triplet of which each is within its limits.
    void judge_near() {
        const auto limits = w_.map.doublet_limits();
        for (std::size_t k = 0; k < n_near_; ++k) {
            const std::size_t inner = m_.near.inner[k];
            const std::size_t outer = m_.near.outer[k];
            const std::size_t t = m_.near.triplet[k];
            const bool passed = Lanes::passes_pairs(
                limits[m_.near.doublet[k]], limits[w_.map.triplet_outer()[t]], w_.map.triplet_codes()[t],
                &p_.together[4 * std::size_t{m_.near.source[k]}], &p_.together[4 * std::size_t{c_.target[inner]}],
                &p_.together[4 * std::size_t{c_.target[outer]}]);
            c_.tag(passed ? inner : trash_);
            c_.tag(passed ? outer : trash_);
        }
        n_near_ = 0;
    }

    /// Whether @p value is within limits of two bfloat16, the low one in the lower half.
    template <class Int>
    [[nodiscard]] static auto within(Float value, Int limits) {
        return Lanes::ge(value, Lanes::lower_bfloat16(limits)) & Lanes::le(value, Lanes::upper_bfloat16(limits));
    }

    /// As `bend`, of the pairs that met from @p k on.
    [[nodiscard]] Float bends(std::size_t k) const {
        const Float x12 = Lanes::load(&m_.met.x12[k]);
        const Float y12 = Lanes::load(&m_.met.y12[k]);
        const Float x23 = Lanes::load(&m_.met.x23[k]);
        const Float y23 = Lanes::load(&m_.met.y23[k]);
        if (w_.map.bend_convention() == Bend::slope_difference) {
            return y12 / divisors<Lanes>(x12) - y23 / divisors<Lanes>(x23);
        }
        return arctan2<Lanes>(x12 * y23 - y12 * x23, x12 * x23 + y12 * y23);
    }

    const GraphWork& w_;
    const PointArrays& p_;
    const Candidates& c_;
    TaskMemory& m_;
    std::size_t trash_;      ///< no candidate, tagged for what does not pass
    std::size_t first_ = 0;  ///< first doublet of the module at work
    std::size_t n_meetings_ = 0;
    std::size_t n_met_ = 0;
    std::size_t n_near_ = 0;
};

}  // namespace
}  // namespace rheinfall::detail
