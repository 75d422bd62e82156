#pragma once

#include <cstdint>
#include <rheinfall/core/views.hpp>
#include <stdexcept>

#include "arrays.hpp"

using HitFloats = nanobind::ndarray<const float, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
using HitModules = nanobind::ndarray<const std::uint64_t, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
using EdgeIndex =
    nanobind::ndarray<const std::int64_t, nanobind::shape<2, -1>, nanobind::c_contig, nanobind::device::cpu>;

/// The four arrays as one view; throws if their lengths differ.
inline rheinfall::HitsView hits_view(const HitFloats& x, const HitFloats& y, const HitFloats& z,
                                     const HitModules& module_id) {
    if (y.size() != x.size() || z.size() != x.size() || module_id.size() != x.size()) {
        throw std::invalid_argument("hits: expected x, y, z and module_id of one length");
    }
    return {as_span(x), as_span(y), as_span(z), as_span(module_id)};
}

inline rheinfall::EdgesView edges_view(const EdgeIndex& edge_index) {
    const std::size_t n = edge_index.shape(1);
    return {{edge_index.data(), n}, {edge_index.data() + n, n}};
}
