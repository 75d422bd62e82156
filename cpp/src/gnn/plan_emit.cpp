#include "gnn/plan_emit.hpp"

#include <algorithm>

#include "gnn/bf16.hpp"

namespace rheinfall::gnn {

StageEmitter::StageEmitter(Plan& plan, const Levels& levels, const std::vector<int>& array_of, int stage_number)
    : plan_(plan), levels_(levels), array_of_(array_of), number_(stage_number) {
    absorbed_.assign(levels.level.size(), false);
}

/// True if @p i may compute @p input itself, as part of its own instruction: nobody else reads it.
bool StageEmitter::absorbs(int i, int input) const {
    const auto place = static_cast<std::size_t>(input);
    return levels_.users[place].size() == 1 && !levels_.stored[place] && !levels_.on_demand(input) &&
           levels_.same_stage(i, input) && input != levels_.graph.output;
}

/// The linear operation that the addition @p i makes the end of, or -1.
int StageEmitter::absorbed_linear(int i) const {
    const Operation& o = at(i);
    if (o.op != Op::binary || o.binary != Binary::add) return -1;
    for (const int k : {1, 0}) {
        const int linear = o.inputs[static_cast<std::size_t>(k)];
        const int other = o.inputs[static_cast<std::size_t>(1 - k)];
        if (at(linear).op == Op::linear && absorbs(i, linear) && at(other).width == at(linear).width &&
            other != linear) {
            return linear;
        }
    }
    return -1;
}

Stage StageEmitter::emit(Kind kind, int level, const std::vector<int>& operations) {
    stage_.kind = kind;
    stage_.level = level;
    const auto absorb = [&](int i) { absorbed_[static_cast<std::size_t>(i)] = true; };
    for (const int i : operations) {
        if (const int linear = absorbed_linear(i); linear >= 0) absorb(linear);
        if (at(i).op != Op::unary || at(i).unary != Unary::relu) continue;
        const int before = at(i).inputs[0];
        const Op op = at(before).op;
        const bool takes_relu =
            op == Op::linear || op == Op::affine || op == Op::event_affine || op == Op::layer_norm || op == Op::binary;
        if (takes_relu && absorbs(i, before)) absorb(before);
    }
    for (const int i : operations) {
        if (is_statistic(at(i).op)) {
            statistic(i);
        } else if (!absorbed_[static_cast<std::size_t>(i)]) {
            const Place place = compute(i);
            known_.emplace(i, place);
            store_result(i, place);
        }
    }
    allocate_columns();
    return std::move(stage_);
}

StageEmitter::Place StageEmitter::new_register(int width) {
    register_widths_.push_back(width);
    return {static_cast<int>(register_widths_.size()) - 1, 0};
}

StageEmitter::Draft& StageEmitter::push(Code code, int operation, int width) {
    Draft draft;
    draft.instruction.code = code;
    draft.instruction.width = width;
    draft.operation = operation;
    drafts_.push_back(draft);
    return drafts_.back();
}

int StageEmitter::read_array(int i) {
    const int array = array_of_[static_cast<std::size_t>(i)];
    Array& a = plan_.arrays[static_cast<std::size_t>(array)];
    a.last_stage = std::max(a.last_stage, number_);
    return array;
}

StageEmitter::Place StageEmitter::operand(int i) {
    if (const auto known = known_.find(i); known != known_.end()) return known->second;
    const Place place = load(i);
    known_.emplace(i, place);
    return place;
}

namespace {

/// Of the node at an end of an edge in an array of nodes.
Index index_of(End end, const Array& array) {
    if (array.caller) return end == End::source ? Index::caller_source : Index::caller_target;
    return end == End::source ? Index::source : Index::target;
}

}  // namespace

/// A value that another stage, or the caller, left in memory.
StageEmitter::Place StageEmitter::load(int i) {
    const Operation& o = at(i);
    const Place out = new_register(o.width);
    const int from = o.op == Op::gather ? o.inputs[0] : i;
    const int array = read_array(from);
    const Array& a = plan_.arrays[static_cast<std::size_t>(array)];
    const bool of_event = o.kind == Kind::event && stage_.kind != Kind::event;
    // Tiles of one column are rows of one column.
    const bool by_row = a.rows || o.op == Op::gather;
    const Code code = of_event ? Code::load_event : by_row ? Code::load_rows : Code::load_tiles;
    Draft& draft = push(code, i, o.width);
    draft.out = out;
    draft.instruction.array = array;
    if (o.op == Op::gather) draft.instruction.index = index_of(o.end, a);
    if (o.op == Op::input) draft.instruction.index = Index::caller;
    return out;
}

/// The sum of two gathers, before rows become columns.
StageEmitter::Place StageEmitter::load_pair(int i, int a, int b) {
    const Place out = new_register(at(i).width);
    const int first = read_array(at(a).inputs[0]);
    const int second = read_array(at(b).inputs[0]);
    Draft& draft = push(Code::load_rows, i, at(i).width);
    draft.out = out;
    draft.instruction.array = first;
    draft.instruction.array2 = second;
    draft.instruction.index = index_of(at(a).end, plan_.arrays[static_cast<std::size_t>(first)]);
    draft.instruction.index2 = index_of(at(b).end, plan_.arrays[static_cast<std::size_t>(second)]);
    return out;
}

StageEmitter::Place StageEmitter::reduce(int i) {
    const Operation& o = at(i);
    const ReduceSource& source = levels_.reduces[static_cast<std::size_t>(i)];
    const Place out = new_register(o.width);
    const int array = read_array(source.rows);
    const int factor = source.factor < 0 ? -1 : read_array(source.factor);
    Draft& draft = push(Code::reduce, i, o.width);
    draft.out = out;
    Instruction& instruction = draft.instruction;
    instruction.how = o.how;
    instruction.end = o.end;
    instruction.a = o.a;
    instruction.array = array;
    instruction.array2 = factor;
    const Array& rows = plan_.arrays[static_cast<std::size_t>(array)];
    instruction.index = rows.caller ? Index::caller : Index::self;
    if (source.gathered) instruction.index = index_of(source.end, rows);
    stage_.reduce_width = std::max(stage_.reduce_width, o.width);
    return out;
}

StageEmitter::Place StageEmitter::compute(int i) {
    const Operation& o = at(i);
    const int before = o.inputs.empty() ? -1 : o.inputs[0];
    if (o.op == Op::unary && o.unary == Unary::relu && before >= 0 && absorbed_[static_cast<std::size_t>(before)] &&
        absorbs(i, before)) {
        const Operation& inner = at(before);
        if (inner.op == Op::linear) return linear(before, -1, true);
        if (inner.op == Op::binary) return binary(before, true);
        const Place out = compute_itself(before);
        drafts_.back().instruction.relu = true;
        return out;
    }
    return compute_itself(i);
}

/// As compute(), without the operation that @p i may have absorbed.
StageEmitter::Place StageEmitter::compute_itself(int i) {
    const Operation& o = at(i);
    const int before = o.inputs.empty() ? -1 : o.inputs[0];
    switch (o.op) {
        case Op::linear: return linear(i, -1, false);
        case Op::binary: return binary(i, false);
        case Op::concat: return concat(i);
        case Op::reduce: return reduce(i);
        case Op::slice: {
            Place in = operand(before);
            in.offset += o.start;
            return in;
        }
        case Op::degree: {
            Draft& draft = push(Code::degree, i, 1);
            draft.instruction.end = o.end;
            return drafts_.back().out = new_register(1);
        }
        default: break;
    }
    const Place in = operand(before);
    const Place out = new_register(o.width);
    const int event = o.op == Op::event_affine ? read_array(o.inputs[1]) : -1;
    Code code = Code::unary;
    if (o.op == Op::affine) code = Code::affine;
    if (o.op == Op::event_affine) code = Code::event_affine;
    if (o.op == Op::layer_norm) code = Code::layer_norm;
    if (o.op == Op::row_mean || o.op == Op::row_sum || o.op == Op::row_max) code = Code::row_reduce;
    const float* scale = o.scale.empty() ? nullptr : keep(o.scale);
    const float* shift = o.shift.empty() ? nullptr : keep(o.shift);
    Draft& draft = push(code, i, o.width);
    draft.in = in;
    draft.out = out;
    Instruction& instruction = draft.instruction;
    instruction.in_width = at(before).width;
    instruction.unary = o.unary;
    instruction.how = o.op == Op::row_max ? How::max : o.op == Op::row_mean ? How::mean : How::add;
    instruction.centred = o.centred;
    instruction.array = event;
    instruction.scale = scale;
    instruction.shift = shift;
    instruction.a = o.a;
    instruction.b = o.b;
    return out;
}

StageEmitter::Place StageEmitter::linear(int i, int residual, bool relu) {
    const Operation& o = at(i);
    std::vector<Place> inputs;
    inputs.reserve(o.inputs.size());
    for (const int input : o.inputs) inputs.push_back(operand(input));
    Place added;
    if (residual >= 0) added = operand(residual);
    const Place out = new_register(o.width);
    const bool bf16 = !plan_.bf16.empty() && plan_.bf16[static_cast<std::size_t>(i)];
    int first = 0;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
        const int in_width = at(o.inputs[k]).width;
        const float* weights =
            bf16 ? pack_rounded(o.weight, first, in_width, o.width) : pack(o.weight, first, in_width, o.width);
        const float* bias = k > 0 || o.bias.empty() ? nullptr : keep(bf16 ? bf16_bias(o.bias) : o.bias);
        first += in_width;
        const bool is_last = k + 1 == inputs.size();
        Draft& draft = push(Code::linear, i, o.width);
        draft.in = inputs[k];
        if (is_last) draft.in2 = added;
        draft.out = out;
        draft.instruction.in_width = in_width;
        draft.instruction.weights = weights;
        draft.instruction.scale = bias;
        draft.instruction.accumulate = k > 0;
        draft.instruction.relu = relu && is_last;
        draft.instruction.bf16 = bf16;
    }
    return out;
}

StageEmitter::Place StageEmitter::binary(int i, bool relu) {
    const Operation& o = at(i);
    const int a = o.inputs[0];
    const int b = o.inputs[1];
    if (const int inner = absorbed_linear(i); inner >= 0) return linear(inner, inner == a ? b : a, relu);
    const auto is_lone_gather = [&](int k) {
        return at(k).op == Op::gather && levels_.users[static_cast<std::size_t>(k)].size() == 1;
    };
    if (o.binary == Binary::add && !relu && is_lone_gather(a) && is_lone_gather(b) && at(a).width == at(b).width) {
        return load_pair(i, a, b);
    }
    const Place first = operand(a);
    const Place second = operand(b);
    const Place out = new_register(o.width);
    Draft& draft = push(Code::binary, i, o.width);
    draft.in = first;
    draft.in2 = second;
    draft.out = out;
    draft.instruction.binary = o.binary;
    draft.instruction.in_width = at(a).width;
    draft.instruction.in2_width = at(b).width;
    draft.instruction.relu = relu;
    return out;
}

StageEmitter::Place StageEmitter::concat(int i) {
    std::vector<Place> inputs;
    inputs.reserve(at(i).inputs.size());
    for (const int input : at(i).inputs) inputs.push_back(operand(input));
    const Place out = new_register(at(i).width);
    int offset = 0;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
        const int width = at(at(i).inputs[k]).width;
        Draft& draft = push(Code::copy, i, width);
        draft.in = inputs[k];
        draft.out = {out.reg, offset};
        offset += width;
    }
    return out;
}

StageEmitter::Place StageEmitter::statistic(int i) {
    const int input = at(i).inputs[0];
    const int width = at(input).width;
    const Place in = operand(input);
    Draft& draft = push(Code::statistics, i, width);
    draft.in = in;
    draft.instruction.in2_width = stage_.statistic_columns;
    const int array = array_of_[static_cast<std::size_t>(i)];
    Array& a = plan_.arrays[static_cast<std::size_t>(array)];
    a.first_stage = a.last_stage = number_;
    stage_.statistics.push_back({stage_.statistic_columns, width, array, &at(i), at(input).kind});
    stage_.statistic_columns += width;
    return in;
}

void StageEmitter::store_result(int i, Place place) {
    if (i == levels_.graph.output) push(Code::output, i, 1).in = place;
    if (!levels_.stored[static_cast<std::size_t>(i)]) return;
    const int array = array_of_[static_cast<std::size_t>(i)];
    Array& a = plan_.arrays[static_cast<std::size_t>(array)];
    a.first_stage = a.last_stage = number_;
    Draft& draft = push(a.rows ? Code::store_rows : Code::store_tiles, i, at(i).width);
    draft.in = place;
    draft.instruction.array = array;
}

const float* StageEmitter::keep(std::vector<float> values) {
    plan_.weights.push_back(std::move(values));
    return plan_.weights.back().data();
}

/// Rows [first, first + in) of a matrix [in][out], in blocks of output_block outputs.
const float* StageEmitter::pack(const std::vector<float>& weight, int first, int in, int out) {
    std::vector<float> packed;
    packed.reserve(static_cast<std::size_t>(in) * static_cast<std::size_t>(out));
    for (int block = 0; block < out; block += output_block) {
        for (int k = first; k < first + in; ++k) {
            const auto row = weight.begin() + static_cast<std::ptrdiff_t>(k) * out;
            packed.insert(packed.end(), row + block, row + std::min(block + output_block, out));
        }
    }
    return keep(std::move(packed));
}

const float* StageEmitter::pack_rounded(const std::vector<float>& weight, int first, int in, int out) {
    plan_.rounded_columns = std::max(plan_.rounded_columns, even(in));
    switch (plan_.options.weights) {
        case Bf16Weights::pairs: return keep(pack_bf16_pairs(weight, first, in, out));
        case Bf16Weights::fragments: return keep(pack_bf16_fragments(weight, first, in, out));
        case Bf16Weights::single: break;
    }
    return keep(pack_bf16(weight, first, in, out));
}

}  // namespace rheinfall::gnn
