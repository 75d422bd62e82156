// Random networks on random graphs: the bodies of the kernels on the host against the CPU's engine, bit for bit in both
// precisions. Run with --gtest_shuffle --gtest_repeat=N for N times as many.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "device_networks.hpp"

namespace {

using namespace device_networks;
using gnn::Kind;

/// Operations drawn one by one, each on values that there are; the output takes all that nothing else reads.
class RandomNetwork {
public:
    explicit RandomNetwork(unsigned seed) : random_(seed), file_(seed) {
        widest_ = std::array{4, 40, 130, 256}[below(4)];
        add_input("node", Kind::node);
        if (below(4) > 0) add_input("edge", Kind::edge);
        gather(pick(Kind::node));
        for (unsigned n = 6 + below(20); n > 0; --n) add_some();
        bytes_ = file_.bytes(output());
    }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    struct Value {
        int number;
        Kind kind;
        int width;
        bool is_read = false;
    };

    unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
    static std::string text(int number) { return std::to_string(number); }
    /// Often at the limits of tiles and blocks.
    int random_width() {
        constexpr std::array limits = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 128, 129, 255, 256};
        const int width = below(2) == 0 ? limits[below(limits.size())] : 1 + static_cast<int>(below(256));
        return std::min(width, widest_);
    }

    std::size_t note(int number, Kind kind, int width) {
        values_.push_back({number, kind, width});
        return values_.size() - 1;
    }
    void add_input(const char* name, Kind kind) {
        const int width = 1 + static_cast<int>(below(20));
        note(file_.add(std::string(R"("op": "input", "kind": ")") + name + R"(", "width": )" + text(width)), kind,
             width);
    }
    /// A value of this kind, a late one more often.
    std::size_t pick(Kind kind) {
        std::vector<std::size_t> some;
        for (std::size_t i = 0; i < values_.size(); ++i) {
            if (values_[i].kind == kind) some.push_back(i);
        }
        return some[std::max(below(static_cast<unsigned>(some.size())), below(static_cast<unsigned>(some.size())))];
    }
    bool has(Kind kind) const {
        return std::ranges::any_of(values_, [kind](const Value& v) { return v.kind == kind; });
    }
    std::string read(std::size_t i) {
        values_[i].is_read = true;
        return text(values_[i].number);
    }
    const char* end() { return below(2) == 0 ? "source" : "target"; }

    std::size_t add(const std::string& op, const std::string& inputs, Kind kind, int width,
                    const std::string& more = "", const std::vector<std::pair<std::string, int>>& weights = {}) {
        return note(file_.add(R"("op": ")" + op + R"(", "inputs": [)" + inputs + "]" + more, weights), kind, width);
    }
    std::size_t gather(std::size_t x) {
        return add("gather", read(x), Kind::edge, values_[x].width, std::string(R"(, "end": ")") + end() + "\"");
    }
    std::size_t linear(Kind kind, int width) {
        std::string inputs;
        int in = 0;
        for (unsigned n = 1 + below(4); n > 0; --n) {
            const std::size_t x = pick(n > 1 && below(8) == 0 && has(Kind::event) ? Kind::event : kind);
            if (in + values_[x].width > 700) break;
            inputs = read(x) + (inputs.empty() ? "" : ", " + inputs);
            in += values_[x].width;
        }
        if (in == 0) return add_unary(pick(kind));
        std::vector<std::pair<std::string, int>> weights = {{"weight", in * width}};
        if (below(3) > 0) weights.emplace_back("bias", width);
        return add("linear", inputs, kind, width, R"(, "width": )" + text(width), weights);
    }
    /// Values that only the next operation reads, so that the plan makes one instruction of both.
    void add_fused(Kind kind) {
        if (below(3) == 0) {
            const std::size_t x = pick(Kind::node);
            const std::size_t y = below(2) == 0 ? x : linear(Kind::node, values_[x].width);
            const int width = values_[x].width;
            const auto one = [&](std::size_t i) {
                return file_.add(R"("op": "gather", "inputs": [)" + read(i) + R"(], "end": ")" + end() + "\"");
            };
            const int first = one(x);
            if (values_[y].width == width) note(file_.binary("add", first, one(y)), Kind::edge, width);
            return;
        }
        const std::size_t residual = pick(kind);
        const int width = below(2) == 0 ? values_[residual].width : random_width();
        linear(kind, width);
        Value made = values_.back();
        values_.pop_back();
        if (made.width == values_[residual].width && below(2) == 0) {
            values_[residual].is_read = true;
            made.number = file_.binary("add", made.number, values_[residual].number);
        }
        if (below(2) == 0) made.number = file_.unary("relu", made.number);
        values_.push_back(made);
    }
    std::size_t norm(const char* op, std::size_t x) {
        std::vector<std::pair<std::string, int>> weights;
        const int width = values_[x].width;
        for (const char* name : {"scale", "shift"}) {
            if (below(4) > 0) weights.emplace_back(name, width);
        }
        std::string more = op == std::string("affine") ? "" : R"(, "epsilon": 0.01)";
        if (op == std::string("layer_norm") && below(4) == 0) more += R"(, "centred": true)";
        return add(op, read(x), values_[x].kind, width, more, weights);
    }
    std::size_t add_unary(std::size_t x) {
        constexpr std::array names = {"relu", "relu", "relu", "leaky_relu", "elu",  "sigmoid", "tanh",   "softplus",
                                      "exp",  "abs",  "erf",  "clip",       "sqrt", "log",     "square", "reciprocal"};
        // Exp and the last four only of what is in [0.125, 1].
        const std::string name = names[below(names.size())];
        const bool is_tame = std::ranges::find(names.end() - 4, names.end(), name) == names.end() && name != "exp";
        const Kind kind = values_[x].kind;
        const int width = values_[x].width;
        if (!is_tame) x = add("clip", read(x), kind, width, R"(, "low": 0.125, "high": 1.0)");
        const char* more = name == "clip"                          ? R"(, "low": -0.5, "high": 0.75)"
                           : name == "leaky_relu" || name == "elu" ? R"(, "alpha": 0.3)"
                                                                   : "";
        return add(name, read(x), kind, width, more);
    }
    std::size_t add_binary(Kind kind) {
        const std::size_t a = pick(kind);
        std::vector<std::size_t> partners;
        for (std::size_t i = 0; i < values_.size(); ++i) {
            const bool fits = values_[i].width == values_[a].width || values_[i].width == 1 || values_[a].width == 1;
            if (fits && (values_[i].kind == kind || values_[i].kind == Kind::event)) partners.push_back(i);
        }
        const std::size_t b = partners[below(static_cast<unsigned>(partners.size()))];
        constexpr std::array names = {"add", "add", "sub", "mul", "min", "max"};
        const int width = std::max(values_[a].width, values_[b].width);
        const bool swapped = below(2) == 0;
        const std::string first = read(swapped ? b : a);
        return add(names[below(names.size())], first + ", " + read(swapped ? a : b), kind, width);
    }
    std::size_t reduce(std::size_t x) {
        constexpr std::array hows = {"add", "mean", "max", "min"};
        const unsigned how = below(4);
        std::string more = std::string(R"(, "how": ")") + hows[how] + R"(", "end": ")" + end() + "\"";
        if (how > 1) more += R"(, "initial": -0.125)";
        return add("reduce", read(x), Kind::node, values_[x].width, more);
    }
    std::size_t concat(Kind kind) {
        std::string inputs;
        int width = 0;
        for (unsigned n = 1 + below(3); n > 0; --n) {
            const std::size_t x = pick(kind);
            if (width + values_[x].width > 600) break;
            inputs += (inputs.empty() ? "" : ", ") + read(x);
            width += values_[x].width;
        }
        return inputs.empty() ? add_unary(pick(kind)) : add("concat", inputs, kind, width);
    }
    std::size_t slice(std::size_t x) {
        const int width = values_[x].width;
        const auto start = static_cast<int>(below(static_cast<unsigned>(width)));
        const int stop = start + 1 + static_cast<int>(below(static_cast<unsigned>(width - start)));
        return add("slice", read(x), values_[x].kind, stop - start,
                   R"(, "start": )" + text(start) + R"(, "stop": )" + text(stop));
    }

    void add_some() {
        Kind kind = below(5) < 3 ? Kind::edge : Kind::node;
        if (below(12) == 0 && has(Kind::event)) kind = Kind::event;
        switch (below(18)) {
            case 0:
            case 1: linear(kind, random_width()); return;
            case 2:
            case 3:
            case 16:
            case 17: add_fused(kind); return;
            case 4: norm("layer_norm", pick(kind)); return;
            case 5:
                if (kind != Kind::event) norm("batch_norm", pick(kind));
                return;
            case 6: norm("affine", pick(kind)); return;
            case 7:
            case 8: add_unary(pick(kind)); return;
            case 9: gather(pick(Kind::node)); return;
            case 10: reduce(pick(Kind::edge)); return;
            case 11: add_binary(kind); return;
            case 12: concat(kind); return;
            case 13: slice(pick(kind)); return;
            case 14: {
                constexpr std::array names = {"row_mean", "row_sum", "row_max"};
                add(names[below(3)], read(pick(kind)), kind, 1);
                return;
            }
            default:
                if (below(2) == 0) {
                    note(file_.add(std::string(R"("op": "degree", "end": ")") + end() + "\""), Kind::node, 1);
                } else if (kind != Kind::event) {
                    const std::size_t x = pick(kind);
                    add(below(2) == 0 ? "event_mean" : "event_sum", read(x), Kind::event, values_[x].width);
                }
        }
    }

    int output() {
        std::string inputs;
        int width = 0;
        const std::size_t n = values_.size();
        for (std::size_t i = 0, taken = 0; i < n; ++i) {
            if (values_[i].is_read || taken == 60 || width + values_[i].width > 4000) continue;
            const std::size_t x = values_[i].kind == Kind::node ? gather(i) : i;
            inputs += (inputs.empty() ? "" : ", ") + read(x);
            width += values_[x].width;
            ++taken;
        }
        // An operation on values of the event alone has one row.
        const std::size_t edge = pick(Kind::edge);
        inputs += (inputs.empty() ? "" : ", ") + read(edge);
        width += values_[edge].width;
        return file_.linear(inputs, width, 1, true);
    }

    std::mt19937 random_;
    GnnFile file_;
    int widest_ = 0;
    std::vector<Value> values_;
    std::vector<std::byte> bytes_;
};

/// Some features infinite, not a number, subnormal, zeros of both signs and of any size.
void make_wild(Event& event, std::mt19937& random) {
    constexpr std::array<std::uint32_t, 10> bits = {0x7f800000, 0xff800000, 0x7fc00000, 0x00000001, 0x807fffff,
                                                    0x80000000, 0x7f7fffff, 0xff000000, 0x00800000, 0x1f800000};
    const auto change = [&](std::vector<float>& values, unsigned one_in) {
        for (float& x : values) {
            if (random() % one_in == 0) x = std::bit_cast<float>(bits[random() % bits.size()]);
        }
    };
    change(event.nodes, 97);
    change(event.features, 41);
}

/// How many graphs had finite logits.
int compare(std::span<const std::byte> bytes, unsigned seed, GnnPrecision precision) {
    const EdgeClassifier network = EdgeClassifier::parse(bytes, "test", GnnIsa::best, precision);
    const gnn::DeviceNetwork device = device_network(bytes, precision);
    std::mt19937 random(seed);
    const std::array<std::pair<std::size_t, std::size_t>, 6> sizes = {
        {{0, 0}, {3, 0}, {1, 1}, {1 + random() % 40, 1 + random() % 70}, {33, 32}, {random() % 100 + 2, 97}}};
    int n_finite = 0;
    for (int k = 0; k <= static_cast<int>(sizes.size()); ++k) {
        const bool is_wild = k == static_cast<int>(sizes.size());
        const auto [n_nodes, n_edges] = sizes[static_cast<std::size_t>(is_wild ? k - 1 : k)];
        SCOPED_TRACE(testing::Message() << n_nodes << " nodes, " << n_edges << " edges" << (is_wild ? ", wild" : ""));
        Event event = make_event(network, n_nodes, n_edges, seed);
        if (is_wild) make_wild(event, random);
        const Result expected = on_cpu(network, event, EdgeOutput::logits);
        expect_equal(by_bodies(device, event, EdgeOutput::logits, HostExecutor()), expected);
        expect_equal(by_bodies(device, event, EdgeOutput::logits, HostExecutor(seed)), expected);
        n_finite += n_edges > 0 && !is_wild && expected.status == Status::ok ? 1 : 0;
    }
    return n_finite;
}

TEST(DeviceNetworkRandom, NetworksHaveTheBitsOfTheCpu) {
    constexpr int n_networks = 24;
    const auto base = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) * 1000U;
    int n_finite = 0;
    for (unsigned k = 0; k < n_networks; ++k) {
        SCOPED_TRACE(base + k);
        const RandomNetwork network(base + k);
        n_finite += compare(network.bytes(), base + k, GnnPrecision::fp32);
        n_finite += compare(network.bytes(), base + k, GnnPrecision::bf16);
        if (HasFatalFailure() || HasNonfatalFailure()) return;
    }
    EXPECT_GT(n_finite, n_networks * 2 * 4 * 3 / 4);  // of four graphs with edges, in two precisions
}

}  // namespace
