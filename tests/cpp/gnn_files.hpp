#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/checksum.hpp"

/// Files of graph networks (docs/gnn_format.md) with random weights, made operation by operation.
class GnnFile {
public:
    explicit GnnFile(unsigned seed) : random_(seed) {}

    /// Adds an operation, whose text is JSON fields such as `"op": "relu", "inputs": [0]`; gives its position.
    int add(const std::string& fields, const std::vector<std::pair<std::string, int>>& weights = {}) {
        std::string text = "{" + fields;
        for (std::size_t k = 0; k < weights.size(); ++k) {
            text += k == 0 ? ", \"weights\": {" : ", ";
            text += "\"" + weights[k].first + "\": [" + std::to_string(weights_.size()) + ", " +
                    std::to_string(weights[k].second) + "]";
            for (int i = 0; i < weights[k].second; ++i) weights_.push_back(uniform());
        }
        text += weights.empty() ? "}" : "}}";
        operations_ += (operations_.empty() ? "" : ", ") + text;
        return n_++;
    }
    int linear(const std::string& inputs, int n_in, int n_out, bool bias) {
        std::vector<std::pair<std::string, int>> weights = {{"weight", n_in * n_out}};
        if (bias) weights.emplace_back("bias", n_out);
        return add(R"("op": "linear", "inputs": [)" + inputs + R"(], "width": )" + std::to_string(n_out), weights);
    }
    int unary(const std::string& op, int x, const std::string& more = "") {
        return add(R"("op": ")" + op + R"(", "inputs": [)" + std::to_string(x) + "]" + more);
    }
    int binary(const std::string& op, int x, int y) {
        return add(R"("op": ")" + op + R"(", "inputs": [)" + std::to_string(x) + ", " + std::to_string(y) + "]");
    }

    [[nodiscard]] std::vector<std::byte> bytes(int output) const {
        std::string text = R"({"format": "rheinfall.gnn", "operations": [)" + operations_ + R"(], "output": )" +
                           std::to_string(output) + "}";
        text.resize((text.size() + 3) / 4 * 4, ' ');
        std::vector<std::byte> file(48 + text.size() + weights_.size() * sizeof(float));
        std::memcpy(file.data() + 48, text.data(), text.size());
        if (!weights_.empty()) {
            std::memcpy(file.data() + 48 + text.size(), weights_.data(), weights_.size() * sizeof(float));
        }
        const std::uint32_t version = 1;
        const std::uint64_t sizes[3] = {text.size(), weights_.size(),
                                        rheinfall::detail::checksum(std::span<const std::byte>(file).subspan(48))};
        std::memcpy(file.data(), "rfgnn\n\x1a", 8);
        std::memcpy(file.data() + 8, &version, sizeof version);
        std::memcpy(file.data() + 16, sizes, sizeof sizes);
        return file;
    }

private:
    float uniform() { return std::uniform_real_distribution<float>(-1, 1)(random_); }

    std::mt19937 random_;
    std::string operations_;
    std::vector<float> weights_;
    int n_ = 0;
};
