#include <array>
#include <rheinfall/tracking/track_fit.hpp>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hits.hpp"
#include "threads.hpp"
#include "triplet_model.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Indices = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using VolumeNumbers = nb::ndarray<const float, nb::shape<256>, nb::c_contig, nb::device::cpu>;
using VolumeFlags = nb::ndarray<const bool, nb::shape<256>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<nb::numpy, float, nb::ndim<2>>;
using Codes = nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>>;
using Result = nb::typed<nb::tuple, Rows, Codes>;

constexpr std::size_t n_fields = 13;

/// Rows of @p n values, in the order of `rheinfall.tracking.track_fit.FIELDS`.
rheinfall::TrackParametersView rows(float* values, std::uint8_t* status, std::size_t n) {
    std::array<std::span<float>, n_fields> row;
    for (std::size_t i = 0; i < n_fields; ++i) row[i] = {values + i * n, n};
    rheinfall::TrackParametersView out;
    out.q_over_pt = row[0];
    out.phi = row[1];
    out.cot_theta = row[2];
    out.d0 = row[3];
    out.z0 = row[4];
    out.sigma_q_over_pt = row[5];
    out.sigma_phi = row[6];
    out.sigma_cot_theta = row[7];
    out.sigma_d0 = row[8];
    out.sigma_z0 = row[9];
    out.pt = row[10];
    out.eta = row[11];
    out.chi2 = row[12];
    out.status = {reinterpret_cast<rheinfall::TrackFitStatus*>(status), n};
    return out;
}

}  // namespace

void bind_track_fit(nb::module_& m) {
    m.def(
        "fit_tracks",
        [](const HitFloats& x, const HitFloats& y, const HitFloats& z, const HitModules& module_id,
           const Indices& offsets, const Indices& hits, const VolumeResolution& resolution,
           const VolumeNumbers& layer_x0, const VolumeFlags& is_disc, float field) {
            const rheinfall::HitsView view = hits_view(x, y, z, module_id);
            const rheinfall::TrackHitsView tracks{as_span(offsets), as_span(hits)};
            rheinfall::FitModel model = rheinfall::make_fit_model(triplet_model(resolution, field, 0.0F, 0.0F, 0.0F));
            for (std::size_t v = 0; v < 256; ++v) model.layer_by_volume[v] = {layer_x0.data()[v], is_disc.data()[v]};
            const std::size_t n = tracks.n_tracks();
            auto values = std::make_unique_for_overwrite<float[]>(n_fields * n);
            auto status = std::make_unique_for_overwrite<std::uint8_t[]>(n);
            {
                nb::gil_scoped_release no_gil;
                const rheinfall::TrackParametersView out = rows(values.get(), status.get(), n);
                rheinfall::check_track_fit(view, tracks, out);
                rheinfall::StdThreads threads(num_threads());
                rheinfall::fit_tracks(view, tracks, model, out, threads.parallel_for());
            }
            return Result(
                nb::make_tuple(numpy_owning(std::move(values), {n_fields, n}), numpy_owning(std::move(status), {n})));
        },
        "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(), "module_id"_a.noconvert(), "offsets"_a.noconvert(),
        "hits"_a.noconvert(), "resolution"_a.noconvert(), "layer_x0"_a.noconvert(), "is_disc"_a.noconvert(), "field"_a,
        "Fit a helix to each track; see rheinfall.fit_tracks.\n\n"
        "Returns (parameters, status): float32 (13, n_tracks), uint8 (n_tracks,).");
}
