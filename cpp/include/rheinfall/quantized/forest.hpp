#pragma once

#include <cstddef>
#include <memory>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/quantized/fixed_point.hpp>
#include <rheinfall/quantized/model.hpp>
#include <string>
#include <string_view>

namespace rheinfall::quantized {

struct ForestModel;

/// The numbers that a forest compares or adds up: stored integers of a fixed-point type, or IEEE floats.
struct NumberType {
    enum class Kind : std::uint8_t { fixed, float32, float64 };
    Kind kind = Kind::float32;
    FixedType fixed;  ///< with Kind::fixed
};

struct ForestOptions {
    Isa isa = Isa::best;  ///< one that this machine lacks is refused with a std::invalid_argument
};

/// What a forest runs on; for people, not for programs.
struct ForestPlanInfo {
    Isa isa = Isa::exact;       ///< never Isa::best; `exact` also where no fast path knows the forest
    std::string kernel;         ///< "16-bit keys, 32 trees in lanes, depth 4" and the like
    std::size_t bytes = 0;      ///< of thresholds and leaves that an event reads
    bool any_order = false;     ///< sums may be taken in any order: proven to be the same
    std::size_t max_depth = 0;  ///< of the deepest tree
    std::size_t n_nodes = 0;    ///< all nodes, leaves included
};

/// Decision trees and their sums, from the document that docs/forest_format.md defines: the same bits on every machine,
/// for every Isa and every number of events. Immutable: any number of threads may run one at the same time, each with
/// its own workspace. Copies share everything.
class RHEINFALL_API Forest {
public:
    /// Reads a document. @p file_name is for messages. Throws ModelError.
    static Forest from_json(std::string_view text, std::string_view file_name = {}, ForestOptions options = {});
    /// Reads the file of a document. Throws ModelError, or std::runtime_error where there is no such file.
    static Forest load(const std::string& path, ForestOptions options = {});

    Forest(const Forest&) noexcept;
    Forest(Forest&&) noexcept;
    Forest& operator=(const Forest&) noexcept;
    Forest& operator=(Forest&&) noexcept;
    ~Forest();

    [[nodiscard]] std::size_t n_features() const noexcept;
    [[nodiscard]] std::size_t n_classes() const noexcept;  ///< scores of one event
    [[nodiscard]] std::size_t n_trees() const noexcept;    ///< over all classes
    [[nodiscard]] NumberType input_type() const noexcept;
    [[nodiscard]] NumberType score_type() const noexcept;
    [[nodiscard]] Isa isa() const noexcept;  ///< never Isa::best
    [[nodiscard]] ForestPlanInfo plan_info() const;

    /// True if an output array of this type holds every score: any float, and for fixed scores integers that are wide
    /// enough, of the same signedness or wider.
    [[nodiscard]] bool fits_output(ElementType type) const noexcept;

    /// Bytes of workspace that `run` takes for so many events.
    [[nodiscard]] std::size_t workspace_size(std::size_t n_events) const noexcept;

    /// Computes the raw scores of @p n_events events: reads n_events · n_features() elements, writes n_events ·
    /// n_classes(). Floats given to a fixed input type are converted exactly as it says, floats out of a fixed score
    /// are q / 2^F rounded to nearest. Allocates nothing, throws nothing.
    ///
    /// With a fixed input type, `not_finite`: some inputs are NaN or infinite and counted as 0; `out_of_range`: some
    /// integers lie outside the type and were converted as its overflow says. With floats a NaN goes where the model
    /// sends missing values. `capacity_exceeded`: the workspace is too small, nothing was computed.
    /// `invalid_argument`: a null array (with events), or an output type that does not fit.
    Status run(ConstArray in, MutableArray out, std::size_t n_events, Workspace& workspace) const noexcept;

private:
    struct Impl;
    explicit Forest(std::shared_ptr<const Impl> impl) noexcept;
    std::shared_ptr<const Impl> impl_;
};

}  // namespace rheinfall::quantized
