#include <gtest/gtest.h>

#include <limits>
#include <rheinfall/quantized/forest.hpp>
#include <string>
#include <vector>

#include "allocation_counter.hpp"

namespace {

namespace quantized = rheinfall::quantized;
using quantized::ElementType;
using quantized::Forest;
using quantized::Isa;
using rheinfall::Status;

/// Two trees on two features: the first a split of x0 at 3 and of x1 at -2, the second one of x1 at 0.
std::string document(const std::string& input, const std::string& score, const std::string& comparison = "<=") {
    return R"({"format":"rheinfall.forest","version":1,"n_features":2,"n_classes":1,"input":")" + input +
           R"(","score":")" + score + R"(","comparison":")" + comparison +
           R"(","initial":[1],"initial_added":"first","sum":"sequential","trees":[)"
           R"({"class":0,"feature":[0,1,-1,-1,-1],"threshold":[3,-2,0,0,0],"left":[1,2,-1,-1,-1],)"
           R"("right":[4,3,-1,-1,-1],"value":[0,0,10,20,40],"missing_left":[1,0,0,0,0]},)"
           R"({"class":0,"feature":[1,-1,-1],"threshold":[0,0,0],"left":[1,-1,-1],"right":[2,-1,-1],"value":[0,-3,5]}]})";
}

std::vector<Forest> forests(const std::string& text) {
    std::vector<Forest> found;
    for (const Isa isa : {Isa::exact, Isa::portable, Isa::avx2, Isa::avx512}) {
        try {
            found.push_back(Forest::from_json(text, "test", {isa}));
        } catch (const std::invalid_argument&) {
            continue;  // this machine lacks it
        }
    }
    return found;
}

template <class In, class Out>
std::pair<Status, std::vector<Out>> run(const Forest& forest, const std::vector<In>& x, ElementType in,
                                        ElementType out) {
    const std::size_t n = x.size() / forest.n_features();
    std::vector<Out> scores(n * forest.n_classes());
    rheinfall::Workspace workspace;
    workspace.reserve(forest.workspace_size(n));
    const Status status = forest.run({x.data(), in}, {scores.data(), out}, n, workspace);
    return {status, scores};
}

TEST(Forest, ByHand) {
    const std::vector<std::int32_t> x = {3, -2, 3, -1, 4, 0, 4, 1};
    for (const Forest& forest : forests(document("ap_fixed<8,8>", "ap_fixed<8,8>"))) {
        const auto [status, scores] =
            run<std::int32_t, std::int64_t>(forest, x, ElementType::int32, ElementType::int64);
        EXPECT_EQ(status, Status::ok);
        EXPECT_EQ(scores, (std::vector<std::int64_t>{1 + 10 - 3, 1 + 20 - 3, 1 + 40 - 3, 1 + 40 + 5}));
    }
    for (const Forest& forest : forests(document("ap_fixed<8,8>", "ap_fixed<8,8>", "<"))) {
        const auto [status, scores] =
            run<std::int32_t, std::int64_t>(forest, x, ElementType::int32, ElementType::int64);
        EXPECT_EQ(scores, (std::vector<std::int64_t>{1 + 40 - 3, 1 + 40 - 3, 1 + 40 + 5, 1 + 40 + 5}));
    }
}

TEST(Forest, SumsWrapAndSaturateAsTheirTypeSays) {
    const std::vector<std::int32_t> x = {4, 1};
    for (const Forest& forest : forests(document("ap_fixed<8,8>", "ap_fixed<7,7>"))) {
        EXPECT_EQ((run<std::int32_t, float>(forest, x, ElementType::int32, ElementType::float32).second[0]), 46.0F);
    }
    const std::string narrow = document("ap_fixed<8,8>", "ap_fixed<7,7,TRN,SAT>");
    const std::string high = std::string(narrow).replace(narrow.find("[1]"), 3, "[60]");
    for (const Forest& forest : forests(high)) {  // 60 + 40 is 63, and then 5 more
        EXPECT_EQ((run<std::int32_t, float>(forest, x, ElementType::int32, ElementType::float32).second[0]), 63.0F);
        EXPECT_FALSE(forest.plan_info().any_order);
        // 60 + 10 is 63, then -3: not 67 of any other order.
        const auto low = run<std::int32_t, float>(forest, {3, -2}, ElementType::int32, ElementType::float32);
        EXPECT_EQ(low.second[0], 60.0F);
    }
}

TEST(Forest, MissingValuesAndInfinities) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float inf = std::numeric_limits<float>::infinity();
    const std::vector<float> x = {nan, -2, nan, nan, inf, -inf, -0.0F, 0.0F};
    for (const Forest& forest : forests(document("float32", "float32"))) {
        for (std::size_t first = 0; first < 4; ++first) {
            const std::vector<float> event(x.begin() + static_cast<std::ptrdiff_t>(2 * first),
                                           x.begin() + static_cast<std::ptrdiff_t>(2 * first + 2));
            const auto [status, scores] = run<float, float>(forest, event, ElementType::float32, ElementType::float32);
            EXPECT_EQ(status, Status::ok);
            EXPECT_EQ(scores[0], (std::vector<float>{8, 26, 38, 18})[first]);
        }
    }
}

TEST(Forest, StatusesOfAnEvent) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const Forest& forest : forests(document("ap_fixed<8,8>", "ap_fixed<8,8>"))) {
        const auto bad = run<double, double>(forest, {nan, 4.0}, ElementType::float64, ElementType::float64);
        EXPECT_EQ(bad.first, Status::not_finite);
        EXPECT_EQ(bad.second[0], 26.0);  // NaN counts as 0
        const auto wide = run<std::int32_t, double>(forest, {256 + 4, 1}, ElementType::int32, ElementType::float64);
        EXPECT_EQ(wide.first, Status::out_of_range);
        EXPECT_EQ(wide.second[0], 46.0);  // 260 wraps to 4
        rheinfall::Workspace empty;
        std::vector<std::int32_t> x(2 * 100);
        std::vector<float> scores(100);
        EXPECT_EQ(forest.run({x.data(), ElementType::int32}, {scores.data(), ElementType::float32}, 100, empty),
                  Status::capacity_exceeded);
        EXPECT_EQ(forest.run({nullptr, ElementType::int32}, {scores.data(), ElementType::float32}, 1, empty),
                  Status::invalid_argument);
        EXPECT_EQ(forest.run({x.data(), ElementType::int32}, {scores.data(), ElementType::uint8}, 1, empty),
                  Status::invalid_argument);
        EXPECT_EQ(forest.run({nullptr, ElementType::int32}, {nullptr, ElementType::float32}, 0, empty), Status::ok);
    }
}

TEST(Forest, RunsWithoutAllocation) {
    for (const std::string type : {"ap_fixed<8,8>", "ap_fixed<40,40>", "float32", "float64"}) {
        for (const Forest& forest : forests(document(type, type))) {
            std::vector<double> x(2 * 200, 1.5);
            std::vector<double> scores(200);
            rheinfall::Workspace workspace;
            workspace.reserve(forest.workspace_size(200));
            const AllocationCounter allocations;
            for (const std::size_t n : {1, 2, 64, 65, 200}) {
                EXPECT_EQ(
                    forest.run({x.data(), ElementType::float64}, {scores.data(), ElementType::float64}, n, workspace),
                    Status::ok);
            }
            EXPECT_EQ(allocations.count(), 0U);
        }
    }
}

TEST(Forest, ErrorsNameFileTreeAndNode) {
    std::string text = document("ap_fixed<8,8>", "ap_fixed<8,8>");
    text.replace(text.find("[0,1,-1,-1,-1]"), 14, "[0,7,-1,-1,-1]");
    try {
        (void)Forest::from_json(text, "file.json");
        FAIL();
    } catch (const quantized::ModelError& error) {
        EXPECT_STREQ(error.what(), "file.json: tree 0: feature: node 1: 7 of 2 features");
    }
    EXPECT_THROW((void)Forest::load("/no/such/file"), std::runtime_error);
}

}  // namespace
