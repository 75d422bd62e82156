#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/bucket_by_module.hpp>
#include <set>
#include <string>
#include <vector>

#include "tracking/detail/bucket_by_module.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include "core/device_buffer.hpp"
#endif

namespace {

using Ids = std::vector<std::uint64_t>;
using Indices = std::vector<std::uint32_t>;

struct Buckets {
    Indices offsets;
    Indices order;
    bool operator==(const Buckets&) const = default;
};

/// The definition, slow: for each module all hits on it, then all hits that no module took.
Buckets define_buckets(const Ids& modules, const Ids& module_id) {
    Buckets result{{0}, {}};
    const auto close = [&result] { result.offsets.push_back(static_cast<std::uint32_t>(result.order.size())); };
    for (const std::uint64_t module : modules) {
        for (std::uint32_t i = 0; i < module_id.size(); ++i) {
            if (module_id[i] == module) result.order.push_back(i);
        }
        close();
    }
    for (std::uint32_t i = 0; i < module_id.size(); ++i) {
        if (std::ranges::find(modules, module_id[i]) == modules.end()) result.order.push_back(i);
    }
    close();
    return result;
}

Buckets bucket_on_cpu(const Ids& modules, const Ids& module_id, const rheinfall::Execution& execution = {}) {
    Buckets result{Indices(modules.size() + 2, 77u), Indices(module_id.size(), 77u)};
    rheinfall::Workspace workspace;
    workspace.reserve(
        rheinfall::bucket_by_module_workspace_size(rheinfall::Device::cpu, module_id.size(), modules.size()));
    rheinfall::bucket_by_module(execution, modules, module_id, {result.offsets, result.order}, workspace);
    EXPECT_EQ(workspace.mark(), 0u);
    return result;
}

/// What the CUDA backend does, with its device rule run hit after hit in the order of @p hits.
Buckets bucket_like_device(const Ids& modules, const Ids& module_id, const Indices& hits) {
    Buckets result{Indices(modules.size() + 2, 0u), Indices(module_id.size())};
    Indices bucket_of_hit(module_id.size());
    Indices counts(modules.size() + 2, 0u);
    const rheinfall::detail::CountHits work{modules.data(), static_cast<std::uint32_t>(modules.size()),
                                            module_id.data(), bucket_of_hit.data(), counts.data()};
    for (const std::uint32_t i : hits) {
        rheinfall::detail::count_hit(work, i, [](std::uint32_t* counter) { ++*counter; });
    }
    std::exclusive_scan(counts.begin(), counts.end(), result.offsets.begin(), 0u);
    std::iota(result.order.begin(), result.order.end(), 0u);
    std::ranges::stable_sort(result.order, {}, [&](std::uint32_t i) { return bucket_of_hit[i]; });
    return result;
}

struct RandomEvent {
    Ids modules;
    Ids module_id;

    explicit RandomEvent(unsigned seed, std::size_t n_modules, std::size_t n_hits) {
        std::mt19937_64 random(seed);
        std::set<std::uint64_t> known;
        while (known.size() < n_modules) known.insert(random() >> 8 << 8);
        modules.assign(known.begin(), known.end());
        for (std::size_t i = 0; i < n_hits; ++i) {
            // One in ten lies beside a known module, the first and the last included.
            const std::uint64_t id = modules[random() % n_modules];
            module_id.push_back(random() % 10 == 0 ? id + (random() % 2 == 0 ? 1u : ~std::uint64_t{0}) : id);
        }
    }
};

TEST(FindModule, FindsEachAndRefusesWhatLiesBetween) {
    for (std::uint32_t n = 0; n < 20; ++n) {
        Ids modules(n);
        for (std::uint32_t m = 0; m < n; ++m) modules[m] = 10 * m + 10;
        for (std::uint32_t m = 0; m < n; ++m) {
            EXPECT_EQ(rheinfall::detail::find_module(modules.data(), n, modules[m]), m);
            EXPECT_EQ(rheinfall::detail::find_module(modules.data(), n, modules[m] - 1), n);
        }
        EXPECT_EQ(rheinfall::detail::find_module(modules.data(), n, ~std::uint64_t{0}), n);
        EXPECT_EQ(rheinfall::detail::find_module(modules.data(), n, 0), n);
    }
}

TEST(BucketByModule, HandMade) {
    const Buckets expected{{0, 2, 2, 3, 5}, {1, 4, 2, 0, 3}};
    EXPECT_EQ(bucket_on_cpu({10, 20, 30}, {5, 10, 30, 31, 10}), expected);
}

TEST(BucketByModule, NoHitsAndNoModules) {
    EXPECT_EQ(bucket_on_cpu({10, 20}, {}), (Buckets{{0, 0, 0, 0}, {}}));
    EXPECT_EQ(bucket_on_cpu({}, {7, 7}), (Buckets{{0, 2}, {0, 1}}));
    EXPECT_EQ(bucket_on_cpu({}, {}), (Buckets{{0, 0}, {}}));
    EXPECT_EQ(bucket_on_cpu({7}, {7}), (Buckets{{0, 1, 1}, {0}}));
}

TEST(BucketByModule, RandomEventsOnAnyNumberOfThreads) {
    for (unsigned seed = 0; seed < 5; ++seed) {
        const RandomEvent event(seed, 1 + 40 * seed, 10'000);
        const Buckets expected = define_buckets(event.modules, event.module_id);
        for (const std::size_t n_threads : {1u, 2u, 8u}) {
            rheinfall::StdThreads threads(n_threads);
            rheinfall::Execution execution;
            execution.parallel_for = threads.parallel_for();
            EXPECT_EQ(bucket_on_cpu(event.modules, event.module_id, execution), expected);
        }
    }
}

TEST(BucketByModule, DeviceRuleInAnyOrderAgreesWithTheCpu) {
    const RandomEvent event(1, 300, 5000);
    const Buckets expected = bucket_on_cpu(event.modules, event.module_id);
    Indices hits(event.module_id.size());
    std::iota(hits.begin(), hits.end(), 0u);
    EXPECT_EQ(bucket_like_device(event.modules, event.module_id, hits), expected) << "serial executor";
    std::mt19937 random(2);
    for (int trial = 0; trial < 3; ++trial) {
        std::ranges::shuffle(hits, random);
        EXPECT_EQ(bucket_like_device(event.modules, event.module_id, hits), expected) << "shuffled executor";
    }
}

template <class Call>
std::string refusal(Call call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "accepted";
}

TEST(BucketByModule, RefusesSizesThatDoNotFit) {
    const Ids modules{10, 20};
    const Ids module_id(3, 10);
    Indices offsets(4);
    Indices order(3);
    rheinfall::Workspace workspace;
    workspace.reserve(
        rheinfall::bucket_by_module_workspace_size(rheinfall::Device::cpu, module_id.size(), modules.size()));
    const auto call = [&](std::size_t n_offsets, std::size_t n_order, rheinfall::Workspace& scratch) {
        return refusal([&] {
            rheinfall::bucket_by_module({}, modules, module_id,
                                        {std::span(offsets).first(n_offsets), std::span(order).first(n_order)},
                                        scratch);
        });
    };
    EXPECT_EQ(call(3, 3, workspace), "buckets.offsets: expected 4 values, got 3");
    EXPECT_EQ(call(4, 2, workspace), "buckets.order: expected 3 values, got 2");
    rheinfall::Workspace empty;
    EXPECT_EQ(call(4, 3, empty), "workspace: expected 64 bytes left, got 0");
    EXPECT_EQ(call(4, 3, workspace), "accepted");
    constexpr std::size_t too_many = std::size_t{1} << 31;
    EXPECT_EQ(refusal([] { rheinfall::bucket_by_module_workspace_size(rheinfall::Device::cpu, too_many, 1); }),
              "module_id: expected at most 2147483647, got 2147483648");
}

#if defined(RHEINFALL_WITH_CUDA)

Buckets bucket_on_gpu(const Ids& modules, const Ids& module_id) {
    cudaStream_t stream = nullptr;
    RHEINFALL_CUDA_CHECK(cudaStreamCreate(&stream));
    rheinfall::DeviceMemory memory;
    rheinfall::Workspace workspace(&memory);
    workspace.reserve(
        rheinfall::bucket_by_module_workspace_size(rheinfall::Device::cuda, module_id.size(), modules.size()));
    rheinfall::DeviceBuffer<std::uint64_t> device_modules(modules.size());
    rheinfall::DeviceBuffer<std::uint64_t> device_module_id(module_id.size());
    rheinfall::DeviceBuffer<std::uint32_t> offsets(modules.size() + 2);
    rheinfall::DeviceBuffer<std::uint32_t> order(module_id.size());
    device_modules.copy_from(modules, stream);
    device_module_id.copy_from(module_id, stream);
    rheinfall::Execution execution;
    execution.device = rheinfall::Device::cuda;
    execution.stream = stream;
    rheinfall::bucket_by_module(execution, device_modules.span(), device_module_id.span(),
                                {offsets.span(), order.span()}, workspace);
    Buckets result{offsets.to_host(stream), order.to_host(stream)};
    RHEINFALL_CUDA_CHECK(cudaStreamDestroy(stream));
    return result;
}

TEST(BucketByModule, CudaAgreesWithTheCpu) {
    if (!rheinfall::cuda_available()) GTEST_SKIP() << "no CUDA device";
    const std::vector<std::pair<Ids, Ids>> events{{{10, 20, 30}, {5, 10, 30, 31, 10}}, {{10, 20}, {}}, {{}, {7, 7}}};
    for (const auto& [modules, module_id] : events) {
        EXPECT_EQ(bucket_on_gpu(modules, module_id), bucket_on_cpu(modules, module_id));
    }
    for (unsigned seed = 0; seed < 3; ++seed) {
        const RandomEvent event(seed, 18'728, 120'000);
        EXPECT_EQ(bucket_on_gpu(event.modules, event.module_id), bucket_on_cpu(event.modules, event.module_id));
    }
}

TEST(BucketByModule, CudaRefusesWithoutADevice) {
    if (rheinfall::cuda_available()) return;
    EXPECT_THROW(rheinfall::bucket_by_module_workspace_size(rheinfall::Device::cuda, 1, 1), rheinfall::CudaError);
}

#else

TEST(BucketByModule, CudaRefusesWithoutCuda) {
    EXPECT_FALSE(rheinfall::cuda_available());
    EXPECT_THROW(rheinfall::bucket_by_module_workspace_size(rheinfall::Device::cuda, 1, 1), rheinfall::CudaError);
}

#endif

}  // namespace
