#include "gnn/ir_reader.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "core/checksum.hpp"
#include "quantized/fields.hpp"

namespace rheinfall::gnn {
namespace {

using quantized::Fields;
using quantized::Json;
using quantized::Where;

constexpr std::string_view magic = "rfgnn\n\x1a";  // 8 bytes with its final zero
constexpr std::uint32_t version = 1;
constexpr std::size_t header_size = 48;
constexpr std::int64_t max_width = 4096;
constexpr std::int64_t max_operations = 20'000;

struct Header {
    char magic[8];
    std::uint32_t version;
    std::uint32_t reserved;
    std::uint64_t json_bytes;
    std::uint64_t n_floats;
    std::uint64_t checksum;
    std::uint64_t reserved2;
};
static_assert(sizeof(Header) == header_size);
static_assert(std::endian::native == std::endian::little);

template <std::size_t N>
int find_name(const std::array<const char*, N>& names, std::string_view name) {
    for (std::size_t i = 0; i < N; ++i) {
        if (name == names[i]) return static_cast<int>(i);
    }
    return -1;
}

constexpr std::array<const char*, 15> op_names = {"input",    "linear",  "affine",  "layer_norm", "batch_norm",
                                                  "gather",   "reduce",  "degree",  "concat",     "slice",
                                                  "row_mean", "row_sum", "row_max", "event_mean", "event_sum"};

class Reader {
public:
    Reader(std::string_view file, std::span<const std::byte> weights) : file_(file), weights_(weights) {}

    Graph read(Json document) {
        Fields fields(document, Where(file_));
        if (fields.text("format") != "rheinfall.gnn") fields.fail("format", "expected 'rheinfall.gnn'");
        if (fields.has("source")) (void)fields.text("source");
        auto* list = fields.get("operations").as<Json::Array>();
        if (list == nullptr || list->empty()) fields.fail("operations", "expected a list of objects");
        fields.check(static_cast<std::int64_t>(list->size()) <= max_operations, "operations", "expected at most 20000");
        for (std::size_t i = 0; i < list->size(); ++i) {
            graph_.operations.push_back(operation(Fields((*list)[i], Where(file_, "operations", i))));
        }
        const auto n = static_cast<std::int64_t>(graph_.operations.size());
        graph_.output = static_cast<int>(fields.integer("output", 0, n - 1));
        const Operation& out = graph_.operations[static_cast<std::size_t>(graph_.output)];
        fields.check(out.kind == Kind::edge && out.width == 1, "output", "expected one value per edge");
        fields.check(graph_.n_node_features > 0, "operations", "expected an input of node features");
        fields.finish();
        return std::move(graph_);
    }

private:
    std::vector<float> tensor(Fields& weights, std::string_view key, std::int64_t rows, std::int64_t columns) {
        const auto place = weights.integers(key);
        const std::int64_t n = rows * columns;
        weights.check(place.size() == 2 && place[1] == n, key, "expected [offset, " + std::to_string(n) + "] floats");
        const auto floats = static_cast<std::int64_t>(weights_.size() / sizeof(float));
        weights.check(place[0] >= 0 && place[0] <= floats - n, key, "lies outside the file's weights");
        // Each tensor becomes a copy: without a limit a small file could ask for any memory.
        n_used_ += n;
        weights.check(
            n_used_ <= floats, key,
            "shares weights: expected tensors of at most the file's " + std::to_string(floats) + " floats together");
        std::vector<float> values(static_cast<std::size_t>(n));
        std::memcpy(values.data(), weights_.data() + static_cast<std::size_t>(place[0]) * sizeof(float),
                    values.size() * sizeof(float));
        weights.check(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }), key,
                      "holds numbers that are not finite");
        return values;
    }

    const Operation& at(int i) const { return graph_.operations[static_cast<std::size_t>(i)]; }

    void read_inputs(Fields& fields, Operation& o, std::size_t low, std::size_t high) {
        const auto inputs = fields.integers("inputs");
        fields.check(inputs.size() >= low && inputs.size() <= high, "inputs",
                     "expected " + std::to_string(low) + (high > low ? " or more" : "") + " values");
        const auto n = static_cast<std::int64_t>(graph_.operations.size());
        o.kind = Kind::event;
        for (const std::int64_t i : inputs) {
            fields.check(i >= 0 && i < n, "inputs", "expected operations before this one, got " + std::to_string(i));
            o.inputs.push_back(static_cast<int>(i));
            const Kind kind = at(o.inputs.back()).kind;
            fields.check(kind == o.kind || kind == Kind::event || o.kind == Kind::event, "inputs",
                         "values of nodes and of edges in one operation");
            o.kind = std::max(o.kind, kind);
        }
    }

    Operation operation(Fields fields) {
        Operation o;
        const std::string op = fields.text("op");
        if (fields.has("name")) o.name = fields.text("name");
        if (const int i = find_name(op_names, op); i >= 0) {
            o.op = static_cast<Op>(i);
        } else if (const int u = find_name(unary_names, op); u >= 0) {
            o.op = Op::unary;
            o.unary = static_cast<Unary>(u);
        } else if (const int b = find_name(binary_names, op); b >= 0) {
            o.op = Op::binary;
            o.binary = static_cast<Binary>(b);
        } else {
            fields.fail("op", "no such operation: '" + quantized::shorten(op) + "'");
        }
        read_body(fields, o);
        fields.check(o.width >= 1 && o.width <= max_width, "op",
                     "expected a value of 1 to 4096 columns, got " + std::to_string(o.width));
        fields.finish();
        return o;
    }

    void read_body(Fields& fields, Operation& o) {
        switch (o.op) {
            case Op::input: return read_input(fields, o);
            case Op::degree:
                o.kind = Kind::node;
                o.width = 1;
                return read_end(fields, o);
            case Op::linear: return read_linear(fields, o);
            case Op::concat:
                read_inputs(fields, o, 1, 64);
                o.width = total_width(fields, o);
                return;
            case Op::binary: {
                read_inputs(fields, o, 2, 2);
                const int a = at(o.inputs[0]).width;
                const int b = at(o.inputs[1]).width;
                fields.check(a == b || a == 1 || b == 1, "inputs", "expected equal widths, or one of 1");
                o.width = std::max(a, b);
                return;
            }
            default: break;
        }
        read_inputs(fields, o, 1, 1);
        o.width = at(o.inputs[0]).width;
        read_single(fields, o);
    }

    int total_width(Fields& fields, const Operation& o) {
        std::int64_t width = 0;
        for (const int i : o.inputs) width += at(i).width;
        fields.check(width <= max_width, "inputs", "expected at most 4096 columns together");
        return static_cast<int>(width);
    }

    void read_input(Fields& fields, Operation& o) {
        const int kind = find_name(kind_names, fields.text("kind"));
        fields.check(kind > 0, "kind", "expected 'node' or 'edge'");
        o.kind = static_cast<Kind>(kind);
        o.width = static_cast<int>(fields.integer("width", 1, max_width));
        int& known = o.kind == Kind::node ? graph_.n_node_features : graph_.n_edge_features;
        fields.check(known == 0, "kind", "there is such an input already");
        known = o.width;
    }

    void read_linear(Fields& fields, Operation& o) {
        read_inputs(fields, o, 1, 64);
        const std::int64_t in = total_width(fields, o);
        o.width = static_cast<int>(fields.integer("width", 1, max_width));
        Fields weights = fields.object("weights");
        o.weight = tensor(weights, "weight", in, o.width);
        if (weights.has("bias")) o.bias = tensor(weights, "bias", 1, o.width);
        weights.finish();
    }

    void read_end(Fields& fields, Operation& o) {
        const std::string end = fields.text("end");
        fields.check(end == "source" || end == "target", "end", "expected 'source' or 'target'");
        o.end = end == "source" ? End::source : End::target;
    }

    float number(Fields& fields, std::string_view key) {
        const double value = fields.number(key);
        fields.check(std::isfinite(static_cast<float>(value)), key, "expected a finite float32");
        return static_cast<float>(value);
    }

    void read_scale(Fields& fields, Operation& o) {
        if (!fields.has("weights")) return;
        Fields weights = fields.object("weights");
        if (weights.has("scale")) o.scale = tensor(weights, "scale", 1, o.width);
        if (weights.has("shift")) o.shift = tensor(weights, "shift", 1, o.width);
        weights.finish();
    }

    void read_single(Fields& fields, Operation& o) {
        switch (o.op) {
            case Op::gather:
                fields.check(o.kind == Kind::node, "inputs", "expected a value of nodes");
                o.kind = Kind::edge;
                return read_end(fields, o);
            case Op::reduce: {
                fields.check(o.kind == Kind::edge, "inputs", "expected a value of edges");
                o.kind = Kind::node;
                const int how = find_name(how_names, fields.text("how"));
                fields.check(how >= 0, "how", "expected 'add', 'mean', 'max' or 'min'");
                o.how = static_cast<How>(how);
                if (o.how == How::max || o.how == How::min) o.a = number(fields, "initial");
                return read_end(fields, o);
            }
            case Op::affine: return read_scale(fields, o);
            case Op::layer_norm:
            case Op::batch_norm:
                o.a = number(fields, "epsilon");
                fields.check(o.a >= 0, "epsilon", "expected at least 0");
                if (o.op == Op::layer_norm) o.centred = fields.boolean("centred", false);
                return read_scale(fields, o);
            case Op::slice: {
                o.start = static_cast<int>(fields.integer("start", 0, o.width - 1));
                o.width = static_cast<int>(fields.integer("stop", o.start + 1, o.width)) - o.start;
                return;
            }
            case Op::row_mean:
            case Op::row_sum:
            case Op::row_max: o.width = 1; return;
            case Op::event_mean:
            case Op::event_sum:
                fields.check(o.kind != Kind::event, "inputs", "expected a value of nodes or edges");
                o.kind = Kind::event;
                return;
            default: break;
        }
        if (o.unary == Unary::leaky_relu || o.unary == Unary::elu) o.a = number(fields, "alpha");
        if (o.unary == Unary::clip) {
            o.a = number(fields, "low");
            o.b = number(fields, "high");
        }
    }

    std::string_view file_;
    std::span<const std::byte> weights_;
    std::int64_t n_used_ = 0;  ///< floats of all tensors so far
    Graph graph_;
};

[[noreturn]] void fail(std::string_view file, const std::string& reason) {
    throw std::runtime_error(std::string(file) + ": " + reason);
}

}  // namespace

Graph read_graph(std::span<const std::byte> bytes, std::string_view file) {
    Header header;
    if (bytes.size() < header_size) fail(file, "header: expected 48 bytes, got " + std::to_string(bytes.size()));
    std::memcpy(&header, bytes.data(), header_size);
    if (std::memcmp(header.magic, magic.data(), sizeof header.magic) != 0) fail(file, "magic: not a graph network");
    if (header.version != version) {
        fail(file, "version: expected 1, got " + std::to_string(header.version) +
                       (header.version > version ? ": it needs a newer release" : ": there is no such version"));
    }
    if (header.reserved != 0) fail(file, "bytes 12 to 15: expected 0, got " + std::to_string(header.reserved));
    if (header.reserved2 != 0) fail(file, "bytes 40 to 47: expected 0, got " + std::to_string(header.reserved2));
    const std::size_t body = bytes.size() - header_size;
    if (header.json_bytes > body || header.json_bytes % sizeof(float) != 0 ||
        header.n_floats != (body - header.json_bytes) / sizeof(float) || body % sizeof(float) != 0) {
        fail(file, "json_bytes, n_floats: they do not add up to the file's size: it is truncated");
    }
    const auto rest = bytes.subspan(header_size);
    if (detail::checksum(rest) != header.checksum) fail(file, "checksum: the file is damaged");
    const std::string_view text(reinterpret_cast<const char*>(rest.data()), header.json_bytes);
    try {
        return Reader(file, rest.subspan(header.json_bytes)).read(detail::parse_json(text));
    } catch (const detail::JsonError& error) {
        fail(file, error.what());
    }
}

}  // namespace rheinfall::gnn
