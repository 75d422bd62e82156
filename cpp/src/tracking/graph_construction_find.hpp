#pragma once

/// @file
/// The hit pairs within their doublets' limits, over a `Lanes` type: vectors of floats and what can be done with them.
/// Included by each version of graph construction after it has chosen its instructions, hence everything has internal
/// linkage.
///
/// A module has few hits, and so have its dozen neighbours: vectors over one neighbour's hits would be half empty.
/// So the neighbours' hits are listed together once per module, each with its limits, less those that no hit of the
/// module can form a candidate with. What a vector holds that passes the cuts on dphi and deta, which need no division,
/// is noted without a branch, and looked at again afterwards.

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "tracking/detail/join_index.hpp"
#include "tracking/graph_construction_lanes.hpp"
#include "tracking/graph_construction_work.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see above

template <class Lanes>
class Finder {
    using Float = typename Lanes::Float;
    using Mask = typename Lanes::Mask;

public:
    Finder(const GraphWork& work, CandidateRoom& room, Partners& partners)
        : w_(work), p_(work.points), c_(work.candidates), room_(room), list_(partners) {}

    void find(std::size_t module) {
        const std::size_t begin = w_.module_offsets[module];
        const std::size_t end = w_.module_offsets[module + 1];
        if (begin == end) return;
        uncoded_ = room_.begin + room_.n;
        const bool listed = list_partners(module, begin, end, [] { return false; });
        for (std::size_t i = begin; i < end; ++i) {
            const std::uint32_t before = room_.next();
            if (!listed) {  // too many: hit by hit, and piece by piece
                list_partners(module, i, i + 1, [&] {
                    join(i);
                    return true;
                });
            }
            join(i);
            w_.rows[i] = {before, room_.next(), 0};
        }
        code();
        for (std::size_t i = begin; i < end; ++i) place_blocks(i);
    }

private:
    /// What the hits of a module span.
    struct Span {
        float phi_low, phi_high, eta_low, eta_high;
    };
    [[nodiscard]] Span span(std::size_t begin, std::size_t end) const {
        Span s{p_.phi[begin], p_.phi[begin], p_.eta[begin], p_.eta[begin]};
        for (std::size_t i = begin + 1; i < end; ++i) {
            s.phi_low = p_.phi[i] < s.phi_low ? p_.phi[i] : s.phi_low;
            s.phi_high = p_.phi[i] > s.phi_high ? p_.phi[i] : s.phi_high;
            s.eta_low = p_.eta[i] < s.eta_low ? p_.eta[i] : s.eta_low;
            s.eta_high = p_.eta[i] > s.eta_high ? p_.eta[i] : s.eta_high;
        }
        return s;
    }

    /// Which of the hits from @p j on can pass the limits on dphi and deta with any hit within @p s. Rounding keeps the
    /// order of differences, so those with the ends of @p s enclose the others; unless they lie on either side of the
    /// seam of phi, which is then the lesser one.
    Mask reaches(const DoubletLimits& limits, const Span& s, std::size_t j) const {
        const Float phi = Lanes::load(&p_.phi[j]);
        const Float eta = Lanes::load(&p_.eta[j]);
        const Float dphi_low = wrap<Lanes>(phi - Lanes::set(s.phi_high));
        const Float dphi_high = wrap<Lanes>(phi - Lanes::set(s.phi_low));
        const Mask in_phi =
            (Lanes::ge(dphi_high, Lanes::set(limits.dphi.low)) & Lanes::le(dphi_low, Lanes::set(limits.dphi.high))) |
            Lanes::gt(dphi_low, dphi_high);
        const Mask in_eta = Lanes::ge(eta - Lanes::set(s.eta_low), Lanes::set(limits.deta.low)) &
                            Lanes::le(eta - Lanes::set(s.eta_high), Lanes::set(limits.deta.high));
        return in_eta & (s.phi_high - s.phi_low < 3.0f ? in_phi : Lanes::all());
    }

    /// Lists the hits that those of [begin, end) of @p module may form candidates with. Where they are too many, calls
    /// @p make_room, and begins anew; if that refuses, the answer is false.
    template <class MakeRoom>
    bool list_partners(std::size_t module, std::size_t begin, std::size_t end, MakeRoom&& make_room) {
        const Span s = span(begin, end);
        const JoinIndex& index = w_.map.join_index();
        const auto& first_doublet = index.first_doublet;
        const std::size_t first = first_doublet[module];
        std::size_t n = 0;
        for (std::size_t d = first; d < first_doublet[module + 1]; ++d) {
            const std::size_t outer = w_.map.doublet_outer()[d];
            const std::size_t last = w_.module_offsets[outer + 1];
            ask_for(d + 4);
            for (std::size_t j = w_.module_offsets[outer]; j < last; j += Lanes::n) {
                if (n > Partners::capacity - Lanes::n) {
                    end_list(n);
                    if (!make_room()) return false;
                    n = 0;
                }
                const DoubletLimits& limits = w_.map.doublet_limits()[d];
                const auto reached = Lanes::bits(reaches(limits, s, j) & Lanes::first(last - j));
                list(n, j, reached, limits, index.joints[d], static_cast<std::uint32_t>(d - first));
                n += static_cast<std::size_t>(__builtin_popcount(reached));
            }
        }
        end_list(n);
        return true;
    }

    /// Asks memory for the hits that the neighbour of doublet @p d has, which may be no doublet.
    void ask_for(std::size_t d) const {
        if (d >= w_.map.n_doublets()) return;
        const std::size_t j = w_.module_offsets[w_.map.doublet_outer()[d]];
        __builtin_prefetch(&p_.phi[j]);
        __builtin_prefetch(&p_.eta[j]);
        __builtin_prefetch(&p_.r[j]);
        __builtin_prefetch(&p_.z[j]);
    }

    void list(std::size_t n, std::size_t j, std::uint32_t reached, const DoubletLimits& limits, const Joint& joint,
              std::uint32_t doublet) {
        Lanes::store_chosen(&list_.phi[n], Lanes::load(&p_.phi[j]), reached);
        Lanes::store_chosen(&list_.eta[n], Lanes::load(&p_.eta[j]), reached);
        Lanes::store_chosen(&list_.r[n], Lanes::load(&p_.r[j]), reached);
        Lanes::store_chosen(&list_.x[n], Lanes::load(&p_.x[j]), reached);
        Lanes::store_chosen(&list_.y[n], Lanes::load(&p_.y[j]), reached);
        Lanes::store_chosen(&list_.z[n], Lanes::load(&p_.z[j]), reached);
        Lanes::store_chosen(&list_.hit[n], Lanes::count_from(static_cast<std::uint32_t>(j)), reached);
        Lanes::store(&list_.dphi_low[n], Lanes::set(limits.dphi.low));
        Lanes::store(&list_.dphi_high[n], Lanes::set(limits.dphi.high));
        Lanes::store(&list_.deta_low[n], Lanes::set(limits.deta.low));
        Lanes::store(&list_.deta_high[n], Lanes::set(limits.deta.high));
        Lanes::store(&list_.z0_low[n], Lanes::set(limits.z0.low));
        Lanes::store(&list_.z0_high[n], Lanes::set(limits.z0.high));
        Lanes::store(&list_.slope_low[n], Lanes::set(limits.phi_slope.low));
        Lanes::store(&list_.slope_high[n], Lanes::set(limits.phi_slope.high));
        Lanes::store(&list_.doublet[n], Lanes::set(doublet));
        Lanes::store(&list_.window[n], Lanes::set(joint.first | static_cast<std::uint32_t>(joint.last) << 16));
    }

    /// What follows the @p n hits of the list is within no limits.
    void end_list(std::size_t n) {
        Lanes::store(&list_.dphi_low[n], Lanes::set(std::numeric_limits<float>::quiet_NaN()));
        n_partners_ = n;
    }

    [[nodiscard]] static Mask within(Float low, Float value, Float high) {
        return Lanes::ge(value, low) & Lanes::le(value, high);
    }

    /// Finds the candidates of hit @p i with the hits listed.
    void join(std::size_t i) {
        if (room_.begin + room_.n - uncoded_ + n_partners_ > Partners::max_segments) code();
        Partners& l = list_;
        std::size_t n_blocks = 0;
        const Float phi = Lanes::set(p_.phi[i]);
        const Float eta = Lanes::set(p_.eta[i]);
        for (std::size_t k = 0, n = n_partners_; k < n; k += Lanes::n) {
            const Float dphi = wrap<Lanes>(Lanes::load(&l.phi[k]) - phi);
            const Float deta = Lanes::load(&l.eta[k]) - eta;
            const auto passed = Lanes::bits(within(Lanes::load(&l.dphi_low[k]), dphi, Lanes::load(&l.dphi_high[k])) &
                                            within(Lanes::load(&l.deta_low[k]), deta, Lanes::load(&l.deta_high[k])));
            l.block[n_blocks] = static_cast<std::uint32_t>(k);
            l.passed[n_blocks] = passed;
            n_blocks += passed != 0 ? 1 : 0;
        }
        const Float r = Lanes::set(p_.r[i]);
        const Float z = Lanes::set(p_.z[i]);
        const Float x = Lanes::set(p_.x[i]);
        const Float y = Lanes::set(p_.y[i]);
        std::size_t n_found = room_.n;
        const std::size_t first = room_.begin - uncoded_;
        // What is found behind so many: a whole vector still fits in the room, also one of which nothing is kept.
        const std::size_t n_whole = room_.end < room_.begin + Lanes::n ? 0 : room_.end - room_.begin - Lanes::n + 1;
        std::uint32_t* const target = c_.target.data() + room_.begin;
        for (std::size_t b = 0; b < n_blocks; ++b) {
            const std::size_t k = l.block[b];
            const Float dr = divisors<Lanes>(Lanes::load(&l.r[k]) - r);
            const Float dzdr = (Lanes::load(&l.z[k]) - z) / dr;
            const Float slope = wrap<Lanes>(Lanes::load(&l.phi[k]) - phi) / dr;
            const auto hit = Lanes::load(&l.hit[k]);
            const Mask passed = within(Lanes::load(&l.z0_low[k]), z - r * dzdr, Lanes::load(&l.z0_high[k])) &
                                within(Lanes::load(&l.slope_low[k]), slope, Lanes::load(&l.slope_high[k])) &
                                Lanes::differ(hit, static_cast<std::uint32_t>(i));
            const std::uint32_t kept = Lanes::bits(passed) & l.passed[b];
            const std::size_t at = first + n_found;
            Lanes::store_chosen(&l.dx[at], Lanes::load(&l.x[k]) - x, kept);
            Lanes::store_chosen(&l.dy[at], Lanes::load(&l.y[k]) - y, kept);
            Lanes::store_chosen(&l.dzdr[at], dzdr, kept);
            Lanes::store_chosen(&l.doublets[at], Lanes::load(&l.doublet[k]), kept);
            Lanes::store_chosen(&l.windows[at], Lanes::load(&l.window[k]), kept);
            if (n_found < n_whole) [[likely]] {
                Lanes::store_chosen(target + n_found, hit, kept);
            } else {
                keep_last(k, kept, room_.begin + n_found);
            }
            n_found += static_cast<std::size_t>(__builtin_popcount(kept));
        }
        room_.n = n_found;
    }

    /// Where a whole vector would reach into the next task's room, or the room ends.
    void keep_last(std::size_t k, std::uint32_t passed, std::size_t at) {
        for (; passed != 0 && at < room_.end; passed &= passed - 1, ++at) {
            c_.target[at] = list_.hit[k + static_cast<std::size_t>(__builtin_ctz(passed))];
        }
    }

    /// Writes the segments and codes of the candidates since the last time, of those that there is room for.
    void code() {
        const std::size_t end = std::min(room_.begin + room_.n, room_.end);
        std::size_t at = uncoded_;
        for (std::size_t k = 0; at < end; k += Lanes::n, at += Lanes::n) {
            if (at + Lanes::n <= room_.end) {
                code(k, end - at, &c_.segment[at], &c_.code[at], &c_.query[at]);
            } else {
                std::array<Segment, Lanes::n> segments;
                std::array<std::uint16_t, Lanes::n> codes;
                std::array<std::uint32_t, Lanes::n> queries;
                code(k, end - at, segments.data(), codes.data(), queries.data());
                std::copy_n(segments.begin(), end - at, &c_.segment[at]);
                std::copy_n(codes.begin(), end - at, &c_.code[at]);
                std::copy_n(queries.begin(), end - at, &c_.query[at]);
            }
        }
        uncoded_ = room_.begin + room_.n;
    }

    /// The same of a vector of which the first @p n count, from @p k on.
    void code(std::size_t k, std::size_t n, Segment* segment, std::uint16_t* codes, std::uint32_t* queries) {
        const Float dzdr = Lanes::load(&list_.dzdr[k]);
        const auto heading = Lanes::round(heading_of(k, n));
        Lanes::store_segments(segment, dzdr, Lanes::load(&list_.doublets[k]), heading);
        const auto slope = Lanes::round(dzdr * Lanes::set(slope_steps));
        const auto both = Lanes::low_bytes(slope, Lanes::shift_right(heading, heading_cut_log2));
        Lanes::store_halves(codes, both);
        Lanes::store(queries, Lanes::query(both, Lanes::load(&list_.windows[k])));
    }

    /// Writes the codes of what leaves hit @p i again, from a block's begin on; where there is room for all of it.
    void place_blocks(std::size_t i) {
        Row& row = w_.rows[i];
        if (row.end > room_.end) return;
        const std::size_t n = row.end - row.begin;
        std::uint16_t* const first = &c_.blocks[block_size * i];
        place_block(first, row.begin, row.end);
        first[FirstBlock::n_at] = static_cast<std::uint16_t>(std::min<std::size_t>(n, 0xffff));
        std::memcpy(first + FirstBlock::begin_at, &row.begin, sizeof row.begin);
        row.next_block = static_cast<std::uint32_t>(room_.first_block + room_.n_blocks);
        for (std::size_t c = row.begin + FirstBlock::n_codes; c < row.end; c += block_size) {
            place_block(&c_.blocks[block_size * (room_.first_block + room_.n_blocks++)], c, row.end);
        }
    }

    void place_block(std::uint16_t* to, std::size_t begin, std::size_t end) {
        if (begin + block_size <= room_.end) [[likely]] {
            std::memcpy(to, &c_.code[begin], block_size * sizeof(std::uint16_t));
        } else {
            std::copy(c_.code.begin() + static_cast<std::ptrdiff_t>(begin),
                      c_.code.begin() + static_cast<std::ptrdiff_t>(std::min(end, begin + block_size)), to);
        }
    }

    /// Azimuths of the segments from @p k on, in steps. Notes whether any of the first @p n has none to speak of.
    Float heading_of(std::size_t k, std::size_t n) {
        const Float dx = Lanes::load(&list_.dx[k]);
        const Float dy = Lanes::load(&list_.dy[k]);
        const Float ax = magnitude<Lanes>(dx);
        const Float ay = magnitude<Lanes>(dy);
        const auto steep = Lanes::gt(ay, ax);
        const Float larger = Lanes::select(steep, ay, ax);
        // Within these the products that the bend is computed from neither vanish nor overflow.
        const Mask fine = Lanes::ge(larger, Lanes::set(1e-12f)) & Lanes::le(larger, Lanes::set(1e15f));
        room_.headless |= (~Lanes::bits(fine) & Lanes::bits(Lanes::first(n))) != 0;
        const Float t = Lanes::select(steep, ax, ay) / larger;
        const Float w = t * t;
        // The arctangent within 0.122 steps: C. Hastings, Approximations for digital computers (1955), sheet 9.
        Float angle = Lanes::set(0.0208351f * heading_steps) * w - Lanes::set(0.0851330f * heading_steps);
        angle = angle * w + Lanes::set(0.1801410f * heading_steps);
        angle = angle * w - Lanes::set(0.3302995f * heading_steps);
        angle = (angle * w + Lanes::set(0.9998660f * heading_steps)) * t;
        constexpr float turn = heading_steps * two_pi;
        angle = Lanes::select(steep, Lanes::set(turn / 4) - angle, angle);
        angle = Lanes::select(Lanes::gt(Lanes::set(0.0f), dx), Lanes::set(turn / 2) - angle, angle);
        return Lanes::select(Lanes::gt(Lanes::set(0.0f), dy), -angle, angle);
    }

    const GraphWork& w_;
    const PointArrays& p_;
    const Candidates& c_;
    CandidateRoom& room_;
    Partners& list_;
    std::size_t n_partners_ = 0;
    std::size_t uncoded_ = 0;  ///< first candidate whose codes are still to be written
};

}  // namespace
}  // namespace rheinfall::detail
