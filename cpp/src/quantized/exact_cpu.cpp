#include "quantized/exact_cpu.hpp"

#include <variant>

#include "quantized/exact_operations.hpp"

namespace rheinfall::quantized {

// std::visit throws for a variant without a value, which a graph that was read never holds.
// NOLINTNEXTLINE(bugprone-exception-escape)
void run_layer_exact(const ExactArgs& args, bool is_wide) noexcept {
    std::visit(
        [&](const auto& op) {
            if (is_wide) {
                execute<Int128>(op, args);
            } else {
                execute<std::int64_t>(op, args);
            }
        },
        args.layer.operation);
}

std::size_t exact_scratch_size(const Layer& layer) noexcept {
    const auto* softmax = std::get_if<Softmax>(&layer.operation);
    return softmax == nullptr ? 0 : static_cast<std::size_t>(softmax->axis_size);
}

}  // namespace rheinfall::quantized
