"""Track fit: helix parameters of each track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall import _core
from rheinfall.event import Bool, Float32, Hits, Int64
from rheinfall.metrics.tracks import TrackHits, check_tracks
from rheinfall.tracking.fit_model import FitModel
from rheinfall.tracking.graph import TripletModel, contiguous_arrays

FIELDS = (
    "q_over_pt",
    "phi",
    "cot_theta",
    "d0",
    "z0",
    "sigma_q_over_pt",
    "sigma_phi",
    "sigma_cot_theta",
    "sigma_d0",
    "sigma_z0",
    "pt",
    "eta",
    "chi2",
)
"""The rows of what the core's function returns."""

FIT_STATUSES = ("ok", "too_few_hits", "degenerate", "not_finite")
"""What `TrackParameters.status` counts."""


@dataclass(frozen=True, eq=False)
class TrackParameters:
    """Helix parameters of tracks, each at its point closest to the z axis; NaN for tracks that have no fit.

    With phi the direction there, the point is (-d0 sin phi, d0 cos phi, z0), as ACTS and ATLAS have it.

    Attributes:
        q_over_pt: float32 (n_tracks,), as all but the last two; charge over transverse momentum [1/GeV].
        phi: direction in the transverse plane, in (-π, π] [rad].
        cot_theta: pz / pT.
        d0: signed distance from the z axis [mm].
        z0: [mm].
        sigma_q_over_pt, sigma_phi, sigma_cot_theta, sigma_d0, sigma_z0: standard deviations, from hit resolution and
            multiple scattering.
        pt: 1 / |q_over_pt| [GeV]; infinite for a straight line.
        eta: asinh(cot_theta).
        chi2: of `n_dof` degrees of freedom, scattering included.
        n_dof: int64 (n_tracks,), 2 * hits - 5, 0 for tracks without a fit.
        status: uint8 (n_tracks,), index into `FIT_STATUSES`: "ok"; "too_few_hits", fewer than 3; "degenerate", fewer
            than 3 points of the transverse plane, or hits that no circle leads through; "not_finite", a hit with a NaN
            or infinite coordinate.
    """

    q_over_pt: Float32
    phi: Float32
    cot_theta: Float32
    d0: Float32
    z0: Float32
    sigma_q_over_pt: Float32
    sigma_phi: Float32
    sigma_cot_theta: Float32
    sigma_d0: Float32
    sigma_z0: Float32
    pt: Float32
    eta: Float32
    chi2: Float32
    n_dof: Int64
    status: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.status)

    def __repr__(self) -> str:
        return f"TrackParameters({len(self)} tracks, {int(np.count_nonzero(self.ok))} fitted)"

    @property
    def ok(self) -> Bool:
        """bool (n_tracks,): the tracks that have a fit."""
        return np.asarray(self.status == 0)

    @property
    def charge(self) -> NDArray[np.int8]:
        """int8 (n_tracks,): sign of `q_over_pt`; 0 without a fit."""
        return np.sign(np.nan_to_num(self.q_over_pt)).astype(np.int8)

    @property
    def sigma_pt(self) -> Float32:
        """Standard deviation of pt [GeV], float32 (n_tracks,)."""
        return np.asarray(self.sigma_q_over_pt * self.pt**2, np.float32)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every array by its name, for tables; the status by its words."""
        words = np.array(FIT_STATUSES)[self.status]
        names = ("pt", "eta", "phi", "d0", "z0", "chi2", "n_dof", "q_over_pt", "cot_theta")
        sigmas = [name for name in FIELDS if name.startswith("sigma_")]
        return {**{name: getattr(self, name) for name in (*names, *sigmas)}, "status": words}


def fit_tracks(tracks: TrackHits, hits: Hits, model: FitModel | TripletModel | None = None) -> TrackParameters:
    """Fit a helix to each track.

    A circle in the transverse plane by the explicit fit of V. Karimäki (Nucl. Instrum. Meth. A305 (1991) 187) about the
    first hit; then, linearised about that circle, a Kalman filter from the outermost hit inwards (P. Billoir, Nucl.
    Instrum. Meth. 225 (1984) 352; of information, so that it starts from nothing known) in the plane and for the line
    z(s), with a kink at each hit from multiple scattering. Constant field along z, no energy loss, no constraint to the
    beam. The bits are the same on any machine and for any number of threads; `rheinfall.reference.track_fit` is the
    same estimate as one least-squares problem.

    Args:
        tracks: anything with int64 `offsets` and `hits`, hits from inside to outside, as `build_tracks` gives them.
        hits: the event's hits; the top 8 bits of `module_id` tell the volume and so the resolution.
        model: field, material and resolutions of the detector; that of a `TrackFinder` is its `fit_model`. A
            `TripletModel` stands for cylinders of one thickness.

    Raises:
        TypeError, ValueError: not hits, not a model, wrong dtypes or offsets, or track hits outside `hits`.
    """
    if not isinstance(hits, Hits):
        raise TypeError(f"hits: expected rheinfall.Hits, got {type(hits).__name__}")
    offsets, index = (np.ascontiguousarray(array) for array in check_tracks(tracks, len(hits)))
    if not isinstance(model, FitModel | TripletModel | None):
        raise TypeError(f"model: expected a FitModel or a TripletModel, got {type(model).__name__}")
    if not isinstance(model, FitModel):
        model = FitModel.from_triplet_model(model or TripletModel())
    arguments = (*contiguous_arrays(hits), offsets, index, *model.arguments())
    rows, status = _core.fit_tracks(*arguments)
    n_dof = np.where(status == 0, 2 * np.diff(offsets) - 5, 0).astype(np.int64)
    return TrackParameters(**dict(zip(FIELDS, rows, strict=True)), n_dof=n_dof, status=status)
