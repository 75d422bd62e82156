#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tracking/detail/edge_rows.hpp"

namespace rheinfall::detail {

/// Longest track that is put in order by counting, all pairs compared without a branch; longer ones are sorted.
inline constexpr std::size_t most_counted = 64;

#if defined(__x86_64__)
/// Writes @p hits, ascending and at most `most_counted`, by distance, then index. Needs the instructions of its name.
void order_by_distance_avx512(std::span<const double> distance2, std::span<const Index> hits,
                              std::int64_t* to) noexcept;
#endif

}  // namespace rheinfall::detail
