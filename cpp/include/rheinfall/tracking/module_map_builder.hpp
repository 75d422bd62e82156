#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/tracking/module_map.hpp>
#include <span>
#include <string>
#include <vector>

namespace rheinfall {

/// How a triplet's limits follow from what training saw: [min - m, max + m] for each quantity, with
/// m = absolute + relative * (max - min) + sigmas * s / sqrt(occurrence), cut (if seen twice) to mean +- core * s: min
/// and max of a triplet seen often are outliers, which let in many wrong pairs for few right ones.
///
/// s is the triplet's rms, shrunk towards that of its layers: s^2 = (n * var + prior_weight * s0^2) / (n +
/// prior_weight) with s0^2 the pooled variance of all triplets on the same three layers. So rare triplets are widened
/// most.
struct LimitRule {
    /// Margins in the units of z0, dphi, phi_slope and deta, of either pair, of diff_dzdr and of bend.
    std::array<double, 6> absolute{};
    double relative = 0.0;
    double sigmas = 2.0;
    double prior_weight = 4.0;
    /// The same for the two differences diff_dzdr and bend, whose tails are what cuts true triplets first.
    double sigmas_differences = 4.0;
    double core = 5.0;
    std::uint64_t min_occurrence = 1;  ///< rarer triplets are left out
    /// Limits of phi_slope are cut to +- this [rad/mm], triplets that nothing is left of are left out: of a prompt
    /// track phi_slope is about 0.15e-3 field [T] / pT [GeV], so that a map serves any least pT above that of its
    /// training.
    double max_phi_slope = 1e30;
    /// Where both (a, b) and (b, a) occur as doublets, drop the triplets of the rarer direction.
    bool remove_two_cycles = true;
};

/// Gathers the quantities of true hit triples by module triplet. Builders merge associatively and exactly (sums are
/// kept in integers), so that any number of workers build the same map.
class RHEINFALL_API ModuleMapBuilder {
public:
    static constexpr std::size_t n_quantities = 10;

    /// What was seen of one module triplet: z0, dphi, phi_slope, deta of pair 12, of pair 23, diff_dzdr, bend.
    struct Record {
        std::array<std::uint64_t, 3> modules;
        std::uint64_t occurrence;
        std::array<float, n_quantities> min, max;
        std::array<std::int64_t, n_quantities> sum, sum_of_squares;  ///< in fixed-point units, see the .cpp
    };

    explicit ModuleMapBuilder(Bend bend = Bend::angle) : bend_(bend) {}

    /// Adds the triples of one event: @p triples holds three hit indices each, inner to outer. Triples with a hit that
    /// is not finite are an error (std::invalid_argument), as is an index out of range, or a quantity that overflows;
    /// so are more occurrences than the 64-bit sums hold (std::overflow_error; 2^23 at the earliest). Then the triples
    /// before it have been added.
    void add(const HitsView& hits, std::span<const std::uint32_t> triples);
    /// Adds what @p other saw; throws std::invalid_argument if its convention differs, std::overflow_error if the sums
    /// do not hold both; then nothing has been added.
    void merge(const ModuleMapBuilder& other);

    /// Throws std::invalid_argument for a rule with a number that is negative or not finite.
    [[nodiscard]] ModuleMap finish(const LimitRule& rule) const;

    [[nodiscard]] Bend bend_convention() const noexcept { return bend_; }
    [[nodiscard]] std::span<const Record> records() const noexcept { return records_; }
    /// The records by rising modules, as `bytes` writes them.
    [[nodiscard]] std::vector<Record> sorted_records() const;

    /// The state as bytes, for a file or another process: the same bytes for the same content, whatever the order in
    /// which it came.
    [[nodiscard]] std::vector<std::byte> bytes() const;
    /// The inverse; throws std::runtime_error that names @p name, the field and the reason.
    static ModuleMapBuilder from_bytes(std::span<const std::byte> bytes, const std::string& name);
    /// What the file of a map carries behind the map; throws std::runtime_error if it carries no statistics.
    static ModuleMapBuilder load(const std::string& path);

private:
    [[nodiscard]] std::size_t find_slot(const std::array<std::uint64_t, 3>& modules) const noexcept;
    [[nodiscard]] const Record* find(const std::array<std::uint64_t, 3>& modules) const noexcept;
    Record& find_or_insert(const std::array<std::uint64_t, 3>& modules);
    void grow();

    Bend bend_;
    std::vector<Record> records_;
    std::vector<std::uint32_t> table_;  ///< open addressing: index into records_ + 1, 0 = free; size is a power of 2
};

}  // namespace rheinfall
