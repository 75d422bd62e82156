// Stages of a network on several tasks: the same bits, whatever threads a host gives them, and no task that waits for
// one that has not begun.
#include <gtest/gtest.h>

#include <rheinfall/adapters/std_threads.hpp>
#include <string>
#include <vector>

#include "device_networks.hpp"

namespace {

using namespace device_networks;

/// Stages over nodes, edges and the event, with sums over all rows between them.
std::vector<std::byte> network_with_sums() {
    GnnFile file(5);
    const auto gather = [&](int x, const char* end) {
        return file.add(R"("op": "gather", "inputs": [)" + std::to_string(x) + R"(], "end": ")" + end + "\"");
    };
    const auto join = [](std::initializer_list<int> values) {
        std::string text;
        for (const int value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
        return text;
    };
    const std::string epsilon = R"(, "epsilon": 1e-5)";
    const int nodes = file.add(R"("op": "input", "kind": "node", "width": 3)");
    const int edges = file.add(R"("op": "input", "kind": "edge", "width": 2)");
    const int normed = file.unary("batch_norm", file.linear(join({nodes}), 3, 20, true), epsilon);
    const int joined = file.linear(join({gather(normed, "source"), gather(normed, "target"), edges}), 42, 24, true);
    const int message = file.unary("relu", file.unary("batch_norm", joined, epsilon));
    const int mean = file.unary("event_mean", message);
    const int summed = file.unary("reduce", message, R"(, "how": "add", "end": "target")");
    const int updated = file.linear(join({normed, summed}), 44, 20, true);
    return file.bytes(file.linear(join({gather(updated, "source"), message, mean}), 68, 1, true));
}

std::vector<float> run(const EdgeClassifier& network, const Event& event, const ParallelFor& parallel_for) {
    Workspace workspace;
    workspace.reserve(network.workspace_size({event.n_nodes, event.size()}, parallel_for.n_threads()));
    std::vector<float> out(event.size());
    EXPECT_EQ(network.run(workspace, event.input(), EdgeOutput::logits, out, parallel_for), Status::ok);
    return out;
}

TEST(EdgeClassifierThreads, GiveTheSameBits) {
    const EdgeClassifier network = EdgeClassifier::parse(network_with_sums(), "test");
    for (const auto& [n_nodes, n_edges] : {std::pair{40, 90}, {900, 4000}, {7000, 30000}}) {
        const Event event =
            make_event(network, static_cast<std::size_t>(n_nodes), static_cast<std::size_t>(n_edges), 3);
        const auto expected = run(network, event, {});
        for (const std::size_t n : {2, 3, 8}) {
            StdThreads threads(n);
            EXPECT_EQ(run(network, event, threads.parallel_for()), expected)
                << n << " threads, " << n_edges << " edges";
        }
    }
}

TEST(EdgeClassifierThreads, DoNotWaitForTasksThatHaveNotBegun) {
    const EdgeClassifier network = EdgeClassifier::parse(network_with_sums(), "test");
    const Event event = make_event(network, 900, 4000, 4);
    std::size_t calls = 0;
    auto last_task_first = [&calls](std::size_t n, ParallelFor::Task task) {
        while (n > 0) task(--n), ++calls;
    };
    EXPECT_EQ(run(network, event, ParallelFor(last_task_first, 4)), run(network, event, {}));
    EXPECT_EQ(calls, 4U);
}

}  // namespace
