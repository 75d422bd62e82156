#pragma once

/// @file
/// `d_walk` of one small component, in registers and the first cache.

#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "tracking/detail/edge_rows.hpp"

namespace rheinfall::detail {

/// Takes the heaviest path of a component of at most `most_hits` hits, again and again. The best paths of all hits that
/// are left are chosen anew each time: that is some ten edges, and needs to know of no parents.
class SmallDWalk {
public:
    static constexpr std::size_t most_hits = 64;  ///< a set of hits is one word

    /// @p out: rows by place, as are the neighbours; the component's places are [@p begin, @p end).
    SmallDWalk(const EdgeRows& out, Index begin, Index end) noexcept : out_(out), begin_(begin), n_(end - begin) {
        std::array<std::uint8_t, most_hits> edges_left{};  // from at most 63 hits
        for (Index e = out.offsets[begin]; e < out.offsets[end]; ++e) ++edges_left[out.neighbour[e] - begin];
        std::size_t ready = 0;
        for (Index v = 0; v < n_; ++v) {
            order_[ready] = static_cast<std::uint8_t>(v);
            ready += edges_left[v] == 0 ? 1U : 0U;
            if (ready == n_) break;
        }
        for (std::size_t done = 0; done < ready; ++done) {
            const Index v = order_[done];
            for (Index e = out.offsets[begin + v]; e < out.offsets[begin + v + 1]; ++e) {
                const Index child = out.neighbour[e] - begin;
                if (--edges_left[child] == 0) order_[ready++] = static_cast<std::uint8_t>(child);
            }
        }
    }

    /// Fills @p root, by hit, from @p hit_of, the hit of each place, ascending within the component.
    void take_all(std::span<const Index> hit_of, std::span<Index> root) noexcept {
        free_ = n_ < most_hits ? bit(n_) - 1 : ~std::uint64_t{0};
        while (choose_paths()) {
            std::uint64_t path = 0;
            for (unsigned v = find_best_source(); v != none; v = next_[v]) path |= bit(v);
            set_root(path, hit_of, root);
            free_ &= ~path;
        }
        for (; free_ != 0; free_ &= free_ - 1) set_root(free_ & -free_, hit_of, root);
    }

private:
    static constexpr std::uint8_t none = 255;

    static std::uint64_t bit(unsigned v) noexcept { return std::uint64_t{1} << v; }

    /// Best paths of the hits that are left; false if none of them has an edge left.
    bool choose_paths() noexcept {
        led_to_ = 0;
        for (std::size_t i = n_; i-- > 0;) {
            const unsigned v = order_[i];
            if ((free_ & bit(v)) == 0) continue;
            double best = 0.0;
            std::uint8_t next = none;
            for (Index e = out_.offsets[begin_ + v]; e < out_.offsets[begin_ + v + 1]; ++e) {
                const unsigned child = out_.neighbour[e] - begin_;
                if ((free_ & bit(child)) == 0) continue;
                led_to_ |= bit(child);
                const double sum = static_cast<double>(out_.score[e]) + heaviest_[child];
                const bool better = (next == none) | (sum > best);  // children ascend: ties go to the smaller
                best = better ? sum : best;
                next = better ? static_cast<std::uint8_t>(child) : next;
            }
            heaviest_[v] = best;
            next_[v] = next;
        }
        return led_to_ != 0;
    }

    [[nodiscard]] unsigned find_best_source() const noexcept {
        std::uint64_t sources = free_ & ~led_to_;
        auto best = static_cast<unsigned>(std::countr_zero(sources));
        for (sources &= sources - 1; sources != 0; sources &= sources - 1) {
            const auto v = static_cast<unsigned>(std::countr_zero(sources));
            best = heaviest_[v] > heaviest_[best] ? v : best;
        }
        return best;
    }

    void set_root(std::uint64_t path, std::span<const Index> hit_of, std::span<Index> root) const noexcept {
        const Index smallest = hit_of[begin_ + static_cast<Index>(std::countr_zero(path))];
        for (; path != 0; path &= path - 1)
            root[hit_of[begin_ + static_cast<Index>(std::countr_zero(path))]] = smallest;
    }

    const EdgeRows& out_;
    Index begin_, n_;
    std::uint64_t free_ = 0;    ///< hits that are not retired
    std::uint64_t led_to_ = 0;  ///< those with an edge in from another
    std::array<double, most_hits> heaviest_;
    std::array<std::uint8_t, most_hits> next_, order_;
};

}  // namespace rheinfall::detail
