#include <gtest/gtest.h>
#include <rheinfall/rheinfall.h>

#include <atomic>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "allocation_counter.hpp"
#include "small_networks.hpp"

using namespace rheinfall::test;

TEST(QuantizedNetwork, FloatsAreConvertedExactly) {
    const Network wrap =
        Network::from_json(one_layer("[1]", "ap_fixed<8,4>", R"("op":"quantize","result":"ap_fixed<8,4>")"));
    const std::vector<double> x = {1.53, -0.01, 7.99, 8.0, 1e300, -1e300, 5e-324};
    const auto [status, y] = run<double, double>(wrap, x, ElementType::float64, ElementType::float64);
    EXPECT_EQ(status, Status::ok);
    EXPECT_EQ(y, (std::vector<double>{1.5, -0.0625, 7.9375, -8.0, 0.0, 0.0, 0.0}));
    const Network sat =
        Network::from_json(one_layer("[1]", "ap_fixed<8,4,RND,SAT>", R"("op":"quantize","result":"ap_fixed<8,4>")"));
    EXPECT_EQ((run<double, double>(sat, x, ElementType::float64, ElementType::float64).second),
              (std::vector<double>{1.5, 0.0, 7.9375, 7.9375, 7.9375, -8.0, 0.0}));
    const std::vector<float> bad = {std::numeric_limits<float>::quiet_NaN(), 2.0F,
                                    std::numeric_limits<float>::infinity()};
    const auto [found, z] = run<float, float>(sat, bad, ElementType::float32, ElementType::float32);
    EXPECT_EQ(found, Status::not_finite);
    EXPECT_EQ(z, (std::vector<float>{0, 2, 0}));
}

TEST(QuantizedNetwork, ScalesServeFloatsAtTheBoundary) {
    const std::string text =
        document(R"({"name":"x","shape":[2],"type":"ap_int<8,TRN,SAT>","scale":0.1,"zero_point":3})",
                 R"({"name":"y","op":"quantize","inputs":["x"],"result":"ap_int<8>"})",
                 R"({"name":"y","scale":[0.5,2],"zero_point":1,"offset":[0,10]})");
    const Network network = Network::from_json(text);
    const std::vector<double> x = {0.25, 1e30};  // 2.5 → 2 to even, + 3; 127
    const auto [status, y] = run<double, double>(network, x, ElementType::float64, ElementType::float64);
    EXPECT_EQ(status, Status::ok);
    EXPECT_EQ(y, (std::vector<double>{2.0, 262.0}));
}

TEST(QuantizedNetwork, IntegersOfAllTypes) {
    const Network network =
        Network::from_json(one_layer("[1]", "ap_uint<64,TRN,SAT>", R"("op":"quantize","result":"ap_uint<64>")"));
    EXPECT_FALSE(network.fits_output(ElementType::int64));
    const std::vector<std::uint64_t> big = {UINT64_MAX};
    EXPECT_EQ((run<std::uint64_t, std::uint64_t>(network, big, ElementType::uint64, ElementType::uint64).second), big);
    const std::vector<std::int8_t> low = {-1};
    const auto [status, y] = run<std::int8_t, std::uint64_t>(network, low, ElementType::int8, ElementType::uint64);
    EXPECT_EQ(status, Status::out_of_range);
    EXPECT_EQ(y, std::vector<std::uint64_t>{0});
    EXPECT_EQ((run<std::uint64_t, std::int8_t>(network, big, ElementType::uint64, ElementType::int8).first),
              Status::invalid_argument);
}

TEST(QuantizedNetwork, RunsWithoutAllocationAndSaysWhenTheWorkspaceIsSmall) {
    const Network network = Network::from_json(
        one_layer("[2]", "ap_int<8>", R"("op":"softmax","implementation":"latency","result":"ap_int<8>","inv_input":
        "ap_uint<4>","exp_table":{"type":"ap_uint<4>","shape":[2],"data":[1,2]},"inv_table":{"type":"ap_int<8>",
        "shape":[2],"data":[9,8]},"accum":"ap_uint<4>")"));
    const Integers x(2 * 100, 3);
    std::vector<double> y(x.size());
    Workspace workspace;
    EXPECT_EQ(network.run({x.data(), ElementType::int64}, {y.data(), ElementType::float64}, 100, workspace),
              Status::capacity_exceeded);
    workspace.reserve(network.workspace_size(100));
    const AllocationCounter allocations;
    EXPECT_EQ(network.run({x.data(), ElementType::int64}, {y.data(), ElementType::float64}, 100, workspace),
              Status::ok);
    EXPECT_EQ(network.run({nullptr, ElementType::int64}, {y.data(), ElementType::float64}, 100, workspace),
              Status::invalid_argument);
    EXPECT_EQ(network.run({nullptr, ElementType::int64}, {nullptr, ElementType::float64}, 0, workspace), Status::ok);
    EXPECT_EQ(allocations.count(), 0U);
}

TEST(QuantizedNetwork, TwoNetworksWithTheSameNamesStayThemselvesOnSeveralThreads) {
    const Network twice = Network::from_json(scaling_document(2));
    const Network thrice = Network::from_json(scaling_document(3));
    std::vector<std::thread> threads;
    std::vector<int> errors(4, 0);
    for (std::size_t t = 0; t < errors.size(); ++t) {
        threads.emplace_back([&, t] {
            const int factor = t % 2 == 0 ? 2 : 3;
            const Network& network = t % 2 == 0 ? twice : thrice;
            for (std::int64_t x = -100; x < 100; ++x) {
                const auto y =
                    run<std::int64_t, std::int64_t>(network, {x, x + 1}, ElementType::int64, ElementType::int64).second;
                errors[t] += y == Integers{factor * x, factor * (x + 1)} ? 0 : 1;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(errors, std::vector<int>(4, 0));
}

/// As a trigger does at the begin of a run: other threads go on with the network that they hold.
TEST(QuantizedNetwork, SwapsOfTheNetworkLeaveRunningOnesAlone) {
    constexpr int n_swaps = 1000;
    std::mutex mutex;
    Network current = Network::from_json(scaling_document(1));
    int factor = 1;
    std::atomic<bool> done{false};
    std::atomic<int> n_errors{0};
    std::vector<std::thread> readers;
    for (int t = 0; t < 2; ++t) {
        readers.emplace_back([&] {
            while (!done) {
                std::unique_lock lock(mutex);
                const Network held = current;
                const int expected = factor;
                lock.unlock();
                const auto y = run<std::int64_t, std::int64_t>(held, {7}, ElementType::int64, ElementType::int64);
                n_errors += y.second == Integers{7 * expected} ? 0 : 1;
            }
        });
    }
    for (int i = 1; i <= n_swaps; ++i) {
        const int next = i % 100;
        Network loaded = Network::from_json(scaling_document(next));
        const std::lock_guard lock(mutex);
        current = std::move(loaded);
        factor = next;
    }
    done = true;
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(n_errors, 0);
}

TEST(QuantizedCInterface, LoadsRunsAndTellsErrors) {
    const std::string text = one_layer("[2]", "ap_int<8>", R"("op":"relu","result":"ap_int<8>")");
    rf_error error{};
    EXPECT_EQ(rf_network_load("no_such_file.json", RF_BEST, &error), nullptr);
    EXPECT_STREQ(error.file, "no_such_file.json");
    EXPECT_EQ(rf_network_load_json("{", 1, "bad.json", RF_BEST, &error), nullptr);
    EXPECT_STREQ(error.file, "bad.json");
    EXPECT_EQ(rf_network_load_json(text.data(), text.size(), nullptr, 9, &error), nullptr);
    EXPECT_STREQ(error.key, "isa");
    rf_network* network = rf_network_load_json(text.data(), text.size(), "good.json", RF_BEST, &error);
    ASSERT_NE(network, nullptr) << error.reason;
    EXPECT_EQ(rf_network_n_inputs(network), 2U);
    EXPECT_EQ(rf_network_n_outputs(network), 2U);
    rf_workspace* workspace = rf_workspace_create(rf_network_workspace_size(network, 1), nullptr, &error);
    const std::vector<std::int16_t> x = {-5, 5};
    std::vector<float> y(2, -1);
    EXPECT_EQ(rf_network_run(network, workspace, x.data(), RF_INT16, y.data(), RF_FLOAT32, 1), RF_OK);
    EXPECT_EQ(y, (std::vector<float>{0, 5}));
    const std::vector<std::int16_t> outside = {-500, 5};
    EXPECT_EQ(rf_network_run(network, workspace, outside.data(), RF_INT16, y.data(), RF_FLOAT32, 1), RF_OUT_OF_RANGE);
    EXPECT_STREQ(rf_status_string(RF_OUT_OF_RANGE), "out_of_range");
    EXPECT_EQ(rf_network_run(network, workspace, x.data(), 10, y.data(), RF_FLOAT32, 1), RF_INVALID_ARGUMENT);
    EXPECT_EQ(rf_network_run(network, workspace, nullptr, RF_INT16, y.data(), RF_FLOAT32, 1), RF_INVALID_ARGUMENT);
    rf_workspace_free(workspace);
    rf_network_free(network);
    rf_network_free(nullptr);
}
