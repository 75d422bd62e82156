#pragma once

/// @file
/// What every stage on a device promises of its calls, as one check that runs on a GPU and, over the bodies of its
/// kernels, on the host: repeated calls give the same bits, so do two events in flight on two streams, and a captured
/// call replays on what is in its arrays then.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/file.hpp"
#include "host_stages.hpp"
#include "source_files.hpp"
#include "straight_tracks.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include "core/device_buffer.hpp"
#endif

/// A stage's results as words, so that they compare bit for bit.
class Words {
public:
    template <class T>
    void add(std::span<const T> values) {
        for (const T& value : values) {
            if constexpr (std::is_same_v<T, float>) {
                words_.push_back(std::bit_cast<std::uint32_t>(value));
            } else {
                words_.push_back(static_cast<std::uint64_t>(value));
            }
        }
    }
    template <class T>
    void add(const std::vector<T>& values, std::size_t n) {
        add(std::span<const T>(values).first(std::min(n, values.size())));
    }
    void add_number(std::uint64_t number) { words_.push_back(number); }
    bool operator==(const Words&) const = default;
    [[nodiscard]] bool empty() const { return words_.empty(); }

private:
    std::vector<std::uint64_t> words_;
};

/// Memory and streams of the host, as a GPU has them: work given to a stream is done when somebody waits, by a thread
/// of its own, and what is captured is done at each replay, with the arguments of the call and what is in its arrays
/// then.
struct HostPlatform {
    template <class T>
    class Buffer {
    public:
        explicit Buffer(std::size_t n) : values_(n) {}
        [[nodiscard]] std::span<T> span() const { return values_; }
        [[nodiscard]] const std::vector<T>& values() const { return values_; }

    private:
        mutable std::vector<T> values_;
    };
    class Stream {
    public:
        void submit(std::function<void()> work) { queue_.push_back(std::move(work)); }
        void wait() {
            for (const auto& work : std::exchange(queue_, {})) work();
        }
        template <class T>
        void copy(const std::vector<T>& values, Buffer<T>& to) {
            wait();
            std::ranges::copy(values, to.span().begin());
        }
        template <class T>
        [[nodiscard]] std::vector<T> read(const Buffer<T>& buffer) {
            wait();
            return buffer.values();
        }
        template <class Call>
        [[nodiscard]] std::function<void()> capture(Call call) {
            wait();
            call();
            return [this, recorded = std::exchange(queue_, {})] {
                queue_.insert(queue_.end(), recorded.begin(), recorded.end());
            };
        }

    private:
        std::vector<std::function<void()>> queue_;
    };
    static void wait(Stream& a, Stream& b) {
        std::thread other([&a] { a.wait(); });
        b.wait();
        other.join();
    }
};

/// What the host's stages are made of.
struct HostChain {
    rheinfall::ModuleMap map = straight_tracks_test::cylinders();
    rheinfall::TrackFinderOptions options = {};
    std::shared_ptr<const rheinfall::detail::Bytes> network = nullptr;
    rheinfall::TrackFinderLimits limits = {1, 1, 1};

    [[nodiscard]] HostStages<HostExecutor> stages() const {
        HostStages<HostExecutor> made(map, options, limits, HostExecutor(3));
        if (network) made.use_network(network->view(), rheinfall::EdgeOutput::scores);
        return made;
    }
};

inline std::string shipped_network() {
    return shipped_bundle("demo/edge_classifier.rfgnn");
}

#if defined(RHEINFALL_WITH_CUDA)

struct CudaPlatform {
    template <class T>
    using Buffer = rheinfall::DeviceBuffer<T>;

    class Stream {
    public:
        Stream() { RHEINFALL_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
        ~Stream() {
            static_cast<void>(cudaGraphExecDestroy(ready_));
            static_cast<void>(cudaGraphDestroy(graph_));
            static_cast<void>(cudaStreamDestroy(stream_));
        }
        Stream(const Stream&) = delete;
        Stream& operator=(const Stream&) = delete;

        [[nodiscard]] cudaStream_t get() const { return stream_; }
        void wait() const { RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(stream_)); }
        template <class T>
        void copy(const std::vector<T>& values, Buffer<T>& to) {
            if (!values.empty()) to.copy_from(values, stream_);
            wait();
        }
        template <class T>
        [[nodiscard]] std::vector<T> read(const Buffer<T>& buffer) const {
            return buffer.to_host(stream_);
        }
        /// Once for each stream.
        template <class Call>
        [[nodiscard]] std::function<void()> capture(Call call) {
            RHEINFALL_CUDA_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
            call();
            RHEINFALL_CUDA_CHECK(cudaStreamEndCapture(stream_, &graph_));
            RHEINFALL_CUDA_CHECK(cudaGraphInstantiate(&ready_, graph_, 0));
            return [this] { RHEINFALL_CUDA_CHECK(cudaGraphLaunch(ready_, stream_)); };
        }

    private:
        cudaStream_t stream_ = nullptr;
        cudaGraph_t graph_ = nullptr;
        cudaGraphExec_t ready_ = nullptr;
    };
    static void wait(const Stream& a, const Stream& b) {
        a.wait();
        b.wait();
    }
};

/// A workspace on the device for one event in flight.
struct CudaMemory {
    rheinfall::Workspace workspace{rheinfall::device_memory()};

    template <class Stage, class Input>
    CudaMemory(const Stage& stage, const Input& input) {
        workspace.reserve(stage.bytes_for(input));
    }
};

#endif

/// Checks one stage. @p Flight is one event in flight: made from a @p Stage and an input; `set(input)` of the same
/// size, `run()`, `result()`, `stream`. @p expected are the results of the CPU for both inputs.
template <class Platform, class Flight, class Stage, class Input>
void expect_same_bits_in_every_call(const Stage& stage, const Input& first, const Input& second, const Words& of_first,
                                    const Words& of_second) {
    ASSERT_FALSE(of_first == of_second) << "the test would not see the wrong input";
    Flight a(stage, first);
    Flight b(stage, second);
    for (int i = 0; i < 3; ++i) {
        a.run();
        b.run();
        Platform::wait(a.stream, b.stream);
        EXPECT_TRUE(a.result() == of_first) << "call " << i << ", two in flight";
        EXPECT_TRUE(b.result() == of_second) << "call " << i << ", two in flight";
    }
    for (int i = 0; i < 3; ++i) a.run();  // one after the other in the same memory
    EXPECT_TRUE(a.result() == of_first) << "repeated";
    const std::function<void()> replay = a.stream.capture([&a] { a.run(); });
    EXPECT_TRUE(a.result() == of_first) << "a capture runs nothing";
    for (const bool swapped : {true, false, true}) {
        a.set(swapped ? second : first);
        b.set(swapped ? first : second);
        replay();
        b.run();
        Platform::wait(a.stream, b.stream);
        EXPECT_TRUE(a.result() == (swapped ? of_second : of_first)) << "replayed";
        EXPECT_TRUE(b.result() == (swapped ? of_first : of_second)) << "beside a replay";
    }
}
