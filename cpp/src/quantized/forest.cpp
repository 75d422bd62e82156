#include "rheinfall/quantized/forest.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "quantized/forest_input.hpp"
#include "quantized/forest_model.hpp"
#include "quantized/forest_plan.hpp"
#include "quantized/forest_run.hpp"

namespace rheinfall::quantized {
namespace {

using Kind = NumberType::Kind;

std::string kernel_name(const ForestPlan& plan) {
    if (plan.isa == Isa::exact) return "node by node";
    static constexpr const char* keys[] = {"stored integers", "ordered floats", "ranks"};
    const std::string lanes = plan.isa == Isa::avx512 ? std::to_string(plan.lanes) : plan.isa == Isa::avx2 ? "8" : "1";
    return std::to_string(plan.key_bits) + "-bit " + keys[static_cast<std::size_t>(plan.keys)] + ", " + lanes +
           " trees in lanes, depth " + std::to_string(plan.depth);
}

}  // namespace

struct Forest::Impl {
    ForestModel model;
    ForestPlan plan;
    ForestPlanInfo info;
};

Forest::Forest(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
Forest::Forest(const Forest&) noexcept = default;
Forest::Forest(Forest&&) noexcept = default;
Forest& Forest::operator=(const Forest&) noexcept = default;
Forest& Forest::operator=(Forest&&) noexcept = default;
Forest::~Forest() = default;

Forest Forest::from_json(std::string_view text, std::string_view file_name, ForestOptions options) {
    const Isa isa = choose_forest_isa(options.isa);
    auto impl = std::make_shared<Impl>();
    impl->model = read_forest(text, file_name);
    impl->plan = make_forest_plan(impl->model, isa);
    for (const ForestTree& tree : impl->model.trees) {
        impl->info.max_depth = std::max(impl->info.max_depth, static_cast<std::size_t>(tree.depth));
        impl->info.n_nodes += tree.nodes.size();
    }
    const ForestPlan& plan = impl->plan;
    impl->info.isa = plan.isa;
    impl->info.kernel = kernel_name(plan);
    impl->info.any_order = plan.isa != Isa::exact && plan.order == ForestPlan::Order::any;
    impl->info.bytes =
        plan.isa == Isa::exact ? impl->info.n_nodes * sizeof(ForestNode) : plan.n_groups * plan.group_bytes;
    return Forest(std::move(impl));
}

Forest Forest::load(const std::string& path, ForestOptions options) {
    const std::ifstream file(path, std::ios::binary);
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

std::size_t Forest::workspace_size(std::size_t n_events) const noexcept {
    return impl_->plan.isa == Isa::exact ? forest_exact_workspace_size(impl_->model)
                                         : forest_plan_workspace_size(impl_->model, impl_->plan, n_events);
}

Status Forest::run(ConstArray in, MutableArray out, std::size_t n_events, Workspace& workspace) const noexcept {
    if (n_events == 0) return Status::ok;
    if (in.data == nullptr || out.data == nullptr || !fits_output(out.type)) return Status::invalid_argument;
    return impl_->plan.isa == Isa::exact ? run_forest_exactly(impl_->model, in, out, n_events, workspace)
                                         : run_forest_plan(impl_->model, impl_->plan, in, out, n_events, workspace);
}

}  // namespace rheinfall::quantized
