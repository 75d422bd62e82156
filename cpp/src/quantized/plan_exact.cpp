#include <cstring>

#include "quantized/exact_cpu.hpp"
#include "quantized/plan_lowering.hpp"

namespace rheinfall::quantized {
namespace {

/// One event of a layer that no kernel does, by the exact executor: stored values lie @p step bytes apart.
void run_exactly(const ExactStep& s, const std::byte* const* in, std::byte* out, std::size_t step,
                 std::byte* workspace) noexcept {
    auto* next = reinterpret_cast<std::int64_t*>(workspace + s.scratch);
    auto* references = reinterpret_cast<const std::int64_t**>(workspace + s.references);
    for (std::size_t k = 0; k < s.in.size(); ++k) {
        references[k] = next;
        for (std::size_t i = 0; i < s.in_size[k]; ++i) {
            std::int32_t q;
            // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): the caller sets as many as s.in has
            std::memcpy(&q, in[k] + i * step, sizeof q);
            *next++ = q;
        }
    }
    std::int64_t* result = next;
    run_layer_exact({*s.graph, *s.layer, references, result, result + s.out_size}, s.is_wide);
    for (std::size_t i = 0; i < s.out_size; ++i) {
        const auto q = static_cast<std::int32_t>(result[i]);
        std::memcpy(out + i * step, &q, sizeof q);
    }
}

constexpr std::size_t most_inputs = 16;

void exact_one(const Step& step, std::byte* workspace) noexcept {
    const ExactStep& s = *step.exact;
    const std::byte* in[most_inputs];
    for (std::size_t k = 0; k < s.in.size(); ++k) in[k] = workspace + s.in[k].one;
    run_exactly(s, in, workspace + step.out.one, 4, workspace);
}

void exact_tile(const Step& step, std::byte* workspace) noexcept {
    const ExactStep& s = *step.exact;
    for (std::size_t e = 0; e < tile_events; ++e) {
        const std::byte* in[most_inputs];
        for (std::size_t k = 0; k < s.in.size(); ++k) in[k] = workspace + s.tile_at + s.in[k].tile + 4 * e;
        run_exactly(s, in, workspace + step.out.tile + 4 * e, std::size_t{4} * tile_events, workspace);
    }
}

}  // namespace

/// Any other layer: number by number. Its values must fit the 32-bit lanes of its neighbours.
void Lowering::lower_exact(int value) {  // NOLINT(misc-no-recursion): ends at values that have a place
    const Layer& l = layer(value);
    if (l.inputs.size() > most_inputs) refuse(value, "more than 16 inputs");
    auto exact = std::make_unique<ExactStep>();
    exact->graph = &graph_;
    exact->layer = &l;
    exact->is_wide = needs_wide(proof(value).work_bits);
    std::size_t n = size(value) + exact_scratch_size(l);
    for (const int input : l.inputs) {
        const auto i = static_cast<std::size_t>(input);
        if (constant(input) != nullptr && !done_[i]) {
            done_[i] = true;
            lower_exact(input);
        }
        exact->in.push_back(plain_operand(input));
        exact->in_size.push_back(size(input));
        n += size(input);
    }
    exact->out_size = size(value);
    exact->scratch = one_end_;
    one_end_ += static_cast<std::uint32_t>((n * 8 + 63) / 64 * 64);
    exact->references = one_end_;
    one_end_ += static_cast<std::uint32_t>((l.inputs.size() * 8 + 63) / 64 * 64);
    const Want plain{Lanes::s32, static_cast<std::uint32_t>(size(value)), 0, 0};
    Step step;
    step.out = place(value, plain);
    step.exact = exact.get();
    plan_.exact.push_back(std::move(exact));
    emit(step, exact_one, exact_tile);
    plan_.notes.push_back({l.name, "exact, number by number"});
    done_[static_cast<std::size_t>(value)] = true;
    copy_to_wants(value, plain);
}

}  // namespace rheinfall::quantized
