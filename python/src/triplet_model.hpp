#pragma once

#include <rheinfall/tracking/edge_features.hpp>

#include "arrays.hpp"

/// `TripletModel.table()` of Python: azimuth, z and radius by volume number.
using VolumeResolution =
    nanobind::ndarray<const float, nanobind::shape<256, 3>, nanobind::c_contig, nanobind::device::cpu>;

/// The model of what `TripletModel.arguments()` holds in Python.
inline rheinfall::TripletModel triplet_model(const VolumeResolution& resolution, float field, float layer_x0,
                                             float field_spread, float min_chi2_pt) {
    rheinfall::TripletModel model{{}, field, layer_x0, field_spread, min_chi2_pt};
    for (std::size_t v = 0; v < 256; ++v) {
        const float* row = resolution.data() + 3 * v;
        model.resolution_by_volume[v] = {row[0], row[1], row[2]};
    }
    return model;
}
