#pragma once

#include <algorithm>
#include <cstddef>

namespace rheinfall::detail {

/// Bytes of shared memory of a device.
struct SharedMemory {
    std::size_t of_block = 0;  ///< at most
    std::size_t of_multiprocessor = 0;
    std::size_t of_system = 0;  ///< that each block takes besides
};

inline constexpr unsigned most_crew_warps = 8;
inline constexpr std::size_t warps_at_once = 16;  ///< that a multiprocessor has registers for, at 128 each

/// Warps of a block that works on a tile: as many as keep a multiprocessor busy with the tiles that fit into its shared
/// memory, 1, 2, 4 or 8.
constexpr unsigned crew_warps(std::size_t tile_bytes, const SharedMemory& memory) {
    const std::size_t tiles = std::max<std::size_t>(memory.of_multiprocessor / (tile_bytes + memory.of_system), 1);
    unsigned n = 1;
    while (n < most_crew_warps && 2 * n * tiles <= warps_at_once) n *= 2;
    return n;
}

}  // namespace rheinfall::detail
