#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <rheinfall/tracking/module_map.hpp>
#include <rheinfall/tracking/module_map_builder.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hits.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using rheinfall::Bend;
using rheinfall::DoubletLimits;
using rheinfall::Interval;
using rheinfall::LimitRule;
using rheinfall::ModuleMap;
using rheinfall::ModuleMapBuilder;

namespace {

using Triples = nb::ndarray<const std::uint32_t, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<const std::uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Limits = nb::ndarray<const float, nb::shape<-1, -1, 2>, nb::c_contig, nb::device::cpu>;

using UInt64Array = nb::ndarray<nb::numpy, std::uint64_t>;
using UInt8Array = nb::ndarray<nb::numpy, std::uint8_t>;
using Float32Array = nb::ndarray<nb::numpy, float>;

constexpr std::size_t doublet_quantities = 4;
constexpr std::size_t triplet_quantities = 10;

Bend bend_of(const std::string& name) {
    if (name == "angle") return Bend::angle;
    if (name == "slope_difference") return Bend::slope_difference;
    throw std::invalid_argument("bend: expected 'angle' or 'slope_difference', got '" + name + "'");
}

std::array<Interval, doublet_quantities> intervals(const DoubletLimits& l) {
    return {l.z0, l.dphi, l.phi_slope, l.deta};
}

DoubletLimits doublet_limits(const float* v) {
    return {{v[0], v[1]}, {v[2], v[3]}, {v[4], v[5]}, {v[6], v[7]}};
}

/// Modules (n, 2) and limits (n, 4, 2) of the doublets.
nb::typed<nb::tuple, UInt64Array, Float32Array> doublets(const ModuleMap& map) {
    const std::size_t n = map.n_doublets();
    auto modules = std::make_unique_for_overwrite<std::uint64_t[]>(2 * n);
    auto limits = std::make_unique_for_overwrite<float[]>(2 * doublet_quantities * n);
    for (std::size_t d = 0; d < n; ++d) {
        modules[2 * d] = map.modules()[map.doublet_inner()[d]];
        modules[2 * d + 1] = map.modules()[map.doublet_outer()[d]];
        std::size_t at = 2 * doublet_quantities * d;
        for (const Interval& i : intervals(map.doublet_limits()[d])) {
            limits[at++] = i.low;
            limits[at++] = i.high;
        }
    }
    return nb::make_tuple(numpy_owning(std::move(modules), {n, 2}),
                          numpy_owning(std::move(limits), {n, doublet_quantities, 2}));
}

/// Modules (n, 3), floor(log2(occurrence)) (n,) and limits (n, 10, 2) of the triplets.
nb::typed<nb::tuple, UInt64Array, UInt8Array, Float32Array> triplets(const ModuleMap& map) {
    const std::size_t n = map.n_triplets();
    auto modules = std::make_unique_for_overwrite<std::uint64_t[]>(3 * n);
    auto occurrence = std::make_unique_for_overwrite<std::uint8_t[]>(n);
    auto limits = std::make_unique_for_overwrite<float[]>(2 * triplet_quantities * n);
    for (std::size_t d = 0; d < map.n_doublets(); ++d) {
        for (std::size_t t = map.triplet_offsets()[d]; t < map.triplet_offsets()[d + 1]; ++t) {
            modules[3 * t] = map.modules()[map.doublet_inner()[d]];
            modules[3 * t + 1] = map.modules()[map.doublet_outer()[d]];
            modules[3 * t + 2] = map.modules()[map.doublet_outer()[map.triplet_outer()[t]]];
            occurrence[t] = map.triplet_occurrence_log2()[t];
            const rheinfall::TripletLimits l = map.triplet_limits(d, t);
            std::size_t at = 2 * triplet_quantities * t;
            const auto put = [&](const Interval& i) {
                limits[at++] = i.low;
                limits[at++] = i.high;
            };
            for (const Interval& i : intervals(l.inner)) put(i);
            for (const Interval& i : intervals(l.outer)) put(i);
            put(l.diff_dzdr);
            put(l.bend);
        }
    }
    return nb::make_tuple(numpy_owning(std::move(modules), {n, 3}), numpy_owning(std::move(occurrence), {n}),
                          numpy_owning(std::move(limits), {n, triplet_quantities, 2}));
}

void expect_shape(const char* name, std::size_t got, std::size_t expected) {
    if (got != expected) {
        throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(expected) + ", got " +
                                    std::to_string(got));
    }
}

ModuleMap from_triplets(const Ids& modules, const Counts& occurrence, const Limits& limits, const std::string& bend) {
    expect_shape("modules.shape[1]", modules.shape(1), 3);
    expect_shape("occurrence.shape[0]", occurrence.shape(0), modules.shape(0));
    expect_shape("limits.shape[0]", limits.shape(0), modules.shape(0));
    expect_shape("limits.shape[1]", limits.shape(1), triplet_quantities);
    std::vector<ModuleMap::Triplet> list(modules.shape(0));
    for (std::size_t t = 0; t < list.size(); ++t) {
        const std::uint64_t* m = modules.data() + 3 * t;
        const float* v = limits.data() + 2 * triplet_quantities * t;
        list[t] = {{m[0], m[1], m[2]},
                   occurrence.data()[t],
                   {doublet_limits(v), doublet_limits(v + 8), {v[16], v[17]}, {v[18], v[19]}}};
    }
    return ModuleMap::from_triplets(std::move(list), bend_of(bend));
}

ModuleMap from_doublets(const Ids& modules, const Limits& limits, const std::string& bend) {
    expect_shape("modules.shape[1]", modules.shape(1), 2);
    expect_shape("limits.shape[0]", limits.shape(0), modules.shape(0));
    expect_shape("limits.shape[1]", limits.shape(1), doublet_quantities);
    std::vector<ModuleMap::Doublet> list(modules.shape(0));
    for (std::size_t d = 0; d < list.size(); ++d) {
        const std::uint64_t* m = modules.data() + 2 * d;
        list[d] = {{m[0], m[1]}, doublet_limits(limits.data() + 2 * doublet_quantities * d)};
    }
    return ModuleMap::from_doublets(std::move(list), bend_of(bend));
}

nb::bytes to_bytes(std::span<const std::byte> bytes) {
    return nb::bytes(bytes.data(), bytes.size());
}

std::span<const std::byte> view(const nb::bytes& bytes) {
    return {static_cast<const std::byte*>(bytes.data()), bytes.size()};
}

/// Modules (n, 3) and occurrences (n,) of the triplets that a builder saw, by rising modules.
nb::typed<nb::tuple, UInt64Array, UInt64Array> counts(const ModuleMapBuilder& builder) {
    const std::vector<ModuleMapBuilder::Record> records = builder.sorted_records();
    auto modules = std::make_unique_for_overwrite<std::uint64_t[]>(3 * records.size());
    auto occurrence = std::make_unique_for_overwrite<std::uint64_t[]>(records.size());
    for (std::size_t r = 0; r < records.size(); ++r) {
        std::copy(records[r].modules.begin(), records[r].modules.end(), modules.get() + 3 * r);
        occurrence[r] = records[r].occurrence;
    }
    return nb::make_tuple(numpy_owning(std::move(modules), {records.size(), 3}),
                          numpy_owning(std::move(occurrence), {records.size()}));
}

void bind_limit_rule(nb::module_& m) {
    const LimitRule standard;
    nb::class_<LimitRule>(m, "LimitRule", "How a triplet's limits follow from what training saw.")
        .def(
            "__init__",
            [](LimitRule* self, double relative, double sigmas, double sigmas_differences, double prior_weight,
               double core, std::uint64_t min_occurrence, bool remove_two_cycles, const std::array<double, 6>& absolute,
               double max_phi_slope) {
                new (self) LimitRule{.absolute = absolute,
                                     .relative = relative,
                                     .sigmas = sigmas,
                                     .prior_weight = prior_weight,
                                     .sigmas_differences = sigmas_differences,
                                     .core = core,
                                     .min_occurrence = min_occurrence,
                                     .max_phi_slope = max_phi_slope,
                                     .remove_two_cycles = remove_two_cycles};
            },
            nb::kw_only(), "relative"_a = standard.relative, "sigmas"_a = standard.sigmas,
            "sigmas_differences"_a = standard.sigmas_differences, "prior_weight"_a = standard.prior_weight,
            "core"_a = standard.core, "min_occurrence"_a = standard.min_occurrence,
            "remove_two_cycles"_a = standard.remove_two_cycles, "absolute"_a = standard.absolute,
            "max_phi_slope"_a = standard.max_phi_slope)
        .def_ro("absolute", &LimitRule::absolute)
        .def_ro("relative", &LimitRule::relative)
        .def_ro("sigmas", &LimitRule::sigmas)
        .def_ro("sigmas_differences", &LimitRule::sigmas_differences)
        .def_ro("prior_weight", &LimitRule::prior_weight)
        .def_ro("core", &LimitRule::core)
        .def_ro("min_occurrence", &LimitRule::min_occurrence)
        .def_ro("max_phi_slope", &LimitRule::max_phi_slope)
        .def_ro("remove_two_cycles", &LimitRule::remove_two_cycles);
}

void bind_builder(nb::module_& m) {
    nb::class_<ModuleMapBuilder>(m, "ModuleMapBuilder", "Gathers the quantities of true hit triples by module triplet.")
        .def(
            "__init__",
            [](ModuleMapBuilder* self, const std::string& bend) { new (self) ModuleMapBuilder(bend_of(bend)); },
            "bend"_a = "angle")
        .def(
            "add",
            [](ModuleMapBuilder& self, const HitFloats& x, const HitFloats& y, const HitFloats& z,
               const HitModules& modules, const Triples& triples) {
                const rheinfall::HitsView hits = hits_view(x, y, z, modules);
                const nb::gil_scoped_release no_gil;
                self.add(hits, {triples.data(), triples.size()});
            },
            "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(), "module_id"_a.noconvert(), "triples"_a.noconvert(),
            "Add the hit triples of one event: uint32 (n, 3), inner to outer.")
        .def("merge", &ModuleMapBuilder::merge, "other"_a, "Add what another builder saw; exact and associative.")
        .def("finish", &ModuleMapBuilder::finish, "rule"_a, nb::call_guard<nb::gil_scoped_release>(), "Make the map.")
        .def("counts", &counts, "Modules (n, 3) and occurrences (n,) of the triplets seen, by rising modules.")
        .def_prop_ro("n_triplets", [](const ModuleMapBuilder& self) { return self.records().size(); })
        .def_prop_ro("bend", [](const ModuleMapBuilder& self) { return name_of(self.bend_convention()); })
        .def("to_bytes", [](const ModuleMapBuilder& self) { return to_bytes(self.bytes()); })
        .def_static(
            "from_bytes",
            [](const nb::bytes& bytes, const std::string& name) {
                return ModuleMapBuilder::from_bytes(view(bytes), name);
            },
            "bytes"_a, "name"_a)
        .def_static("load", &ModuleMapBuilder::load, "path"_a);
}

}  // namespace

void bind_module_map(nb::module_& m) {
    bind_limit_rule(m);
    nb::class_<ModuleMap>(m, "ModuleMap", "Module pairs and triples that particles connect, with their limits.")
        .def_static("load", &ModuleMap::load, "path"_a)
        .def_static(
            "from_bytes",
            [](const nb::bytes& bytes, const std::string& name) { return ModuleMap::from_bytes(view(bytes), name); },
            "bytes"_a, "name"_a)
        .def_static("from_triplets", &from_triplets, "modules"_a.noconvert(), "occurrence"_a.noconvert(),
                    "limits"_a.noconvert(), "bend"_a)
        .def_static("from_doublets", &from_doublets, "modules"_a.noconvert(), "limits"_a.noconvert(), "bend"_a)
        .def(
            "save",
            [](const ModuleMap& self, const std::string& path, const nb::bytes& appendix) {
                self.save(path, view(appendix));
            },
            "path"_a, "appendix"_a)
        .def("to_bytes", [](const ModuleMap& self) { return to_bytes(self.bytes()); })
        .def("triplets", &triplets, "Modules (n, 3), log2 of the occurrence (n,), limits (n, 10, 2).")
        .def("doublets", &doublets, "Modules (n, 2), limits (n, 4, 2).")
        .def_prop_ro(
            "modules",
            [](const ModuleMap& self) {
                auto ids = std::make_unique_for_overwrite<std::uint64_t[]>(self.n_modules());
                std::copy(self.modules().begin(), self.modules().end(), ids.get());
                return numpy_owning(std::move(ids), {self.n_modules()});
            },
            nb::rv_policy::reference)  // the array owns its memory, and does not hang on the map
        .def_prop_ro("n_bytes", [](const ModuleMap& self) { return self.bytes().size(); })
        .def_prop_ro("n_modules", &ModuleMap::n_modules)
        .def_prop_ro("n_doublets", &ModuleMap::n_doublets)
        .def_prop_ro("n_triplets", &ModuleMap::n_triplets)
        .def_prop_ro("bend", [](const ModuleMap& self) { return name_of(self.bend_convention()); })
        .def_prop_ro("convention", &ModuleMap::convention)
        .def_prop_ro("file_format_version", &ModuleMap::file_format_version)
        .def_ro_static("format_version", &ModuleMap::format_version);
    bind_builder(m);
}
