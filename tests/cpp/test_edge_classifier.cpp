#include <gtest/gtest.h>

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

/// Two node features, one edge feature; logit = edge feature + (sum of features of nodes that lead to the target).
std::vector<std::byte> make_file() {
    std::string text = R"({"format": "rheinfall.gnn", "operations": [
        {"op": "input", "kind": "node", "width": 2}, {"op": "input", "kind": "edge", "width": 1},
        {"op": "linear", "inputs": [0], "width": 1, "weights": {"weight": [0, 2]}},
        {"op": "gather", "inputs": [2], "end": "source"},
        {"op": "reduce", "inputs": [3], "how": "add", "end": "target"},
        {"op": "gather", "inputs": [4], "end": "target"}, {"op": "add", "inputs": [5, 1]}], "output": 6})";
    text.resize((text.size() + 3) / 4 * 4, ' ');
    const float weights[2] = {1.0F, 1.0F};
    std::vector<std::byte> file(48 + text.size() + sizeof weights);
    std::memcpy(file.data() + 48, text.data(), text.size());
    std::memcpy(file.data() + 48 + text.size(), weights, sizeof weights);
    const std::uint32_t version = 1;
    const std::uint64_t sizes[3] = {text.size(), 2, detail::checksum(std::span<const std::byte>(file).subspan(48))};
    std::memcpy(file.data(), "rfgnn\n\x1a", 8);
    std::memcpy(file.data() + 8, &version, sizeof version);
    std::memcpy(file.data() + 16, sizes, sizeof sizes);
    return file;
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

TEST_F(EdgeClassifierTest, WorksInLargePages) {
    HugePages memory;
    Workspace large(&memory);
    large.reserve(std::size_t{3} << 20U);
    EXPECT_EQ(classifier.run(large, event.input(), EdgeOutput::scores, event.out), Status::ok);
    EXPECT_NEAR(event.out[1], 1.0 / (1.0 + std::exp(-23.0)), 1e-7);
}

}  // namespace
}  // namespace rheinfall
