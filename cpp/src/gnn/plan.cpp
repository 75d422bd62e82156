#include "gnn/plan.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "gnn/bf16.hpp"
#include "gnn/plan_emit.hpp"
#include "gnn/plan_levels.hpp"

namespace rheinfall::gnn {
namespace {

constexpr std::size_t n_kinds = kind_names.size();

/// Rows start on a cache line where they are long, and never straddle more lines than they must.
int row_stride(int width) {
    if (width <= 2) return width;
    if (width <= 4) return 4;
    return width <= 8 ? 8 : (width + 15) / 16 * 16;
}

std::vector<int> make_arrays(const Levels& levels, Plan& plan) {
    std::vector<int> array_of(levels.level.size(), -1);
    for (std::size_t i = 0; i < array_of.size(); ++i) {
        const Operation& o = levels.graph.operations[i];
        const bool is_input = o.op == Op::input;
        if (!is_input && !levels.stored[i]) continue;
        Array array;
        array.kind = o.kind;
        array.caller = is_input;
        array.rows = is_input || levels.as_rows[i];
        array.width = o.width;
        array.stride = is_input || !array.rows ? o.width : row_stride(o.width);
        array.operation = static_cast<int>(i);
        array_of[i] = static_cast<int>(plan.arrays.size());
        plan.arrays.push_back(array);
    }
    return array_of;
}

/// The operations that each stage emits, ascending. Stages are in order: by level, then event, nodes, edges.
std::vector<std::vector<int>> group_by_stage(const Levels& levels) {
    const int last = *std::max_element(levels.level.begin(), levels.level.end());
    std::vector<std::vector<int>> groups((static_cast<std::size_t>(last) + 1) * n_kinds);
    for (int i = 0; i < static_cast<int>(levels.level.size()); ++i) {
        const bool statistic = is_statistic(levels.at(i).op);
        if (!statistic && (levels.on_demand(i) || levels.dead[static_cast<std::size_t>(i)])) continue;
        // A statistic is summed where its rows are computed.
        const int here = statistic ? levels.at(i).inputs[0] : i;
        const auto level = static_cast<std::size_t>(levels.level_of(here));
        groups[level * n_kinds + static_cast<std::size_t>(levels.at(here).kind)].push_back(i);
    }
    return groups;
}

void check_scratch(const Stage& stage, std::string_view file) {
    if (stage.scratch_columns <= max_scratch_columns) return;
    const std::string kind = kind_names[static_cast<std::size_t>(stage.kind)];
    throw std::runtime_error(std::string(file) + ": operations: values of " + kind + "s that are needed at once have " +
                             std::to_string(stage.scratch_columns) + " columns, expected at most " +
                             std::to_string(max_scratch_columns));
}

/// Arrays of one kind that are not alive at once share memory; those of the event are small and do not.
void share_buffers(Plan& plan) {
    std::vector<int> order;
    for (std::size_t a = 0; a < plan.arrays.size(); ++a) {
        if (!plan.arrays[a].caller) order.push_back(static_cast<int>(a));
    }
    const auto array = [&](int a) -> Array& { return plan.arrays[static_cast<std::size_t>(a)]; };
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return array(a).first_stage < array(b).first_stage; });
    for (const int a : order) {
        Array& x = array(a);
        int best = -1;
        for (std::size_t b = 0; b < plan.buffers.size(); ++b) {
            const Buffer& buffer = plan.buffers[b];
            if (buffer.kind != x.kind || buffer.free_from > x.first_stage || x.kind == Kind::event) continue;
            const auto misfit = [&](const Buffer& y) { return std::abs(y.stride - x.stride); };
            if (best < 0 || misfit(buffer) < misfit(plan.buffers[static_cast<std::size_t>(best)]))
                best = static_cast<int>(b);
        }
        if (best < 0) {
            best = static_cast<int>(plan.buffers.size());
            plan.buffers.push_back({x.kind, 0, 0});
        }
        Buffer& buffer = plan.buffers[static_cast<std::size_t>(best)];
        buffer.stride = std::max(buffer.stride, x.stride);
        buffer.free_from = x.last_stage + 1;
        x.buffer = best;
    }
}

}  // namespace

Plan make_plan(Graph graph, std::string_view file, PlanOptions options) {
    Plan plan;
    plan.options = options;
    if (const Op op = graph.operations[static_cast<std::size_t>(graph.output)].op;
        op == Op::input || op == Op::gather) {
        Operation copy;  // those two are loaded by whoever reads them
        copy.op = Op::affine;
        copy.kind = Kind::edge;
        copy.width = 1;
        copy.inputs = {graph.output};
        graph.output = static_cast<int>(graph.operations.size());
        graph.operations.push_back(std::move(copy));
    }
    plan.graph = expand_batch_norms(std::move(graph));
    const Levels levels(plan.graph);
    if (options.bf16) plan.bf16 = find_bf16(levels, file);
    const std::vector<int> array_of = make_arrays(levels, plan);
    const std::vector<std::vector<int>> groups = group_by_stage(levels);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        if (groups[g].empty()) continue;
        StageEmitter emitter(plan, levels, array_of, static_cast<int>(plan.stages.size()));
        Stage stage = emitter.emit(static_cast<Kind>(g % n_kinds), static_cast<int>(g / n_kinds), groups[g]);
        if (stage.instructions.empty()) continue;
        check_scratch(stage, file);
        plan.scratch_columns = std::max(plan.scratch_columns, stage.scratch_columns);
        plan.reduce_width = std::max(plan.reduce_width, stage.reduce_width);
        plan.statistic_columns = std::max(plan.statistic_columns, stage.statistic_columns);
        if (stage.kind == Kind::node && !stage.statistics.empty()) plan.all_nodes = true;
        plan.stages.push_back(std::move(stage));
    }
    share_buffers(plan);
    return plan;
}

}  // namespace rheinfall::gnn
