#include <bit>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/layer_reader.hpp"
#include "quantized/type_text.hpp"

/// threshold, table, softmax.
namespace rheinfall::quantized {
namespace {

Operation read_threshold(const LayerReader& r) {
    Threshold threshold;
    threshold.thresholds = r.fields.tensor("thresholds");
    const Shape& shape = threshold.thresholds.shape;
    if (shape.size() != 2 || (shape[0] != 1 && shape[0] != r.channels())) {
        r.fields.fail("thresholds",
                      "expected shape [" + std::to_string(r.channels()) + ", k] or [1, k], got " + to_text(shape));
    }
    const auto k = static_cast<std::size_t>(shape[1]);
    const auto& data = threshold.thresholds.data;
    for (std::size_t i = 0; i < data.size(); ++i) {
        if (i % k != 0 && data[i] < data[i - 1]) {
            r.fields.fail("thresholds", "expected ascending rows, but row " + std::to_string(i / k) + " descends to " +
                                            std::to_string(data[i]));
        }
    }
    threshold.values = r.fields.integers("values");
    if (threshold.values.size() != k + 1) {
        r.fields.fail("values", "expected " + std::to_string(k + 1) + " integers, one more than thresholds; got " +
                                    std::to_string(threshold.values.size()));
    }
    for (const std::int64_t value : threshold.values) {
        const FixedType& type = r.layer.result;
        const bool fits =
            value < 0 ? value >= detail::smallest(type) : static_cast<std::uint64_t>(value) <= detail::largest(type);
        if (!fits) {
            r.fields.fail("values", "expected integers in the result's range, " + to_text(type) + "; got " +
                                        std::to_string(value));
        }
    }
    return threshold;
}

/// A table whose size is a power of two, read by the top bits of a value of @p type; its number of bits.
void check_bits(const LayerReader& r, std::string_view key, std::size_t n, const FixedType& type) {
    const int bits = std::countr_zero(n);
    if (n < 2 || !std::has_single_bit(n) || bits > type.width) {
        r.fields.fail(key, "expected 2^b values, b from 1 to the " + std::to_string(type.width) +
                               " bits that index it; got " + std::to_string(n));
    }
}

Tensor read_row(Fields& fields, std::string_view key) {
    Tensor row = fields.tensor(key);
    if (row.shape.size() != 1) fields.fail(key, "expected one dimension, got " + to_text(row.shape));
    return row;
}

void read_bypass(Fields otherwise, Table& table) {
    const std::string when = otherwise.text("when");
    if (when != "nonnegative" && when != "positive") {
        otherwise.fail("when", "expected nonnegative or positive, got '" + shorten(when) + "'");
    }
    table.bypass = when == "positive" ? TableBypass::positive : TableBypass::nonnegative;
    table.bypass_multiply = otherwise.single("multiply");
    if (otherwise.has("negative_multiply")) table.table_multiply = otherwise.single("negative_multiply");
    otherwise.finish();
}

Operation read_table_layer(const LayerReader& r) {
    Table table;
    table.table = read_row(r.fields, "table");
    Fields index = r.fields.object("index");
    if (index.has("bits")) {
        table.index.by_bits = true;
        table.index.bits = static_cast<int>(index.integer("bits", 1, r.type().width));
        if (table.table.data.size() != std::size_t{1} << table.index.bits) {
            r.fields.fail("table", "expected 2^" + std::to_string(table.index.bits) + " values, got " +
                                       std::to_string(table.table.data.size()));
        }
    } else {
        table.index.multiply = index.integer("multiply", -INT64_MAX, INT64_MAX);
        table.index.shift = static_cast<int>(index.integer("shift", 0, 126));
        table.index.offset = index.integer("offset", -max_elements, max_elements);
    }
    index.finish();
    if (r.fields.has("otherwise")) read_bypass(r.fields.object("otherwise"), table);
    return table;
}

Operation read_softmax(const LayerReader& r) {
    Softmax softmax;
    const std::string kind = r.fields.text("implementation");
    if (kind == "latency") {
        softmax.kind = SoftmaxKind::latency;
    } else if (kind == "stable") {
        softmax.kind = SoftmaxKind::stable;
    } else if (kind == "legacy") {
        softmax.kind = SoftmaxKind::legacy;
    } else {
        r.fields.fail("implementation", "expected latency, stable or legacy, got '" + shorten(kind) + "'");
    }
    const bool is_legacy = softmax.kind == SoftmaxKind::legacy;
    softmax.exp_table = read_row(r.fields, "exp_table");
    softmax.inv_table = read_row(r.fields, "inv_table");
    softmax.accum = r.fields.type("accum");
    if (!is_legacy || r.fields.has("inv_input")) softmax.inv_input = r.fields.type("inv_input");
    if (softmax.kind == SoftmaxKind::stable || r.fields.has("norm")) softmax.norm = r.fields.type("norm");
    if (!is_legacy) {
        const bool is_stable = softmax.kind == SoftmaxKind::stable;
        check_bits(r, "exp_table", softmax.exp_table.data.size(), is_stable ? softmax.norm : r.type());
        check_bits(r, "inv_table", softmax.inv_table.data.size(), softmax.inv_input);
    }
    softmax.axis_size = r.fields.has("axis_size") ? r.fields.integer("axis_size", 1, max_elements) : r.channels();
    if (r.channels() % softmax.axis_size != 0) {
        r.fields.fail("axis_size", "expected a divisor of the last axis, " + std::to_string(r.channels()));
    }
    return softmax;
}

}  // namespace

std::optional<Operation> read_table(const LayerReader& r, std::string_view op) {
    r.set_shape(r.layer.inputs.empty() ? Shape{1} : r.shape());
    if (op == "threshold") return read_threshold(r);
    if (op == "table") return read_table_layer(r);
    if (op == "softmax") return read_softmax(r);
    return std::nullopt;
}

}  // namespace rheinfall::quantized
