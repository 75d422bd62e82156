// Included by kernels_avx512.cpp behind kernels_body.hpp, inside its namespace: no include guard, no include.
// Inputs of a tile: see TilePack. Sixteen events at a time; four dwords of each of them make four columns.

/// Rows, of which @p at gives the address of the one with a number: their first sixteen bytes as four columns.
template <class At>
[[gnu::always_inline]] inline void quad_columns(V (&column)[4], At at, __mmask16 bytes = 0xffff) noexcept {
    const auto row = [&](std::size_t i) { return _mm_maskz_loadu_epi8(bytes, at(i)); };
    const auto whole = [&](std::size_t i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at(i))); };
    __m512i r[4];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
        if (bytes == 0xffff) {
            r[i] = _mm512_inserti32x4(_mm512_castsi128_si512(whole(i)), whole(i + 4), 1);
            r[i] = _mm512_inserti32x4(_mm512_inserti32x4(r[i], whole(i + 8), 2), whole(i + 12), 3);
        } else {
            r[i] = _mm512_inserti32x4(_mm512_castsi128_si512(row(i)), row(i + 4), 1);
            r[i] = _mm512_inserti32x4(_mm512_inserti32x4(r[i], row(i + 8), 2), row(i + 12), 3);
        }
    }
    const __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpacklo_epi32(r[2], r[3]);
    const __m512i c = _mm512_unpackhi_epi32(r[0], r[1]), d = _mm512_unpackhi_epi32(r[2], r[3]);
    column[0] = {_mm512_unpacklo_epi64(a, b)};
    column[1] = {_mm512_unpackhi_epi64(a, b)};
    column[2] = {_mm512_unpacklo_epi64(c, d)};
    column[3] = {_mm512_unpackhi_epi64(c, d)};
}

inline constexpr std::size_t pack_events = 16;
inline constexpr std::size_t pack_stride = 192;  // bytes of a packed row: 64 values of 16 bits, 64 rests, and more

/// Smallest and largest of what was read; lanes of T.
template <class T>
struct Extremes {
    V low = zero();
    V high = zero();

    [[gnu::always_inline]] void note(V x) noexcept {
        constexpr bool is_signed = static_cast<T>(-1) < 0;
        if constexpr (sizeof(T) == 1 && is_signed) {
            low = {_mm512_min_epi8(low.v, x.v)};
            high = {_mm512_max_epi8(high.v, x.v)};
        } else if constexpr (sizeof(T) == 1) {
            high = {_mm512_max_epu8(high.v, x.v)};
        } else if constexpr (sizeof(T) == 2) {
            low = {_mm512_min_epi16(low.v, x.v)};
            high = {_mm512_max_epi16(high.v, x.v)};
        } else {
            low = min(low, x);
            high = max(high, x);
        }
    }
    /// Zero is in every range, so that nothing is lost by its being among the values.
    [[nodiscard]] bool outside(std::int32_t smallest, std::int32_t largest) const noexcept {
        alignas(64) T lows[64 / sizeof(T)], highs[64 / sizeof(T)];
        store(lows, low);
        store(highs, high);
        bool any = false;
        for (std::size_t i = 0; i < 64 / sizeof(T); ++i) any |= lows[i] < smallest || highs[i] > largest;
        return any;
    }
};

/// True if no T lies outside.
template <class T>
[[gnu::always_inline]] inline bool holds_all(const TilePack& s) noexcept {
    constexpr bool is_signed = static_cast<T>(-1) < 0;
    constexpr std::int64_t n = std::int64_t{1} << (8 * sizeof(T) - (is_signed ? 1 : 0));
    return s.smallest <= (is_signed ? -n : 0) && s.largest >= n - 1;
}

/// Elements that are one lane of a group each as they are, but for the offset.
template <class T>
bool pack_plain(const TilePack& s, const std::byte* events, std::size_t n_events, std::size_t event_bytes,
                std::byte* tile) noexcept {
    const std::size_t row_bytes = s.n_elements * sizeof(T);
    const V offset = {_mm512_set1_epi8(static_cast<char>(s.offset))};  // of bytes only: 16-bit lanes have none
    const bool checks = !holds_all<T>(s);
    Extremes<T> seen;
    for (std::size_t e = 0; e < n_events; e += pack_events) {
        const std::byte* row[pack_events];
        for (std::size_t i = 0; i < pack_events; ++i)
            row[i] = events + (e + i < n_events ? e + i : n_events - 1) * event_bytes;
        std::byte* to = tile + e * dword;
        for (std::size_t at = 0; at < row_bytes; at += 16, to += 4 * tile_row) {
            V column[4];
            const std::size_t left = row_bytes - at;
            const auto address = [&](std::size_t i) { return row[i] + at; };
            if (left >= 16)
                quad_columns(column, address);
            else
                quad_columns(column, address, static_cast<__mmask16>((1u << left) - 1));
            const std::size_t n = (left + 3) / 4;
#pragma GCC unroll 4
            for (std::size_t k = 0; k < 4; ++k) {
                if (k >= n) break;
                if (checks) seen.note(column[k]);
                if constexpr (sizeof(T) == 1) column[k] = {_mm512_add_epi8(column[k].v, offset.v)};
                store(to + k * tile_row, column[k]);
            }
        }
    }
    return checks && seen.outside(s.smallest, s.largest);
}

/// Rests of a row by one of s.rests, from the lanes that have them in their lower halves.
struct RestVector {
    __m512i first, second, right;
    __mmask32 first_mask, second_mask;

    explicit RestVector(const TilePack::Rests& r) noexcept
        : first(_mm512_loadu_si512(r.first)),
          second(_mm512_loadu_si512(r.second)),
          right(_mm512_loadu_si512(r.right)),
          first_mask(r.first_mask),
          second_mask(r.second_mask) {}

    [[gnu::always_inline]] void store_bytes(std::byte* to, const V (&t)[4]) const noexcept {
        const __m512i a = _mm512_maskz_permutex2var_epi16(first_mask, t[0].v, first, t[1].v);
        const __m512i b = _mm512_maskz_permutex2var_epi16(second_mask, t[2].v, second, t[3].v);
        const __m512i rests = _mm512_srlv_epi16(_mm512_or_si512(a, b), right);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi16_epi8(rests));
    }
};

/// Up to 64 elements from @p first on, in N vectors, by an addition and two shifts. True if one lies outside.
template <class T, int N, bool HasRests>
bool pack_some(const TilePack& s, std::size_t first, const std::byte* events, std::size_t n_events,
               std::size_t event_bytes, std::byte* tile) noexcept {
    V constant[N], left[N];
    __m512i right[2];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < N; ++i) {
        constant[i] = load(s.add + first + 16 * i);
        left[i] = load(s.left + first + 16 * i);
    }
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 2; ++i) right[i] = _mm512_loadu_si512(s.right + first + 32 * i);
    // Halves 1, 3, 5, ... of two vectors.
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i upper =
        _mm512_add_epi32(_mm512_set1_epi32(0x00030001), _mm512_mullo_epi32(lane, _mm512_set1_epi32(0x00040004)));
    const std::size_t in_last = s.n_elements - first - 16 * (N - 1);
    const std::size_t n_words = s.n_elements - first < pack_columns ? s.n_elements - first : pack_columns;
    const std::size_t word_groups = (n_words + 1) / 2;
    const std::size_t n_groups = HasRests ? s.n_groups : word_groups;
    const RestVector rests(HasRests ? s.rests[0] : TilePack::Rests{});
    std::byte* const out = tile + first / 2 * tile_row;
    alignas(64) std::byte rows[pack_events][pack_stride];
    Extremes<std::int32_t> seen;
    for (std::size_t e = 0; e < n_events; e += pack_events) {
        for (std::size_t r = 0; r < pack_events; ++r) {
            const std::size_t event = e + r < n_events ? e + r : n_events - 1;
            const T* from = reinterpret_cast<const T*>(events + event * event_bytes) + first;
            V t[4] = {zero(), zero(), zero(), zero()};
#pragma GCC unroll 4
            for (std::size_t i = 0; i < N; ++i) {
                V x = i + 1 < N || in_last >= 16 ? load_all(from + 16 * i)
                                                 : load_first(from + 16 * i, static_cast<int>(in_last));
                // Or gcc loads it for each use; rows are not aligned, so that every load takes two lines.
                asm("" : "+v"(x.v));
                seen.note(x);
                t[i] = shl(add(x, constant[i]), left[i]);
            }
#pragma GCC unroll 2
            for (std::size_t i = 0; i < (N + 1) / 2; ++i) {
                const __m512i high = _mm512_permutex2var_epi16(t[2 * i].v, upper, t[2 * i + 1].v);
                store(rows[r] + 64 * i, {_mm512_srav_epi16(high, right[i])});
            }
            if constexpr (HasRests) {
                rests.store_bytes(rows[r] + word_groups * dword, t);
                if (s.n_rests > 32) RestVector(s.rests[1]).store_bytes(rows[r] + word_groups * dword + 32, t);
            }
        }
        for (std::size_t g = 0; g < n_groups; g += 4) {
            V column[4];
            quad_columns(column, [&](std::size_t i) { return rows[i] + g * dword; });
            std::byte* to = out + g * tile_row + e * dword;
#pragma GCC unroll 4
            for (std::size_t k = 0; k < 4; ++k)
                if (g + k < n_groups) store(to + k * tile_row, column[k]);
        }
    }
    return seen.outside(s.smallest, s.largest);
}

template <class T>
bool pack_shifted(const TilePack& s, const std::byte* events, std::size_t n_events, std::size_t event_bytes,
                  std::byte* tile) noexcept {
    bool outside = false;
    for (std::size_t first = 0; first < s.n_elements; first += pack_columns) {
        const auto pack = [&]<int N>() {
            return s.n_rests > 0 ? pack_some<T, N, true>(s, first, events, n_events, event_bytes, tile)
                                 : pack_some<T, N, false>(s, first, events, n_events, event_bytes, tile);
        };
        switch ((s.n_elements - first + 15) / 16) {
            case 1: outside |= pack.template operator()<1>(); break;
            case 2: outside |= pack.template operator()<2>(); break;
            case 3: outside |= pack.template operator()<3>(); break;
            default: outside |= pack.template operator()<4>(); break;
        }
    }
    return outside;
}

constexpr void fill_packs(Kernels& k) noexcept {
    k.pack_shifted[0] = pack_shifted<std::int8_t>;
    k.pack_shifted[1] = pack_shifted<std::int16_t>;
    k.pack_shifted[2] = pack_shifted<std::int32_t>;
    k.pack_shifted[4] = pack_shifted<std::uint8_t>;
    k.pack_shifted[5] = pack_shifted<std::uint16_t>;
    const auto bytes = static_cast<std::size_t>(Lanes::u8);
    k.pack_plain[bytes][0] = pack_plain<std::int8_t>;
    k.pack_plain[bytes][4] = pack_plain<std::uint8_t>;
    k.pack_plain[static_cast<std::size_t>(Lanes::s16)][1] = pack_plain<std::int16_t>;
}
