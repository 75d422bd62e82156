// Linear operations in bf16 as a device computes them: the bodies of the kernels on the host, with tensor cores that
// add as a CPU does and with such that add as those of a GPU may.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <random>
#include <rheinfall/core/cuda_device.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/crew_warps.hpp"
#include "core/file.hpp"
#include "device_networks.hpp"
#include "gnn/bf16.hpp"
#include "source_files.hpp"

namespace {

using namespace device_networks;
namespace tile = rheinfall::gnn::tile;
namespace mma = rheinfall::gnn::mma;

// --- one operation --------------------------------------------------------------------------------------------------

/// To the nearest bf16, ties to even, found among its neighbours.
float nearest_bf16(float x, float least) {
    if (std::isnan(x) || std::isinf(x)) return x;
    if (std::abs(x) < least) return 0;
    const float below = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xffff0000U);  // towards zero
    const auto next = std::bit_cast<std::uint32_t>(below) + 0x10000U;
    const float above = std::bit_cast<float>(next);
    const auto wide = [](float y) { return static_cast<double>(y); };
    const double to_above = std::isinf(above) ? std::ldexp(1.0, 128) : std::abs(wide(above));
    const double down = std::abs(wide(x)) - std::abs(wide(below));
    const double up = to_above - std::abs(wide(x));
    if (down != up) return down < up ? below : above;
    return (next >> 16U & 1U) == 0 ? above : below;
}

struct Linear {
    int in = 0, out = 0;
    std::vector<float> weight, bias, inputs, before, residual;  ///< [in][out], [out], [row][...]
    bool accumulate = false, add = false, relu = false, has_bias = false;
};

class Values {
public:
    explicit Values(unsigned seed) : random_(seed) {}
    float tame() { return std::uniform_real_distribution<float>(-2, 2)(random_); }
    /// Of any size, zeros of both signs, subnormal, infinite and none at all.
    float wild(bool finite) {
        const unsigned kind = random_() % 16;
        if (kind == 0) return std::bit_cast<float>(static_cast<std::uint32_t>(random_() % 2) << 31U);
        if (kind == 1 && !finite) return std::numeric_limits<float>::infinity();
        if (kind == 2 && !finite) return std::bit_cast<float>(0x7f800001U);
        if (kind < 8) return std::ldexp(tame(), static_cast<int>(random_() % 250) - 170);
        return tame();
    }
    unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }

private:
    std::mt19937 random_;
};

Linear make_linear(int in, int out, Values& values, bool wild) {
    Linear l;
    l.in = in;
    l.out = out;
    const auto fill = [&](std::vector<float>& to, int n, bool finite) {
        to.resize(static_cast<std::size_t>(n));
        for (float& x : to) x = wild ? values.wild(finite) : values.tame();
    };
    fill(l.weight, in * out, true);
    fill(l.bias, out, true);
    fill(l.inputs, tile::rows * in, false);
    fill(l.before, tile::rows * out, false);
    fill(l.residual, tile::rows * out, false);
    for (bool* flag : {&l.accumulate, &l.add, &l.relu, &l.has_bias}) *flag = values.below(2) == 1;
    return l;
}

std::size_t at(int row, int column, int width) {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(width) + static_cast<std::size_t>(column);
}

/// As bf16.hpp says.
float defined(const Linear& l, int row, int o) {
    const auto place = static_cast<std::size_t>(o);
    float sum = l.accumulate ? l.before[at(row, o, l.out)] : l.has_bias ? gnn::bf16_bias(l.bias)[place] : 0.0F;
    for (int p = 0; p < l.in; p += 2) {
        for (const int k : {p + 1, p}) {
            const bool is_there = k < l.in;
            const float x = is_there ? nearest_bf16(l.inputs[at(row, k, l.in)], gnn::least_bf16_input) : 0.0F;
            const float w = is_there ? nearest_bf16(l.weight[at(k, o, l.out)], gnn::least_bf16_weight) : 0.0F;
            sum = std::fma(x, w, sum);
        }
    }
    if (l.add) sum = l.residual[at(row, o, l.out)] + sum;
    return l.relu && !std::isnan(sum) && !(sum >= 0) ? 0.0F : sum;
}

/// [row][out] by the bodies.
std::vector<float> computed(const Linear& l, TensorCore tensor_core, int order) {
    const std::vector<float> weights = gnn::pack_bf16_fragments(l.weight, 0, l.in, l.out);
    EXPECT_EQ(weights.size(), static_cast<std::size_t>(mma::packed_words(l.in, l.out)));
    const std::vector<float> bias = gnn::bf16_bias(l.bias);
    gnn::Instruction i;
    i.code = gnn::Code::linear;
    i.bf16 = true;
    i.in = 0;
    i.out = l.in;
    i.in2 = l.add ? l.in + l.out : -1;
    i.in_width = l.in;
    i.width = l.out;
    i.weights = weights.data();
    i.scale = l.has_bias && !l.accumulate ? bias.data() : nullptr;
    i.accumulate = l.accumulate;
    i.relu = l.relu;
    // Every byte behind what a tile asks for would be seen by a sanitizer.
    std::vector<std::byte> memory(tile::tile_bytes(l.in + 2 * l.out, l.in), std::byte{0xff});
    tile::Tile t{};
    t.n = tile::rows;
    t.exchange = reinterpret_cast<std::uint32_t*>(memory.data());
    t.columns = reinterpret_cast<float*>(memory.data()) + tile::exchange_words(l.in);
    for (int r = 0; r < tile::rows; ++r) {
        for (int k = 0; k < l.in; ++k) t.at(k, r) = l.inputs[at(r, k, l.in)];
        for (int o = 0; o < l.out; ++o) {
            t.at(i.out + o, r) = l.before[at(r, o, l.out)];
            t.at(l.in + l.out + o, r) = l.residual[at(r, o, l.out)];
        }
    }
    tile::run_instruction(HostCrew(tensor_core, order, 1 + l.in % 5), i, t);
    std::vector<float> out;
    for (int r = 0; r < tile::rows; ++r) {
        for (int o = 0; o < l.out; ++o) out.push_back(t.at(i.out + o, r));
    }
    return out;
}

void expect_defined(const Linear& l, int order) {
    const std::vector<float> got = computed(l, cpu_product, order);
    for (int r = 0; r < tile::rows; ++r) {
        for (int o = 0; o < l.out; ++o) {
            const float expected = defined(l, r, o);
            const float x = got[at(r, o, l.out)];
            if (std::isnan(expected)) {
                ASSERT_TRUE(std::isnan(x)) << r << ", " << o;
            } else {
                ASSERT_EQ(std::bit_cast<std::uint32_t>(x), std::bit_cast<std::uint32_t>(expected)) << r << ", " << o;
            }
        }
    }
}

TEST(LinearOnTensorCores, HasTheBitsOfTheDefinitionForAllWidths) {
    Values values(1);
    for (int in = 1; in <= 300; ++in) {
        SCOPED_TRACE(in);
        const int out = 1 + static_cast<int>(values.below(40));
        expect_defined(make_linear(in, out, values, in % 2 == 0), static_cast<int>(values.below(17)) - 1);
        const int narrow = 1 + static_cast<int>(values.below(20));
        expect_defined(make_linear(narrow, in, values, in % 3 == 0), static_cast<int>(values.below(17)) - 1);
    }
}

/// A product as a GPU's tensor cores are known to add it (M. Fasi, N. Higham, M. Mikaitis, S. Pranesh, "Numerical
/// behavior of NVIDIA tensor cores", PeerJ CS 7, 2021): all terms are cut to 24 bits below the largest one's exponent,
/// added, and the sum is cut to float32.
float cut_product(const float* inputs, const float* weights, float sum) {
    double terms[17] = {static_cast<double>(sum)};
    int exponent = -200;
    for (int k = 0; k < 16; ++k) terms[k + 1] = static_cast<double>(inputs[k]) * static_cast<double>(weights[k]);
    for (const double x : terms) {
        if (!std::isfinite(x)) return cpu_product(inputs, weights, sum);
        int e = 0;
        if (x != 0) static_cast<void>(std::frexp(x, &e));
        if (x != 0) exponent = std::max(exponent, e);
    }
    double total = 0;
    for (const double x : terms) total += std::ldexp(std::trunc(std::ldexp(x, 24 - exponent)), exponent - 24);
    const auto nearest = static_cast<float>(total);
    return std::abs(static_cast<double>(nearest)) > std::abs(total) ? std::nextafter(nearest, 0.0F) : nearest;
}

/// What docs/gnn_cuda.md states for one operation, over the sum of its terms' magnitudes.
double stated_bound(int in) {
    return 18.0 * mma::input_tiles(in) * std::ldexp(1.0, -23) * (1 + std::ldexp(1.0, -10));
}

TEST(LinearOnTensorCores, StaysWithinTheStatedBoundWhereTermsAreCut) {
    Values values(2);
    double most = 0;
    for (const int in : {1, 2, 15, 16, 17, 64, 127, 128, 129, 300}) {
        Linear l = make_linear(in, 24, values, false);
        l.relu = l.add = l.accumulate = false;
        const std::vector<float> got = computed(l, cut_product, -1);
        for (int r = 0; r < tile::rows; ++r) {
            for (int o = 0; o < l.out; ++o) {
                double exact = l.has_bias ? static_cast<double>(l.bias[static_cast<std::size_t>(o)]) : 0.0;
                double magnitude = std::abs(exact);
                for (int k = 0; k < in; ++k) {
                    const double term = static_cast<double>(nearest_bf16(l.inputs[at(r, k, in)], 0x1p-63F)) *
                                        static_cast<double>(nearest_bf16(l.weight[at(k, o, l.out)], 0x1p-47F));
                    exact += term;
                    magnitude += std::abs(term);
                }
                const double off = std::abs(static_cast<double>(got[at(r, o, l.out)]) - exact);
                EXPECT_LE(off, stated_bound(in) * magnitude);
                most = std::max(most, off / (stated_bound(in) * magnitude));
            }
        }
    }
    EXPECT_GT(most, 0.01);  // the bound is one that such sums come near
}

// --- networks -------------------------------------------------------------------------------------------------------

void compare(std::span<const std::byte> bytes, std::size_t n_nodes, std::size_t n_edges, unsigned seed) {
    SCOPED_TRACE(testing::Message() << n_nodes << " nodes, " << n_edges << " edges");
    const EdgeClassifier network = EdgeClassifier::parse(bytes, "test", GnnIsa::best, GnnPrecision::bf16);
    const gnn::DeviceNetwork device = device_network(bytes, GnnPrecision::bf16);
    const Event event = make_event(network, n_nodes, n_edges, seed);
    const Result expected = on_cpu(network, event, EdgeOutput::logits);
    expect_equal(by_bodies(device, event, EdgeOutput::logits, HostExecutor()), expected);
    expect_equal(by_bodies(device, event, EdgeOutput::logits, HostExecutor(seed)), expected);
    if (n_edges < 30) return;
    const Result fp32 = on_cpu(EdgeClassifier::parse(bytes, "test"), event, EdgeOutput::logits);
    EXPECT_NE(fp32.out, expected.out);
}

class DeviceNetworkBf16 : public testing::TestWithParam<int> {};

TEST_P(DeviceNetworkBf16, EveryOperationHasTheBitsOfTheCpu) {
    const auto seed = static_cast<unsigned>(GetParam());
    const std::vector<std::byte> bytes = every_operation(seed, GetParam());
    for (const std::size_t n_edges : {0, 1, 31, 32, 33, 63, 64, 65}) compare(bytes, 40, n_edges, seed);
    compare(bytes, 300, 50, seed);
    compare(bytes, 20, 400, seed);
}

INSTANTIATE_TEST_SUITE_P(Widths, DeviceNetworkBf16, testing::Values(2, 3, 5, 8, 16, 17, 33, 70));

TEST(DeviceNetworkInBf16, ShippedNetworksHaveTheBitsOfTheCpu) {
    for (const char* name : {"trackml", "demo"}) {
        const std::filesystem::path path = std::filesystem::path(shipped_bundle(name)) / "edge_classifier.rfgnn";
        if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
        compare(rheinfall::detail::map_file(path.string())->view(), 300, 700, 3);
    }
}

/// Roundings to bf16 that fall to the other side carry what the order of a sum changes on: not by more than bf16 itself
/// changes a network.
TEST(DeviceNetworkInBf16, CutTermsChangeLessThanTheRoundingOfInputs) {
    const std::filesystem::path path = std::filesystem::path(shipped_bundle("trackml")) / "edge_classifier.rfgnn";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
    const auto file = rheinfall::detail::map_file(path.string());
    const EdgeClassifier network = EdgeClassifier::parse(file->view(), "test", GnnIsa::best, GnnPrecision::bf16);
    const Event event = make_event(network, 300, 700, 4);
    const Result bf16 = on_cpu(network, event, EdgeOutput::logits);
    const Result fp32 = on_cpu(EdgeClassifier::parse(file->view(), "test"), event, EdgeOutput::logits);
    const gnn::DeviceNetwork device = device_network(file->view(), GnnPrecision::bf16);
    const Result cut = by_bodies(device, event, EdgeOutput::logits, HostExecutor(cut_product));
    expect_equal(by_bodies(device, event, EdgeOutput::logits, HostExecutor(cut_product)), cut);
    const auto squares = [&](const Result& a) {
        double sum = 0;
        for (std::size_t e = 0; e < a.out.size(); ++e) {
            const double x = static_cast<double>(a.out[e]) - static_cast<double>(bf16.out[e]);
            sum += x * x;
        }
        return sum;
    };
    EXPECT_GT(squares(cut), 0);
    EXPECT_LT(squares(cut), 0.25 * squares(fp32));
}

// --- shared memory --------------------------------------------------------------------------------------------------

TEST(DeviceNetworkInBf16, SaysHowMuchSharedMemoryIsMissing) {
    const gnn::DeviceNetwork network = device_network(every_operation(1, 70), GnnPrecision::bf16);
    std::size_t most = 0;
    for (const gnn::DeviceStage& stage : network.stages) most = std::max(most, stage.tile_bytes);
    EXPECT_NO_THROW(gnn::check_tile_bytes(network, most, "file"));
    try {
        gnn::check_tile_bytes(network, most - 1, "file");
        FAIL();
    } catch (const std::invalid_argument& error) {
        EXPECT_EQ(std::string(error.what()), "file: values of 32 nodes need " + std::to_string(most) +
                                                 " bytes of shared memory: expected at most " +
                                                 std::to_string(most - 1) + ", which this device has");
    }
}

TEST(TileBytes, AreColumnsAndWhatLanesExchange) {
    EXPECT_EQ(tile::tile_bytes(1, 0), 4U * (33 + 64) + 12);  // numbers of the rows of two gathers
    EXPECT_EQ(tile::tile_bytes(4, 1), 4U * (4 * 33 + 8 * 32));
    EXPECT_EQ(tile::tile_bytes(4, 128), tile::tile_bytes(4, 300));  // rounded 128 at a time
    EXPECT_EQ(tile::tile_bytes(4, 129), 4U * (4 * 33 + 64 * 32));
}

TEST(CrewWarps, KeepAMultiprocessorBusyWithTheTilesThatFit) {
    using rheinfall::detail::crew_warps;
    constexpr rheinfall::detail::SharedMemory h100{227 * 1024, 228 * 1024, 1024};
    EXPECT_EQ(crew_warps(1024, h100), 1U);
    EXPECT_EQ(crew_warps(24 * 1024, h100), 1U);   // nine tiles
    EXPECT_EQ(crew_warps(34 * 1024, h100), 2U);   // six
    EXPECT_EQ(crew_warps(74 * 1024, h100), 4U);   // three
    EXPECT_EQ(crew_warps(227 * 1024, h100), 8U);  // one
    EXPECT_EQ(crew_warps(300 * 1024, h100), 8U);
}

// --- GPU ------------------------------------------------------------------------------------------------------------

#if defined(RHEINFALL_WITH_CUDA)

TEST(DeviceNetworkInBf16, AGpuStaysWithinTheStatedBoundOfTheCpu) {
    if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
    for (const int in : {1, 16, 17, 128, 300}) {
        GnnFile f(7);
        const int edges = f.add(R"("op": "input", "kind": "edge", "width": )" + std::to_string(in));
        const std::vector<std::byte> bytes = f.bytes(f.linear(std::to_string(edges), in, 1, true));
        const EdgeClassifier cpu = EdgeClassifier::parse(bytes, "test", GnnIsa::best, GnnPrecision::bf16);
        const Event event = make_event(cpu, 40, 500, 7);
        const Result expected = on_cpu(cpu, event, EdgeOutput::logits);
        const DeviceEdgeClassifier device = DeviceEdgeClassifier::parse(bytes, "test", GnnPrecision::bf16);
        const Result got = on_gpu(device, event, EdgeOutput::logits);
        expect_equal(on_gpu(device, event, EdgeOutput::logits), got);
        for (std::size_t e = 0; e < event.size(); ++e) {
            double magnitude = 1;  // weights and bias are at most 1
            for (int k = 0; k < in; ++k) {
                magnitude += std::abs(static_cast<double>(
                    event.features[e * static_cast<std::size_t>(in) + static_cast<std::size_t>(k)]));
            }
            // Twice: the CPU rounds as well, and features by up to 2^-9.
            EXPECT_LE(std::abs(static_cast<double>(got.out[e]) - static_cast<double>(expected.out[e])),
                      2 * stated_bound(in) * magnitude);
        }
    }
}

#endif

}  // namespace
