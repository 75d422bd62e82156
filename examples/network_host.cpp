// A trigger that runs quantized networks: several models in one menu, streams that share them, other models from the
// next run on; counts that the event loop allocates nothing, and compares every bit with the readable executor.
//   network_host NETWORK.json...
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <rheinfall/rheinfall.hpp>
#include <thread>
#include <vector>

#include "counted_allocations.hpp"

namespace rq = rheinfall::quantized;
/// One model of the menu with the events of a run, and what each stream computes of them.
struct Model {
    rq::Network network;
    std::vector<std::int32_t> x;
    std::vector<double> expected;
    std::vector<double> y[2];
};
constexpr std::size_t n_events = 200;
static Model prepare(const char* path, int run) {
    Model model{rq::Network::load(path, {run % 2 == 0 ? rq::Isa::best : rq::Isa::portable}), {}, {}, {}};
    const auto exact = rq::Network::load(path, {rq::Isa::exact});
    std::mt19937 random(static_cast<unsigned>(run));
    model.x.resize(n_events * exact.n_inputs());
    for (auto& x : model.x) x = static_cast<std::int32_t>(random() % 64) - 32;
    model.expected.resize(n_events * exact.n_outputs());
    model.y[0] = model.y[1] = model.expected;
    rheinfall::Workspace workspace;
    workspace.reserve(exact.workspace_size(n_events));
    exact.run({model.x.data(), rq::ElementType::int32}, {model.expected.data(), rq::ElementType::float64}, n_events,
              workspace);
    return model;
}

int main(int argc, char** argv) try {
    std::size_t allocations[2] = {0, 0}, n_wrong = 0, n_done = 0;
    for (int run = 0; run < 20; ++run) {  // at each begin of a run the models are loaded anew
        std::vector<Model> menu;
        for (int i = 1; i < argc; ++i) menu.push_back(prepare(argv[i], run));
        const auto stream = [&](std::size_t s) {
            rheinfall::Workspace workspace;
            for (const Model& model : menu) workspace.reserve(model.network.workspace_size(1));
            const std::size_t before = n_allocations;
            for (std::size_t event = 0; event < n_events; ++event)
                for (Model& model : menu)
                    model.network.run({&model.x[event * model.network.n_inputs()], rq::ElementType::int32},
                                      {&model.y[s][event * model.network.n_outputs()], rq::ElementType::float64}, 1,
                                      workspace);
            allocations[s] += n_allocations - before;
        };
        {
            const std::jthread first(stream, std::size_t{0}), second(stream, std::size_t{1});
        }
        for (const Model& model : menu) n_wrong += (model.y[0] != model.expected) + (model.y[1] != model.expected);
        n_done += 2 * n_events * menu.size();
    }
    const std::size_t total = allocations[0] + allocations[1];
    std::printf("%zu inferences, %zu results that differ, allocations in the event loop: %zu\n", n_done, n_wrong,
                total);
    return total == 0 && n_wrong == 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "network_host: %s\n", error.what());
    return 3;
}
