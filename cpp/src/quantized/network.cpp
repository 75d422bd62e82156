#include "rheinfall/quantized/network.hpp"

#include <algorithm>
#include <span>
#include <stdexcept>

#include "core/file.hpp"
#include "quantized/boundary.hpp"
#include "quantized/exact_operations.hpp"
#include "quantized/ir_reader.hpp"
#include "quantized/plan.hpp"
#include "quantized/ranges.hpp"

namespace rheinfall::quantized {
namespace {

/// The kernels asked for, or an error where this machine or build has none of these.
Isa resolve(Isa isa) {
    if (isa == Isa::best) return best_isa();
    if (isa != Isa::exact && find_kernels(isa) == nullptr) {
        throw std::invalid_argument("isa: this machine lacks the instructions, or this build the kernels, asked for");
    }
    return isa;
}

}  // namespace

/// The plan of the exact executor: a place for each value in one buffer, all values of an event at once.
struct Network::Impl {
    Graph graph;
    Ranges ranges;
    Isa isa = Isa::exact;
    std::vector<Port> inputs;
    std::vector<Port> outputs;
    std::vector<std::size_t> offsets;  // of each value
    std::size_t n_elements = 0;        // of all values
    std::size_t n_references = 0;      // of all layers to their inputs
    std::size_t n_scratch = 0;
    std::size_t n_inputs = 0;
    std::size_t n_outputs = 0;
    std::uint32_t output_types = 0;    // bit per ElementType that holds all outputs
    std::shared_ptr<const Plan> plan;  // null: the exact executor
    std::string plan_refusal;          // why, unless it was asked for

    Impl(std::string_view text, std::string_view file, NetworkOptions options)
        : graph(read_graph(text, file)), ranges(prove_ranges(graph, file)), isa(resolve(options.isa)) {
        for (int value = 0; value < graph.n_values(); ++value) {
            offsets.push_back(n_elements);
            n_elements += quantized::n_elements(graph.shape(value));
        }
        for (const Layer& layer : graph.layers) {
            n_references += layer.inputs.size();
            n_scratch = std::max(n_scratch, exact_scratch_size(layer));
        }
        for (const Input& input : graph.inputs) {
            inputs.push_back({input.name, input.shape, input.type});
            n_inputs += quantized::n_elements(input.shape);
        }
        for (const Output& output : graph.outputs) {
            outputs.push_back({graph.value_name(output.value), graph.shape(output.value), graph.type(output.value)});
            n_outputs += quantized::n_elements(graph.shape(output.value));
        }
        for (int type = 0; type < n_element_types; ++type) {
            const auto fits = [&](const Port& port) { return holds(static_cast<ElementType>(type), port.type); };
            if (std::ranges::all_of(outputs, fits)) output_types |= 1u << type;
        }
        if (isa != Isa::exact) plan = make_plan(graph, ranges, isa, &plan_refusal);
    }

    struct Scratch {
        std::span<std::int64_t> values;
        std::span<const std::int64_t*> references;  // layer after layer, its inputs' values
        std::span<std::int64_t> layer;
    };

    void link(const Scratch& scratch) const noexcept {
        std::size_t reference = 0;
        for (const Layer& layer : graph.layers) {
            for (const int input : layer.inputs) {
                scratch.references[reference++] = &scratch.values[offsets[static_cast<std::size_t>(input)]];
            }
        }
    }

    Status run_event(const ConstArray& in, const MutableArray& out, std::size_t event,
                     const Scratch& scratch) const noexcept {
        Status status = Status::ok;
        std::size_t first = event * n_inputs;
        for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
            const std::size_t n = quantized::n_elements(graph.inputs[i].shape);
            status = worst(status, read_input(graph.inputs[i], in, first, n, &scratch.values[offsets[i]]));
            first += n;
        }
        const std::int64_t* const* references = scratch.references.data();
        for (std::size_t i = 0; i < graph.layers.size(); ++i) {
            const Layer& layer = graph.layers[i];
            std::int64_t* to = &scratch.values[offsets[graph.inputs.size() + i]];
            run_layer_exact({graph, layer, references, to, scratch.layer.data()},
                            needs_wide(ranges.layers[i].work_bits));
            references += layer.inputs.size();
        }
        first = event * n_outputs;
        for (const Output& output : graph.outputs) {
            const Shape& shape = graph.shape(output.value);
            const std::size_t n = quantized::n_elements(shape);
            write_output(graph.type(output.value), output, static_cast<std::size_t>(shape.back()),
                         &scratch.values[offsets[static_cast<std::size_t>(output.value)]], n, out, first);
            first += n;
        }
        return status;
    }
};

Network::Network(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
Network::Network(const Network&) noexcept = default;
Network::Network(Network&&) noexcept = default;
Network& Network::operator=(const Network&) noexcept = default;
Network& Network::operator=(Network&&) noexcept = default;
Network::~Network() = default;

Network Network::from_json(std::string_view text, std::string_view file_name, NetworkOptions options) {
    return Network(std::make_shared<const Impl>(text, file_name, options));
}

Network Network::load(const std::string& path, NetworkOptions options) {
    const auto file = rheinfall::detail::map_file(path);
    const auto bytes = file->view();
    return from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, options);
}

std::size_t Network::n_inputs() const noexcept {
    return impl_->n_inputs;
}

std::size_t Network::n_outputs() const noexcept {
    return impl_->n_outputs;
}

std::span<const Port> Network::inputs() const noexcept {
    return impl_->inputs;
}

std::span<const Port> Network::outputs() const noexcept {
    return impl_->outputs;
}

Isa Network::isa() const noexcept {
    return impl_->plan == nullptr ? Isa::exact : impl_->isa;
}

const Graph& Network::graph() const noexcept {
    return impl_->graph;
}

const Ranges& Network::ranges() const noexcept {
    return impl_->ranges;
}

bool Network::fits_output(ElementType type) const noexcept {
    return (impl_->output_types >> static_cast<int>(type) & 1u) != 0;
}

const Plan* Network::plan() const noexcept {
    return impl_->plan.get();
}

const std::string& Network::plan_refusal() const noexcept {
    return impl_->plan_refusal;
}

std::size_t Network::workspace_size(std::size_t n_events) const noexcept {
    if (impl_->plan != nullptr) return Workspace::padded<std::byte>(plan_workspace_size(*impl_->plan, n_events));
    return Workspace::padded<std::int64_t>(impl_->n_elements) +
           Workspace::padded<const std::int64_t*>(impl_->n_references) +
           Workspace::padded<std::int64_t>(impl_->n_scratch);
}

Status Network::run(ConstArray in, MutableArray out, std::size_t n_events, Workspace& workspace) const noexcept {
    if (n_events == 0) return Status::ok;
    if (in.data == nullptr || out.data == nullptr || !fits_output(out.type)) return Status::invalid_argument;
    const WorkspaceScope scope(workspace);
    if (impl_->plan != nullptr) {
        std::byte* memory = workspace.take<std::byte>(plan_workspace_size(*impl_->plan, n_events)).data();
        if (workspace.overflowed()) return Status::capacity_exceeded;
        return run_plan(*impl_->plan, in, out, n_events, memory);
    }
    const Impl::Scratch scratch{workspace.take<std::int64_t>(impl_->n_elements),
                                workspace.take<const std::int64_t*>(impl_->n_references),
                                workspace.take<std::int64_t>(impl_->n_scratch)};
    if (workspace.overflowed()) return Status::capacity_exceeded;
    impl_->link(scratch);
    Status status = Status::ok;
    for (std::size_t event = 0; event < n_events; ++event) {
        status = worst(status, impl_->run_event(in, out, event, scratch));
    }
    return status;
}

}  // namespace rheinfall::quantized
