#include "tracking/quadruplets.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "tracking/edge_features_shares.hpp"

namespace rheinfall::detail {
namespace {

std::size_t n_words(std::size_t n_edges) noexcept {
    return n_edges / 64 + 2;  // a vector's bits are read at any edge, of two words
}

/// Bit e of @p words: `marked(e)`.
template <class Marked>
void to_bits(std::span<std::uint64_t> words, std::size_t n, Marked&& marked) noexcept {
    for (std::size_t w = 0; w < words.size(); ++w) {
        const std::size_t first = std::min(64 * w, n);
        const std::size_t count = std::min<std::size_t>(64, n - first);
        std::uint64_t word = 0;
        for (std::size_t i = 0; i < count; ++i) word |= std::uint64_t{marked(first + i)} << i;
        words[w] = word;
    }
}

TripletList part_of(const TripletList& list, std::size_t first, std::size_t count) noexcept {
    return {list.records.subspan(first, count), list.inner.subspan(first, count), list.outer.subspan(first, count)};
}

void move(const TripletList& list, std::size_t from, std::size_t to, std::size_t count) noexcept {
    std::memmove(list.records.data() + to, list.records.data() + from, count * sizeof(TripletRecord));
    std::memmove(list.inner.data() + to, list.inner.data() + from, count * sizeof(std::uint32_t));
    std::memmove(list.outer.data() + to, list.outer.data() + from, count * sizeof(std::uint32_t));
}

/// Lists triplets by rising inner edge with `find(list, first, last)`, which gives how many those of a share of the
/// edges are. Each task has its share of the room; where one's is too small although all would fit, one task does it
/// again, so that no result depends on the number of threads.
template <class Find>
std::size_t list_triplets(const TripletList& list, std::size_t n_edges, const ParallelFor& parallel_for,
                          Find&& find) noexcept {
    constexpr std::size_t most_tasks = 64;
    const std::size_t n_tasks = std::min(parallel_for.n_threads(), most_tasks);
    if (n_tasks == 1) return find(list, std::size_t{0}, n_edges);
    const std::size_t room = list.inner.size();
    std::array<std::size_t, most_tasks> counts{};
    const auto begin_of = [&](std::size_t n, std::size_t t) { return n * t / n_tasks; };
    parallel_for(n_tasks, [&](std::size_t t) {
        const std::size_t first = begin_of(room, t);
        counts[t] =
            find(part_of(list, first, begin_of(room, t + 1) - first), begin_of(n_edges, t), begin_of(n_edges, t + 1));
    });
    std::size_t n = 0;
    bool kept = true;
    for (std::size_t t = 0; t < n_tasks; ++t) {
        kept = kept && counts[t] + TripletList::slack <= begin_of(room, t + 1) - begin_of(room, t);
        n += counts[t];
    }
    if (n + TripletList::slack > room) return n;
    if (!kept) return find(list, std::size_t{0}, n_edges);
    for (std::size_t t = 1, to = counts[0]; t < n_tasks; to += counts[t++]) {
        move(list, begin_of(room, t), to, counts[t]);
    }
    return n;
}

}  // namespace

std::size_t QuadrupletScratch::size(std::size_t n_hits, std::size_t n_edges, std::size_t n_triplets) noexcept {
    const std::size_t bytes = 2 * Workspace::padded<std::uint8_t>(n_hits + 1) +
                              2 * Workspace::padded<std::uint8_t>(n_edges + 1) +
                              3 * Workspace::padded<std::uint64_t>(n_words(n_edges));
    if (n_triplets == 0) return bytes;
    const std::size_t n = n_triplets + TripletList::slack;
    return bytes + Workspace::padded<TripletRecord>(n) + 2 * Workspace::padded<std::uint32_t>(n) +
           Workspace::padded<std::uint32_t>(n_edges + 1);
}

QuadrupletScratch::QuadrupletScratch(std::size_t n_hits, std::size_t n_edges, std::size_t n_triplets,
                                     Workspace& workspace) noexcept {
    for (auto* bytes : {&follows, &precedes}) *bytes = workspace.take<std::uint8_t>(n_edges + 1);
    for (auto* bytes : {&before_missing, &before_onto}) *bytes = workspace.take<std::uint8_t>(n_hits + 1);
    for (auto* words : {&missing, &from, &onto}) *words = workspace.take<std::uint64_t>(n_words(n_edges));
    if (n_triplets == 0) return;
    const std::size_t n = n_triplets + TripletList::slack;
    triplets = {workspace.take<TripletRecord>(n), workspace.take<std::uint32_t>(n), workspace.take<std::uint32_t>(n)};
    offsets = workspace.take<std::uint32_t>(n_edges + 1);
}

// A quadruplet matters if one of its edges has no mark yet, is `missing`. One of its triplets then has a missing edge;
// the other has one too, or follows or precedes such a triplet. Those of the first kind come first in the list, those
// of the second behind them; no two of the second kind make a quadruplet that matters.
std::size_t mark_quadruplets(const EdgeSteps& steps, const SegmentWork& work, const HitRecord* hits,
                             const TripletModel& model, const PruneCuts& cuts, const QuadrupletScratch& scratch,
                             std::span<std::uint8_t> marks, std::span<const std::uint8_t> other,
                             const ParallelFor& parallel_for) noexcept {
    const float chi2_max = cuts.quadruplet_chi2_max;
    const std::size_t n_edges = work.edges.size();
    const std::size_t n_hits = work.out_offsets.size() - 1;
    const auto list_chosen = [&](std::size_t n_before, const PairChoice& choice, const TripletMarks& to) {
        const std::size_t begin = std::min(n_before, cuts.n_triplets);
        const auto list = part_of(scratch.triplets, begin, scratch.triplets.inner.size() - begin);
        return list_triplets(list, n_edges, parallel_for,
                             [&](const TripletList& part, std::size_t first, std::size_t last) {
                                 return steps.find_triplets(work, hits, model, chi2_max, choice, to, part, first, last);
                             });
    };
    to_bits(scratch.missing, n_edges, [&](std::size_t e) { return (marks[e] | other[e]) == 0; });
    for (const auto bytes : {scratch.follows, scratch.precedes, scratch.before_missing, scratch.before_onto}) {
        std::ranges::fill(bytes, std::uint8_t{0});
    }
    for (std::size_t e = 0; e < n_edges; ++e) {
        scratch.before_missing[(marks[e] | other[e]) == 0 ? static_cast<std::size_t>(work.edges.source[e]) : n_hits] =
            1;
    }
    const EdgeBits missing = scratch.missing.data();
    const std::size_t n_first =
        list_chosen(0, {missing, missing, nullptr, scratch.before_missing.data()},
                    {missing, scratch.follows.data(), scratch.precedes.data(), scratch.before_onto.data(),
                     static_cast<std::uint32_t>(n_edges), static_cast<std::uint32_t>(n_hits)});
    to_bits(scratch.from, n_edges, [&](std::size_t e) { return scratch.follows[e] != 0; });
    to_bits(scratch.onto, n_edges, [&](std::size_t e) { return scratch.precedes[e] != 0; });
    const std::size_t n_second =
        list_chosen(n_first, {scratch.from.data(), scratch.onto.data(), missing, scratch.before_onto.data()},
                    {missing, nullptr, nullptr, nullptr, 0, 0});
    const std::size_t n = n_first + n_second;
    if (n_first == 0 || n > cuts.n_triplets) return n;

    const auto pair_up = [&](const TripletList& inner, const TripletList& outer) {
        list_by_row<std::uint32_t>(outer.inner, scratch.offsets);
        share_out(parallel_for, inner.inner.size(), [&](std::size_t first, std::size_t last) {
            steps.mark_quadruplets(inner, outer, scratch.offsets, model, chi2_max, marks, first, last);
        });
    };
    const TripletList of_first = part_of(scratch.triplets, 0, n_first);
    pair_up(part_of(scratch.triplets, 0, n), of_first);
    if (n_second > 0) pair_up(of_first, part_of(scratch.triplets, n_first, n_second));
    return n;
}

}  // namespace rheinfall::detail
