#include "gnn/plan_levels.hpp"

#include <algorithm>
#include <utility>

namespace rheinfall::gnn {

Graph expand_batch_norms(Graph graph) {
    std::vector<Operation> operations;
    std::vector<int> places;
    for (Operation& o : graph.operations) {
        for (int& i : o.inputs) i = places[static_cast<std::size_t>(i)];
        if (o.op == Op::batch_norm) {
            Operation statistics = o;
            statistics.op = Op::batch_statistics;
            statistics.kind = Kind::event;
            statistics.width = 2 * o.width;
            operations.push_back(std::move(statistics));
            o.op = Op::event_affine;
            o.inputs.push_back(static_cast<int>(operations.size()) - 1);
            o.scale.clear();
        }
        places.push_back(static_cast<int>(operations.size()));
        operations.push_back(std::move(o));
    }
    graph.operations = std::move(operations);
    graph.output = places[static_cast<std::size_t>(graph.output)];
    return graph;
}

Levels::Levels(const Graph& g) : graph(g) {
    const std::size_t n = g.operations.size();
    users.resize(n);
    level.assign(n, 0);
    reduces.resize(n);
    dead.assign(n, false);
    stored.assign(n, false);
    as_rows.assign(n, false);
    for (std::size_t i = 0; i < n; ++i) {
        for (const int input : g.operations[i].inputs)
            users[static_cast<std::size_t>(input)].push_back(static_cast<int>(i));
    }
    rise();
    sink();
    find_sources();
    find_stored();
}

/// As early as what it reads allows. A sum over edges or over all rows waits for the stage behind that of its rows.
void Levels::rise() {
    for (std::size_t i = 0; i < level.size(); ++i) {
        const Operation& o = graph.operations[i];
        for (const int input : o.inputs) {
            const Operation& from = at(input);
            const bool waits = is_statistic(o.op) || (o.op == Op::reduce && from.op != Op::input);
            level[i] = std::max(level[i], level_of(input) + (waits ? 1 : 0));
        }
    }
}

/// True if @p i lies in memory also without the use by @p but_for, or costs nothing to load.
bool Levels::is_kept_anyway(int i, int but_for) const {
    if (on_demand(i) || at(i).kind == Kind::event) return true;
    const auto& all = users[static_cast<std::size_t>(i)];
    return std::any_of(all.begin(), all.end(), [&](int u) { return u != but_for && !same_stage(u, i); });
}

/// An operation whose only readers come later moves to them where that stores no more.
void Levels::sink() {
    for (int i = static_cast<int>(level.size()) - 1; i >= 0; --i) {
        const Operation& o = at(i);
        const auto& all = users[static_cast<std::size_t>(i)];
        if (all.empty() || o.kind == Kind::event || o.op == Op::reduce || o.op == Op::input || i == graph.output)
            continue;
        int to = level_of(all.front());
        bool stays = false;
        for (const int u : all) {
            stays = stays || at(u).kind != o.kind || at(u).op == Op::gather;
            to = std::min(to, level_of(u));
        }
        if (stays || to <= level_of(i)) continue;
        int stored_width = 0;
        for (const int input : o.inputs) {
            if (!is_kept_anyway(input, i)) stored_width += at(input).width;
        }
        if (stored_width <= o.width) level[static_cast<std::size_t>(i)] = to;
    }
}

void Levels::find_sources() {
    const auto is_later = [&](int i, int than) { return at(i).kind == Kind::edge && level_of(i) > level_of(than); };
    for (std::size_t i = 0; i < level.size(); ++i) {
        if (graph.operations[i].op != Op::reduce) continue;
        const int x = graph.operations[i].inputs[0];
        ReduceSource source{x, false, End::source, -1};
        const Operation& o = at(x);
        const auto& readers = users[static_cast<std::size_t>(x)];
        const bool reduces_only =
            std::all_of(readers.begin(), readers.end(), [&](int u) { return at(u).op == Op::reduce; });
        if (o.op == Op::binary && o.binary == Binary::mul && reduces_only && x != graph.output) {
            const bool first_is_factor = at(o.inputs[0]).width == 1;
            const int factor = o.inputs[first_is_factor ? 0 : 1];
            const int rows = o.inputs[first_is_factor ? 1 : 0];
            const auto& others = users[static_cast<std::size_t>(rows)];
            const bool kept = at(rows).op == Op::gather || at(rows).op == Op::input ||
                              std::any_of(others.begin(), others.end(), [&](int u) { return is_later(u, rows); });
            if (at(factor).width == 1 && at(factor).kind == Kind::edge && at(rows).kind == Kind::edge &&
                !on_demand(factor) && kept) {
                source.rows = rows;
                source.factor = factor;
                dead[static_cast<std::size_t>(x)] = true;
            }
        }
        if (at(source.rows).op == Op::gather) {
            source.gathered = true;
            source.end = at(source.rows).end;
            source.rows = at(source.rows).inputs[0];
        }
        reduces[i] = source;
    }
}

void Levels::store(int i, bool rows) {
    const auto place = static_cast<std::size_t>(i);
    stored[place] = true;
    if (rows && at(i).width > 1) as_rows[place] = true;
}

void Levels::find_stored() {
    for (std::size_t i = 0; i < level.size(); ++i) {
        const Operation& o = graph.operations[i];
        if (o.kind == Kind::event) stored[i] = true;
        if (dead[i]) continue;
        if (o.op == Op::reduce) {
            store(reduces[i].rows, true);
            if (reduces[i].factor >= 0) store(reduces[i].factor, false);
        } else if (o.op == Op::gather) {
            store(o.inputs[0], true);
        } else if (!is_statistic(o.op)) {
            for (const int input : o.inputs) {
                if (!on_demand(input) && !same_stage(input, static_cast<int>(i))) store(input, false);
            }
        }
    }
}

}  // namespace rheinfall::gnn
