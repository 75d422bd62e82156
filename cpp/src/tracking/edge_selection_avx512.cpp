// The edges above the cut, sixteen at a time.
#if defined(__x86_64__)
#include <immintrin.h>

#include "tracking/edge_selection.hpp"

// The instructions are chosen: what follows is compiled with them.
#include "tracking/target_avx512.hpp"

namespace rheinfall::detail {
namespace {

__m512i load(const std::int64_t* from) noexcept {
    const __m256i low = _mm512_cvtepi64_epi32(_mm512_loadu_si512(from));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm512_cvtepi64_epi32(_mm512_loadu_si512(from + 8)), 1);
}

}  // namespace

Copied copy_edges_avx512(float cut, bool keeps_loops, const ScoredGraph& graph, std::size_t first,
                         const EdgeList& edges) noexcept {
    const std::int64_t* sources = graph.edges.source.data() + first;
    const std::int64_t* targets = graph.edges.target.data() + first;
    const float* scores = graph.scores.data() + first;
    const std::size_t n = edges.score.size();
    Index* to_source = edges.source.data();
    Index* to_target = edges.target.data();
    float* to_score = edges.score.data();
    Copied copied;
    for (; copied.n_seen + 16 <= n; copied.n_seen += 16) {
        const __m512i source = load(sources + copied.n_seen);
        const __m512i target = load(targets + copied.n_seen);
        const __m512 score = _mm512_loadu_ps(scores + copied.n_seen);
        const __mmask16 no_number = _mm512_fpclass_ps_mask(score, 0x99);  // NaN, infinities
        const __mmask16 above = _mm512_cmp_ps_mask(score, _mm512_set1_ps(cut), _CMP_GT_OQ);
        const __mmask16 no_loop = keeps_loops ? __mmask16{0xFFFF} : _mm512_cmpneq_epi32_mask(source, target);
        const auto kept = static_cast<__mmask16>(above & no_loop & ~no_number);
        // Sixteen are written and some of them counted: no more are kept than were seen, so that there is room.
        _mm512_storeu_si512(to_source + copied.n_kept, _mm512_maskz_compress_epi32(kept, source));
        _mm512_storeu_si512(to_target + copied.n_kept, _mm512_maskz_compress_epi32(kept, target));
        _mm512_storeu_ps(to_score + copied.n_kept, _mm512_maskz_compress_ps(kept, score));
        copied.n_kept += static_cast<std::size_t>(__builtin_popcount(kept));
        copied.finite &= no_number == 0;
    }
    return copied;
}

}  // namespace rheinfall::detail

#include "tracking/target_end.hpp"
#endif
