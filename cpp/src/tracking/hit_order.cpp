#include "tracking/hit_order.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "tracking/detail/hit_order_keys.hpp"

namespace rheinfall::detail {
namespace {

struct Key {
    std::uint64_t module;
    std::uint32_t z;
    std::uint32_t hit;
};

/// The bits in which numbers differ, side by side and in their order: those of an event's module_ids are some 20 of 64.
class VaryingBits {
public:
    explicit VaryingBits(std::uint64_t differ) noexcept {
        while (differ != 0) {
            const auto shift = static_cast<unsigned>(std::countr_zero(differ));
            const auto width = static_cast<unsigned>(std::countr_one(differ >> shift));
            const std::uint64_t mask = (~std::uint64_t{0} >> (64 - width)) << shift;
            runs_[n_runs_++] = {mask, shift - n_bits_};
            n_bits_ += width;
            differ &= ~mask;
        }
    }

    [[nodiscard]] std::uint64_t of(std::uint64_t number) const noexcept {
        std::uint64_t bits = 0;
        for (std::size_t i = 0; i < n_runs_; ++i) bits |= (number & runs_[i].mask) >> runs_[i].shift;
        return bits;
    }

    [[nodiscard]] unsigned n_bits() const noexcept { return n_bits_; }

private:
    struct Run {
        std::uint64_t mask;
        unsigned shift;
    };
    std::array<Run, 32> runs_{};
    std::size_t n_runs_ = 0;
    unsigned n_bits_ = 0;
};

constexpr unsigned digit_bits = 11;

/// One stable pass of a radix sort, by the bits from @p shift on of what @p part takes of a key.
template <class Part>
void sort_by(Part part, unsigned shift, std::span<const Key> from, std::span<Key> to) noexcept {
    std::array<std::uint32_t, (1U << digit_bits) + 1> begin{};
    const auto digit = [part, shift](const Key& key) { return part(key) >> shift & ((1U << digit_bits) - 1); };
    for (const Key& key : from) ++begin[digit(key) + 1];
    for (std::size_t d = 1; d < begin.size(); ++d) begin[d] += begin[d - 1];
    for (const Key& key : from) to[begin[digit(key)]++] = key;
}

/// Sorts @p keys by (module, z), stable, where modules have so many bits.
std::span<Key> radix_sort(std::span<Key> keys, std::span<Key> other, unsigned module_bits) noexcept {
    for (unsigned shift = 0; shift < 32; shift += digit_bits) {
        sort_by([](const Key& key) { return key.z; }, shift, keys, other);
        std::swap(keys, other);
    }
    for (unsigned shift = 0; shift < module_bits; shift += digit_bits) {
        sort_by([](const Key& key) { return key.module; }, shift, keys, other);
        std::swap(keys, other);
    }
    return keys;
}

/// Sorts hits that agree in module and z by (phi, x, y, index). On the modules of a disc all do, and their z make room
/// for phi, which is then computed once.
void sort_ties(const HitsView& hits, std::span<Key> keys) noexcept {
    const HitTie tie{hits.x.data(), hits.y.data()};
    for (Key& key : keys) key.z = tie.phi_of(key.hit);
    std::ranges::sort(keys, [&tie](const Key& a, const Key& b) { return a.z != b.z ? a.z < b.z : tie(a.hit, b.hit); });
}

}  // namespace

std::size_t hit_order_workspace_size(std::size_t n_hits) noexcept {
    return 2 * Workspace::padded<Key>(n_hits);
}

bool canonical_hit_order(const HitsView& hits, std::span<std::uint32_t> order, Workspace& workspace) noexcept {
    const std::size_t n = hits.size();
    if (n == 0) return true;
    const WorkspaceScope scope(workspace);
    const auto first = workspace.take<Key>(n);
    const auto second = workspace.take<Key>(n);
    if (workspace.overflowed()) return false;
    std::uint64_t differ = 0;
    for (const std::uint64_t id : hits.module_id) differ |= id ^ hits.module_id[0];
    const VaryingBits varying(differ);
    for (std::size_t i = 0; i < n; ++i) {
        first[i] = {varying.of(hits.module_id[i]), sortable(hits.z[i]), static_cast<std::uint32_t>(i)};
    }
    const auto keys = radix_sort(first, second, varying.n_bits());
    for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
        const auto same = [&](const Key& k) { return k.module == keys[begin].module && k.z == keys[begin].z; };
        for (end = begin + 1; end < n && same(keys[end]);) ++end;
        if (end - begin > 1) sort_ties(hits, keys.subspan(begin, end - begin));
    }
    for (std::size_t i = 0; i < n; ++i) order[i] = keys[i].hit;
    return true;
}

}  // namespace rheinfall::detail
