#include "quantized/forest_run.hpp"

#include <algorithm>
#include <bit>
#include <span>

#include "quantized/forest_keys.hpp"
#include "quantized/forest_scores.hpp"

namespace rheinfall::quantized {
namespace {

using Kind = NumberType::Kind;

std::size_t most_trees_of_a_class(const ForestModel& model) {
    std::size_t n = 0;
    for (const auto& trees : model.trees_of_class) n = std::max(n, trees.size());
    return n;
}

/// Inputs of one event for the walk: stored integers (int64_t) or reals (double).
template <class X>
void convert_event(const ForestModel& model, ConstArray in, std::size_t event, X* x, Status& status) noexcept {
    const auto n = static_cast<std::size_t>(model.n_features);
    with_element_type(in.type, [&](auto element) {
        const auto* row = static_cast<const decltype(element)*>(in.data) + event * n;
        for (std::size_t f = 0; f < n; ++f) {
            if constexpr (std::is_integral_v<X>) {
                x[f] = to_stored(row[f], model.input.fixed, status);
            } else {
                x[f] = to_real(row[f], model.input.kind);
            }
        }
    });
}

template <class X, class T>
Status walk(const ForestModel& model, ConstArray in, MutableArray out, std::size_t n_events,
            Workspace& workspace) noexcept {
    const WorkspaceScope scope(workspace);
    const auto n_classes = static_cast<std::size_t>(model.n_classes);
    const auto x = workspace.take<X>(static_cast<std::size_t>(model.n_features));
    const auto values = workspace.take<T>(most_trees_of_a_class(model));
    const auto scores = workspace.take<T>(n_classes);
    if (workspace.overflowed()) return Status::capacity_exceeded;
    Status status = Status::ok;
    for (std::size_t event = 0; event < n_events; ++event) {
        convert_event(model, in, event, x.data(), status);
        evaluate_exactly(model, x.data(), values.data(), scores.data());
        write_scores(model, scores.data(), n_classes, out, event * n_classes);
    }
    return status;
}

template <class X>
Status walk(const ForestModel& model, ConstArray in, MutableArray out, std::size_t n_events,
            Workspace& workspace) noexcept {
    switch (model.score.kind) {
        case Kind::fixed: return walk<X, std::int64_t>(model, in, out, n_events, workspace);
        case Kind::float32: return walk<X, float>(model, in, out, n_events, workspace);
        case Kind::float64: break;
    }
    return walk<X, double>(model, in, out, n_events, workspace);
}

/// What a plan needs for a block of events.
struct Sizes {
    Sizes(const ForestModel& model, const ForestPlan& plan, std::size_t n_events)
        : n(std::min(n_events, ForestPlan::block)),
          n_features(static_cast<std::size_t>(model.n_features)),
          n_scores(n * static_cast<std::size_t>(model.n_classes)),
          key_bytes(plan.key_stride * static_cast<std::size_t>(plan.key_bits) / 8),
          n_words(plan.order == ForestPlan::Order::any ? n_scores : n * plan.n_slots()),
          n_values(plan.order == ForestPlan::Order::any && !plan.has_missing ? 0 : most_trees_of_a_class(model)) {}

    std::size_t n;
    std::size_t n_features;
    std::size_t n_scores;
    std::size_t key_bytes;
    std::size_t n_words;
    std::size_t n_values;
};

struct Scratch {
    std::span<std::byte> keys;
    std::span<std::int32_t> row;    // keys of one event before they are laid out
    std::span<std::int32_t> words;  // what the kernel gives
    std::span<double> x;            // an event that is walked
    std::span<double> values;       // leaves of a class, 8 bytes each
    std::span<double> scores;       // 8 bytes each
    std::span<bool> regular;
};

/// Fills the keys of a block; false in `regular` where an event has to be walked.
void find_keys_of_block(const ForestModel& model, const ForestPlan& plan, ConstArray in, std::size_t first,
                        const Sizes& sizes, std::size_t n, const Scratch& s, Status& status) noexcept {
    const ForestConvert convert = plan.convert[static_cast<std::size_t>(in.type)];
    with_element_type(in.type, [&](auto element) {
        const auto* rows = static_cast<const decltype(element)*>(in.data) + first * sizes.n_features;
        if (convert != nullptr) {
            convert(plan, rows, n, s.keys.data(), s.regular.data());
        } else {
            std::fill_n(s.regular.data(), n, false);
        }
        for (std::size_t i = 0; i < n; ++i) {
            if (s.regular[i]) continue;
            s.regular[i] = find_keys(model, plan, rows + i * sizes.n_features, s.row.data(), status);
            lay_out_keys(plan, s.row.data(), sizes.n_features, s.keys.data() + i * sizes.key_bytes);
        }
    });
}

template <class T>
Status run_blocks(const ForestModel& model, const ForestPlan& plan, ConstArray in, MutableArray out,
                  std::size_t n_events, const Sizes& sizes, const Scratch& s) noexcept {
    const auto n_classes = static_cast<std::size_t>(model.n_classes);
    auto* scores = reinterpret_cast<T*>(s.scores.data());
    auto* values = reinterpret_cast<T*>(s.values.data());
    Status status = Status::ok;
    for (std::size_t first = 0; first < n_events; first += ForestPlan::block) {
        const std::size_t n = std::min(ForestPlan::block, n_events - first);
        find_keys_of_block(model, plan, in, first, sizes, n, s, status);
        plan.evaluate(plan, s.keys.data(), n, s.words.data());
        if (plan.order == ForestPlan::Order::any) {
            finish_sums(model, s.words.data(), n, scores);
        } else {
            finish_in_order(model, plan, s.words.data(), n, values, scores);
        }
        if (plan.has_missing) {
            for (std::size_t i = 0; i < n; ++i) {
                if (s.regular[i]) continue;
                convert_event(model, in, first + i, s.x.data(), status);
                evaluate_exactly(model, s.x.data(), values, scores + i * n_classes);
            }
        }
        write_scores(model, scores, n * n_classes, out, first * n_classes);
    }
    return status;
}

/// The scores of one event from what evaluate_event gave.
template <class T>
void finish_event(const ForestModel& model, const std::int32_t* sums, MutableArray out) noexcept {
    T scores[max_classes_of_one];
    const auto n = static_cast<std::size_t>(model.n_classes);
    if constexpr (std::is_integral_v<T>) {
        finish_sums(model, sums, 1, scores);
    } else {
        for (std::size_t c = 0; c < n; ++c) scores[c] = normalise(model, std::bit_cast<T>(sums[c]));
    }
    write_scores(model, scores, n, out, 0);
}

}  // namespace

Status run_forest_exactly(const ForestModel& model, ConstArray in, MutableArray out, std::size_t n_events,
                          Workspace& workspace) noexcept {
    return model.input.kind == Kind::fixed ? walk<std::int64_t>(model, in, out, n_events, workspace)
                                           : walk<double>(model, in, out, n_events, workspace);
}

std::size_t forest_exact_workspace_size(const ForestModel& model) noexcept {
    return Workspace::padded<double>(static_cast<std::size_t>(model.n_features)) +
           Workspace::padded<double>(static_cast<std::size_t>(model.n_classes)) +
           Workspace::padded<double>(most_trees_of_a_class(model));
}

Status run_forest_plan(const ForestModel& model, const ForestPlan& plan, ConstArray in, MutableArray out,
                       std::size_t n_events, Workspace& workspace) noexcept {
    if (n_events == 1 && plan.one[static_cast<std::size_t>(in.type)]) {
        std::int32_t sums[max_classes_of_one];
        if (plan.evaluate_event(plan, in.data, in.type, sums)) {
            if (model.score.kind == Kind::fixed) {
                finish_event<std::int64_t>(model, sums, out);
            } else {
                finish_event<float>(model, sums, out);
            }
            return Status::ok;
        }
    }
    const WorkspaceScope scope(workspace);
    const Sizes sizes(model, plan, n_events);
    const Scratch s{workspace.take<std::byte>(sizes.n * sizes.key_bytes),
                    workspace.take<std::int32_t>(sizes.n_features),
                    workspace.take<std::int32_t>(sizes.n_words),
                    workspace.take<double>(sizes.n_features),
                    workspace.take<double>(sizes.n_values),
                    workspace.take<double>(sizes.n_scores),
                    workspace.take<bool>(sizes.n)};
    if (workspace.overflowed()) return Status::capacity_exceeded;
    switch (model.score.kind) {
        case Kind::fixed: return run_blocks<std::int64_t>(model, plan, in, out, n_events, sizes, s);
        case Kind::float32: return run_blocks<float>(model, plan, in, out, n_events, sizes, s);
        case Kind::float64: break;
    }
    return run_blocks<double>(model, plan, in, out, n_events, sizes, s);
}

std::size_t forest_plan_workspace_size(const ForestModel& model, const ForestPlan& plan,
                                       std::size_t n_events) noexcept {
    const Sizes sizes(model, plan, n_events);
    return Workspace::padded<std::byte>(sizes.n * sizes.key_bytes) + Workspace::padded<std::int32_t>(sizes.n_features) +
           Workspace::padded<std::int32_t>(sizes.n_words) + Workspace::padded<double>(sizes.n_features) +
           Workspace::padded<double>(sizes.n_values) + Workspace::padded<double>(sizes.n_scores) +
           Workspace::padded<bool>(sizes.n);
}

}  // namespace rheinfall::quantized
