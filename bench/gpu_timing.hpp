#pragma once

/// @file
/// What the programs that time a CUDA device share: streams, copies, times by its events, a report.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
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

/// Seconds of repeated calls.
struct Times {
    double median = 0, low = 0, high = 0;  ///< low, high: 10 and 90 % of the calls are below
    std::size_t n = 0;
};

/// The same as fields of JSON, in ms: NAME and NAME_10_90.
inline std::string times_json(const std::string& name, const Times& times) {
    char text[160];
    std::snprintf(text, sizeof text, "\"%s\": %.4f, \"%s_10_90\": [%.4f, %.4f]", name.c_str(), times.median * 1e3,
                  name.c_str(), times.low * 1e3, times.high * 1e3);
    return text;
}

/// Times some repetitions on @p stream, after one to warm up; at least three, and no more once @p most_seconds are
/// over.
template <class Work>
Times time_calls(Work work, cudaStream_t stream = nullptr, int n = n_repetitions, double most_seconds = 2.0) {
    cudaEvent_t begin = nullptr, end = nullptr;
    RHEINFALL_CUDA_CHECK(cudaEventCreate(&begin));
    RHEINFALL_CUDA_CHECK(cudaEventCreate(&end));
    std::vector<double> seconds;
    const auto start = Clock::now();
    for (int i = 0; i <= n && (i <= 3 || ms_since(start) < most_seconds * 1e3); ++i) {
        RHEINFALL_CUDA_CHECK(cudaEventRecord(begin, stream));
        work();
        RHEINFALL_CUDA_CHECK(cudaEventRecord(end, stream));
        RHEINFALL_CUDA_CHECK(cudaEventSynchronize(end));
        float ms = 0;
        RHEINFALL_CUDA_CHECK(cudaEventElapsedTime(&ms, begin, end));
        if (i > 0) seconds.push_back(static_cast<double>(ms) * 1e-3);
    }
    RHEINFALL_CUDA_CHECK(cudaEventDestroy(begin));
    RHEINFALL_CUDA_CHECK(cudaEventDestroy(end));
    return {quantile(seconds, 0.5), quantile(seconds, 0.1), quantile(seconds, 0.9), seconds.size()};
}

/// Seconds of the median call.
template <class Work>
double time_median(Work work, cudaStream_t stream = nullptr) {
    return time_calls(work, stream).median;
}

/// Events a second with all of @p events in flight, each on its stream, by the host's clock: for about a second.
template <class Events, class Run>
double measure_rate(Events&& events, Run run) {
    const auto round = [&] {
        for (auto& e : events) run(e);
    };
    const auto timed = [&](int n_rounds) {
        const auto start = Clock::now();
        for (int i = 0; i < n_rounds; ++i) round();
        RHEINFALL_CUDA_CHECK(cudaDeviceSynchronize());
        return ms_since(start) * 1e-3;
    };
    timed(1);
    const int n_rounds = std::clamp(static_cast<int>(1.0 / std::max(timed(1), 1e-4)), 1, 50);
    return static_cast<double>(n_rounds) * static_cast<double>(events.size()) / timed(n_rounds);
}

/// The rates with 1, 2 and 4 of four events in flight, as a field of JSON.
template <class Event, class Run>
std::string rates_json(std::array<Event, 4>& events, Run run) {
    std::string text = "\"per_second_in_flight\": {";
    for (const std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{4}}) {
        char rate[64];
        std::snprintf(rate, sizeof rate, "%s\"%zu\": %.1f", n == 1 ? "" : ", ", n,
                      measure_rate(std::span<Event>(events).first(n), run));
        text += rate;
    }
    return text + "}";
}

/// Bytes a second read and written by a copy of 2 GB within the device.
inline double measure_copy_rate() {
    const std::size_t n = std::size_t{1} << 30;
    rheinfall::DeviceBuffer<std::byte> from(n), to(n);
    const Times times = time_calls([&] {
        RHEINFALL_CUDA_CHECK(
            cudaMemcpyAsync(to.span().data(), from.span().data(), n, cudaMemcpyDeviceToDevice, nullptr));
    });
    return 2.0 * static_cast<double>(n) / times.median;
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
