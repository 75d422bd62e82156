#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/instruction_sets.hpp"
#include "quantized/boundary.hpp"
#include "quantized/plan.hpp"

namespace rheinfall::quantized {
namespace {

constexpr std::uint8_t element_bytes[n_element_types] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8};
static_assert(static_cast<int>(ElementType::int32) == int32_element && static_cast<int>(ElementType::uint8) == 4 &&
              static_cast<int>(ElementType::float64) == n_element_types - 1);

constexpr std::size_t index(ElementType type) noexcept {
    return static_cast<std::size_t>(type);
}

/// Every input of one event, number by number, as stored integers.
void convert_event(const Plan& plan, ConstArray in, std::size_t event, std::int32_t* to, Status& status) noexcept {
    for (const PlanInput& input : plan.inputs) {
        constexpr std::size_t chunk = 64;
        std::int64_t stored[chunk];
        for (std::size_t i = 0; i < input.n_elements; i += chunk) {
            const std::size_t n = std::min(chunk, input.n_elements - i);
            const std::size_t first = input.one.first + i;
            status = worst(status, read_input(input.input, in, event * plan.n_inputs + first, n, stored));
            for (std::size_t k = 0; k < n; ++k) to[first + k] = static_cast<std::int32_t>(stored[k]);
        }
    }
}

template <class T>
void write_elements(const PlanOutput& output, const std::byte* from, std::size_t step, std::size_t n, T* to) noexcept {
    if constexpr (std::is_floating_point_v<T>) {
        if (output.scale.size() == 1 && output.offset.empty()) {  // no division to find an element's scale
            const double scale = output.scale.front();
            for (std::size_t i = 0; i < n; ++i) {
                std::int32_t q;
                std::memcpy(&q, from + i * step, sizeof q);
                to[i] = static_cast<T>(static_cast<double>(q - output.zero_point) * scale);
            }
            return;
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        std::int32_t q;
        std::memcpy(&q, from + i * step, sizeof q);
        if constexpr (std::is_floating_point_v<T>) {
            double x = static_cast<double>(q - output.zero_point) * output.scale[i % output.scale.size()];
            if (!output.offset.empty()) x += output.offset[i % output.offset.size()];
            to[i] = static_cast<T>(x);
        } else {
            to[i] = static_cast<T>(q);
        }
    }
}

/// Elements of one output, @p step bytes apart, to the caller's array from its element @p first on.
void write_output(const PlanOutput& output, const std::byte* from, std::size_t step, MutableArray out,
                  std::size_t first) noexcept {
    const auto run = [&](auto* p) { write_elements(output, from, step, output.n_elements, p + first); };
    switch (out.type) {
        case ElementType::int8: run(static_cast<std::int8_t*>(out.data)); break;
        case ElementType::uint8: run(static_cast<std::uint8_t*>(out.data)); break;
        case ElementType::int16: run(static_cast<std::int16_t*>(out.data)); break;
        case ElementType::uint16: run(static_cast<std::uint16_t*>(out.data)); break;
        case ElementType::int32: run(static_cast<std::int32_t*>(out.data)); break;
        case ElementType::uint32: run(static_cast<std::uint32_t*>(out.data)); break;
        case ElementType::int64: run(static_cast<std::int64_t*>(out.data)); break;
        case ElementType::uint64: run(static_cast<std::uint64_t*>(out.data)); break;
        case ElementType::float32: run(static_cast<float*>(out.data)); break;
        case ElementType::float64: run(static_cast<double*>(out.data)); break;
    }
}

/// An array of the caller, seen as events.
struct Events {
    ConstArray in;
    MutableArray out;
    std::size_t in_element;
    std::size_t in_bytes;
    std::size_t out_element;
    std::size_t out_bytes;
    InputFunction function;  ///< of tiles; null: number by number
    OutputFunction output;   ///< null: number by number

    [[nodiscard]] const std::byte* from(std::size_t event) const noexcept {
        return static_cast<const std::byte*>(in.data) + event * in_bytes;
    }
    [[nodiscard]] std::byte* to(std::size_t event) const noexcept {
        return static_cast<std::byte*>(out.data) + event * out_bytes;
    }
};

/// Converts an event number by number, and reads that.
[[gnu::noinline]] void read_slowly(const Plan& plan, ConstArray in, std::size_t event, InputFunction read,
                                   const InputStep& step, std::byte* workspace, std::byte* to,
                                   Status& status) noexcept {
    auto* scalars = reinterpret_cast<std::int32_t*>(workspace + plan.scalars_at);
    convert_event(plan, in, event, scalars, status);
    read(step, scalars, to);
}

void write_one(const Plan& plan, const Events& events, std::size_t event, const std::byte* workspace) noexcept {
    std::size_t at = 0;
    for (const PlanOutput& output : plan.outputs) {
        const std::byte* from = workspace + output.place.one;
        if (events.output != nullptr) {
            events.output(from, output.n_elements, events.to(event) + at * events.out_element);
        } else {
            write_output(output, from, 4, events.out, event * plan.n_outputs + at);
        }
        at += output.n_elements;
    }
}

void write_tile(const Plan& plan, const Events& events, std::size_t first, std::size_t n,
                const std::byte* workspace) noexcept {
    std::size_t at = 0;
    for (const PlanOutput& output : plan.outputs) {
        const std::byte* from = workspace + output.place.tile;
        if (events.output != nullptr && plan.n_outputs == 1) {
            events.output(from, n, events.to(first));
        } else {
            for (std::size_t e = 0; e < n; ++e)
                write_output(output, from + 4 * e, std::size_t{4} * tile_events, events.out,
                             (first + e) * plan.n_outputs + at);
        }
        at += output.n_elements;
    }
}

void run_one(const Plan& plan, const Events& events, std::size_t event, std::byte* workspace, Status& status) noexcept {
    for (const PlanInput& input : plan.inputs) {
        const InputFunction read = input.read_one[index(events.in.type)];
        if (read == nullptr || read(input.one, events.from(event), workspace)) [[unlikely]]
            read_slowly(plan, events.in, event, input.read_one[int32_element], input.one, workspace, workspace, status);
    }
    for (const Step& step : plan.one) step.run(step, workspace);
    write_one(plan, events, event, workspace);
}

/// One input of a tile by its TilePack; false if that cannot read it.
bool pack_tile(const Plan& plan, const Events& events, std::size_t first, std::size_t n, const PlanInput& input,
               std::byte* workspace, Status& status) noexcept {
    const std::size_t begin = input.one.first;
    std::byte* tile = workspace + input.tile.step.out.tile;
    const PackFunction fast = input.pack.run[index(events.in.type)];
    if (fast != nullptr && !fast(input.pack, events.from(first) + begin * events.in_element, n, events.in_bytes, tile))
        return true;
    const PackFunction slow = input.pack.run[int32_element];
    if (slow == nullptr) return false;
    std::byte* rows = workspace + plan.staging_at;
    for (std::size_t e = 0; e < n; ++e)
        convert_event(plan, events.in, first + e, reinterpret_cast<std::int32_t*>(rows + e * plan.staging_row), status);
    slow(input.pack, rows + begin * sizeof(std::int32_t), n, plan.staging_row, tile);
    return true;
}

/// Events [first, first + n), n <= tile_events, side by side in lanes.
void run_tile(const Plan& plan, const Events& events, std::size_t first, std::size_t n, std::byte* workspace,
              Status& status) noexcept {
    for (const PlanInput& input : plan.inputs) {
        std::byte* rows = workspace + plan.staging_at;
        if (pack_tile(plan, events, first, n, input, workspace, status)) continue;
        // One input after the other, through the same staging rows.
        for (std::size_t e = 0; e < n; ++e) {
            std::byte* row = rows + e * plan.staging_row;
            if (events.function == nullptr || events.function(input.tile, events.from(first + e), row)) [[unlikely]]
                read_slowly(plan, events.in, first + e, plan.kernels->input[int32_element], input.tile, workspace, row,
                            status);
        }
        plan.kernels->transpose(rows, plan.staging_row, input.n_groups, workspace + input.tile.step.out.tile);
    }
    for (const Step& step : plan.tile) step.run(step, workspace);
    write_tile(plan, events, first, n, workspace);
}

/// From how many events a tile is faster than one event after the other.
constexpr std::size_t least_tile = tile_events / 4;

/// Not inlined: one event, the usual case, shall not pay for its registers.
[[gnu::noinline]] Status run_many(const Plan& plan, const Events events, std::size_t n_events,
                                  std::byte* workspace) noexcept {
    Status status = Status::ok;
    std::size_t event = 0;
    while (n_events - event >= least_tile) {
        const std::size_t n = std::min<std::size_t>(n_events - event, tile_events);
        run_tile(plan, events, event, n, workspace, status);
        event += n;
    }
    for (; event < n_events; ++event) run_one(plan, events, event, workspace, status);
    return status;
}

/// Of one instruction set by name.
const Kernels* kernels_of(Isa isa) noexcept {
    switch (isa) {
        case Isa::portable: return &portable_kernels();
#if defined(__x86_64__)
        case Isa::avx2: return __builtin_cpu_supports("avx2") ? &avx2_kernels() : nullptr;
        case Isa::avx512:
            return rheinfall::detail::has_avx512() && __builtin_cpu_supports("avx512vnni") ? &avx512_kernels()
                                                                                           : nullptr;
#endif
        default: return nullptr;
    }
}

}  // namespace

const Kernels* find_kernels(Isa isa) noexcept {
    return kernels_of(isa == Isa::best ? best_isa() : isa);
}

bool permutes_bytes() noexcept {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512vbmi") != 0;
#else
    return false;
#endif
}

Isa best_isa() noexcept {
    if (kernels_of(Isa::avx512) != nullptr) return Isa::avx512;
    if (kernels_of(Isa::avx2) != nullptr) return Isa::avx2;
    return Isa::portable;
}

std::size_t plan_workspace_size(const Plan& plan, std::size_t n_events) noexcept {
    return n_events < least_tile ? plan.staging_at : plan.workspace_bytes;
}

Status run_plan(const Plan& plan, ConstArray in, MutableArray out, std::size_t n_events,
                std::byte* workspace) noexcept {
    const std::size_t in_type = index(in.type);
    const std::size_t out_type = index(out.type);
    const Events events{in,
                        out,
                        element_bytes[in_type],
                        element_bytes[in_type] * plan.n_inputs,
                        element_bytes[out_type],
                        element_bytes[out_type] * plan.n_outputs,
                        plan.kernels->input[in_type],
                        plan.kernels->output[out_type]};
    if (n_events > 1) return run_many(plan, events, n_events, workspace);
    Status status = Status::ok;
    if (n_events == 1) run_one(plan, events, 0, workspace, status);
    return status;
}

}  // namespace rheinfall::quantized
