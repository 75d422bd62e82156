#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/quantized/fixed_point.hpp>
#include <rheinfall/quantized/model.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rheinfall::quantized {

struct Graph;
struct Plan;
struct Ranges;

struct NetworkOptions {
    Isa isa = Isa::best;  ///< one that this machine lacks is refused with a std::invalid_argument
};

/// One input or output of a network. Shapes are those of one event.
struct Port {
    std::string name;
    std::vector<std::int64_t> shape;
    FixedType type;
};

/// A quantized network, from the document that docs/quantized_format.md defines: the same bits on every machine and for
/// every Isa. Immutable: any number of threads may run one at the same time, each with its own workspace. Copies share
/// everything.
class RHEINFALL_API Network {
public:
    /// Reads a document. @p file_name is for messages. Throws ModelError.
    static Network from_json(std::string_view text, std::string_view file_name = {}, NetworkOptions options = {});
    /// Reads the file of a document. Throws ModelError, or std::runtime_error where there is no such file.
    static Network load(const std::string& path, NetworkOptions options = {});

    Network(const Network&) noexcept;
    Network(Network&&) noexcept;
    Network& operator=(const Network&) noexcept;
    Network& operator=(Network&&) noexcept;
    ~Network();

    /// Values of one event: all inputs one after the other, each flattened row-major; so the outputs.
    [[nodiscard]] std::size_t n_inputs() const noexcept;
    [[nodiscard]] std::size_t n_outputs() const noexcept;
    [[nodiscard]] std::span<const Port> inputs() const noexcept;
    [[nodiscard]] std::span<const Port> outputs() const noexcept;
    /// The kernels that run: never Isa::best; Isa::exact also where no kernel does what some layer needs.
    [[nodiscard]] Isa isa() const noexcept;

    /// True if an output array of this type holds every output: any float, and integers at least as wide as the types
    /// of the outputs, of the same signedness or wider.
    [[nodiscard]] bool fits_output(ElementType type) const noexcept;

    /// Bytes of workspace that `run` takes for so many events.
    [[nodiscard]] std::size_t workspace_size(std::size_t n_events) const noexcept;

    /// Computes @p n_events events: reads n_events · n_inputs() elements, writes n_events · n_outputs(). Floats are
    /// converted to the inputs' types exactly as those say (rounding, overflow). Allocates nothing, throws nothing.
    ///
    /// `not_finite`: some inputs are NaN or infinite and counted as 0. `out_of_range`: some integers lie outside their
    /// input's type and were converted as its overflow says. `capacity_exceeded`: the workspace is too small, nothing
    /// was computed. `invalid_argument`: a null array (with events), or an output type that does not fit.
    Status run(ConstArray in, MutableArray out, std::size_t n_events, Workspace& workspace) const noexcept;

    /// The graph and what is proven about it; these types are not public.
    [[nodiscard]] const Graph& graph() const noexcept;
    [[nodiscard]] const Ranges& ranges() const noexcept;
    /// The fused steps that run, or null where the exact executor does; then @ref plan_refusal says why, empty if it
    /// was asked for.
    [[nodiscard]] const Plan* plan() const noexcept;
    [[nodiscard]] const std::string& plan_refusal() const noexcept;

private:
    struct Impl;
    explicit Network(std::shared_ptr<const Impl> impl) noexcept;
    std::shared_ptr<const Impl> impl_;
};

}  // namespace rheinfall::quantized
