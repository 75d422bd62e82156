#include "quantized/read_floats.hpp"
#include "core/instruction_sets.hpp"

namespace rheinfall::quantized {
namespace {

/// A conversion to a type of at most 31 bits and no negative number of fraction bits, as numbers of a loop.
struct Parameters {
    double scale;  // 2^F
    // When to add 1 to the floor, 0 or -1 (all bits):
    std::int32_t above_half;   // beyond a half,
    std::int32_t tie;          // at a half,
    std::int32_t tie_below_0;  // or there for some values alone,
    std::int32_t tie_from_0;
    std::int32_t tie_to_even;
    std::int32_t below_0;  // or wherever a negative value is no integer
    Overflow overflow;
    std::uint32_t mask;  // the type's bits
    std::int32_t lowest;
    std::int32_t highest;
};

Parameters make_parameters(const FixedType& type) noexcept {
    const Rounding r = type.rounding;
    const bool truncates = r == Rounding::trn || r == Rounding::trn_zero;
    Parameters p{};
    p.scale = static_cast<double>(std::uint64_t{1} << static_cast<unsigned>(type.fraction()));
    p.above_half = !truncates ? -1 : 0;
    p.tie = r == Rounding::rnd ? -1 : 0;
    p.tie_below_0 = r == Rounding::rnd_zero ? -1 : 0;
    p.tie_from_0 = r == Rounding::rnd_inf ? -1 : 0;
    p.tie_to_even = r == Rounding::rnd_conv ? -1 : 0;
    p.below_0 = r == Rounding::trn_zero ? -1 : 0;
    p.overflow = type.overflow;
    p.mask = (std::uint32_t{1} << static_cast<unsigned>(type.width)) - 1;
    const int magnitude = type.width - (type.is_signed ? 1 : 0);
    p.highest = static_cast<std::int32_t>((std::uint32_t{1} << static_cast<unsigned>(magnitude)) - 1);
    p.lowest = !type.is_signed ? 0 : type.overflow == Overflow::sat_sym ? -p.highest : -p.highest - 1;
    return p;
}

template <Overflow overflow>
[[gnu::always_inline]] inline std::int32_t fit(std::int32_t q, const Parameters& p) noexcept {
    if constexpr (overflow == Overflow::wrap) {
        const auto lowest = static_cast<std::uint32_t>(p.lowest);
        return static_cast<std::int32_t>(((static_cast<std::uint32_t>(q) - lowest) & p.mask) + lowest);
    } else if constexpr (overflow == Overflow::sat_zero) {
        return q >= p.lowest && q <= p.highest ? q : 0;
    } else {
        const std::int32_t above = q < p.lowest ? p.lowest : q;
        return above > p.highest ? p.highest : above;
    }
}

/// Work is float where every s below the limit keeps a bit for its half, else double. The comparisons with f + 1/2 are
/// exact, where the difference s - f would not be.
template <Overflow overflow, class Work, class Source>
[[gnu::always_inline]] inline bool convert_all(const Source* from, std::size_t n, const Parameters& p,
                                               std::int64_t* stored) noexcept {
    constexpr Work limit = sizeof(Work) == 4 ? Work{1 << 22} : Work{1 << 30};
    const Work scale = static_cast<Work>(p.scale);
    // Masks of all bits instead of truth values: those the compilers turn into vectors.
    std::int32_t is_bad = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const Work s = static_cast<Work>(from[i]) * scale;  // exact: a power of two, and F >= 0
        const Work low = s > -limit ? s : -limit;           // also for NaN
        const Work safe = low < limit ? low : limit;
        is_bad |= safe == s ? 0 : -1;
        auto q = static_cast<std::int32_t>(safe);
        q += static_cast<Work>(q) > safe ? -1 : 0;  // the floor
        const Work half = static_cast<Work>(q) + Work{0.5};
        const std::int32_t negative = safe < Work{0} ? -1 : 0;
        const std::int32_t above = safe > half ? -1 : 0;
        const std::int32_t at = safe == half ? -1 : 0;
        const std::int32_t whole = static_cast<Work>(q) == safe ? -1 : 0;
        const std::int32_t tie =
            p.tie | (p.tie_below_0 & negative) | (p.tie_from_0 & ~negative) | (p.tie_to_even & -(q & 1));
        q -= (p.above_half & above) | (tie & at) | (p.below_0 & negative & ~whole);
        stored[i] = fit<overflow>(q, p);
    }
    return is_bad == 0;
}

template <class Work, class Source>
[[gnu::always_inline]] inline bool convert_by_overflow(const Source* from, std::size_t n, const Parameters& p,
                                                       std::int64_t* stored) noexcept {
    switch (p.overflow) {
        case Overflow::wrap: return convert_all<Overflow::wrap, Work>(from, n, p, stored);
        case Overflow::sat_zero: return convert_all<Overflow::sat_zero, Work>(from, n, p, stored);
        case Overflow::sat:
        case Overflow::sat_sym: break;
    }
    return convert_all<Overflow::sat, Work>(from, n, p, stored);
}

template <class Work, class Source>
bool convert_portable(const Source* from, std::size_t n, const Parameters& p, std::int64_t* stored) noexcept {
    return convert_by_overflow<Work>(from, n, p, stored);
}

#if defined(__x86_64__)
template <class Work, class Source>
[[gnu::target("avx2,fma")]] bool convert_avx2(const Source* from, std::size_t n, const Parameters& p,
                                              std::int64_t* stored) noexcept {
    return convert_by_overflow<Work>(from, n, p, stored);
}

template <class Work, class Source>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] bool convert_avx512(const Source* from, std::size_t n,
                                                                          const Parameters& p,
                                                                          std::int64_t* stored) noexcept {
    return convert_by_overflow<Work>(from, n, p, stored);
}

enum class Width : std::uint8_t { portable, avx2, avx512 };

const Width machine = rheinfall::detail::has_avx512()                                   ? Width::avx512
                      : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? Width::avx2
                                                                                        : Width::portable;
#endif

template <class Work, class Source>
bool convert(const Source* from, std::size_t n, const Parameters& p, std::int64_t* stored) noexcept {
#if defined(__x86_64__)
    if (machine == Width::avx512) return convert_avx512<Work>(from, n, p, stored);
    if (machine == Width::avx2) return convert_avx2<Work>(from, n, p, stored);
#endif
    return convert_portable<Work>(from, n, p, stored);
}

/// Types of more bits, or of coarser steps than 1, are rare; one signed bit has no range that is symmetric.
bool is_common(const FixedType& type) noexcept {
    return type.width >= 2 && type.width <= 31 && type.fraction() >= 0 && type.fraction() <= 60;
}

}  // namespace

bool read_floats(const float* from, std::size_t n, const FixedType& type, std::int64_t* stored) noexcept {
    if (!is_common(type)) return false;
    const Parameters p = make_parameters(type);
    return type.width <= 22 ? convert<float>(from, n, p, stored) : convert<double>(from, n, p, stored);
}

bool read_floats(const double* from, std::size_t n, const FixedType& type, std::int64_t* stored) noexcept {
    if (!is_common(type)) return false;
    return convert<double>(from, n, make_parameters(type), stored);
}

}  // namespace rheinfall::quantized
