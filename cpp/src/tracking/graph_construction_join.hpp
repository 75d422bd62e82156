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
          any_turn_(work.headless ? 0xffff : 0) {}

    /// Tags what begins on @p module.
    void tag(std::size_t module) {
        const std::size_t begin = w_.module_offsets[module];
        const std::size_t end = w_.module_offsets[module + 1];
        if (begin == end || w_.rows[begin].begin == w_.rows[end - 1].end) return;
        first_ = index_.first_doublet[module];
        join(begin, end);
    }

    /// Judges what is still listed.
    void finish() {
        match(n_pairs_);
        judge();
    }

private:
    /// Joins what leaves the hits [hit, end_hit) with what leaves their targets.
    void join(std::size_t hit, std::size_t end_hit) {
        const std::size_t end = w_.rows[end_hit - 1].end;
        std::size_t begin = w_.rows[hit].begin;
        if (w_.headless) {  // then the headings are not to be judged by
            for (std::size_t c = begin; c < end; ++c) c_.query[c] |= 0xff000000u;
        }
        while (begin < end) {
            first_candidate_ = begin;
            const std::size_t until = std::min(end, begin + TagMemory::max_candidates);
            for (std::size_t c = begin; c < until;) {  // a source to each
                const std::size_t leaving = std::min<std::size_t>(w_.rows[hit].end, until);
                std::uint32_t* const to = &m_.sources[c - begin];
                const auto source = Lanes::set(static_cast<std::uint32_t>(hit));
                for (std::size_t k = 0; k < leaving - c; k += Lanes::n) Lanes::store(to + k, source);
                c = leaving;
                hit += one_if(c == w_.rows[hit].end);
            }
            std::size_t n_rests = compare(begin, until);
            pair_up();
            open_rests(n_rests);
            while (n_rests > 0) {
                n_rests = compare_rests(n_rests);
                pair_up();
            }
            begin = until;
        }
    }

    /// Lists what these candidates, at most `max_candidates`, meet in the first block of what leaves their target, and
    /// which of them have more blocks before them; the answer is the number of these. Works on copies of what never
    /// changes, which the compiler would read again after each write, and without a branch that could not be foreseen.
    std::size_t compare(std::size_t begin, std::size_t end) {
        const std::size_t last = w_.end_of_rooms - 1;
        const std::uint32_t* const target = c_.target.data();
        const std::uint32_t* const query = c_.query.data();
        const std::uint16_t* const blocks = c_.blocks.data();
        Meeting* to = m_.meetings.data();
        Rest* rest = m_.rests.data();
        for (std::size_t c = begin; c < end; ++c) {
            __builtin_prefetch(blocks + block_size * target[std::min(c + targets_ahead, last)]);
            const std::uint32_t middle = target[c];
            const std::uint16_t* const block = blocks + block_size * middle;
            const auto inner = static_cast<std::uint32_t>(c);
            const std::size_t n_left = block[FirstBlock::n_at];
            std::uint32_t first = 0;
            std::memcpy(&first, block + FirstBlock::begin_at, sizeof first);
            const std::uint32_t met = Lanes::meet(block, query[c]) & first_bits(std::min(n_left, FirstBlock::n_codes));
            *to = {inner, first, met};
            to += one_if(met != 0);
            *rest = {inner, first, middle, 0};
            rest += one_if(n_left > FirstBlock::n_codes);
        }
        n_meetings_ = static_cast<std::size_t>(to - m_.meetings.data());
        return static_cast<std::size_t>(rest - m_.rests.data());
    }

    /// Turns the first @p n rests, with the target's number for a block, to what follows its first block.
    void open_rests(std::size_t n) {
        constexpr auto step = static_cast<std::uint32_t>(FirstBlock::n_codes);
        for (std::size_t k = 0; k < n; ++k) {
            Rest& r = m_.rests[k];
            const Row& row = w_.rows[r.block];
            r = {r.inner, r.outer + step, row.next_block, row.end - row.begin - step};
        }
    }

    /// The same of one block more, of the first @p n rests.
    std::size_t compare_rests(std::size_t n) {
        const std::uint32_t* const query = c_.query.data();
        const std::uint16_t* const blocks = c_.blocks.data();
        constexpr auto step = static_cast<std::uint32_t>(block_size);
        Meeting* to = m_.meetings.data();
        Rest* next = m_.rests.data();
        for (std::size_t k = 0; k < n; ++k) {
            const Rest r = m_.rests[k];
            const std::uint32_t met = Lanes::meet(blocks + block_size * r.block, query[r.inner]) & first_bits(r.n_left);
            *to = {r.inner, r.outer, met};
            to += one_if(met != 0);
            *next = {r.inner, r.outer + step, r.block + 1, r.n_left - step};
            next += one_if(r.n_left > step);
        }
        n_meetings_ = static_cast<std::size_t>(to - m_.meetings.data());
        return static_cast<std::size_t>(next - m_.rests.data());
    }

    /// Lists what meets pair by pair, and asks memory for what is looked at next.
    void pair_up() {
        const Segment* const segment = c_.segment.data();
        const std::uint32_t* const source = m_.sources.data();
        const Joint* const joints = index_.joints.data();
        const Differences* const differences = index_.differences.data();
        Pair* to = &m_.pairs[n_pairs_];
        for (std::size_t k = 0; k < n_meetings_; ++k) {
            const Meeting m = m_.meetings[k];
            const std::uint32_t d = static_cast<std::uint32_t>(first_) + segment[m.inner].doublet;
            const std::uint32_t from = source[m.inner - first_candidate_];
            __builtin_prefetch(differences + joints[d].first_triplet);
            const auto add = [&](std::uint32_t which, std::size_t exists) {
                const std::uint32_t o = m.outer + static_cast<std::uint32_t>(__builtin_ctz(which));
                __builtin_prefetch(segment + o);
                *to = {from, m.inner, o, d};
                to += exists;
            };
            add(m.met, 1);
            // Mostly there are one or two: the second is looked at even where there is none.
            std::uint32_t rest = m.met & (m.met - 1);
            add(rest != 0 ? rest : m.met, one_if(rest != 0));
            for (rest &= rest - 1; rest != 0; rest &= rest - 1) add(rest, 1);
            if (to >= &m_.pairs[TagMemory::max_pairs]) {
                match(static_cast<std::size_t>(to - m_.pairs.data()));
                to = m_.pairs.data();
            }
        }
        n_pairs_ = static_cast<std::size_t>(to - m_.pairs.data());
    }

    static std::uint32_t count_bits(std::uint64_t bits) {
        return static_cast<std::uint32_t>(__builtin_popcountll(bits));
    }

    /// Whether some triplet has inner @p doublet and the outer one @p wanted, where these are too many for bits of
    /// their own; if so it becomes @p triplet, which is none before it.
    [[nodiscard]] bool search(std::uint32_t doublet, std::uint32_t wanted, std::uint32_t& triplet) const {
        const auto known = w_.map.triplet_outer();
        const std::uint32_t end = w_.map.triplet_offsets()[doublet + 1];
        std::uint32_t first = triplet;
        for (std::uint32_t n = end - first; n > 0;) {  // they rise
            const std::uint32_t half = n / 2;
            const bool is_below = known[first + half] < wanted;
            first = is_below ? first + half + 1 : first;
            n = is_below ? n - half - 1 : half;
        }
        if (first == end || known[first] != wanted) return false;
        triplet = first;
        return true;
    }

    /// Lists those of the first @p n pairs within their own triplet's limits of the change of dz/dr, and of the
    /// headings as far as their steps tell.
    void match(std::size_t n) {
        const Segment* const segment = c_.segment.data();
        const ModuleMap::TripletCodes* const codes = w_.map.triplet_codes().data();
        const Joint* const joints = index_.joints.data();
        const auto* const differences = index_.differences.data();
        const std::uint32_t* const target = c_.target.data();
        const unsigned any_turn = any_turn_;
        Match* to = &m_.matches[n_matches_];
        for (std::size_t k = 0; k < n; ++k) {
            const Pair p = m_.pairs[k];
            const Segment from = segment[p.inner];
            const Segment on = segment[p.outer];
            const Joint& joint = joints[p.doublet];
            const std::uint64_t bit = std::uint64_t{1} << std::min<unsigned>(on.doublet, Joint::max_outer);
            bool exists = (joint.outer & bit) != 0;
            std::uint32_t t = joint.first_triplet + count_bits(joint.outer & (bit - 1));
            if (on.doublet >= Joint::max_outer) [[unlikely]]
                exists = search(p.doublet, joint.first_outer + on.doublet, t);
            const Differences limits = differences[t];
            const float change = from.dzdr - on.dzdr;
            const unsigned turn = (0u + from.heading - on.heading - limits.turn_first) & 0xffffu;
            __builtin_prefetch(target + p.outer);
            __builtin_prefetch(codes + t);
            *to = {p, t, joint.first_outer + on.doublet};
            to += one_if(exists) & one_if(change >= decode_bfloat16(limits.slope_low)) &
                  one_if(change <= decode_bfloat16(limits.slope_high)) & one_if(turn <= (limits.turn_last | any_turn));
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
        const auto limits = w_.map.doublet_limits();
        for (std::size_t k = 0; k < n; ++k) {
            const Match& m = m_.matches[k];
            __builtin_prefetch(hit(c_.target[m.pair.outer]));
            __builtin_prefetch(&limits[m.outer_doublet]);
        }
        for (std::size_t k = 0; k < n; ++k) measure(k);
        std::size_t n_near = 0;
        for (std::size_t k = 0; k < n; k += Lanes::n) {
            const auto passed = Lanes::bits(within(bends(k), Lanes::load(&m_.measured.bends[k])) & Lanes::first(n - k));
            Lanes::store_chosen(&m_.near[n_near], Lanes::count_from(static_cast<std::uint32_t>(k)), passed);
            n_near += static_cast<std::size_t>(__builtin_popcount(passed));
        }
        for (std::size_t k = 0; k < n_near; ++k) {
            const Match& m = m_.matches[m_.near[k]];
            const bool passed =
                Lanes::passes_pairs(limits[m.pair.doublet], limits[m.outer_doublet], w_.map.triplet_codes()[m.triplet],
                                    hit(m.pair.source), hit(c_.target[m.pair.inner]), hit(c_.target[m.pair.outer]));
            Candidates::tag(passed ? c_.tagged[m.pair.inner] : m_.trash);
            Candidates::tag(passed ? c_.tagged[m.pair.outer] : m_.trash);
        }
    }

    [[nodiscard]] const float* hit(std::size_t i) const { return p_.together.data() + PointArrays::stride * i; }

    /// The two segments of match @p k.
    void measure(std::size_t k) {
        const Match& m = m_.matches[k];
        const float* a = hit(m.pair.source);
        const float* b = hit(c_.target[m.pair.inner]);
        const float* c = hit(c_.target[m.pair.outer]);
        TagMemory::Measured& to = m_.measured;
        to.x12[k] = b[PointArrays::x_at] - a[PointArrays::x_at];
        to.y12[k] = b[PointArrays::y_at] - a[PointArrays::y_at];
        to.x23[k] = c[PointArrays::x_at] - b[PointArrays::x_at];
        to.y23[k] = c[PointArrays::y_at] - b[PointArrays::y_at];
        const auto& bend = w_.map.triplet_codes()[m.triplet].differences;
        to.bends[k] = bend[2] | static_cast<std::uint32_t>(bend[3]) << 16;
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
    unsigned any_turn_;                ///< all steps of the heading where it is not to be judged by
    std::size_t first_ = 0;            ///< first doublet of the module at work
    std::size_t first_candidate_ = 0;  ///< of those compared together
    std::size_t n_meetings_ = 0;
    std::size_t n_pairs_ = 0;
    std::size_t n_matches_ = 0;
};

}  // namespace
}  // namespace rheinfall::detail
