#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quantized/ranges.hpp"

namespace rheinfall::quantized {

/// What `inspect` prints of one layer. Integers are decimal texts, for they may take 127 bits.
struct LayerSummary {
    struct Accumulator {
        std::string type;
        std::string lowest;  ///< of all partial sums, in any order
        std::string highest;
        int bits = 0;          ///< two's complement, that hold them
        int product_bits = 0;  ///< and that hold the sums of exact products
        bool products_round = false;
        bool products_overflow = false;
        bool sums_overflow = false;
        bool order_matters = false;
        bool is_plain_sum = false;
    };
    std::string name;
    std::string op;
    std::vector<std::string> inputs;
    Shape shape;
    std::string type;
    std::string lowest;  ///< stored integer
    std::string highest;
    std::int64_t macs = 0;      ///< multiplications with an addition, of one event
    std::int64_t nonzeros = 0;  ///< weights that are not zero
    std::int64_t weights = 0;   ///< integers of the layer's tensors
    std::int64_t bits = 0;      ///< that these take in their types
    int work_bits = 0;          ///< of the widest intermediate
    bool result_rounds = false;
    bool result_overflows = false;
    std::optional<Accumulator> accumulator;
};

std::vector<LayerSummary> summarize(const Graph& graph, const Ranges& ranges);

}  // namespace rheinfall::quantized
