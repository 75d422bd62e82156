#pragma once

/// @file
/// What the programs that time a CUDA device share: streams, copies, times by its events, a report.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "core/device_buffer.hpp"
#include "event_file.hpp"

namespace bench {

constexpr int n_repetitions = 15;

/// A stream of its own.
struct Stream {
    cudaStream_t stream = nullptr;
    Stream() { RHEINFALL_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)); }
    ~Stream() { static_cast<void>(cudaStreamDestroy(stream)); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
};

/// A copy in device memory.
template <class T>
rheinfall::DeviceBuffer<T> upload(const std::vector<T>& values, cudaStream_t stream) {
    rheinfall::DeviceBuffer<T> buffer(values.size());
    buffer.copy_from(values, stream);
    RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(stream));
    return buffer;
}

/// Seconds of the median of some repetitions on @p stream, after one to warm up.
template <class Work>
double time_median(Work work, cudaStream_t stream = nullptr) {
    cudaEvent_t begin = nullptr, end = nullptr;
    RHEINFALL_CUDA_CHECK(cudaEventCreate(&begin));
    RHEINFALL_CUDA_CHECK(cudaEventCreate(&end));
    std::vector<float> ms;
    for (int i = 0; i <= n_repetitions; ++i) {
        RHEINFALL_CUDA_CHECK(cudaEventRecord(begin, stream));
        work();
        RHEINFALL_CUDA_CHECK(cudaEventRecord(end, stream));
        RHEINFALL_CUDA_CHECK(cudaEventSynchronize(end));
        float elapsed = 0;
        RHEINFALL_CUDA_CHECK(cudaEventElapsedTime(&elapsed, begin, end));
        if (i > 0) ms.push_back(elapsed);
    }
    RHEINFALL_CUDA_CHECK(cudaEventDestroy(begin));
    RHEINFALL_CUDA_CHECK(cudaEventDestroy(end));
    std::nth_element(ms.begin(), ms.begin() + n_repetitions / 2, ms.end());
    return static_cast<double>(ms[n_repetitions / 2]) * 1e-3;
}

/// Events a second with several of them in flight, each on its stream, by the host's clock.
template <class Event, std::size_t n, class Run>
double measure_rate(std::array<Event, n>& events, Run run) {
    constexpr int n_rounds = 50;
    for (Event& e : events) run(e);
    RHEINFALL_CUDA_CHECK(cudaDeviceSynchronize());
    const auto start = Clock::now();
    for (int i = 0; i < n_rounds; ++i) {
        for (Event& e : events) run(e);
    }
    RHEINFALL_CUDA_CHECK(cudaDeviceSynchronize());
    return 1e3 * n_rounds * static_cast<double>(n) / ms_since(start);
}

/// Bytes a second read and written by a copy of 2 GB within the device.
inline double measure_copy_rate() {
    const std::size_t n = std::size_t{1} << 30;
    rheinfall::DeviceBuffer<std::byte> from(n), to(n);
    const double seconds = time_median([&] {
        RHEINFALL_CUDA_CHECK(
            cudaMemcpyAsync(to.span().data(), from.span().data(), n, cudaMemcpyDeviceToDevice, nullptr));
    });
    return 2.0 * static_cast<double>(n) / seconds;
}

/// A CUDA graph of what @p work puts on @p stream.
class CapturedGraph {
public:
    template <class Work>
    CapturedGraph(cudaStream_t stream, Work work) {
        RHEINFALL_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        work();
        RHEINFALL_CUDA_CHECK(cudaStreamEndCapture(stream, &graph_));
        RHEINFALL_CUDA_CHECK(cudaGraphInstantiate(&ready_, graph_, 0));
    }
    ~CapturedGraph() {
        static_cast<void>(cudaGraphExecDestroy(ready_));
        static_cast<void>(cudaGraphDestroy(graph_));
    }
    CapturedGraph(const CapturedGraph&) = delete;
    CapturedGraph& operator=(const CapturedGraph&) = delete;

    void launch(cudaStream_t stream) const { RHEINFALL_CUDA_CHECK(cudaGraphLaunch(ready_, stream)); }

private:
    cudaGraph_t graph_ = nullptr;
    cudaGraphExec_t ready_ = nullptr;
};

/// Prints @p json and writes it to a file; false, with a message, if that fails.
inline bool write_report(const char* path, const std::string& json) {
    std::printf("%s", json.c_str());
    std::FILE* file = std::fopen(path, "w");
    if (file != nullptr && std::fputs(json.c_str(), file) >= 0 && std::fclose(file) == 0) return true;
    std::perror(path);
    return false;
}

}  // namespace bench
