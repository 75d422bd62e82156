#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quantized/ranges.hpp"
#include "small_networks.hpp"

using namespace rheinfall::test;

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
