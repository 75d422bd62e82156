#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace rheinfall::detail {

/// 64-bit checksum of @p bytes against damage (not against intent), fast enough to run at every load: four interleaved
/// multiply-rotate lanes, as in xxHash64 (Y. Collet), whose primes it uses.
inline std::uint64_t checksum(std::span<const std::byte> bytes) noexcept {
    constexpr std::uint64_t prime1 = 0x9E3779B185EBCA87u;
    constexpr std::uint64_t prime2 = 0xC2B2AE3D27D4EB4Fu;
    std::uint64_t lane[4] = {prime1, prime2, prime1 ^ prime2, prime1 + prime2};
    std::size_t i = 0;
    for (; i + 32 <= bytes.size(); i += 32) {
        for (std::size_t k = 0; k < 4; ++k) {
            std::uint64_t word = 0;
            std::memcpy(&word, bytes.data() + i + 8 * k, 8);
            lane[k] = std::rotl(lane[k] + word * prime2, 31) * prime1;
        }
    }
    std::uint64_t hash = bytes.size() * prime1;
    for (const std::uint64_t value : lane) hash = std::rotl(hash ^ value, 27) * prime1 + prime2;
    for (; i < bytes.size(); ++i) hash = std::rotl(hash ^ (static_cast<std::uint64_t>(bytes[i]) * prime1), 11) * prime2;
    hash ^= hash >> 33;
    hash *= prime2;
    return hash ^ (hash >> 29);
}

}  // namespace rheinfall::detail
