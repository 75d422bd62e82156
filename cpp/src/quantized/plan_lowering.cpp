#include "quantized/plan_lowering.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "quantized/detail/fixed_point.hpp"

namespace rheinfall::quantized {
namespace {

constexpr std::size_t line = 64;

constexpr std::size_t whole_lines(std::size_t bytes) noexcept {
    return (bytes + line - 1) / line * line;
}

bool fits_lane(const Interval& x) noexcept {
    return x.lo >= std::numeric_limits<std::int32_t>::min() && x.hi <= std::numeric_limits<std::int32_t>::max();
}

bool has_parameters(const std::vector<Stage>& stages) noexcept {
    return std::any_of(stages.begin(), stages.end(), [](const Stage& s) { return s.a != nullptr || s.b != nullptr; });
}

}  // namespace

void* ParameterBlock::take_bytes(std::size_t bytes) {
    bytes = whole_lines(bytes);
    if (used_ + bytes > capacity_) {
        capacity_ = std::max<std::size_t>(bytes, std::size_t{1} << 16);
        blocks_.emplace_back(static_cast<std::byte*>(::operator new[](capacity_, std::align_val_t{line})));
        std::memset(blocks_.back().get(), 0, capacity_);
        used_ = 0;
    }
    void* p = blocks_.back().get() + used_;
    used_ += bytes;
    size_ += bytes;
    return p;
}

void ParameterBlock::Free::operator()(std::byte* p) const noexcept {
    ::operator delete[](p, std::align_val_t{line});
}

const std::string& Lowering::name(int value) const {
    return is_layer(value) ? layer(value).name : graph_.inputs[static_cast<std::size_t>(value)].name;
}

std::size_t Lowering::size(int value) const {
    std::size_t n = 1;
    for (const std::int64_t extent : graph_.shape(value)) n *= static_cast<std::size_t>(extent);
    return n;
}

const AccumulatorRange& Lowering::accumulator(int value) const {
    const std::optional<AccumulatorRange>& range = proof(value).accumulator;
    if (!range) refuse(value, "has no sums");
    return *range;
}

void Lowering::refuse(int value, const std::string& why) const {
    throw CannotLower("'" + name(value) + "': " + why);
}

void Lowering::count_uses() {
    const auto n = static_cast<std::size_t>(graph_.n_values());
    uses_.assign(n, 0);
    consumer_.assign(n, -1);
    is_output_.assign(n, false);
    done_.assign(n, false);
    from_input_.assign(n, false);
    places_.resize(n);
    for (std::size_t i = 0; i < graph_.layers.size(); ++i)
        for (const int input : graph_.layers[i].inputs) {
            ++uses_[static_cast<std::size_t>(input)];
            consumer_[static_cast<std::size_t>(input)] = static_cast<int>(i + n_inputs());
        }
    for (const Output& output : graph_.outputs) {
        ++uses_[static_cast<std::size_t>(output.value)];
        is_output_[static_cast<std::size_t>(output.value)] = true;
    }
}

/// The stored integers of a value that is a constant, with its type; null otherwise.
const Tensor* Lowering::constant(int value) const {
    if (!is_layer(value)) return nullptr;
    const auto* op = std::get_if<Constant>(&layer(value).operation);
    if (op == nullptr) return nullptr;
    auto [at, is_new] = constants_.try_emplace(value);
    if (is_new) {
        Tensor& t = at->second;
        t.type = layer(value).result;
        t.shape = op->value.shape;
        for (const std::int64_t x : op->value.data)
            t.data.push_back(detail::convert<Int128>(x, op->value.type.fraction(), t.type));
    }
    return &at->second;
}

/// Takes in one layer whose only variable operand is @p value; false if the chain cannot express it.
bool Lowering::swallow(Chain& chain, int value, int next) const {
    const Layer& l = layer(next);
    if (std::holds_alternative<Constant>(l.operation)) return false;
    const Tensor* other = nullptr;
    bool constant_first = false;
    if (l.inputs.size() == 2) {
        constant_first = l.inputs[1] == value;
        const int i = constant_first ? l.inputs[0] : l.inputs[1];
        other = constant(i);
        if (other == nullptr || l.inputs[0] == l.inputs[1] || size(i) > size(value)) return false;
    } else if (l.inputs.size() != 1) {
        return false;
    }
    if (std::holds_alternative<Table>(l.operation)) return swallow_table(chain, value, next);
    return chain.add_layer(l, proof(next), graph_.type(value), other, constant_first) && chain.failed().empty();
}

/// Adds the elementwise layers that follow and have no other reader.
void Lowering::extend(Group& group) {
    for (;;) {
        const auto v = static_cast<std::size_t>(group.value);
        if (uses_[v] != 1 || is_output_[v]) return;
        const int next = consumer_[v];
        Chain longer = group.chain;
        if (!swallow(longer, group.value, next)) return;
        group.chain = std::move(longer);
        done_[v] = true;
        group.value = next;
        group.layers += (group.layers.empty() ? "" : " + ") + name(next);
    }
}

/// What the readers of @p value ask for; each once.
std::vector<Want> Lowering::wants(int value) const {
    std::vector<Want> all;
    const Want plain{Lanes::s32, static_cast<std::uint32_t>(size(value)), 0, 0};
    const auto ask = [&](const Want& w) {
        if (std::find(all.begin(), all.end(), w) == all.end()) all.push_back(w);
    };
    if (is_output_[static_cast<std::size_t>(value)]) ask(plain);
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
        const std::vector<int>& from = graph_.layers[i].inputs;
        if (std::find(from.begin(), from.end(), value) == from.end()) continue;
        const std::optional<DenseChoice> choice = choose_sums(static_cast<int>(i + n_inputs()));
        ask(choice ? choice->want : plain);
    }
    if (all.empty()) ask(plain);
    return all;
}

/// Room for a value as @p want says; the same room for the same wish.
const Place& Lowering::place(int value, const Want& want) {
    auto& known = places_[static_cast<std::size_t>(value)];
    for (const auto& [w, p] : known)
        if (w == want) return p;
    const Interval& range = ranges_.value(value).all;
    if (!fits_lane(range)) refuse(value, "needs more than 32 bits");
    Place p;
    p.lanes = want.lanes;
    p.columns = want.columns;
    p.rows = static_cast<std::uint32_t>(size(value) / want.columns);
    const auto group = static_cast<std::uint32_t>(elements_per_group(want.lanes));
    std::uint32_t slots = want.columns;
    if (want.low_bits > 0) slots = split_wide(value, want, p);
    p.stride = (slots + group - 1) / group * 4;
    if (std::size_t{p.rows} * p.stride > (std::size_t{1} << 22)) refuse(value, "is too large for a plan");
    allot(p);
    return known.emplace_back(want, p).second;
}

/// Room in the workspace for the rows of @p p.
void Lowering::allot(Place& p) {
    const std::size_t bytes = std::size_t{p.rows} * p.stride;
    constexpr std::size_t most = std::size_t{1} << 30;  // places are numbers of 32 bits
    if (tile_end_ + whole_lines(bytes * tile_events) > most) throw CannotLower("its workspace would take over 1 GiB");
    p.one = one_end_;
    p.tile = tile_end_;
    one_end_ += static_cast<std::uint32_t>(whole_lines(bytes + std::size_t{lane_padding} * 4));
    tile_end_ += static_cast<std::uint32_t>(whole_lines(bytes * tile_events));
}

/// Lays out the elements of more than 16 bits: low bits in place, high parts behind the row.
std::uint32_t Lowering::split_wide(int value, const Want& want, Place& p) {
    const auto lanes = static_cast<std::size_t>(plan_.kernels->lanes);
    const std::size_t n_vectors = (want.columns + lanes - 1) / lanes;
    auto* low = plan_.parameters.take<std::int32_t>(n_vectors * lanes);
    auto* mask = plan_.parameters.take<std::uint16_t>(n_vectors);
    auto* at = plan_.parameters.take<std::uint32_t>(n_vectors);
    // The high parts are stored last, over what the last vector left behind the row.
    auto next = (want.columns + 1) / 2 * 2;
    for (std::size_t k = 0; k < n_vectors; ++k) {
        at[k] = next;
        std::uint32_t n = 0;
        for (std::size_t i = 0; i < lanes; ++i) {
            const std::size_t element = k * lanes + i;
            const bool wide = element < want.columns && signed_bits(ranges_.value(value).at(element)) > 16;
            low[element] = wide ? static_cast<std::int32_t>((1u << want.low_bits) - 1u) : -1;
            if (!wide) continue;
            mask[k] = static_cast<std::uint16_t>(mask[k] | 1u << i);
            ++n;
        }
        next += (n + 1) / 2 * 2;
    }
    p.low_bits = want.low_bits;
    p.low_mask = low;
    p.wide_mask = mask;
    p.wide_at = at;
    return next;
}

const Stage* Lowering::keep(const std::vector<Stage>& stages, std::int32_t offset) {
    const std::size_t n = stages.size() + (offset != 0 ? 1 : 0);
    if (n == 0) return nullptr;
    auto* p = new (plan_.parameters.take<Stage>(n)) Stage[n];
    std::copy(stages.begin(), stages.end(), p);
    if (offset != 0) {
        p[n - 1].flags = Stage::add;
        p[n - 1].c0 = offset;
    }
    return p;
}

void Lowering::set_stages(Step& step, const std::vector<Stage>& stages, std::int32_t offset) {
    step.stages = keep(stages, offset);
    step.n_stages = static_cast<std::uint32_t>(stages.size() + (offset != 0 ? 1 : 0));
}

void Lowering::emit(const Step& step, StepFunction one, StepFunction tile) {
    if (one != nullptr) plan_.one.emplace_back(step).run = one;
    if (tile != nullptr) plan_.tile.emplace_back(step).run = tile;
}

/// Ends a group by @p step, which has its inputs, without gaps, and nothing else: element by element, then its stages.
void Lowering::finish(const Group& group, Step step, StepFunction one, StepFunction tile, const char* kernel) {
    const Want want = primary(group, 0);
    step.out = place(group.value, want);
    step.n_rows = step.out.rows;
    step.n_out = step.out.columns;
    step.in.stride = step.in2.stride = step.out.columns * 4;
    set_stages(step, group.chain.stages(), want.offset);
    emit(step, one, tile);
    plan_.notes.push_back({group.layers, kernel});
    done_[static_cast<std::size_t>(group.value)] = true;
    copy_to_wants(group.value, want);
}

/// The wish that the group's own step fulfils: rows of @p columns elements (0: any rows will do).
Want Lowering::primary(const Group& group, std::size_t columns) const {
    const std::vector<Want> all = wants(group.value);
    const Want plain{Lanes::s32, static_cast<std::uint32_t>(size(group.value)), 0, 0};
    if (all.size() != 1) return plain;
    const Want& w = all.front();
    const auto per_group = static_cast<std::size_t>(elements_per_group(w.lanes));
    const bool same_rows =
        columns == 0 || columns == w.columns || (columns % per_group == 0 && w.columns % per_group == 0);
    if (!same_rows) return plain;
    if (columns == 0 && w.columns != plain.columns && has_parameters(group.chain.stages())) return plain;
    return w;
}

/// Copies a stored value to what its other readers want.
void Lowering::copy_to_wants(int value, const Want& stored) {
    const Place from = place(value, stored);
    for (const Want& w : wants(value)) {
        if (w == stored) continue;
        Step step;
        step.in = from;
        step.out = place(value, w);
        step.in.stride = step.out.columns * 4;  // the plain form has no gaps
        step.n_rows = step.out.rows;
        step.n_out = step.out.columns;
        set_stages(step, {}, w.offset);
        emit(step, plan_.kernels->map, plan_.kernels->map_tile);
        plan_.notes.push_back({name(value), "copy"});
    }
}

void Lowering::lower_input(int value) {
    const auto i = static_cast<std::size_t>(value);
    const Input& input = graph_.inputs[i];
    Group group{value, value, input.name, {}};
    group.chain = Chain(ranges_.value(value).all, input.type.fraction(), size(value), 1, plan_.parameters);
    if (input.real && input.real->scale.size() != 1) refuse(value, "an input of several scales");
    if (!fits_lane({detail::smallest(input.type), Int128{detail::largest(input.type)}}))
        refuse(value, "an input of more than 32 bits");
    extend(group);
    from_input_[static_cast<std::size_t>(group.value)] = true;
    std::vector<Want> all = wants(group.value);
    // Rows need parameters per column: such a value is stored flat, and copied.
    const bool flat = has_parameters(group.chain.stages()) &&
                      std::any_of(all.begin(), all.end(), [&](const Want& w) { return w.columns != size(value); });
    if (flat) all = {Want{Lanes::s32, static_cast<std::uint32_t>(size(value)), 0, 0}};
    std::uint32_t first = 0;
    for (std::size_t k = 0; k < i; ++k) first += static_cast<std::uint32_t>(size(static_cast<int>(k)));
    for (const Want& want : all) {
        PlanInput in;
        Step step;
        step.out = place(group.value, want);
        step.n_rows = step.out.rows;
        step.n_out = step.out.columns;
        set_stages(step, group.chain.stages(), want.offset);
        in.n_elements = size(value);
        in.input = input;
        in.value = group.value;
        // What an input holds, which for SAT_SYM lacks the smallest value of the type.
        const Interval& held = ranges_.value(value).all;
        in.one = {step, first, static_cast<std::int32_t>(held.lo), static_cast<std::int32_t>(held.hi)};
        in.tile = in.one;
        in.tile.step.out.one = 0;
        in.n_groups = std::size_t{step.out.rows} * step.out.stride / 4;
        pack_input(in, group.chain.stages(), group.value, want);
        const std::size_t row = whole_lines(in.n_groups * 4 + std::size_t{lane_padding} * 4);
        plan_.staging_row = std::max(plan_.staging_row, row);
        plan_.inputs.push_back(std::move(in));
    }
    plan_.notes.push_back({group.layers, "input"});
    done_[static_cast<std::size_t>(group.value)] = true;
    if (flat) copy_to_wants(group.value, all.front());
}

/// An elementwise layer that stands alone: its input has several readers.
bool Lowering::lower_map(int value) {
    const Layer& l = layer(value);
    int variable = -1;
    for (const int i : l.inputs)
        if (constant(i) == nullptr) variable = i;
    if (variable < 0) return false;
    Group group{value, value, l.name, {}};
    group.chain =
        Chain(ranges_.value(variable).all, graph_.type(variable).fraction(), size(variable), 1, plan_.parameters);
    if (!swallow(group.chain, variable, value)) return false;
    extend(group);
    Step step;
    step.in = plain_operand(variable);
    finish(group, step, plan_.kernels->map, plan_.kernels->map_tile, "map");
    return true;
}

const Place& Lowering::plain_operand(int value) {
    return place(value, {Lanes::s32, static_cast<std::uint32_t>(size(value)), 0, 0});
}

void Lowering::lower_outputs() {
    for (const Output& output : graph_.outputs) {
        PlanOutput out;
        out.place = plain_operand(output.value);
        out.n_elements = size(output.value);
        out.scale = {std::ldexp(1.0, -graph_.type(output.value).fraction())};
        if (output.real) {
            out.scale = output.real->scale;
            out.offset = output.real->offset;
            out.zero_point = output.real->zero_point;
        }
        plan_.n_outputs += out.n_elements;
        plan_.outputs.push_back(std::move(out));
    }
}

void Lowering::lower() {
    count_uses();
    find_sums();
    for (int v = 0; v < graph_.n_values(); ++v) {
        if (!is_layer(v)) plan_.n_inputs += size(v);
        if (done_[static_cast<std::size_t>(v)]) continue;
        if (!is_layer(v)) {
            lower_input(v);
        } else if (constant(v) != nullptr && !is_output_[static_cast<std::size_t>(v)]) {
            continue;  // swallowed by its readers, or refused by them
        } else if (!lower_dense(v) && !lower_ordered(v) && !lower_reduction(v) && !lower_merge(v) && !lower_map(v) &&
                   !lower_gather(v) && !lower_pool(v) && !lower_concatenation(v) && !lower_softmax(v)) {
            lower_exact(v);
        }
    }
    for (PlanInput& input : plan_.inputs) input.read_one = plan_.kernels->input;
    if (plan_.kernels->links != nullptr) link_dense();
    lower_outputs();
    const auto packs = [](const PlanInput& in) { return in.pack.run[int32_element] != nullptr; };
    if (std::any_of(plan_.inputs.begin(), plan_.inputs.end(), packs))
        plan_.staging_row = std::max(plan_.staging_row, whole_lines(plan_.n_inputs * sizeof(std::int32_t)));
    plan_.one_bytes = one_end_;
    plan_.scalars_at = one_end_;
    plan_.staging_at = whole_lines(plan_.scalars_at + plan_.n_inputs * 4 + line);
    const std::size_t tile_at = plan_.staging_at + plan_.staging_row * tile_events;
    plan_.workspace_bytes = tile_at + tile_end_;
    const auto move = [&](Place& p) { p.tile += static_cast<std::uint32_t>(tile_at); };
    for (Step& s : plan_.tile) {
        move(s.in);
        move(s.in2);
        move(s.out);
    }
    for (PlanInput& in : plan_.inputs) move(in.tile.step.out);
    for (const auto& exact : plan_.exact) exact->tile_at = tile_at;
    for (PlanOutput& out : plan_.outputs) move(out.place);
}

std::shared_ptr<const Plan> make_plan(const Graph& graph, const Ranges& ranges, Isa isa, std::string* why) {
    if (isa == Isa::best) isa = best_isa();
    auto plan = std::make_shared<Plan>();
    plan->isa = isa;
    plan->kernels = find_kernels(isa);
    if (plan->kernels == nullptr)
        throw std::invalid_argument("quantized: this machine lacks the instructions asked for");
    try {
        Lowering(graph, ranges, *plan).lower();
    } catch (const CannotLower& refusal) {
        if (why != nullptr) *why = refusal.reason;
        return nullptr;
    }
    return plan;
}

}  // namespace rheinfall::quantized
