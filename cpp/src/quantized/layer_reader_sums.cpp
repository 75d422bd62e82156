#include <array>

#include "quantized/layer_reader.hpp"

/// dense, conv1d, conv2d, pool, dot, sum_of_squares, sum.
namespace rheinfall::quantized {
namespace {

constexpr int max_extent = 1 << 24;

std::optional<Tensor> read_bias(const LayerReader& r, std::int64_t n_out) {
    if (!r.fields.has("bias")) return std::nullopt;
    return r.tensor("bias", {n_out});
}

Operation read_dense(const LayerReader& r) {
    Dense dense;
    dense.weight = r.fields.tensor("weight");
    const Shape& shape = dense.weight.shape;
    if (shape.size() != 2 || shape[0] != r.channels()) {
        r.fields.fail("weight", "expected shape [" + std::to_string(r.channels()) + ", n_out] for an input of shape " +
                                    to_text(r.shape()) + ", got " + to_text(shape));
    }
    dense.bias = read_bias(r, shape[1]);
    dense.accum = r.fields.type("accum");
    if (r.fields.has("order")) {
        const auto order = r.fields.integers("order");
        std::vector<bool> seen(static_cast<std::size_t>(shape[0]), false);
        for (const std::int64_t i : order) {
            if (i < 0 || i >= shape[0] || seen[static_cast<std::size_t>(i)]) break;
            seen[static_cast<std::size_t>(i)] = true;
            dense.order.push_back(static_cast<std::int32_t>(i));
        }
        if (order.size() != dense.order.size() || static_cast<std::int64_t>(order.size()) != shape[0]) {
            r.fields.fail("order", "expected each of 0 to " + std::to_string(shape[0] - 1) + " once");
        }
    }
    Shape out = r.shape();
    out.back() = shape[1];
    r.set_shape(std::move(out));
    return dense;
}

/// The spatial parameters of a window over one or two axes; those of one axis have height 1.
struct Window {
    std::array<int, 2> kernel;
    std::array<int, 2> strides;
    std::array<int, 2> dilations{1, 1};
    std::array<int, 4> padding;
};

std::array<int, 2> read_two(const LayerReader& r, std::string_view key, std::size_t n) {
    const auto list = r.fields.small_integers(key, n, 1, max_extent, 1);
    return n == 2 ? std::array{list[0], list[1]} : std::array{1, list[0]};
}

std::array<int, 4> read_padding(const LayerReader& r, std::size_t n) {
    const auto list = r.fields.small_integers("padding", 2 * n, 0, max_extent, 0);
    return n == 2 ? std::array{list[0], list[1], list[2], list[3]} : std::array{0, 0, list[0], list[1]};
}

/// Positions of the window along one axis.
std::int64_t count_positions(const LayerReader& r, const Window& w, std::size_t axis, std::int64_t extent) {
    const std::int64_t padded = extent + w.padding[2 * axis] + w.padding[2 * axis + 1];
    const std::int64_t reach = (std::int64_t{w.kernel[axis]} - 1) * w.dilations[axis] + 1;
    if (reach > padded) {
        r.fields.fail("kernel", "expected one that fits into the padded input: it reaches over " +
                                    std::to_string(reach) + " pixels of " + std::to_string(padded));
    }
    return (padded - reach) / w.strides[axis] + 1;
}

void set_window_shape(const LayerReader& r, const Window& w, std::int64_t channels) {
    const Shape& x = r.shape();
    if (x.size() == 2) {
        r.set_shape({count_positions(r, w, 1, x[0]), channels});
    } else {
        r.set_shape({count_positions(r, w, 0, x[0]), count_positions(r, w, 1, x[1]), channels});
    }
}

Operation read_conv(const LayerReader& r, std::size_t n_axes) {
    Conv conv;
    conv.weight = r.fields.tensor("weight");
    Shape& shape = conv.weight.shape;
    if (r.shape().size() != n_axes + 1) {
        r.fields.fail("inputs", "expected one of " + std::to_string(n_axes + 1) + " dimensions, channels last; got " +
                                    to_text(r.shape()));
    }
    if (shape.size() != n_axes + 2) {
        r.fields.fail("weight", "expected " + std::to_string(n_axes + 2) + " dimensions, got " + to_text(shape));
    }
    if (n_axes == 1) shape.insert(shape.begin(), 1);
    conv.groups = r.fields.has("groups") ? static_cast<int>(r.fields.integer("groups", 1, r.channels())) : 1;
    const std::int64_t n_out = shape[3];
    if (r.channels() % conv.groups != 0 || n_out % conv.groups != 0) {
        r.fields.fail("groups", "expected a divisor of the " + std::to_string(r.channels()) +
                                    " channels of the input and " + std::to_string(n_out) + " of the output");
    }
    if (shape[2] != r.channels() / conv.groups) {
        r.fields.fail("weight", "expected " + std::to_string(r.channels() / conv.groups) +
                                    " input channels (of each group), got " + std::to_string(shape[2]));
    }
    conv.bias = read_bias(r, n_out);
    conv.accum = r.fields.type("accum");
    conv.strides = read_two(r, "strides", n_axes);
    conv.dilations = read_two(r, "dilations", n_axes);
    conv.padding = read_padding(r, n_axes);
    const std::array kernel{static_cast<int>(shape[0]), static_cast<int>(shape[1])};
    set_window_shape(r, {kernel, conv.strides, conv.dilations, conv.padding}, n_out);
    return conv;
}

Operation read_pool(const LayerReader& r) {
    const std::size_t n_axes = r.shape().size() - 1;
    if (n_axes != 1 && n_axes != 2) {
        r.fields.fail("inputs", "expected one of 2 or 3 dimensions, channels last; got " + to_text(r.shape()));
    }
    Pool pool;
    const std::string kind = r.fields.text("kind");
    if (kind != "max" && kind != "average") r.fields.fail("kind", "expected max or average, got '" + kind + "'");
    pool.kind = kind == "max" ? PoolKind::max : PoolKind::average;
    r.fields.get("kernel");
    r.fields.get("strides");
    pool.kernel = read_two(r, "kernel", n_axes);
    pool.strides = read_two(r, "strides", n_axes);
    pool.padding = read_padding(r, n_axes);
    pool.accum = r.fields.type("accum");
    pool.count_padding = r.fields.boolean("count_padding", false);
    for (std::size_t side = 0; side < 4; ++side) {
        if (pool.padding[side] >= pool.kernel[side / 2]) {
            r.fields.fail("padding", "expected less than the kernel's extent: each window needs a pixel inside");
        }
    }
    set_window_shape(r, {pool.kernel, pool.strides, {1, 1}, pool.padding}, r.channels());
    return pool;
}

Operation read_dot(const LayerReader& r) {
    if (r.size(0) != r.size(1)) {
        r.fields.fail("inputs",
                      "expected two of equal size, got shapes " + to_text(r.shape(0)) + " and " + to_text(r.shape(1)));
    }
    r.set_shape({1});
    return Dot{r.fields.type("accum")};
}

}  // namespace

std::optional<Operation> read_sum(const LayerReader& r, std::string_view op) {
    if (op == "dense") return read_dense(r);
    if (op == "conv1d") return read_conv(r, 1);
    if (op == "conv2d") return read_conv(r, 2);
    if (op == "pool") return read_pool(r);
    if (op == "dot") return read_dot(r);
    if (op == "sum_of_squares") {
        r.set_shape({1});
        return SumOfSquares{r.fields.type("accum")};
    }
    if (op == "sum") {
        r.set_shape({1});
        return Sum{r.fields.type("accum")};
    }
    return std::nullopt;
}

}  // namespace rheinfall::quantized
