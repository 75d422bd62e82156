#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

/// Documents of trigger networks with random weights, for tests and benchmarks of kernels: shapes and types as in the
/// detectors' own networks.
namespace rheinfall::test {

class DocumentWriter {
public:
    DocumentWriter(unsigned seed, int n_inputs, const std::string& input_type) : random_(seed), width_(n_inputs) {
        text_ =
            R"({"format": "rheinfall.quantized", "version": 1, "name": "test", "inputs": [{"name": "x", "shape": [)" +
            std::to_string(n_inputs) + R"(], "type": ")" + input_type + R"("}], "layers": [)";
    }

    [[nodiscard]] int draw(int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(random_); }
    [[nodiscard]] const std::string& last() const { return last_; }

    /// A layer of one input; @p fields as JSON, with a comma before them.
    void layer(const std::string& op, const std::string& result, const std::string& fields = "") {
        layer_of(op, "\"" + last_ + "\"", result, fields);
    }
    void layer_of(const std::string& op, const std::string& inputs, const std::string& result,
                  const std::string& fields = "") {
        last_ = op + std::to_string(n_layers_);
        text_ += std::string(n_layers_++ == 0 ? "" : ", ") + R"({"name": ")" + last_ + R"(", "op": ")" + op +
                 R"(", "inputs": [)" + inputs + R"(], "result": ")" + result + "\"" + fields + "}";
    }
    /// Integers between limits, as a tensor.
    std::string tensor(const std::string& type, const std::string& shape, int n, int lo, int hi) {
        std::string data;
        for (int i = 0; i < n; ++i) data += (i == 0 ? "" : ", ") + std::to_string(draw(lo, hi));
        return R"({"type": ")" + type + R"(", "shape": [)" + shape + R"(], "data": [)" + data + "]}";
    }
    void dense(int n_out, const std::string& weight_type, int weight_limit, const std::string& accum,
               const std::string& result) {
        const std::string n = std::to_string(n_out);
        layer("dense", result,
              R"(, "accum": ")" + accum + R"(", "weight": )" +
                  tensor(weight_type, std::to_string(width_) + ", " + n, width_ * n_out, -weight_limit - 1,
                         weight_limit) +
                  R"(, "bias": )" + tensor(weight_type, n, n_out, -weight_limit - 1, weight_limit));
        width_ = n_out;
    }
    std::string finish() { return text_ + R"(], "outputs": [")" + last_ + "\"]}"; }

private:
    std::mt19937 random_;
    int width_;
    int n_layers_ = 0;
    std::string last_ = "x";
    std::string text_;
};

/// The jet tagger 16-64-32-32-5 with 8-bit activations and 6-bit weights.
inline std::string jet_tagger(unsigned seed) {
    DocumentWriter d(seed, 16, "ap_fixed<16,6>");
    d.layer("quantize", "ap_fixed<8,4,RND_CONV,SAT>");
    for (const int n : {64, 32, 32}) {
        d.dense(n, "ap_fixed<6,1>", 31, "ap_fixed<24,12>", "ap_fixed<24,12>");
        d.layer("relu", "ap_ufixed<8,4,RND_CONV,SAT>");
    }
    d.dense(5, "ap_fixed<6,1>", 31, "ap_fixed<24,12>", "ap_fixed<16,6>");
    return d.finish();
}

/// AXOL1TL v4: 57-28-15-8 from raw inputs, offset and shift, score Σμ² that wraps.
inline std::string axol1tl_v4(unsigned seed) {
    DocumentWriter d(seed, 57, "ap_fixed<18,13>");
    std::string shifts;
    for (int i = 0; i < 57; ++i) shifts += (i == 0 ? "" : ", ") + std::to_string(d.draw(-1, 7));
    d.layer_of("constant", "", "ap_fixed<18,13>", R"(, "value": )" + d.tensor("ap_fixed<10,10>", "57", 57, -40, 40));
    const std::string offset = d.last();
    d.layer_of("subtract", R"("x", ")" + offset + "\"", "ap_fixed<18,13>");
    d.layer("shift", "ap_fixed<18,13>", R"(, "shift": [)" + shifts + "]");
    for (const int n : {28, 15}) {
        d.dense(n, "ap_fixed<8,2>", 127, "ap_fixed<31,16>", "ap_fixed<24,14>");
        d.layer("relu", "ap_ufixed<10,6,RND_CONV,SAT>");
    }
    d.dense(8, "ap_fixed<8,2>", 127, "ap_fixed<28,14>", "ap_fixed<12,8,RND,SAT>");
    d.layer("sum_of_squares", "ap_ufixed<18,14>", R"(, "accum": "ap_ufixed<18,14>")");
    return d.finish();
}

/// AXOL1TL v5: 57-29-10-9-6-4-6-9-10 from 14-bit inputs, then the difference to the values of the first 10, squared.
inline std::string axol1tl_v5(unsigned seed) {
    DocumentWriter d(seed, 57, "ap_fixed<14,6,RND_CONV,SAT>");
    std::string kept;
    for (const int n : {29, 10, 9, 6, 4, 6, 9, 10}) {
        d.dense(n, "ap_fixed<5,2>", 15, "ap_fixed<21,10>", "ap_fixed<18,10>");
        d.layer("relu", "ap_ufixed<10,6,RND_CONV,SAT>");
        if (n == 10 && kept.empty()) kept = d.last();
    }
    d.layer_of("subtract", "\"" + d.last() + R"(", ")" + kept + "\"", "ap_fixed<12,7,RND_CONV,SAT>");
    d.layer_of("dot", "\"" + d.last() + R"(", ")" + d.last() + "\"", "ap_ufixed<18,12,TRN,SAT>",
               R"(, "accum": "ap_ufixed<24,14>")");
    return d.finish();
}

/// Any chain that the CUDA kernels take: random shapes, widths, roundings and overflows.
inline std::string random_chain(unsigned seed) {
    const char* roundings[] = {"TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV"};
    const char* overflows[] = {"WRAP", "SAT", "SAT_ZERO", "SAT_SYM"};
    std::mt19937 random(seed);
    const auto draw = [&](int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(random); };
    const auto type = [&](int lo, int hi) {
        const int width = draw(lo, hi);
        return std::string(draw(0, 1) == 0 ? "ap_fixed<" : "ap_ufixed<") + std::to_string(width) + "," +
               std::to_string(width - draw(-1, 8)) + "," + roundings[draw(0, 6)] + "," + overflows[draw(0, 3)] + ">";
    };
    DocumentWriter d(seed + 1, draw(1, 70), type(1, 20));
    if (draw(0, 1) == 0) d.layer("quantize", type(2, 16));
    const int n_layers = draw(1, 5);
    for (int l = 0; l < n_layers; ++l) {
        const int bits = draw(1, 10);
        const std::string weight_type = "ap_fixed<" + std::to_string(bits) + "," + std::to_string(draw(0, 3)) + ">";
        d.dense(draw(1, 66), weight_type, (1 << (bits - 1)) - 1, "ap_fixed<30," + std::to_string(draw(4, 12)) + ">",
                type(4, 20));
        if (draw(0, 3) != 0) d.layer("relu", type(2, 12));
    }
    const int end = draw(0, 3);
    if (end == 1) d.layer("argmax", type(2, 8));
    if (end == 0) d.layer("sum_of_squares", type(8, 20), R"(, "accum": "ap_fixed<30,20>")");
    return d.finish();
}

}  // namespace rheinfall::test
