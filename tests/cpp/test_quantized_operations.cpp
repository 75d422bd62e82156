#include <gtest/gtest.h>

#include <string>

#include "small_networks.hpp"

using namespace rheinfall::test;

namespace {

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
