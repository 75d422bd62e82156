// Rows sorted in registers, written once over a vector `V` of 32-bit lanes. Included inside an anonymous namespace, in
// front of radius_graph_body.hpp; calls nothing of the standard library.

/// Sorts R vectors, read as columns first, by a bitonic network: columns among themselves, then pairs of columns, pairs
/// of those, until all are one; the transposition at the end makes it the order of memory.
template <std::size_t R>
void sort_vectors(std::uint32_t* row, std::size_t n) noexcept {
    V::U r[R];
    for (std::size_t i = n; i < R * V::lanes; ++i) row[i] = 0xFFFFFFFFU;
    for (std::size_t i = 0; i < R; ++i) r[i] = V::load_u(row + i * V::lanes);
    const auto compare = [&](std::size_t a, std::size_t b) {
        const V::U low = V::min(r[a], r[b]);
        r[b] = V::max(r[a], r[b]);
        r[a] = low;
    };
    for (std::size_t p = 1; p < R; p *= 2) {  // Batcher's odd-even merge sort of each column
        for (std::size_t k = p; k >= 1; k /= 2) {
            for (std::size_t j = k % p; j + k < R; j += 2 * k) {
                for (std::size_t i = 0; i < k && i + j + k < R; ++i) {
                    if ((i + j) / (2 * p) == (i + j + k) / (2 * p)) compare(i + j, i + j + k);
                }
            }
        }
    }
    for (unsigned w = 1; w < V::lanes; w *= 2) {
        V::U partner[R];
        for (std::size_t i = 0; i < R; ++i) partner[i] = V::exchange(r[R - 1 - i], 2 * w - 1);
        for (std::size_t i = 0; i < R; ++i) r[i] = V::min_max(r[i], partner[i], w);
        for (unsigned h = w / 2; h >= 1; h /= 2) {
            for (std::size_t i = 0; i < R; ++i) r[i] = V::min_max(r[i], V::exchange(r[i], h), h);
        }
        for (std::size_t h = R / 2; h >= 1; h /= 2) {
            for (std::size_t i = 0; i < R; ++i) {
                if ((i & h) == 0) compare(i, i + h);
            }
        }
    }
    for (std::size_t s = 1; s < R; s *= 2) {
        V::U t[R];
        for (std::size_t i = 0; i < R / 2; ++i) {
            t[2 * i] = V::interleave_low(r[i], r[i + R / 2]);
            t[2 * i + 1] = V::interleave_high(r[i], r[i + R / 2]);
        }
        for (std::size_t i = 0; i < R; ++i) r[i] = t[i];
    }
    for (std::size_t i = 0; i < R; ++i) V::store_u(row + i * V::lanes, r[i]);
}

void sort_row(std::uint32_t* row, std::size_t n) noexcept {
    if (n < 2) return;
    if (n <= V::lanes) return sort_vectors<1>(row, n);
    if (n <= 2 * V::lanes) return sort_vectors<2>(row, n);
    if (n <= 4 * V::lanes) return sort_vectors<4>(row, n);
    if (n <= 8 * V::lanes) return sort_vectors<8>(row, n);
    if (V::registers >= 32 && n <= 16 * V::lanes) return sort_vectors<16>(row, n);
    sort_long_row(row, n);
}
