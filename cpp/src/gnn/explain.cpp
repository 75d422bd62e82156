#include <cstdio>
#include <string>

#include "gnn/plan.hpp"

namespace rheinfall::gnn {
namespace {

constexpr std::array<const char*, 17> code_names = {
    "load tiles", "load rows",   "load event",   "reduce",     "degree",     "linear",
    "unary",      "affine",      "event affine", "binary",     "layer norm", "row reduce",
    "copy",       "store tiles", "store rows",   "statistics", "output"};
constexpr std::array<const char*, 6> index_names = {"own",    "source", "target", "own, caller's order",
                                                    "source", "target"};

double rows_of(Kind kind, double n_nodes, double n_edges) noexcept {
    return kind == Kind::edge ? n_edges : kind == Kind::node ? n_nodes : 1;
}

/// Floating-point operations of one instruction for each row; `degree` edges per node.
double flops_per_row(const Instruction& i, double degree) noexcept {
    const double width = i.width;
    switch (i.code) {
        case Code::linear: return 2.0 * width * i.in_width;
        case Code::reduce: return (i.array2 < 0 ? 1.0 : 2.0) * width * degree;
        case Code::layer_norm: return (i.centred ? 6.0 : 8.0) * width;
        case Code::affine:
        case Code::event_affine: return 2.0 * width;
        case Code::statistics: return 3.0 * width;
        case Code::unary:
        case Code::binary: return width;
        case Code::row_reduce: return i.in_width;
        default: return 0;
    }
}

/// Bytes to and from memory for each row.
double bytes_per_row(const Instruction& i, double degree) noexcept {
    const double row = 4.0 * i.width;
    switch (i.code) {
        case Code::load_rows: return (i.array2 < 0 ? 1.0 : 2.0) * (row + (i.index == Index::self ? 0.0 : 4.0));
        case Code::reduce: return degree * (row + (i.array2 < 0 ? 0.0 : 4.0) + 4.0);
        case Code::load_tiles:
        case Code::store_tiles:
        case Code::store_rows: return row;
        case Code::output: return 8.0;
        default: return 0;
    }
}

std::string describe(const Instruction& i) {
    std::string text = code_names[static_cast<std::size_t>(i.code)];
    const auto number = [](int n) { return std::to_string(n); };
    if (i.code == Code::unary) text = unary_names[static_cast<std::size_t>(i.unary)];
    if (i.code == Code::binary) text = binary_names[static_cast<std::size_t>(i.binary)];
    text.append(1, ' ');
    if (i.code == Code::linear) text.append(number(i.in_width)).append(" -> ");
    text.append(number(i.width));
    if (i.code == Code::load_rows) {
        text += std::string(" [") + index_names[static_cast<std::size_t>(i.index)];
        if (i.array2 >= 0) text += std::string(" + ") + index_names[static_cast<std::size_t>(i.index2)];
        text += ']';
    }
    if (i.code == Code::reduce) {
        text += std::string(" (") + how_names[static_cast<std::size_t>(i.how)] + ") of edges by ";
        text += i.end == End::source ? "source" : "target";
        if (i.index != Index::self)
            text += std::string(", rows of their ") + index_names[static_cast<std::size_t>(i.index)];
        if (i.array2 >= 0) text += ", times a factor";
    }
    if (i.bf16) text += " bf16";
    if (i.accumulate) text += " onto";
    if (i.code == Code::linear && i.in2 >= 0) text += " + value";
    if (i.relu) text += ", relu";
    return text;
}

}  // namespace

std::string explain(const Plan& plan, double n_nodes, double n_edges) {
    std::string text;
    char line[256];
    std::snprintf(line, sizeof line, "for %.0f nodes and %.0f edges:\n", n_nodes, n_edges);
    text += line;
    for (std::size_t s = 0; s < plan.stages.size(); ++s) {
        const Stage& stage = plan.stages[s];
        const double rows = rows_of(stage.kind, n_nodes, n_edges);
        const double degree = n_edges / (n_nodes > 0 ? n_nodes : 1);
        double flops = 0;
        double bytes = 0;
        std::string body;
        for (std::size_t k = 0; k < stage.instructions.size(); ++k) {
            const Instruction& i = stage.instructions[k];
            flops += rows * flops_per_row(i, degree);
            bytes += rows * bytes_per_row(i, degree);
            std::snprintf(line, sizeof line, "    %-48s %s\n", describe(i).c_str(),
                          stage.names[k].substr(0, 60).c_str());
            body += line;
        }
        std::snprintf(line, sizeof line, "stage %zu over %s%s: %.1f MFLOP, %.1f MB, scratch %.1f KB\n", s,
                      kind_names[static_cast<std::size_t>(stage.kind)], stage.kind == Kind::event ? "" : "s",
                      flops / 1e6, bytes / 1e6, static_cast<double>(stage.scratch_columns) * tile_rows * 4 / 1024);
        text += line + body;
    }
    const Work all = count_work(plan, n_nodes, n_edges);
    std::snprintf(line, sizeof line, "all: %.3f GFLOP, of which linear %.3f; %.1f MB moved\n", all.flops / 1e9,
                  linear_flops(plan, n_nodes, n_edges) / 1e9, all.bytes / 1e6);
    text += line;
    if (plan.options.bf16) {
        std::snprintf(line, sizeof line, "precision bf16: %.3f GFLOP of the linear operations\n", all.bf16_flops / 1e9);
        text += line;
    }
    return text;
}

Work count_work(const Plan& plan, double n_nodes, double n_edges) noexcept {
    Work work;
    const double degree = n_edges / (n_nodes > 0 ? n_nodes : 1);
    for (const Stage& stage : plan.stages) {
        const double rows = rows_of(stage.kind, n_nodes, n_edges);
        for (const Instruction& i : stage.instructions) {
            const double flops = rows * flops_per_row(i, degree);
            work.flops += flops;
            work.bf16_flops += i.bf16 ? flops : 0.0;
            work.bytes += rows * bytes_per_row(i, degree);
        }
    }
    return work;
}

double linear_flops(const Plan& plan, double n_nodes, double n_edges) noexcept {
    double flops = 0;
    for (const Stage& stage : plan.stages) {
        for (const Instruction& i : stage.instructions) {
            if (i.code == Code::linear) flops += rows_of(stage.kind, n_nodes, n_edges) * flops_per_row(i, 0);
        }
    }
    return flops;
}

}  // namespace rheinfall::gnn
