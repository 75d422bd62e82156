// The peak of multiply-adds in float32 on one thread: independent chains of them in registers, nothing fetched. What
// the engines' rates are shares of.
#include <benchmark/benchmark.h>

#if defined(__x86_64__)
#include <immintrin.h>

namespace {

constexpr int n_chains = 12;  // more than latency times issue width of any core, fewer than registers
constexpr int n_steps = 4096;

// Both instruction sets spelled out: a function compiled for one cannot be a template's argument for another.
__attribute__((target("avx512f"))) void fma_avx512(benchmark::State& state) {
    __m512 sum[n_chains];  // NOLINT(modernize-avoid-c-arrays): a template would drop the vector's attributes
    for (auto& s : sum) s = _mm512_setzero_ps();
    __m512 a = _mm512_set1_ps(0.5F);
    __m512 b = _mm512_set1_ps(0.25F);
    for (auto _ : state) {
        benchmark::DoNotOptimize(a);
        benchmark::DoNotOptimize(b);
        for (int i = 0; i < n_steps; ++i) {
#pragma GCC unroll 12
            for (auto& s : sum) s = _mm512_fmadd_ps(s, a, b);
        }
    }
    for (auto& s : sum) benchmark::DoNotOptimize(s);
    state.counters["FLOP"] =
        benchmark::Counter(2.0 * 16 * n_chains * n_steps, benchmark::Counter::kIsIterationInvariantRate);
}

__attribute__((target("avx2,fma"))) void fma_avx2(benchmark::State& state) {
    __m256 sum[n_chains];  // NOLINT(modernize-avoid-c-arrays): a template would drop the vector's attributes
    for (auto& s : sum) s = _mm256_setzero_ps();
    __m256 a = _mm256_set1_ps(0.5F);
    __m256 b = _mm256_set1_ps(0.25F);
    for (auto _ : state) {
        benchmark::DoNotOptimize(a);
        benchmark::DoNotOptimize(b);
        for (int i = 0; i < n_steps; ++i) {
#pragma GCC unroll 12
            for (auto& s : sum) s = _mm256_fmadd_ps(s, a, b);
        }
    }
    for (auto& s : sum) benchmark::DoNotOptimize(s);
    state.counters["FLOP"] =
        benchmark::Counter(2.0 * 8 * n_chains * n_steps, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        benchmark::RegisterBenchmark("fma_avx2", fma_avx2);
    }
    if (__builtin_cpu_supports("avx512f")) benchmark::RegisterBenchmark("fma_avx512", fma_avx512);
    benchmark::RunSpecifiedBenchmarks();
}
#else
int main() {
    return 77;  // no figure for this machine
}
#endif
