#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <memory>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <stdexcept>
#include <utility>

#include "core/file.hpp"
#include "core/instruction_sets.hpp"
#include "gnn/edge_order.hpp"
#include "gnn/ir_reader.hpp"
#include "gnn/plan.hpp"
#include "gnn/tile_queue.hpp"

namespace rheinfall {

using namespace gnn;

namespace {

constexpr std::size_t most = 0x7fffffff - tile_rows;

bool machine_has(GnnIsa isa) noexcept {
#if defined(__x86_64__)
    if (isa == GnnIsa::avx512 || isa == GnnIsa::avx512_bf16) {
        if (isa == GnnIsa::avx512_bf16 && !__builtin_cpu_supports("avx512bf16")) return false;
        return detail::has_avx512();
    }
    if (isa == GnnIsa::avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    if (isa != GnnIsa::best && isa != GnnIsa::portable) return false;
#endif
    return true;
}

GnnIsa resolve(GnnIsa isa, GnnPrecision precision) {
    if (isa == GnnIsa::best) {
        if (precision == GnnPrecision::bf16 && machine_has(GnnIsa::avx512_bf16)) return GnnIsa::avx512_bf16;
        if (machine_has(GnnIsa::avx512)) return GnnIsa::avx512;
        return machine_has(GnnIsa::avx2) ? GnnIsa::avx2 : GnnIsa::portable;
    }
    if (!machine_has(isa)) throw std::invalid_argument("isa: this machine lacks the instructions asked for");
    return isa;
}

const Kernels& kernels_of(GnnIsa isa) noexcept {
    if (isa == GnnIsa::avx512_bf16) return avx512_bf16_kernels();
    if (isa == GnnIsa::avx512) return avx512_kernels();
    return isa == GnnIsa::avx2 ? avx2_kernels() : portable_kernels();
}

std::size_t size(int n) noexcept {
    return static_cast<std::size_t>(n);
}

std::size_t n_tiles(std::size_t rows) noexcept {
    return (rows + tile_rows - 1) / tile_rows;
}

std::size_t n_chunks(std::size_t rows) noexcept {
    return (n_tiles(rows) + chunk_tiles - 1) / chunk_tiles;
}

std::size_t n_rows(Kind kind, const EdgeClassifierLimits& graph) noexcept {
    return kind == Kind::edge ? graph.n_edges : kind == Kind::node ? graph.n_nodes : 1;
}

/// All memory of one graph in flight, cut from the workspace.
struct Scratch {
    EdgeOrder order;
    std::span<ArrayView> arrays;
    std::span<float*> buffers;
    std::span<float> threads;
    std::span<double> statistics;
    std::span<TileQueue::Share> shares;

    /// Calls `place(span, n)` for each array; `buffer(i, n)` for each of the plan's.
    template <class Place, class PlaceBuffer>
    void lay_out(const Plan& plan, const EdgeClassifierLimits& g, std::size_t n_threads, Place&& place,
                 PlaceBuffer&& buffer) {
        for (auto* span :
             {&order.source, &order.target, &order.caller, &order.edges_out, &order.source_out, &order.target_out}) {
            place(*span, g.n_edges);
        }
        for (auto* span : {&order.nodes, &order.rank}) place(*span, g.n_nodes);
        for (auto* span : {&order.first_in, &order.first_out}) place(*span, g.n_nodes + 1);
        place(arrays, plan.arrays.size());
        place(buffers, plan.buffers.size());
        for (std::size_t i = 0; i < plan.buffers.size(); ++i) {
            const Buffer& b = plan.buffers[i];
            buffer(i, n_tiles(n_rows(b.kind, g)) * tile_rows * size(b.stride));
        }
        place(shares, n_threads);
        place(threads, n_threads * thread_floats(plan));
        const std::size_t chunks = n_chunks(std::max(g.n_edges, g.n_nodes));
        place(statistics, chunks * size(plan.statistic_columns) * 2 * statistic_lanes);
    }

    [[nodiscard]] static std::size_t thread_floats(const Plan& plan) noexcept {
        return size(plan.scratch_columns + reduce_columns(plan) + plan.rounded_columns) * tile_rows;
    }

    [[nodiscard]] static int reduce_columns(const Plan& plan) noexcept { return (plan.reduce_width + 15) / 16 * 16; }
};

/// Sums over chunks in their order, then over lanes: the same for any number of threads.
void finish_statistics(const Statistics& s, int columns, std::span<const double> sums, std::size_t rows,
                       float* value) noexcept {
    const std::size_t chunks = n_chunks(rows);
    const auto n = static_cast<double>(std::max<std::size_t>(rows, 1));
    const auto put = [value](int column, double x) {
        std::fill_n(value + static_cast<std::ptrdiff_t>(column) * tile_rows, tile_rows, static_cast<float>(x));
    };
    for (int c = 0; c < s.width; ++c) {
        double total[2] = {0, 0};
        for (int part = 0; part < 2; ++part) {
            for (std::size_t k = 0; k < chunks; ++k) {
                const std::size_t first = (k * size(columns) + size(s.first_column + c)) * 2 * statistic_lanes;
                for (int l = 0; l < statistic_lanes; ++l) total[part] += sums[first + size(part * statistic_lanes + l)];
            }
        }
        const Operation& o = *s.operation;
        if (o.op == Op::event_sum) {
            put(c, total[0]);
            continue;
        }
        const double mean = total[0] / n;
        if (o.op == Op::event_mean) {
            put(c, mean);
            continue;
        }
        const double variance = std::max(total[1] / n - mean * mean, 0.0);
        const double scale = (o.scale.empty() ? 1.0 : static_cast<double>(o.scale[size(c)])) /
                             std::sqrt(variance + static_cast<double>(o.a));
        put(c, mean);
        put(s.width + c, scale);
    }
}

}  // namespace

struct EdgeClassifier::Impl {
    Plan plan;
    GnnIsa isa = GnnIsa::portable;

    GnnPrecision precision = GnnPrecision::fp32;

    Impl(std::span<const std::byte> bytes, std::string_view name, GnnIsa wanted, GnnPrecision p)
        : isa(resolve(wanted, p)), precision(p) {
        const PlanOptions options{p == GnnPrecision::bf16,
                                  isa == GnnIsa::avx512_bf16 ? Bf16Weights::pairs : Bf16Weights::single};
        plan = make_plan(read_graph(bytes, name), name, options);
    }

    /// Runs all stages; true if an output was not finite.
    bool run_stages(const EventView& event, const Scratch& s, std::size_t n_threads,
                    const ParallelFor& parallel_for) const noexcept {
        const EdgeClassifierLimits g{size(event.n_nodes), size(event.n_edges)};
        const std::array tiles{std::size_t{1}, n_tiles(g.n_nodes), n_tiles(g.n_edges)};  // by Kind
        const std::size_t n = std::min(n_threads, n_chunks(std::max(g.n_edges, g.n_nodes)));
        std::uninitialized_default_construct_n(s.shares.begin(), n);
        TileQueue queue{plan.stages, tiles, s.shares.first(n)};
        std::atomic<bool> not_finite{false};
        const auto work = [&](std::size_t thread) {
            float* columns = s.threads.data() + thread * Scratch::thread_floats(plan);
            float* rows = columns + size(plan.scratch_columns) * tile_rows;
            TileScratch scratch{columns, rows, rows + size(Scratch::reduce_columns(plan)) * tile_rows, nullptr, false};
            TileQueue::Place place{thread};
            for (TileQueue::Work w; queue.take(place, w); queue.done(w)) {
                const Stage& stage = plan.stages[w.stage];
                w.finish ? finish(stage, event, s) : run_tiles(stage, event, s, w.first, w.last, scratch);
            }
            if (scratch.not_finite) not_finite.store(true);
        };
        if (n <= 1) {
            work(0);
        } else {
            parallel_for(n, work);
        }
        return not_finite.load();
    }

    /// Tiles [first, last) of a stage; where it has sums, whole chunks, whose sums are set to zero first.
    void run_tiles(const Stage& stage, const EventView& event, const Scratch& s, std::size_t first, std::size_t last,
                   TileScratch& scratch) const noexcept {
        const std::size_t sums = size(stage.statistic_columns) * 2 * statistic_lanes;
        while (first < last) {
            const std::size_t chunk = first / chunk_tiles;
            const std::size_t end = sums == 0 ? last : std::min((chunk + 1) * chunk_tiles, last);
            scratch.statistics = s.statistics.data() + chunk * sums;
            std::fill_n(scratch.statistics, sums, 0.0);
            kernels_of(isa).run(stage.program(), event, static_cast<std::int32_t>(first),
                                static_cast<std::int32_t>(end), scratch);
            first = end;
        }
    }

    /// Makes values of the event of a stage's sums.
    static void finish(const Stage& stage, const EventView& event, const Scratch& s) noexcept {
        const EdgeClassifierLimits g{size(event.n_nodes), size(event.n_edges)};
        for (const Statistics& statistics : stage.statistics) {
            finish_statistics(statistics, stage.statistic_columns, s.statistics, n_rows(statistics.rows, g),
                              event.arrays[statistics.array].data);
        }
    }
};

EdgeClassifier EdgeClassifier::load(const std::string& path, GnnIsa isa, GnnPrecision precision) {
    return parse(detail::map_file(path)->view(), path, isa, precision);
}

EdgeClassifier EdgeClassifier::parse(std::span<const std::byte> bytes, std::string_view name, GnnIsa isa,
                                     GnnPrecision precision) {
    return EdgeClassifier(std::make_shared<const Impl>(bytes, name, isa, precision));
}

std::size_t EdgeClassifier::n_node_features() const noexcept {
    return size(impl_->plan.graph.n_node_features);
}

std::size_t EdgeClassifier::n_edge_features() const noexcept {
    return size(impl_->plan.graph.n_edge_features);
}

GnnIsa EdgeClassifier::isa() const noexcept {
    return impl_->isa;
}

GnnPrecision EdgeClassifier::precision() const noexcept {
    return impl_->precision;
}

std::string EdgeClassifier::explain(const EdgeClassifierLimits& graph) const {
    return gnn::explain(impl_->plan, static_cast<double>(graph.n_nodes), static_cast<double>(graph.n_edges));
}

double EdgeClassifier::linear_flops(const EdgeClassifierLimits& graph) const noexcept {
    return gnn::linear_flops(impl_->plan, static_cast<double>(graph.n_nodes), static_cast<double>(graph.n_edges));
}

std::size_t EdgeClassifier::workspace_size(const EdgeClassifierLimits& limits, std::size_t n_threads) const {
    if (limits.n_nodes > most || limits.n_edges > most) {
        throw std::invalid_argument("limits: expected at most 2^31 - 49 nodes and edges");
    }
    std::size_t bytes = 0;
    Scratch().lay_out(
        impl_->plan, limits, std::max<std::size_t>(n_threads, 1),
        [&]<class T>(std::span<T>&, std::size_t n) { bytes += Workspace::padded<T>(n); },
        [&](std::size_t, std::size_t n) { bytes += Workspace::padded<float>(n); });
    return bytes;
}

Status EdgeClassifier::run(Workspace& workspace, const EdgeClassifierInput& input, EdgeOutput output,
                           std::span<float> out, const ParallelFor& parallel_for) const noexcept {
    const Plan& plan = impl_->plan;
    const std::size_t n_edges = input.edges.size();
    if (input.edges.target.size() != n_edges || out.size() != n_edges || input.n_nodes > most || n_edges > most ||
        input.node_features.size() != input.n_nodes * n_node_features() ||
        input.edge_features.size() != n_edges * n_edge_features()) {
        return Status::invalid_argument;
    }
    if (n_edges == 0) return Status::empty;
    const EdgeClassifierLimits graph{input.n_nodes, n_edges};
    const std::size_t n_threads = std::max<std::size_t>(parallel_for.n_threads(), 1);
    const WorkspaceScope scope(workspace);
    Scratch s;
    s.lay_out(
        plan, graph, n_threads, [&]<class T>(std::span<T>& span, std::size_t n) { span = workspace.take<T>(n); },
        [&](std::size_t i, std::size_t n) {
            float* data = workspace.take<float>(n).data();
            if (!workspace.overflowed()) s.buffers[i] = data;
        });
    if (workspace.overflowed()) return Status::capacity_exceeded;
    if (!sort_edges(input, plan.all_nodes, s.order)) return Status::invalid_argument;
    for (std::size_t a = 0; a < plan.arrays.size(); ++a) {
        const Array& array = plan.arrays[a];
        // Inputs are read only.
        float* of_caller =
            const_cast<float*>((array.kind == Kind::node ? input.node_features : input.edge_features).data());
        s.arrays[a] = {array.caller ? of_caller : s.buffers[size(array.buffer)], array.stride};
    }
    const EventView event{static_cast<std::int32_t>(s.order.nodes.size()),
                          static_cast<std::int32_t>(n_edges),
                          s.order.source.data(),
                          s.order.target.data(),
                          s.order.caller.data(),
                          s.order.nodes.data(),
                          s.order.first_in.data(),
                          s.order.first_out.data(),
                          s.order.edges_out.data(),
                          s.arrays.data(),
                          out.data(),
                          output == EdgeOutput::scores,
                          s.order.source_out.data(),
                          s.order.target_out.data()};
    const bool not_finite = impl_->run_stages(event, s, n_threads, parallel_for);
    return not_finite ? Status::not_finite : Status::ok;
}

}  // namespace rheinfall
