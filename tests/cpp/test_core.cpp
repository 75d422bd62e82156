#include <gtest/gtest.h>

#include <atomic>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/rheinfall.hpp>
#include <vector>

namespace {

TEST(ParallelFor, RunsEachTaskOnceOnAnyNumberOfThreads) {
    for (const std::size_t n_threads : {1u, 2u, 8u}) {
        rheinfall::StdThreads threads(n_threads);
        std::vector<std::atomic<int>> calls(101);
        threads.parallel_for()(calls.size(), [&](std::size_t i) { ++calls[i]; });
        for (const auto& n : calls) EXPECT_EQ(n.load(), 1);
    }
}

TEST(ParallelFor, NoTasksIsNoWork) {
    rheinfall::StdThreads threads(4);
    threads.parallel_for()(0, [](std::size_t) { FAIL(); });
    rheinfall::ParallelFor()(0, [](std::size_t) { FAIL(); });
}

TEST(Workspace, HandsOutUntilFullAndSaysSo) {
    rheinfall::Workspace workspace;
    workspace.reserve(128);
    EXPECT_EQ(workspace.take<float>(16).size(), 16u);
    EXPECT_EQ(workspace.take<float>(16).size(), 16u);
    EXPECT_FALSE(workspace.overflowed());
    EXPECT_TRUE(workspace.take<float>(1).empty());
    EXPECT_TRUE(workspace.overflowed());
    workspace.clear();
    EXPECT_EQ(workspace.take<double>(16).size(), 16u);
}

TEST(Status, TheGraverWins) {
    EXPECT_EQ(rheinfall::worst(rheinfall::Status::empty, rheinfall::Status::cycle), rheinfall::Status::cycle);
}

}  // namespace
