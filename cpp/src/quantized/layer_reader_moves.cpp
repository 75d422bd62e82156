#include <algorithm>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/layer_reader.hpp"
#include "quantized/type_text.hpp"

/// constant, quantize, reshape, transpose, concatenate, gather, shift, rescale.
namespace rheinfall::quantized {

void LayerReader::set_shape(Shape shape) const {
    if (count_elements(shape) < 0) fields.fail("shape", "expected at most 2^24 elements, got " + to_text(shape));
    layer.shape = std::move(shape);
}

Tensor LayerReader::tensor(std::string_view key, const Shape& expected) const {
    Tensor tensor = fields.tensor(key);
    if (tensor.shape != expected) {
        fields.fail(key, "expected shape " + to_text(expected) + ", got " + to_text(tensor.shape));
    }
    return tensor;
}

Tensor LayerReader::per_channel(std::string_view key, bool or_single) const {
    Tensor tensor = fields.tensor(key);
    if (tensor.shape != Shape{channels()} && tensor.shape != shape() && !(or_single && tensor.data.size() == 1)) {
        fields.fail(key, "expected shape " + to_text(Shape{channels()}) + " or that of the input, " + to_text(shape()) +
                             "; got " + to_text(tensor.shape));
    }
    return tensor;
}

namespace {

Operation read_constant(const LayerReader& r) {
    Constant constant{r.fields.tensor("value")};
    r.fields.check(!constant.value.shape.empty(), "value", "expected at least one dimension");
    r.set_shape(constant.value.shape);
    return constant;
}

Operation read_reshape(const LayerReader& r) {
    Shape shape = r.fields.shape("shape");
    if (count_elements(shape) != r.size()) {
        r.fields.fail("shape", "expected the " + std::to_string(r.size()) + " elements of the input, " +
                                   to_text(r.shape()) + "; got " + to_text(shape));
    }
    r.set_shape(std::move(shape));
    return Reshape{};
}

Operation read_transpose(const LayerReader& r) {
    const std::size_t rank = r.shape().size();
    const auto read = r.fields.integers("perm");
    std::vector<bool> seen(rank, false);
    Transpose transpose;
    Shape shape;
    for (const std::int64_t axis : read) {
        if (read.size() != rank || axis < 0 || axis >= static_cast<std::int64_t>(rank) ||
            seen[static_cast<std::size_t>(axis)]) {
            break;
        }
        seen[static_cast<std::size_t>(axis)] = true;
        transpose.perm.push_back(static_cast<int>(axis));
        shape.push_back(r.shape()[static_cast<std::size_t>(axis)]);
    }
    if (shape.size() != rank) {
        r.fields.fail("perm", "expected each of 0 to " + std::to_string(rank - 1) + " once");
    }
    r.set_shape(std::move(shape));
    return transpose;
}

Operation read_concatenate(const LayerReader& r) {
    Shape shape = r.shape();
    const auto last = static_cast<std::int64_t>(shape.size()) - 1;
    const auto axis = static_cast<std::size_t>(r.fields.integer("axis", 0, last));
    for (std::size_t i = 1; i < r.layer.inputs.size(); ++i) {
        Shape other = r.shape(i);
        if (other.size() == shape.size()) {
            shape[axis] += other[axis];
            other[axis] = shape[axis];
        }
        if (other != shape) {
            r.fields.fail("inputs", "expected shapes that differ along axis " + std::to_string(axis) + " alone, got " +
                                        to_text(r.shape()) + " and " + to_text(r.shape(i)));
        }
        if (count_elements(shape) < 0) r.fields.fail("inputs", "expected at most 2^24 elements together");
    }
    r.set_shape(std::move(shape));
    return Concatenate{static_cast<int>(axis)};
}

Operation read_gather(const LayerReader& r) {
    Gather gather{r.fields.integers("index")};
    Shape shape = r.fields.shape("shape");
    if (count_elements(shape) != static_cast<std::int64_t>(gather.index.size())) {
        r.fields.fail("index", "expected as many integers as the shape " + to_text(shape) + " has elements, got " +
                                   std::to_string(gather.index.size()));
    }
    for (std::size_t i = 0; i < gather.index.size(); ++i) {
        if (gather.index[i] < -1 || gather.index[i] >= r.size()) {
            r.fields.fail("index[" + std::to_string(i) + "]", "expected -1 to " + std::to_string(r.size() - 1) +
                                                                  ", got " + std::to_string(gather.index[i]));
        }
    }
    r.set_shape(std::move(shape));
    return gather;
}

/// One integer, or one for each of @p n.
std::vector<std::int64_t> read_factors(const LayerReader& r, std::string_view key, std::int64_t n,
                                       std::int64_t low = INT64_MIN, std::int64_t high = INT64_MAX) {
    auto list = r.fields.integers(key);
    if (list.size() != 1 && static_cast<std::int64_t>(list.size()) != n) {
        r.fields.fail(key, "expected 1 or " + std::to_string(n) + " integers, got " + std::to_string(list.size()));
    }
    for (const std::int64_t value : list) {
        if (value < low || value > high) {
            r.fields.fail(key, "expected integers from " + std::to_string(low) + " to " + std::to_string(high) +
                                   ", got " + std::to_string(value));
        }
    }
    return list;
}

Operation read_shift(const LayerReader& r) {
    const auto list = read_factors(r, "shift", r.size(), -127, 127);
    Shift shift;
    shift.shift.reserve(list.size());
    for (const std::int64_t k : list) shift.shift.push_back(static_cast<std::int32_t>(k));
    r.set_shape(r.shape());
    return shift;
}

Operation read_rescale(const LayerReader& r) {
    Rescale rescale;
    rescale.multiplier = read_factors(r, "multiplier", r.channels());
    rescale.addend = read_factors(r, "addend", r.channels());
    rescale.divisor = read_factors(r, "divisor", r.channels(), 1);
    const auto rounding = parse_rounding(r.fields.text("round"));
    if (!rounding) r.fields.fail("round", "expected TRN, ..., RND_CONV, CEIL or UP");
    rescale.round = static_cast<RationalRounding>(*rounding);
    const FixedType& type = r.layer.result;
    const std::int64_t low = detail::smallest(type);
    const bool is_wide = !type.is_signed && type.width == 64;
    const std::int64_t high = is_wide ? INT64_MAX : static_cast<std::int64_t>(detail::largest(type));
    if (r.fields.has("minimum")) rescale.minimum = r.fields.integer("minimum", low, high);
    if (r.fields.has("maximum")) rescale.maximum = r.fields.integer("maximum", low, high);
    if (rescale.minimum && rescale.maximum && *rescale.minimum > *rescale.maximum) {
        r.fields.fail("minimum", "expected at most the maximum");
    }
    r.set_shape(r.shape());
    return rescale;
}

}  // namespace

std::optional<Operation> read_move(const LayerReader& r, std::string_view op) {
    if (op == "constant") return read_constant(r);
    if (op == "quantize") {
        r.set_shape(r.shape());
        return Quantize{};
    }
    if (op == "reshape") return read_reshape(r);
    if (op == "transpose") return read_transpose(r);
    if (op == "concatenate") return read_concatenate(r);
    if (op == "gather") return read_gather(r);
    if (op == "shift") return read_shift(r);
    if (op == "rescale") return read_rescale(r);
    return std::nullopt;
}

}  // namespace rheinfall::quantized
