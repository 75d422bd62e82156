#include "rheinfall/quantized/forest.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "quantized/forest_exact.hpp"
#include "quantized/forest_input.hpp"
#include "quantized/forest_model.hpp"

namespace rheinfall::quantized {
namespace {

using Kind = NumberType::Kind;

std::size_t most_trees_of_a_class(const ForestModel& model) {
    std::size_t n = 0;
    for (const auto& trees : model.trees_of_class) n = std::max(n, trees.size());
    return n;
}

/// The events one by one through the definition. X: int64_t or double; T: int64_t, float or double.
template <class X, class T>
Status run_exactly(const ForestModel& model, ConstArray in, MutableArray out, std::size_t n_events,
                   Workspace& workspace) noexcept {
    const WorkspaceScope scope(workspace);
    const auto n_features = static_cast<std::size_t>(model.n_features);
    const auto n_classes = static_cast<std::size_t>(model.n_classes);
    const auto x = workspace.take<X>(n_features);
    const auto values = workspace.take<T>(most_trees_of_a_class(model));
    const auto scores = workspace.take<T>(n_classes);
    if (workspace.overflowed()) return Status::capacity_exceeded;
    Status status = Status::ok;
    for (std::size_t event = 0; event < n_events; ++event) {
        with_element_type(in.type, [&](auto element) {
            const auto* row = static_cast<const decltype(element)*>(in.data) + event * n_features;
            for (std::size_t f = 0; f < n_features; ++f) {
                if constexpr (std::is_integral_v<X>) {
                    x[f] = to_stored(row[f], model.input.fixed, status);
                } else {
                    x[f] = to_real(row[f], model.input.kind);
                }
            }
        });
        evaluate_exactly(model, x.data(), values.data(), scores.data());
        with_element_type(out.type, [&](auto element) {
            using E = decltype(element);
            auto* row = static_cast<E*>(out.data) + event * n_classes;
            for (std::size_t c = 0; c < n_classes; ++c) {
                if constexpr (std::is_integral_v<T> && std::is_floating_point_v<E>) {
                    row[c] = real_of_stored<E>(scores[c], model.score.fixed);
                } else {
                    row[c] = static_cast<E>(scores[c]);
                }
            }
        });
    }
    return status;
}

template <class X>
Status run_exactly(const ForestModel& model, ConstArray in, MutableArray out, std::size_t n_events,
                   Workspace& workspace) noexcept {
    switch (model.score.kind) {
        case Kind::fixed: return run_exactly<X, std::int64_t>(model, in, out, n_events, workspace);
        case Kind::float32: return run_exactly<X, float>(model, in, out, n_events, workspace);
        case Kind::float64: break;
    }
    return run_exactly<X, double>(model, in, out, n_events, workspace);
}

}  // namespace

struct Forest::Impl {
    ForestModel model;
    ForestPlanInfo info;
};

Forest::Forest(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
Forest::Forest(const Forest&) noexcept = default;
Forest::Forest(Forest&&) noexcept = default;
Forest& Forest::operator=(const Forest&) noexcept = default;
Forest& Forest::operator=(Forest&&) noexcept = default;
Forest::~Forest() = default;

Forest Forest::from_json(std::string_view text, std::string_view file_name, ForestOptions) {
    auto impl = std::make_shared<Impl>();
    impl->model = read_forest(text, file_name);
    for (const ForestTree& tree : impl->model.trees) {
        impl->info.max_depth = std::max(impl->info.max_depth, static_cast<std::size_t>(tree.depth));
        impl->info.n_nodes += tree.nodes.size();
    }
    impl->info.kernel = "node by node";
    return Forest(std::move(impl));
}

Forest Forest::load(const std::string& path, ForestOptions options) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf())) throw std::runtime_error(path + ": cannot be read");
    return from_json(text.str(), path, options);
}

std::size_t Forest::n_features() const noexcept {
    return static_cast<std::size_t>(impl_->model.n_features);
}
std::size_t Forest::n_classes() const noexcept {
    return static_cast<std::size_t>(impl_->model.n_classes);
}
std::size_t Forest::n_trees() const noexcept {
    return impl_->model.trees.size();
}
NumberType Forest::input_type() const noexcept {
    return impl_->model.input;
}
NumberType Forest::score_type() const noexcept {
    return impl_->model.score;
}
Isa Forest::isa() const noexcept {
    return impl_->info.isa;
}
ForestPlanInfo Forest::plan_info() const {
    return impl_->info;
}

bool Forest::fits_output(ElementType type) const noexcept {
    if (is_floating(type)) return true;
    const NumberType& score = impl_->model.score;
    if (score.kind != Kind::fixed) return false;
    return with_element_type(type, [&](auto element) {
        using E = decltype(element);
        if (std::is_unsigned_v<E> && score.fixed.is_signed) return false;
        const int bits = std::is_signed_v<E> && !score.fixed.is_signed ? score.fixed.width + 1 : score.fixed.width;
        return bits <= static_cast<int>(sizeof(E)) * 8;
    });
}

std::size_t Forest::workspace_size(std::size_t) const noexcept {
    const ForestModel& model = impl_->model;
    return Workspace::padded<double>(static_cast<std::size_t>(model.n_features)) +
           Workspace::padded<double>(static_cast<std::size_t>(model.n_classes)) +
           Workspace::padded<double>(most_trees_of_a_class(model));
}

Status Forest::run(ConstArray in, MutableArray out, std::size_t n_events, Workspace& workspace) const noexcept {
    if (n_events == 0) return Status::ok;
    if (in.data == nullptr || out.data == nullptr || !fits_output(out.type)) return Status::invalid_argument;
    const ForestModel& model = impl_->model;
    return model.input.kind == Kind::fixed ? run_exactly<std::int64_t>(model, in, out, n_events, workspace)
                                           : run_exactly<double>(model, in, out, n_events, workspace);
}

}  // namespace rheinfall::quantized
