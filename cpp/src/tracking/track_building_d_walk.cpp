#include <algorithm>

#include "tracking/detail/best_path.hpp"
#include "tracking/detail/track_methods.hpp"

namespace rheinfall::detail {
namespace {

/// Leaves the edges that pass the walk's rule at both ends, both judged on the graph before any edge goes.
void prune_edges(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    list_edges(s.out, s.edges);
    find_best_edges(s);
    s.edges.keep_if([&](Index source, Index target, float score) {
        return score > (s.best_out[source] == target ? plan.walk_min : plan.walk_add) &&
               score > (s.best_in[target] == source ? plan.walk_min : plan.walk_add);
    });
    group_edges(s.edges, s.out, s.in);
}

/// best[v] = max over children of (score + best[child]), 0 without children; ties to the smaller child. Per hit: `sum`
/// is best[v], `next` the child. Every edge that survived the pruning is followed.
class HeaviestPath {
public:
    explicit HeaviestPath(TrackScratch& s) noexcept : s_(s) {}

    void look(Index) noexcept {}
    [[nodiscard]] bool follows(Index, Index, float) const noexcept { return true; }

    void choose(Index v) noexcept {
        const std::span<const Index> children = s_.out.neighbours(v);
        const std::span<const float> scores = s_.out.scores(v);
        s_.sum[v] = 0.0;
        s_.next[v] = no_hit;
        for (std::size_t i = 0; i < children.size(); ++i) {
            if ((s_.flags[children[i]] & retired) != 0) continue;
            const double sum = static_cast<double>(scores[i]) + s_.sum[children[i]];
            if (s_.next[v] != no_hit && !(sum > s_.sum[v])) continue;
            s_.sum[v] = sum;
            s_.next[v] = children[i];
        }
    }

private:
    TrackScratch& s_;
};

/// Hits without edges in, the best on top. Components do not touch each other, so taking the best source of the whole
/// graph again and again takes the best source of each component in turn. A stale sum is an upper bound, since
/// deletions only take choices away: it is renewed when it reaches the top.
class Sources {
    [[nodiscard]] auto end() const noexcept { return heap_.begin() + static_cast<std::ptrdiff_t>(size_); }
    [[nodiscard]] auto after() const noexcept {
        return [sum = s_.heap_sum](Index a, Index b) { return sum[a] < sum[b] || (sum[a] == sum[b] && a > b); };
    }

public:
    explicit Sources(TrackScratch& s) noexcept : s_(s), heap_(s.best_out) {}

    void push(Index v) noexcept {
        heap_[size_++] = v;
        s_.heap_sum[v] = s_.sum[v];
        std::push_heap(heap_.begin(), end(), after());
    }
    Index pop() noexcept {
        std::pop_heap(heap_.begin(), end(), after());
        return heap_[--size_];
    }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

private:
    TrackScratch& s_;
    std::span<Index> heap_;
    std::size_t size_ = 0;
};

/// One edge less into each child of the hits on the path from @p start; children without any become sources.
void release_children(Index start, std::span<Index> in_degree, Sources& sources, TrackScratch& s) noexcept {
    for (Index v = start; v != no_hit; v = s.next[v]) {
        for (const Index child : s.out.neighbours(v)) {
            if (--in_degree[child] == 0 && (s.flags[child] & retired) == 0) sources.push(child);
        }
    }
}

}  // namespace

void group_d_walk(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    prune_edges(plan, s);
    std::ranges::fill(s.root, no_hit);
    std::ranges::fill(s.flags, std::uint8_t{0});
    HeaviestPath rule(s);
    choose_all_paths(s, rule);

    const std::span<Index> in_degree = s.count;
    Sources sources(s);
    for (Index v = 0; v < s.in.n_nodes(); ++v) {
        in_degree[v] = static_cast<Index>(s.in.degree(v));
        if (in_degree[v] == 0) sources.push(v);
    }
    while (!sources.empty()) {
        const Index v = sources.pop();
        if ((s.flags[v] & stale) != 0) {
            refresh_best_path(v, s, rule);
            sources.push(v);
            continue;
        }
        take_path(v, s, rule);
        release_children(v, in_degree, sources, s);
    }
}

}  // namespace rheinfall::detail
