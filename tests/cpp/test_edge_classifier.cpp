#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <rheinfall/adapters/huge_pages.hpp>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <string>
#include <vector>

#include "allocation_counter.hpp"
#include "core/checksum.hpp"

namespace rheinfall {
namespace {

std::vector<std::byte> make_file(std::string text, const std::vector<float>& weights) {
    text.resize((text.size() + 3) / 4 * 4, ' ');
    const std::size_t bytes = weights.size() * sizeof(float);
    std::vector<std::byte> file(48 + text.size() + bytes);
    std::memcpy(file.data() + 48, text.data(), text.size());
    std::memcpy(file.data() + 48 + text.size(), weights.data(), bytes);
    const std::uint32_t version = 1;
    const std::uint64_t sizes[3] = {text.size(), weights.size(),
                                    detail::checksum(std::span<const std::byte>(file).subspan(48))};
    std::memcpy(file.data(), "rfgnn\n\x1a", 8);
    std::memcpy(file.data() + 8, &version, sizeof version);
    std::memcpy(file.data() + 16, sizes, sizeof sizes);
    return file;
}

/// Two node features, one edge feature; logit = edge feature + (sum of features of nodes that lead to the target).
std::vector<std::byte> make_file() {
    return make_file(R"({"format": "rheinfall.gnn", "operations": [
        {"op": "input", "kind": "node", "width": 2}, {"op": "input", "kind": "edge", "width": 1},
        {"op": "linear", "inputs": [0], "width": 1, "weights": {"weight": [0, 2]}},
        {"op": "gather", "inputs": [2], "end": "source"},
        {"op": "reduce", "inputs": [3], "how": "add", "end": "target"},
        {"op": "gather", "inputs": [4], "end": "target"}, {"op": "add", "inputs": [5, 1]}], "output": 6})",
                     {1.0F, 1.0F});
}

/// Two linear operations of edges with a relu between: three edge features, two hidden values.
std::vector<std::byte> make_edge_file(float weight) {
    return make_file(R"({"format": "rheinfall.gnn", "operations": [
        {"op": "input", "kind": "edge", "width": 3}, {"op": "input", "kind": "node", "width": 1},
        {"op": "linear", "inputs": [0], "width": 2, "weights": {"weight": [0, 6]}},
        {"op": "relu", "inputs": [2]},
        {"op": "linear", "inputs": [3], "width": 1, "weights": {"weight": [6, 2], "bias": [8, 1]}}], "output": 4})",
                     {1, -1, 2, weight, 0.5F, 3, 1, 1, 0.25F});
}

struct Event {
    std::vector<float> nodes = {1, 2, 3, 4, 5, 6};
    std::vector<float> features = {10, 20, 30};
    std::vector<std::int64_t> source = {1, 0, 0};
    std::vector<std::int64_t> target = {2, 1, 2};
    std::vector<float> out = {0, 0, 0};

    [[nodiscard]] EdgeClassifierInput input() const { return {3, nodes, {source, target}, features}; }
};

class EdgeClassifierTest : public testing::Test {
protected:
    EdgeClassifier classifier = EdgeClassifier::parse(make_file(), "test");
    Workspace workspace;
    Event event;

    void SetUp() override { workspace.reserve(classifier.workspace_size({3, 3})); }
    Status run() { return classifier.run(workspace, event.input(), EdgeOutput::logits, event.out); }
};

TEST_F(EdgeClassifierTest, SumsOverEdgesByHand) {
    EXPECT_EQ(run(), Status::ok);
    EXPECT_EQ(event.out, (std::vector<float>{10 + 3 + 7, 20 + 3, 30 + 3 + 7}));
}

TEST_F(EdgeClassifierTest, AllocatesNothing) {
    const AllocationCounter counter;
    EXPECT_EQ(run(), Status::ok);
    EXPECT_EQ(counter.count(), 0U);
}

TEST_F(EdgeClassifierTest, SaysWhatIsWrongWithAnEvent) {
    event.features[0] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(run(), Status::not_finite);
    EXPECT_EQ(event.out[1], 23.0F);
    event = Event();
    event.target[1] = 3;
    EXPECT_EQ(run(), Status::invalid_argument);
    event.target[1] = -1;
    EXPECT_EQ(run(), Status::invalid_argument);
    event = Event();
    event.nodes.pop_back();
    EXPECT_EQ(run(), Status::invalid_argument);
    event = Event();
    event.source.clear();
    event.target.clear();
    event.features.clear();
    event.out.clear();
    EXPECT_EQ(run(), Status::empty);
    event = Event();
    Workspace small;
    small.reserve(classifier.workspace_size({3, 3}) - 64);
    EXPECT_EQ(classifier.run(small, event.input(), EdgeOutput::logits, event.out), Status::capacity_exceeded);
}

TEST(EdgeClassifierBf16, RoundsInputsAndWeightsOfEdges) {
    const std::vector<float> nodes(50, 0.0F);
    std::vector<std::int64_t> ends;
    std::vector<float> features;
    std::vector<float> expected;
    for (int e = 0; e < 49; ++e) {
        ends.push_back(e);
        const auto x = static_cast<float>(e);
        // 1 + 2^-9 counts as 1 and 2^-70 as 0; so does the weight 3 + 2^-8 as 3.
        for (const float f : {x, 1 + 0x1p-9F, 0x1p-70F}) features.push_back(f);
        expected.push_back(x + 2 + std::max(0.0F, 3 - x) + 0.25F);
    }
    std::vector<float> out(expected.size());
    for (const GnnIsa isa : {GnnIsa::portable, GnnIsa::best}) {
        const auto classifier = EdgeClassifier::parse(make_edge_file(3 + 0x1p-8F), "test", isa, GnnPrecision::bf16);
        EXPECT_EQ(classifier.precision(), GnnPrecision::bf16);
        Workspace workspace;
        workspace.reserve(classifier.workspace_size({50, 49}));
        const EdgeClassifierInput input{50, nodes, {ends, ends}, features};
        EXPECT_EQ(classifier.run(workspace, input, EdgeOutput::logits, out), Status::ok);
        EXPECT_EQ(out, expected);
    }
}

TEST(EdgeClassifierBf16, RefusesWhatItCannotServe) {
    const auto parse = [](const std::vector<std::byte>& file, GnnPrecision precision) {
        return EdgeClassifier::parse(file, "test", GnnIsa::best, precision).precision();
    };
    EXPECT_THROW(parse(make_file(), GnnPrecision::bf16), std::runtime_error);
    EXPECT_THROW(parse(make_edge_file(3.4e38F), GnnPrecision::bf16), std::runtime_error);
    EXPECT_EQ(parse(make_edge_file(3.4e38F), GnnPrecision::fp32), GnnPrecision::fp32);
}

TEST_F(EdgeClassifierTest, WorksInLargePages) {
    HugePages memory;
    Workspace large(&memory);
    large.reserve(std::size_t{3} << 20U);
    EXPECT_EQ(classifier.run(large, event.input(), EdgeOutput::scores, event.out), Status::ok);
    EXPECT_NEAR(event.out[1], 1.0 / (1.0 + std::exp(-23.0)), 1e-7);
}

}  // namespace
}  // namespace rheinfall
