// Calls of graph networks and of the radius graph on a device: repeated, in flight beside another, captured and
// replayed. By the bodies of their kernels on the host, and by the same checks on a GPU where there is one.
#include <gtest/gtest.h>

#include <random>
#include <rheinfall/gnn/edge_classifier_cuda.hpp>
#include <rheinfall/tracking/radius_graph_cuda.hpp>
#include <vector>

#include "device_calls.hpp"
#include "point_clouds.hpp"
#include "tracking/detail/device_radius_steps.hpp"
#include "tracking/radius_graph_device.hpp"

namespace {

using namespace rheinfall;

// The graph network.

struct Graph {
    std::size_t n_nodes = 300;
    std::vector<float> nodes, features;
    std::vector<std::int64_t> source, target;

    Graph(const EdgeClassifier& network, unsigned seed) {
        constexpr std::size_t n_edges = 900;
        std::mt19937 random(seed);
        std::uniform_real_distribution<float> uniform(-1, 1);
        nodes.resize(n_nodes * network.n_node_features());
        features.resize(n_edges * network.n_edge_features());
        for (float& x : nodes) x = uniform(random);
        for (float& x : features) x = uniform(random);
        for (std::size_t e = 0; e < n_edges; ++e) {
            source.push_back(static_cast<std::int64_t>(random() % n_nodes));
            target.push_back(static_cast<std::int64_t>(random() % n_nodes));
        }
    }
    [[nodiscard]] EdgeClassifierInput view() const { return {n_nodes, nodes, {source, target}, features}; }
};

Words scores_of_cpu(const EdgeClassifier& network, const Graph& graph) {
    Workspace workspace;
    workspace.reserve(network.workspace_size({graph.n_nodes, graph.source.size()}));
    std::vector<float> scores(graph.source.size());
    Words words;
    words.add_number(static_cast<std::uint64_t>(network.run(workspace, graph.view(), EdgeOutput::scores, scores)));
    words.add(scores, scores.size());
    return words;
}

struct HostClassifier {
    struct Memory {
        explicit Memory(const HostClassifier& /*stage*/, const Graph& /*graph*/) {}
    };
    HostChain chain{.network = detail::map_file(shipped_network())};

    void run(HostPlatform::Stream& stream, Memory& /*memory*/, const EdgeClassifierInput& input,
             std::span<float> scores, Status* status) const {
        stream.submit([this, input, scores, status] { chain.stages().score_edges({input}, scores, status); });
    }
};

template <class Platform, class Stage>
struct ClassifierFlight {
    template <class T>
    using Buffer = typename Platform::template Buffer<T>;

    const Stage& stage;
    std::size_t n_nodes;
    typename Stage::Memory memory;
    typename Platform::Stream stream;
    Buffer<float> nodes, features, scores;
    Buffer<std::int64_t> source, target;
    Buffer<Status> status{1};

    ClassifierFlight(const Stage& used, const Graph& graph)
        : stage(used),
          n_nodes(graph.n_nodes),
          memory(used, graph),
          nodes(graph.nodes.size()),
          features(graph.features.size()),
          scores(graph.source.size()),
          source(graph.source.size()),
          target(graph.target.size()) {
        set(graph);
    }
    void set(const Graph& graph) {
        stream.copy(graph.nodes, nodes);
        stream.copy(graph.features, features);
        stream.copy(graph.source, source);
        stream.copy(graph.target, target);
    }
    void run() {
        stage.run(stream, memory, {n_nodes, nodes.span(), {source.span(), target.span()}, features.span()},
                  scores.span(), status.span().data());
    }
    [[nodiscard]] Words result() {
        Words words;
        words.add(stream.read(status), 1);
        words.add(stream.read(scores), scores.span().size());
        return words;
    }
};

template <class Platform, class Stage>
void check_classifier(const Stage& stage) {
    const EdgeClassifier cpu = EdgeClassifier::load(shipped_network());
    const Graph first(cpu, 1), second(cpu, 2);
    expect_same_bits_in_every_call<Platform, ClassifierFlight<Platform, Stage>>(
        stage, first, second, scores_of_cpu(cpu, first), scores_of_cpu(cpu, second));
}

TEST(DeviceCalls, BodiesOfAGraphNetwork) {
    check_classifier<HostPlatform>(HostClassifier());
}

// The radius graph.

using point_clouds::Cloud;
constexpr std::size_t radius_capacity = 60000;

Words words_of(const RadiusGraphResult& result, const std::vector<std::int64_t>& counts,
               const std::vector<std::int64_t>& source, const std::vector<std::int64_t>& target) {
    Words words;
    words.add_number(static_cast<std::uint64_t>(result.status));
    words.add_number(result.n_edges);
    words.add_number(result.n_truncated);
    words.add(counts, counts.size());
    words.add(source, result.n_edges);
    words.add(target, result.n_edges);
    return words;
}

Words neighbours_of_cpu(const RadiusGraphPlan& plan, const Cloud& cloud) {
    Workspace workspace;
    workspace.reserve(radius_graph_workspace_size({cloud.size(), cloud.dimension, plan.max_neighbours}));
    std::vector<std::int64_t> counts(cloud.size()), source(radius_capacity), target(radius_capacity);
    RadiusGraphBuffers edges{source, target};
    const Status status = build_radius_graph(plan, workspace, cloud.view(), counts, edges);
    return words_of(RadiusGraphResult{status, edges.n_edges, edges.n_truncated}, counts, source, target);
}

struct HostRadius {
    struct Memory {
        explicit Memory(const HostRadius& /*stage*/, const Cloud& /*cloud*/) {}
    };
    RadiusGraphPlan plan;

    explicit HostRadius(const RadiusGraphPlan& given) : plan(given) {}
    void run(HostPlatform::Stream& stream, Memory& /*memory*/, const PointsView& points, std::span<std::int64_t> counts,
             std::span<std::int64_t> source, std::span<std::int64_t> target, RadiusGraphResult* result) const {
        stream.submit([this, points, counts, source, target, result] {
            HostArena arena;
            detail::DeviceRadius s = detail::take_device_radius(arena, plan, points.n_points, points.dimension);
            s.coordinates = points.coordinates.data();
            s.counts = counts.data();
            s.capacity = source.size();
            s.edge_source = source.data();
            s.edge_target = target.data();
            s.result = result;
            HostExecutor on(3);
            detail::build_device_radius(on, s);
        });
    }
};

template <class Platform, class Stage>
struct RadiusFlight {
    const Stage& stage;
    std::size_t n_points, dimension;
    typename Stage::Memory memory;
    typename Platform::Stream stream;
    typename Platform::template Buffer<float> coordinates;
    typename Platform::template Buffer<std::int64_t> counts, source{radius_capacity}, target{radius_capacity};
    typename Platform::template Buffer<RadiusGraphResult> left{1};

    RadiusFlight(const Stage& used, const Cloud& cloud)
        : stage(used),
          n_points(cloud.size()),
          dimension(cloud.dimension),
          memory(used, cloud),
          coordinates(cloud.coordinates.size()),
          counts(n_points) {
        set(cloud);
    }
    void set(const Cloud& cloud) { stream.copy(cloud.coordinates, coordinates); }
    void run() {
        stage.run(stream, memory, {coordinates.span(), n_points, dimension}, counts.span(), source.span(),
                  target.span(), left.span().data());
    }
    [[nodiscard]] Words result() {
        return words_of(stream.read(left)[0], stream.read(counts), stream.read(source), stream.read(target));
    }
};

template <class Platform, class Stage>
void check_radius() {
    const Cloud first = point_clouds::random_cloud(700, 3, 1), second = point_clouds::random_cloud(700, 3, 2);
    for (const RadiusGraphPlan& plan : {RadiusGraphPlan{1.0}, RadiusGraphPlan{1.5, 5, true, true}}) {
        expect_same_bits_in_every_call<Platform, RadiusFlight<Platform, Stage>>(
            Stage(plan), first, second, neighbours_of_cpu(plan, first), neighbours_of_cpu(plan, second));
    }
}

TEST(DeviceCalls, BodiesOfTheRadiusGraph) {
    check_radius<HostPlatform, HostRadius>();
}

#if defined(RHEINFALL_WITH_CUDA)

struct CudaClassifier {
    using Memory = CudaMemory;
    DeviceEdgeClassifier network = DeviceEdgeClassifier::load(shipped_network());

    [[nodiscard]] std::size_t bytes_for(const Graph& graph) const {
        return network.workspace_size({graph.n_nodes, graph.source.size()});
    }
    void run(const CudaPlatform::Stream& stream, Memory& memory, const EdgeClassifierInput& input,
             std::span<float> scores, Status* status) const {
        network.run(stream.get(), memory.workspace, {input}, EdgeOutput::scores, scores, status);
    }
};

struct CudaRadius {
    using Memory = CudaMemory;
    RadiusGraphPlan plan;

    explicit CudaRadius(const RadiusGraphPlan& given) : plan(given) {}
    [[nodiscard]] std::size_t bytes_for(const Cloud& cloud) const {
        return radius_graph_workspace_size(plan, cloud.size(), cloud.dimension, radius_capacity);
    }
    void run(const CudaPlatform::Stream& stream, Memory& memory, const PointsView& points,
             std::span<std::int64_t> counts, std::span<std::int64_t> source, std::span<std::int64_t> target,
             RadiusGraphResult* result) const {
        build_radius_graph(stream.get(), plan, memory.workspace, points, counts, source, target, result);
    }
};

TEST(DeviceCalls, CudaGraphNetwork) {
    if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
    check_classifier<CudaPlatform>(CudaClassifier());
}

TEST(DeviceCalls, CudaRadiusGraph) {
    if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
    check_radius<CudaPlatform, CudaRadius>();
}

#endif

}  // namespace
