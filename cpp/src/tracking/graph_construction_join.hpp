#pragma once

/// @file
/// The join of candidates that share a hit, over a `Lanes` type: vectors of floats and what can be done with them.
/// Included by each version of graph construction after it has chosen its instructions, hence everything has internal
/// linkage.
///
/// A candidate meets those that leave its target: dozens in a dense event, of which hardly one goes on in the direction
/// that their triplet allows. So dz/dr and azimuth of the segments are judged first, in 8 bits each, against what any
/// triplet of the candidate's doublet allows: a cache line of 32 at a time, one subtraction and one comparison. What
/// remains goes through lists, each judged by what is cheapest next and left without a branch that could not be
/// foreseen.

#include <algorithm>

#include "tracking/detail/join_index.hpp"
#include "tracking/detail/triplet_codes.hpp"
#include "tracking/graph_construction_lanes.hpp"
#include "tracking/graph_construction_work.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see above

/// To be joined by `&` where `&&` would branch.
inline std::size_t one_if(bool condition) {
    return condition ? 1 : 0;
}

template <class Lanes>
class Tagger {
    using Float = typename Lanes::Float;

public:
    Tagger(const GraphWork& work, TagMemory& memory)
        : w_(work),
          p_(work.points),
          c_(work.candidates),
          m_(memory),
          index_(work.map.join_index()),
          any_heading_(work.headless ? 0xff00 : 0) {}

    /// Tags what begins on @p module.
    void tag(std::size_t module) {
        const std::size_t begin = w_.module_offsets[module];
        const std::size_t end = w_.module_offsets[module + 1];
        if (begin == end || w_.rows[begin].begin == w_.rows[end - 1].end) return;
        first_ = index_.first_doublet[module];
        join(w_.rows[begin].begin, w_.rows[end - 1].end);
    }

    /// Judges what is still listed.
    void finish() {
        match(n_pairs_);
        judge();
    }

private:
    /// Joins the candidates [begin, end) with those that leave their targets.
    void join(std::size_t begin, std::size_t end) {
        if (w_.headless) {  // then the headings are not to be judged by
            for (std::size_t c = begin; c < end; ++c) c_.query[c] |= 0xff000000u;
        }
        for (; begin < end; begin += TagMemory::max_candidates) {
            std::size_t n_rests = join_block(begin, std::min(end, begin + TagMemory::max_candidates));
            pair_up(0);
            for (std::uint32_t block = 1; n_rests > 0; ++block) {
                n_rests = join_block(n_rests, block);
                pair_up(block);
            }
        }
    }

    /// Lists what these candidates, at most `max_candidates`, meet in the first block of what leaves their target, and
    /// which of them have more blocks before them; the answer is the number of these. Works on copies of what never
    /// changes, which the compiler would read again after each write, and without a branch that could not be foreseen.
    std::size_t join_block(std::size_t begin, std::size_t end) {
        const std::uint32_t* const target = c_.target.data();
        const std::uint32_t* const query = c_.query.data();
        const std::uint16_t* const blocks = c_.blocks.data();
        const Row* const rows = w_.rows.data();
        Meeting* to = m_.meetings.data();
        std::uint32_t* rest = m_.rests.data();
        for (std::size_t c = begin; c < end; ++c) {
            const Row& row = rows[target[c]];
            to->passed = Lanes::meet(blocks + block_size * row.block, query[c]) & row.in_block;
            to->inner = static_cast<std::uint32_t>(c);
            to += one_if(to->passed != 0);
            *rest = static_cast<std::uint32_t>(c);
            rest += one_if(row.end - row.begin > block_size);
        }
        n_meetings_ = static_cast<std::size_t>(to - m_.meetings.data());
        return static_cast<std::size_t>(rest - m_.rests.data());
    }

    /// The same of a later @p block, of the first @p n rests.
    std::size_t join_block(std::size_t n, std::uint32_t block) {
        Meeting* to = m_.meetings.data();
        std::uint32_t* next = m_.rests.data();
        for (std::size_t k = 0; k < n; ++k) {
            const std::uint32_t c = m_.rests[k];
            const Row& row = w_.rows[c_.target[c]];
            const std::size_t n_left = row.end - row.begin - block_size * block;
            *to = {Lanes::meet(&c_.blocks[block_size * (row.block + block)], c_.query[c]) & first_bits(n_left), c};
            to += one_if(to->passed != 0);
            *next = c;
            next += one_if(n_left > block_size);
        }
        n_meetings_ = static_cast<std::size_t>(to - m_.meetings.data());
        return static_cast<std::size_t>(next - m_.rests.data());
    }

    /// Lists what meets pair by pair, of what leaves the targets the @p block, and asks memory for what is looked at
    /// next.
    void pair_up(std::uint32_t block) {
        const std::uint32_t* const target = c_.target.data();
        const std::uint16_t* const doublet = c_.doublet.data();
        const float* const dzdr = c_.dzdr.data();
        const Row* const rows = w_.rows.data();
        const auto before = static_cast<std::uint32_t>(block_size) * block;
        Pair* to = &m_.pairs[n_pairs_];
        for (std::size_t k = 0; k < n_meetings_; ++k) {
            const Meeting m = m_.meetings[k];
            const std::uint32_t d = static_cast<std::uint32_t>(first_) + doublet[m.inner];
            const std::uint32_t first = rows[target[m.inner]].begin + before;
            const auto add = [&](std::uint32_t passed, std::size_t exists) {
                const std::uint32_t o = first + static_cast<std::uint32_t>(__builtin_ctz(passed));
                __builtin_prefetch(doublet + o);
                __builtin_prefetch(dzdr + o);
                *to = {m.inner, o, d};
                to += exists;
            };
            add(m.passed, 1);
            // Mostly there are one or two: the second is looked at even where there is none.
            std::uint32_t rest = m.passed & (m.passed - 1);
            add(rest != 0 ? rest : m.passed, one_if(rest != 0));
            for (rest &= rest - 1; rest != 0; rest &= rest - 1) add(rest, 1);
            if (to >= &m_.pairs[TagMemory::max_pairs]) {
                match(static_cast<std::size_t>(to - m_.pairs.data()));
                to = m_.pairs.data();
            }
        }
        n_pairs_ = static_cast<std::size_t>(to - m_.pairs.data());
    }

    /// Where @p doublet stands in a list of @p n, which goes on beyond them for a vector; n or more if nowhere.
    static std::uint32_t find(const std::uint32_t* list, std::uint32_t n, std::uint32_t doublet) {
        std::uint32_t same = Lanes::bits(Lanes::eq(Lanes::load(list), doublet));
        std::uint32_t k = 0;
        while (n > Lanes::n + k && same == 0) [[unlikely]] {
            k += static_cast<std::uint32_t>(Lanes::n);
            same = Lanes::bits(Lanes::eq(Lanes::load(list + k), doublet));
        }
        return k + static_cast<std::uint32_t>(__builtin_ctz(same | 1u << 31));
    }

    /// Lists those of the first @p n pairs within their own triplet's limits of the change of dz/dr.
    void match(std::size_t n) {
        const std::uint16_t* const doublet = c_.doublet.data();
        const float* const dzdr = c_.dzdr.data();
        const std::uint32_t* const offsets = w_.map.triplet_offsets().data();
        const std::uint32_t* const outer = w_.map.triplet_outer().data();
        const Joint* const joints = index_.joints.data();
        const auto* const differences = index_.differences.data();
        const std::uint32_t* const target = c_.target.data();
        Match* to = &m_.matches[n_matches_];
        for (std::size_t k = 0; k < n; ++k) {
            const Pair p = m_.pairs[k];
            const std::uint32_t first = offsets[p.doublet];
            const std::uint32_t n_triplets = offsets[p.doublet + 1] - first;
            const std::uint32_t at = find(outer + first, n_triplets, joints[p.doublet].first_outer + doublet[p.outer]);
            const std::uint32_t t = first + (at < n_triplets ? at : 0);
            const auto& limits = differences[t];
            const float change = dzdr[p.inner] - dzdr[p.outer];
            __builtin_prefetch(target + p.outer);
            *to = {p, t, limits.bend};
            to += one_if(at < n_triplets) & one_if(change >= decode_bfloat16(limits.slope_low)) &
                  one_if(change <= decode_bfloat16(limits.slope_high));
        }
        n_matches_ = static_cast<std::size_t>(to - m_.matches.data());
        n_pairs_ = 0;
        if (n_matches_ >= TagMemory::max_matches) judge();
    }

    /// Tags those of the matches that bend by as little as their triplet allows, and of which either pair is
    /// within its limits.
    void judge() {
        const std::size_t n = n_matches_;
        n_matches_ = 0;
        for (std::size_t k = 0; k < n; ++k) __builtin_prefetch(hit(c_.target[m_.matches[k].pair.outer]));
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
            const bool passed = Lanes::passes_pairs(limits[m.pair.doublet], limits[outer_doublet[m.triplet]],
                                                    w_.map.triplet_codes()[m.triplet], hit(source_of(m.pair.inner)),
                                                    hit(c_.target[m.pair.inner]), hit(c_.target[m.pair.outer]));
            Candidates::tag(passed ? c_.tagged[m.pair.inner] : m_.trash);
            Candidates::tag(passed ? c_.tagged[m.pair.outer] : m_.trash);
        }
    }

    [[nodiscard]] const float* hit(std::size_t i) const { return p_.together.data() + PointArrays::stride * i; }

    /// The hit that candidate @p c leaves. Those asked for mostly rise.
    std::size_t source_of(std::size_t c) {
        while (c < w_.rows[source_].begin) --source_;
        while (c >= w_.rows[source_].end) ++source_;
        return source_;
    }

    /// The two segments of match @p k.
    void measure(std::size_t k) {
        const Match& m = m_.matches[k];
        const float* a = hit(source_of(m.pair.inner));
        const float* b = hit(c_.target[m.pair.inner]);
        const float* c = hit(c_.target[m.pair.outer]);
        TagMemory::Measured& to = m_.measured;
        to.x12[k] = b[PointArrays::x_at] - a[PointArrays::x_at];
        to.y12[k] = b[PointArrays::y_at] - a[PointArrays::y_at];
        to.x23[k] = c[PointArrays::x_at] - b[PointArrays::x_at];
        to.y23[k] = c[PointArrays::y_at] - b[PointArrays::y_at];
        to.bends[k] = m.bend;
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
    const JoinIndex& index_;
    unsigned any_heading_;    ///< all steps of the heading where it is not to be judged by
    std::size_t first_ = 0;   ///< first doublet of the module at work
    std::size_t source_ = 0;  ///< the last that was asked for
    std::size_t n_meetings_ = 0;
    std::size_t n_pairs_ = 0;
    std::size_t n_matches_ = 0;
};

}  // namespace
}  // namespace rheinfall::detail
