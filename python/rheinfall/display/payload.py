"""The numbers that the display's page carries: typed arrays in base64, as plotly 6 ships its own."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall.display.labels import CLASSES, classify_tracks, number_particles
from rheinfall.event import Event, Hits, Int64, decode_module_id
from rheinfall.metrics import TrackMatches
from rheinfall.tracking.track_fit import TrackParameters

Arrays = dict[str, NDArray[Any]]


def encode_array(array: NDArray[Any]) -> dict[str, str]:
    """`{"dtype": "f4", "bdata": ...}`: little-endian bytes in base64."""
    plain = np.ascontiguousarray(array)
    little = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    return {"dtype": f"{plain.dtype.kind}{plain.dtype.itemsize}", "bdata": base64.b64encode(little.tobytes()).decode()}


def gather_arrays(
    event: Event, tracks: Any, match: TrackMatches | None, parameters: TrackParameters | None = None
) -> Arrays:
    """Every array of the page, each in the smallest type that holds it without loss."""
    return {
        **_hit_arrays(event.hits, number_particles(event, match)),
        **_track_arrays(tracks, match),
        **_fit_arrays(len(tracks.offsets) - 1, parameters),
        **_particle_arrays(match),
    }


def _shrink(array: NDArray[Any], *, signed: bool = False) -> NDArray[Any]:
    top = int(array.max(initial=0))
    if signed:
        return array.astype(np.int16 if top < 2**15 else np.int32)
    return array.astype(np.uint16 if top < 2**16 else np.uint32 if top < 2**32 else np.uint64)


def _hit_arrays(hits: Hits, particle: Int64) -> Arrays:
    module_id, module = np.unique(hits.module_id, return_inverse=True)
    volume, layer, number = decode_module_id(module_id)
    return {
        "hit_x": hits.x,
        "hit_y": hits.y,
        "hit_z": hits.z,
        "hit_id": _shrink(hits.hit_id),
        "hit_module": _shrink(module),
        "hit_particle": _shrink(particle, signed=True),
        "module_volume": _shrink(volume),
        "module_layer": _shrink(layer),
        "module_number": _shrink(number),
    }


def _track_arrays(tracks: Any, match: TrackMatches | None) -> Arrays:
    n_tracks = len(tracks.offsets) - 1
    majority, n_majority, n_judged = np.full(n_tracks, -1), np.zeros(n_tracks, np.int64), np.zeros(n_tracks, np.int64)
    if match is not None:
        n_majority, n_judged = match.majority_hits, match.n_judged_hits
        has = match.majority_particle != 0
        majority[has] = np.searchsorted(match.particles.particle_id, match.majority_particle[has])
    return {
        "track_offsets": _shrink(np.asarray(tracks.offsets)),
        "track_hits": _shrink(np.asarray(tracks.hits)),
        "track_class": classify_tracks(match, n_tracks).astype(np.uint8),
        "track_majority": _shrink(majority, signed=True),
        "track_n_majority": _shrink(n_majority),
        "track_n_known": _shrink(n_judged),
    }


def _fit_arrays(n_tracks: int, parameters: TrackParameters | None) -> Arrays:
    """Parameters of the fit, NaN where there is none."""
    names = ("pt", "eta", "phi", "d0", "z0", "chi2")
    if parameters is None:
        none = {f"track_{name}": np.full(n_tracks, np.nan, np.float32) for name in names}
        return {**none, "track_n_dof": np.zeros(n_tracks, np.uint16), "track_charge": np.zeros(n_tracks, np.int16)}
    fitted: Arrays = {f"track_{name}": getattr(parameters, name) for name in names}
    return {**fitted, "track_n_dof": _shrink(parameters.n_dof), "track_charge": parameters.charge.astype(np.int16)}


def _particle_arrays(match: TrackMatches | None) -> Arrays:
    if match is None:
        none = np.empty(0, np.float32)
        integers: Arrays = {
            "id": none.astype(np.uint64),
            "n_hits": none.astype(np.uint16),
            "missed": none.astype(np.uint8),
        }
        return {f"particle_{name}": column for name, column in {**integers, "pt": none, "eta": none}.items()}
    particles = match.particles
    return {
        "particle_id": particles.particle_id.astype(np.uint64),
        "particle_n_hits": _shrink(particles.n_hits),
        "particle_missed": (match.selected & ~match.reconstructed).astype(np.uint8),
        "particle_pt": particles.pt.astype(np.float32),
        "particle_eta": particles.eta.astype(np.float32),
    }


def count_classes(arrays: Arrays) -> dict[str, int]:
    """Number of tracks of each class, and of particles missed."""
    counts = {name: int((arrays["track_class"] == i).sum()) for i, name in enumerate(CLASSES)}
    return {**counts, "missed": int(arrays["particle_missed"].sum())}
