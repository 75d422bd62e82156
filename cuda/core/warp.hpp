#pragma once

#include <cstdint>

namespace rheinfall::detail {

/// The warp that calls, as bodies of tiles use one; all its threads are there.
class CudaWarp {
public:
    static constexpr unsigned lane_count = 32;

    /// Registers of each lane.
    template <class T>
    class PerLane {
    public:
        __device__ T& operator[](std::int32_t /*lane*/) { return mine_; }
        __device__ T& mine() { return mine_; }

    private:
        T mine_;
    };

    /// Calls f(lane) for each lane; what lanes wrote to memory is then there for all.
    template <class F>
    __device__ void lanes(F&& f) const {
        f(static_cast<std::int32_t>(threadIdx.x % lane_count));
        __syncwarp();
    }
    /// Adds the product of inputs of 16 rows and weights of 8 outputs to their sums, in bf16 on tensor cores.
    template <class Fragments>
    __device__ void mma(PerLane<Fragments>& fragments, int m, int n) const {
        float (&sums)[4] = fragments.mine().sums[m][n];
        const std::uint32_t (&inputs)[4] = fragments.mine().inputs[m];
        const std::uint32_t (&weights)[2] = fragments.mine().weights[n];
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
            : "r"(inputs[0]), "r"(inputs[1]), "r"(inputs[2]), "r"(inputs[3]), "r"(weights[0]), "r"(weights[1]));
#else
        __trap();  // networks in bf16 are refused on such devices
#endif
    }
};

/// The block that calls, all of whose threads are there.
class CudaCrew {
public:
    [[nodiscard]] __device__ std::int32_t n_warps() const {
        return static_cast<std::int32_t>(blockDim.x / CudaWarp::lane_count);
    }
    /// Calls f(warp, number) for each warp; what warps wrote to memory is then there for all.
    template <class F>
    __device__ void warps(F&& f) const {
        f(CudaWarp(), static_cast<std::int32_t>(threadIdx.x / CudaWarp::lane_count));
        __syncthreads();
    }
    template <class F>
    __device__ void threads(F&& f) const {
        f(static_cast<std::int32_t>(threadIdx.x % CudaWarp::lane_count),
          static_cast<std::int32_t>(threadIdx.x / CudaWarp::lane_count));
        __syncthreads();
    }
};

}  // namespace rheinfall::detail
