#include <gtest/gtest.h>
#include <rheinfall/rheinfall.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <rheinfall/quantized/network.hpp>
#include <string>
#include <thread>
#include <vector>

#include "allocation_counter.hpp"
#include "quantized/ranges.hpp"

using rheinfall::Status;
using rheinfall::Workspace;
using rheinfall::quantized::ElementType;
using rheinfall::quantized::Isa;
using rheinfall::quantized::ModelError;
using rheinfall::quantized::Network;

namespace {

using Integers = std::vector<std::int64_t>;

std::string document(const std::string& inputs, const std::string& layers, const std::string& outputs) {
    return R"({"format":"rheinfall.quantized","version":1,"inputs":[)" + inputs + R"(],"layers":[)" + layers +
           R"(],"outputs":[)" + outputs + "]}";
}

std::string input(const std::string& shape, const std::string& type, const std::string& name = "x") {
    return R"({"name":")" + name + R"(","shape":)" + shape + R"(,"type":")" + type + R"("})";
}

/// A document of one layer "y" that reads "x".
std::string one_layer(const std::string& shape, const std::string& type, const std::string& layer) {
    return document(input(shape, type), R"({"name":"y","inputs":["x"],)" + layer + "}", R"("y")");
}

template <class In, class Out>
std::pair<Status, std::vector<Out>> run(const Network& network, const std::vector<In>& x, ElementType in,
                                        ElementType out) {
    const std::size_t n_events = x.size() / network.n_inputs();
    std::vector<Out> y(n_events * network.n_outputs());
    Workspace workspace;
    workspace.reserve(network.workspace_size(n_events));
    const Status status = network.run({x.data(), in}, {y.data(), out}, n_events, workspace);
    return {status, y};
}

Integers run_integers(const std::string& text, const Integers& x) {
    Integers last;
    for (const Isa isa : {Isa::exact, Isa::portable, Isa::best}) {
        const Network network = Network::from_json(text, "test.json", {isa});
        const auto [status, y] = run<std::int64_t, std::int64_t>(network, x, ElementType::int64, ElementType::int64);
        EXPECT_EQ(status, Status::ok);
        EXPECT_TRUE(last.empty() || y == last);
        last = y;
    }
    return last;
}

std::string error_of(const std::string& text) {
    try {
        Network::from_json(text, "net.json");
    } catch (const ModelError& error) {
        return error.what();
    }
    return "accepted";
}

void expect_error(const std::string& text, const std::vector<std::string>& parts) {
    const std::string error = error_of(text);
    for (const std::string& part : parts) EXPECT_NE(error.find(part), std::string::npos) << part << "\n" << error;
}

/// y = factor·x, in a layer that is always called "y".
std::string scaling_document(int factor) {
    return one_layer("[1]", "ap_int<8>",
                     R"("op":"dense","result":"ap_int<16>","accum":"ap_int<16>","weight":{"type":"ap_int<8>",
                     "shape":[1,1],"data":[)" +
                         std::to_string(factor) + "]}");
}

struct Case {
    const char* shape;
    const char* type;
    const char* layer;
    Integers x;
    Integers y;
};

}  // namespace

TEST(QuantizedNetwork, EachOperationOnItsOwn) {
    const std::vector<Case> cases = {
        {"[3]", "ap_int<8>", R"("op":"quantize","result":"ap_int<4,TRN,SAT>")", {-9, 3, 100}, {-8, 3, 7}},
        {"[3]", "ap_fixed<8,4>", R"("op":"quantize","result":"ap_int<8,RND_CONV>")", {8, 24, 25}, {0, 2, 2}},
        {"[2,2]", "ap_int<8>", R"("op":"transpose","perm":[1,0],"result":"ap_int<8>")", {1, 2, 3, 4}, {1, 3, 2, 4}},
        {"[2,2]", "ap_int<8>", R"("op":"reshape","shape":[4],"result":"ap_int<2>")", {1, 2, 3, 4}, {1, -2, -1, 0}},
        {"[3]",
         "ap_int<8>",
         R"("op":"gather","index":[2,-1,0,0],"shape":[4],"result":"ap_int<8>")",
         {5, 6, 7},
         {7, 0, 5, 5}},
        // 3·2 + 5·(-1) + bias 4 = 5; 3·1 + 5·0 + 1 = 4
        {"[2]",
         "ap_int<8>",
         R"("op":"dense","result":"ap_int<8>","accum":"ap_int<16>","weight":{"type":"ap_int<4>","shape":[2,2],
            "data":[2,1,-1,0]},"bias":{"type":"ap_int<4>","shape":[2],"data":[4,1]})",
         {3, 5},
         {5, 4}},
        // saturating in order: 7+7 → 7, then -7 → 0; in the other order 7-7 = 0, then 7
        {"[3]",
         "ap_int<8>",
         R"("op":"dense","result":"ap_int<8>","accum":"ap_int<4,TRN,SAT>","weight":{"type":"ap_int<4>","shape":[3,1],
            "data":[1,1,1]})",
         {7, 7, -7},
         {0}},
        {"[3]",
         "ap_int<8>",
         R"("op":"dense","result":"ap_int<8>","accum":"ap_int<4,TRN,SAT>","order":[0,2,1],
            "weight":{"type":"ap_int<4>","shape":[3,1],"data":[1,1,1]})",
         {7, 7, -7},
         {7}},
        // each product loses its fraction: 3/4 → 0 twice, not 6/4 → 1
        {"[2]",
         "ap_fixed<8,6>",
         R"("op":"dense","result":"ap_int<8>","accum":"ap_int<8>","weight":{"type":"ap_int<2>","shape":[2,1],
            "data":[1,1]})",
         {3, 3},
         {0}},
        // the last patch has a padded pixel: 1·3 + 2·0
        {"[3,1]",
         "ap_int<8>",
         R"("op":"conv1d","result":"ap_int<8>","accum":"ap_int<16>","padding":[0,1],"weight":{"type":"ap_int<4>",
            "shape":[2,1,1],"data":[1,2]})",
         {1, 2, 3},
         {5, 8, 3}},
        // two groups: each output channel sees its own input channel
        {"[1,1,2]",
         "ap_int<8>",
         R"("op":"conv2d","groups":2,"result":"ap_int<8>","accum":"ap_int<16>","weight":{"type":"ap_int<4>",
            "shape":[1,1,1,2],"data":[3,5]},"bias":{"type":"ap_int<4>","shape":[2],"data":[0,1]})",
         {10, 20},
         {30, 101}},
        // rows 0 and 2 of a 3×3 image with dilation 2: 1 + 3·2 + 7·3 + 9·4
        {"[3,3,1]",
         "ap_int<8>",
         R"("op":"conv2d","dilations":[2,2],"result":"ap_int<8>","accum":"ap_int<16>","weight":{"type":"ap_int<4>",
            "shape":[2,2,1,1],"data":[1,2,3,4]})",
         {1, 2, 3, 4, 5, 6, 7, 8, 9},
         {64}},
        {"[4,1]",
         "ap_int<8>",
         R"("op":"pool","kind":"max","kernel":[2],"strides":[2],"accum":"ap_int<8>","result":"ap_int<8>")",
         {-5, -3, 2, 1},
         {-3, 2}},
        // -7 / 2 is cut off towards zero; the padded window holds one pixel
        {"[3,1]",
         "ap_int<8>",
         R"("op":"pool","kind":"average","kernel":[2],"strides":[2],"padding":[0,1],"accum":"ap_int<8>",
            "result":"ap_int<8>")",
         {-3, -4, 9},
         {-3, 9}},
        {"[3,1]",
         "ap_int<8>",
         R"("op":"pool","kind":"average","kernel":[2],"strides":[2],"padding":[0,1],"accum":"ap_int<8>",
            "result":"ap_int<8>","count_padding":true)",
         {-3, -4, 9},
         {-3, 4}},
        {"[2]",
         "ap_int<8>",
         R"("op":"affine","result":"ap_int<8>","scale":{"type":"ap_fixed<4,3>","shape":[2],"data":[3,-1]},
            "bias":{"type":"ap_int<4>","shape":[2],"data":[1,2]})",
         {3, 4},
         {5, 0}},
        {"[3]", "ap_fixed<8,6>", R"("op":"relu","maximum":6,"result":"ap_fixed<8,6>")", {-4, 4, 30}, {0, 4, 24}},
        {"[2]",
         "ap_int<8>",
         R"("op":"leaky_relu","result":"ap_int<8>","alpha":{"type":"ap_ufixed<2,0>","shape":[1],"data":[1]})",
         {-6, 6},
         {-2, 6}},
        {"[3]",
         "ap_int<8>",
         R"("op":"thresholded_relu","result":"ap_int<8>","theta":{"type":"ap_int<4>","shape":[1],"data":[2]})",
         {2, 3, -9},
         {0, 3, 0}},
        // x/2 + 1/2, clamped to [0, 1]
        {"[3]",
         "ap_fixed<8,6>",
         R"("op":"hard_sigmoid","result":"ap_ufixed<8,1>","slope":{"type":"ap_ufixed<1,0>","shape":[1],"data":[1]},
            "shift":{"type":"ap_ufixed<1,0>","shape":[1],"data":[1]})",
         {-8, 2, 90},
         {0, 96, 128}},
        {"[3]",
         "ap_fixed<8,6>",
         R"("op":"hard_tanh","result":"ap_fixed<8,2>","slope":{"type":"ap_ufixed<1,0>","shape":[1],"data":[1]},
            "shift":{"type":"ap_ufixed<1,0>","shape":[1],"data":[1]})",
         {-8, 2, 90},
         {-64, 32, 64}},
        {"[3]",
         "ap_int<8>",
         R"("op":"threshold","result":"ap_int<4>","thresholds":{"type":"ap_fixed<8,7>","shape":[1,2],"data":[-3,4]},
            "values":[-1,0,7])",
         {-2, 1, 2},
         {-1, 0, 7}},
        // trunc(q·3 / 2) + 1 into four values
        {"[4]",
         "ap_int<8>",
         R"("op":"table","result":"ap_int<8>","index":{"multiply":3,"shift":1,"offset":1},
            "table":{"type":"ap_int<8>","shape":[4],"data":[10,11,12,13]})",
         {-1, 0, 1, 50},
         {10, 11, 12, 13}},
        {"[2]",
         "ap_int<8>",
         R"("op":"table","result":"ap_int<8>","index":{"bits":1},"table":{"type":"ap_int<8>","shape":[2],"data":[1,2]},
            "otherwise":{"when":"positive","multiply":{"type":"ap_int<3>","shape":[1],"data":[3]}})",
         {-1, 4},
         {2, 12}},
        {"[3]", "ap_int<8>", R"("op":"argmax","result":"ap_uint<1>")", {4, 7, 7}, {0, 1, 0}},
        {"[3]", "ap_int<8>", R"("op":"sum_of_squares","accum":"ap_int<8>","result":"ap_int<8>")", {3, 4, -11}, {-110}},
        {"[3]", "ap_int<8>", R"("op":"sum","accum":"ap_int<8,TRN,SAT>","result":"ap_int<8>")", {100, 100, -7}, {120}},
        {"[3]", "ap_int<4>", R"("op":"shift","shift":[1,-1,-3],"result":"ap_int<4>")", {-3, 5, 1}, {-2, -6, -8}},
        {"[3]",
         "ap_int<8>",
         R"("op":"rescale","multiplier":[3],"addend":[1],"divisor":[2],"round":"RND_CONV","maximum":5,
            "result":"ap_int<8>")",
         {0, -1, 9},
         {0, -1, 5}},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(run_integers(one_layer(c.shape, c.type, c.layer), c.x), c.y) << c.layer;
    }
}

TEST(QuantizedNetwork, OperationsOfTwoInputs) {
    const std::string inputs = input("[2]", "ap_fixed<8,7>") + "," + input("[1]", "ap_int<8>", "z");
    const auto layer = [](const std::string& op, const std::string& more = {}) {
        return R"({"name":"y","op":")" + op + R"(","inputs":["x","z"],"result":"ap_fixed<12,10>")" + more + "}";
    };
    const Integers x = {3, -8, 2};  // 1.5, -4; 2, which comes around
    const std::vector<std::pair<std::string, Integers>> cases = {
        {"add", {14, -8}},   {"subtract", {-2, -24}}, {"multiply", {12, -32}},
        {"maximum", {8, 8}}, {"minimum", {6, -16}},   {"average", {7, -4}},
    };
    for (const auto& [op, y] : cases) {
        EXPECT_EQ(run_integers(document(inputs, layer(op), R"("y")"), x), y) << op;
    }
    const std::string same = input("[2]", "ap_int<8>") + "," + input("[2]", "ap_int<8>", "z");
    EXPECT_EQ(run_integers(document(same, layer("dot", R"(,"accum":"ap_int<16>")"), R"("y")"), {2, 3, 4, 5}),
              Integers{23 * 4});
    EXPECT_EQ(run_integers(document(same, layer("concatenate", R"(,"axis":0)"), R"("y","x")"), {2, 3, 4, 5}),
              (Integers{8, 12, 16, 20, 2, 3}));
}

TEST(QuantizedNetwork, SoftmaxOfItsThreeKinds) {
    // Tables by hand: exp[i] = i + 1, inv[i] = 10 - i; two values.
    const std::string tables = R"("exp_table":{"type":"ap_uint<4>","shape":[4],"data":[1,2,3,4]},
        "inv_table":{"type":"ap_int<8>","shape":[4],"data":[10,9,8,7]},"accum":"ap_uint<4>")";
    // latency: top 2 of 4 bits of 5 and 9: 1 and 2 → 2 and 3; sum 5 of 4 bits: index 1 → 9
    EXPECT_EQ(run_integers(one_layer("[2]", "ap_uint<4>", R"("op":"softmax","implementation":"latency","result":
        "ap_int<8>","inv_input":"ap_uint<4>",)" + tables),
                           {5, 9}),
              (Integers{18, 27}));
    // stable: 9 - 5 and 0: tops 1 and 0 → 2 and 1; sum 3: index 0 → 10
    EXPECT_EQ(run_integers(one_layer("[2]", "ap_uint<4>",
                                     R"("op":"softmax","implementation":"stable","result":
        "ap_int<8>","inv_input":"ap_uint<4>","norm":"ap_uint<4>",)" +
                                         tables),
                           {5, 9}),
              (Integers{20, 10}));
    // legacy: exp index trunc(±4·4/16) + 2 = 3 and 1; e = 1 + 4 and 1 + 2; inv index trunc(5·4/64) = 0, and 0
    EXPECT_EQ(run_integers(one_layer("[2]", "ap_uint<4>", R"("op":"softmax","implementation":"legacy","result":
        "ap_int<8>",)" + tables),
                           {5, 9}),
              (Integers{10, 10}));
}

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

TEST(QuantizedRanges, FollowTheWeights) {
    const Network network = Network::from_json(
        one_layer("[2]", "ap_uint<4>", R"("op":"dense","result":"ap_int<8>","accum":"ap_int<8>","weight":{"type":
        "ap_int<4>","shape":[2,2],"data":[2,1,-3,7]},"bias":{"type":"ap_int<4>","shape":[2],"data":[4,1]})"));
    const auto& range = network.ranges().layers[0];
    EXPECT_EQ(range.result.at(0), (rheinfall::quantized::Interval{-41, 34}));
    EXPECT_EQ(range.result.at(1), (rheinfall::quantized::Interval{1, 121}));
    EXPECT_EQ(range.accumulator->sums, (rheinfall::quantized::Interval{-41, 121}));
    EXPECT_FALSE(range.accumulator->sums_overflow);
    EXPECT_TRUE(range.accumulator->is_plain_sum());
    EXPECT_LE(range.work_bits, 64);
}

TEST(QuantizedRanges, TellWhereOrderMatters) {
    const auto find = [](const std::string& accum) {
        const Network network =
            Network::from_json(one_layer("[2]", "ap_fixed<8,4>",
                                         R"("op":"dense","result":"ap_int<8>","accum":")" + accum +
                                             R"(","weight":{"type":"ap_fixed<8,4>","shape":[2,1],"data":[100,16]})"));
        return *network.ranges().layers[0].accumulator;
    };
    EXPECT_TRUE(find("ap_fixed<10,2>").is_plain_sum());  // wraps, loses nothing
    EXPECT_FALSE(find("ap_fixed<10,2>").order_matters);
    EXPECT_TRUE(find("ap_fixed<10,2,TRN,SAT>").order_matters);  // saturates
    EXPECT_FALSE(find("ap_fixed<20,13>").products_round);       // drops one bit of eight: the weights end in two zeros
    EXPECT_TRUE(find("ap_fixed<20,15>").products_round);
    EXPECT_FALSE(find("ap_fixed<24,16,TRN,SAT>").order_matters);  // proven to fit
}

TEST(QuantizedDocument, ErrorsNameFileLayerFieldAndWhatWasExpected) {
    const std::string quantize = R"("op":"quantize","result":"ap_int<8>")";
    expect_error("", {"net.json", "no valid JSON"});
    expect_error("[1,2]", {"net.json", "expected an object"});
    expect_error("{\"format\":\"other\"}", {"net.json: format", "rheinfall.quantized"});
    expect_error(R"({"format":"rheinfall.quantized","version":2})", {"version", "newer release"});
    expect_error(R"({"format":"rheinfall.quantized","format":1})", {"twice"});
    expect_error(one_layer("[2]", "ap_int<65>", quantize), {"inputs[0]: type", "ap_int<65>", "1 to 64"});
    expect_error(one_layer("[2]", "ap_fixed<8,4,TRN,WRAP_SM>", quantize), {"WRAP_SM"});
    expect_error(one_layer("[2]", "ap_fixed<8,4,TRN,SAT,1>", quantize), {"saturated bits"});
    expect_error(one_layer("[0]", "ap_int<8>", quantize), {"shape", "positive"});
    expect_error(one_layer("[4294967296,4294967296]", "ap_int<8>", quantize), {"shape", "2^24"});
    expect_error(one_layer("[2]", "ap_int<8>", R"("op":"quantise","result":"ap_int<8>")"),
                 {"net.json: layer 'y' (quantise): op", "unknown operation"});
    expect_error(one_layer("[2]", "ap_int<8>", quantize + ",\"colour\":1"),
                 {"layer 'y' (quantize): colour", "unknown key"});
    expect_error(document(input("[2]", "ap_int<8>"), R"({"name":"x","inputs":["x"],)" + quantize + "}", R"("x")"),
                 {"name", "taken"});
    expect_error(document(input("[2]", "ap_int<8>"), R"({"name":"y","inputs":["y"],)" + quantize + "}", R"("y")"),
                 {"inputs", "'y' is no input"});
    expect_error(document(input("[2]", "ap_int<8>"), "", R"("z")"), {"outputs[0]", "'z'"});
    const std::string dense = R"("op":"dense","result":"ap_int<8>","accum":"ap_int<16>","weight":)";
    expect_error(one_layer("[2]", "ap_int<8>", dense + R"({"type":"ap_int<4>","shape":[2,1],"data":[1,8]})"),
                 {"layer 'y' (dense): weight: data[1]", "-8 to 7", "ap_int<4>", "got 8"});
    expect_error(one_layer("[2]", "ap_int<8>", dense + R"({"type":"ap_int<4>","shape":[3,1],"data":[1,2,3]})"),
                 {"weight", "[2, n_out]", "[3, 1]"});
    expect_error(one_layer("[2]", "ap_int<8>", dense + R"({"type":"ap_int<4>","shape":[2,1],"data":[1]})"),
                 {"data", "expected 2 integers"});
    expect_error(one_layer("[2]", "ap_int<8>", dense + R"({"type":"ap_int<4>","shape":[2,1],"data":[1,0.5]})"),
                 {"data[1]", "integer", "0.5"});
    expect_error(one_layer("[2]", "ap_int<8>", R"("op":"relu","maximum":0.5,"result":"ap_int<8>")"),
                 {"maximum", "multiple"});
    expect_error(one_layer("[2]", "ap_int<8>", R"("op":"gather","index":[2],"shape":[1],"result":"ap_int<8>")"),
                 {"index[0]", "-1 to 1"});
}

TEST(QuantizedDocument, IntermediatesBeyond127BitsAreRefusedByLayer) {
    expect_error(one_layer("[1]", "ap_int<64>", R"("op":"affine","result":"ap_int<8>","scale":{"type":"ap_int<64>",
        "shape":[1],"data":[9223372036854775807]},"bias":{"type":"ap_fixed<64,0>","shape":[1],"data":[1]})"),
                 {"net.json: layer 'y'", "127 bits"});
    // -2^63 · 2^64 is one bit too much, on the negative side alone; two of 63 bits fit
    const auto product = [](const std::string& type, const std::string& other) {
        return document(input("[1]", type) + "," + input("[1]", other, "z"),
                        R"({"name":"y","op":"multiply","inputs":["x","z"],"result":"ap_int<8>"})", R"("y")");
    };
    expect_error(product("ap_int<64>", "ap_uint<64>"), {"layer 'y'", "127 bits"});
    EXPECT_EQ(error_of(product("ap_int<63>", "ap_uint<63>")), "accepted");
}

TEST(QuantizedDocument, HostileTextsAreRefusedWithoutMuchMemory) {
    expect_error(std::string(100000, '['), {"nested too deeply"});
    std::string keys = "{";
    for (int i = 0; i < 1000; ++i) keys += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":1";
    expect_error(keys + "}", {"too many keys"});
    expect_error(one_layer("[2]", "ap_int<8>", "\"op\":\"quantize\",\"result\":\"\xff\""), {"no valid JSON"});
    const std::string valid = one_layer("[2]", "ap_int<8>", R"("op":"quantize","result":"ap_int<8>")");
    for (std::size_t n = 0; n < valid.size(); ++n) EXPECT_NE(error_of(valid.substr(0, n)), "accepted");
    EXPECT_EQ(error_of(valid), "accepted");
}

TEST(QuantizedDocument, ManyLayersLoad) {
    std::string layers = R"({"name":"l0","op":"quantize","inputs":["x"],"result":"ap_int<8>"})";
    for (int i = 1; i < 20000; ++i) {
        layers += R"(,{"name":"l)" + std::to_string(i) + R"(","op":"quantize","inputs":["l)" + std::to_string(i - 1) +
                  R"("],"result":"ap_int<8>"})";
    }
    EXPECT_EQ(run_integers(document(input("[1]", "ap_int<8>"), layers, R"("l19999")"), {7}), Integers{7});
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
