#include "tracking/hit_order.hpp"

#include <algorithm>
#include <array>

#include "tracking/detail/hit_order_keys.hpp"

namespace rheinfall::detail {
namespace {

struct Key {
    std::uint64_t module_id;
    std::uint32_t z;
    std::uint32_t hit;
};

/// One stable pass of a radix sort, by the 8 bits that @p digit takes of a key.
template <class Digit>
void sort_by(Digit digit, std::span<const Key> from, std::span<Key> to) noexcept {
    std::array<std::uint32_t, 257> begin{};
    for (const Key& key : from) ++begin[digit(key) + 1];
    for (std::size_t d = 1; d < begin.size(); ++d) begin[d] += begin[d - 1];
    for (const Key& key : from) to[begin[digit(key)]++] = key;
}

/// Sorts @p keys by (module_id, z), stable. Bytes in which all keys agree, most of a module_id's, cost nothing.
std::span<Key> radix_sort(std::span<Key> keys, std::span<Key> other) noexcept {
    std::uint64_t module_bits = 0;
    std::uint32_t z_bits = 0;
    for (const Key& key : keys) {
        module_bits |= key.module_id ^ keys[0].module_id;
        z_bits |= key.z ^ keys[0].z;
    }
    for (unsigned shift = 0; shift < 32; shift += 8) {
        if ((z_bits >> shift & 0xffu) == 0) continue;
        sort_by([shift](const Key& key) { return key.z >> shift & 0xffu; }, keys, other);
        std::swap(keys, other);
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if ((module_bits >> shift & 0xffu) == 0) continue;
        sort_by([shift](const Key& key) { return key.module_id >> shift & 0xffu; }, keys, other);
        std::swap(keys, other);
    }
    return keys;
}

/// Sorts hits that agree in module and z by (phi, x, y, index).
void sort_ties(const HitsView& hits, std::span<Key> keys) noexcept {
    std::ranges::sort(keys, HitTie{hits.x.data(), hits.y.data()}, &Key::hit);
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
    for (std::size_t i = 0; i < n; ++i) {
        first[i] = {hits.module_id[i], sortable(hits.z[i]), static_cast<std::uint32_t>(i)};
    }
    const auto keys = radix_sort(first, second);
    for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
        const auto same = [&](const Key& k) { return k.module_id == keys[begin].module_id && k.z == keys[begin].z; };
        for (end = begin + 1; end < n && same(keys[end]);) ++end;
        if (end - begin > 1) sort_ties(hits, keys.subspan(begin, end - begin));
    }
    for (std::size_t i = 0; i < n; ++i) order[i] = keys[i].hit;
    return true;
}

}  // namespace rheinfall::detail
