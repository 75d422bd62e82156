// Forests of the yardstick's shape (100 complete trees of depth 4, 16 features) and others, at batch 1 and in batches.
// Each is compared with the readable walk before it is timed. What an event reads and does is written down beside: the
// kernels' bound is bytes of tables per 64-byte load, and one comparison per node of all trees in lanes.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <random>
#include <rheinfall/rheinfall.hpp>
#include <string>
#include <vector>

namespace {

namespace quantized = rheinfall::quantized;
using quantized::Isa;

struct Shape {
    const char* input;
    const char* score;
    bool floats;
    int n_trees;
    int depth;
    int n_features;
    double input_range;  // of stored integers, or of reals
};

std::string join(const std::vector<std::string>& numbers) {
    std::string text;
    for (const auto& n : numbers) text += (text.empty() ? "" : ",") + n;
    return "[" + text + "]";
}

std::string tree(std::mt19937& random, const Shape& s) {
    std::uniform_real_distribution<double> any(-1.0, 1.0);
    const auto number = [&](double range) {
        const double x = any(random) * range;
        // A multiple of 2^-16 is a float32, and the point and sixteen digits write it down exactly.
        char text[40];
        std::snprintf(text, sizeof text, "%.16f", static_cast<double>(static_cast<int>(x * 65536)) / 65536.0);
        return s.floats ? std::string(text) : std::to_string(static_cast<int>(x));
    };
    std::vector<std::string> feature, threshold, left, right, value;
    const int n_splits = (1 << s.depth) - 1;
    for (int i = 0; i < 2 * n_splits + 1; ++i) {
        const bool split = i < n_splits;
        feature.push_back(split ? std::to_string(random() % static_cast<unsigned>(s.n_features)) : "-1");
        threshold.push_back(split ? number(s.input_range * 0.6) : "0");
        value.push_back(split ? "0" : number(s.floats ? 1.0 : 900.0));
        left.push_back(split ? std::to_string(2 * i + 1) : "-1");
        right.push_back(split ? std::to_string(2 * i + 2) : "-1");
    }
    return R"({"class":0,"feature":)" + join(feature) + R"(,"threshold":)" + join(threshold) + R"(,"left":)" +
           join(left) + R"(,"right":)" + join(right) + R"(,"value":)" + join(value) + "}";
}

std::string document(const Shape& s) {
    std::mt19937 random(1);
    std::vector<std::string> trees;
    for (int t = 0; t < s.n_trees; ++t) trees.push_back(tree(random, s));
    return R"({"format":"rheinfall.forest","version":1,"n_features":)" + std::to_string(s.n_features) +
           R"(,"n_classes":1,"input":")" + s.input + R"(","score":")" + s.score +
           R"(","comparison":"<=","initial":[0],"initial_added":"first","sum":"sequential","trees":)" + join(trees) +
           "}";
}

template <class T>
std::vector<T> random_events(const Shape& s, std::size_t n) {
    std::mt19937 random(2);
    std::uniform_real_distribution<double> any(-s.input_range, s.input_range);
    std::vector<T> x(n * static_cast<std::size_t>(s.n_features));
    for (T& v : x) v = static_cast<T>(any(random));
    return x;
}

/// In: what the caller has, stored integers or floats; Out: what is asked for.
template <class In, class Out>
void run(benchmark::State& state, Shape shape, quantized::ElementType in, quantized::ElementType out, Isa isa) {
    const auto n = static_cast<std::size_t>(state.range(0));
    const std::size_t n_rows = n == 1 ? 1024 : n;  // single events differ, so that no branch predictor learns one
    const std::string text = document(shape);
    const auto forest = quantized::Forest::from_json(text, "bench", {isa});
    const auto exact = quantized::Forest::from_json(text, "bench", {Isa::exact});
    const auto x = random_events<In>(shape, n_rows);
    std::vector<Out> scores(n_rows), wanted(n_rows);
    rheinfall::Workspace workspace;
    workspace.reserve(std::max(forest.workspace_size(n_rows), exact.workspace_size(n_rows)));
    exact.run({x.data(), in}, {wanted.data(), out}, n_rows, workspace);
    const std::size_t step = static_cast<std::size_t>(shape.n_features);
    for (std::size_t i = 0; i < n_rows; i += n) {
        workspace.clear();
        forest.run({x.data() + i * step, in}, {scores.data() + i, out}, n, workspace);
    }
    if (scores != wanted) return state.SkipWithError("wrong scores");
    std::size_t i = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(forest.run({x.data() + i * step, in}, {scores.data() + i, out}, n, workspace));
        i = n == 1 ? (i + 1) % n_rows : 0;
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(n));
    const auto info = forest.plan_info();
    state.SetLabel(info.kernel);
    state.counters["table_bytes"] = static_cast<double>(info.bytes);
}

using quantized::ElementType;
constexpr Shape fixed18{"ap_fixed<18,8>", "ap_fixed<18,8>", false, 100, 4, 16, 131071.0};
constexpr Shape fixed12{"ap_fixed<12,6>", "ap_fixed<12,6>", false, 100, 4, 16, 2047.0};
constexpr Shape fixed11{"ap_fixed<11,6>", "ap_fixed<16,7>", false, 100, 4, 32, 1023.0};
constexpr Shape floats{"float32", "float32", true, 100, 4, 16, 1.0};
constexpr Shape doubles{"float64", "float64", true, 100, 4, 16, 1.0};
constexpr Shape deeper{"ap_fixed<18,8>", "ap_fixed<18,8>", false, 200, 6, 19, 131071.0};

void add(const char* name, Shape shape, Isa isa, bool from_floats = false) {
    const auto make = [&](auto in, auto out, ElementType in_type, ElementType out_type) {
        benchmark::RegisterBenchmark(
            name,
            [=](benchmark::State& state) { run<decltype(in), decltype(out)>(state, shape, in_type, out_type, isa); })
            ->Arg(1)
            ->Arg(64)
            ->Arg(10000);
    };
    if (shape.floats && std::string(shape.input) == "float64") {
        make(double{}, double{}, ElementType::float64, ElementType::float64);
    } else if (shape.floats || from_floats) {
        make(float{}, float{}, ElementType::float32, ElementType::float32);
    } else {
        make(std::int32_t{}, std::int32_t{}, ElementType::int32, ElementType::int32);
    }
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    add("ap_fixed<18,8>/integers", fixed18, Isa::best);
    add("ap_fixed<18,8>/floats", fixed18, Isa::best, true);
    add("ap_fixed<12,6>/integers", fixed12, Isa::best);
    add("ap_fixed<11,6>_32_features/integers", fixed11, Isa::best);
    add("float32", floats, Isa::best);
    add("float64", doubles, Isa::best);
    add("200x6_ap_fixed<18,8>/integers", deeper, Isa::best);
    for (const auto& [name, isa] : {std::pair{"avx2", Isa::avx2}, {"portable", Isa::portable}, {"walk", Isa::exact}}) {
        try {
            add((std::string("ap_fixed<18,8>/integers/") + name).c_str(), fixed18,
                quantized::Forest::from_json(document(fixed18), "", {isa}).isa());
        } catch (const std::invalid_argument&) {
            continue;  // this machine lacks it
        }
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
