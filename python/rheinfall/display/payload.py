"""The numbers that the display's page carries: typed arrays in base64, as plotly 6 ships its own."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall.display.labels import CLASSES, TrackLabels
from rheinfall.event import Bool, Event, Float32, Hits, Truth, decode_module_id

Arrays = dict[str, NDArray[Any]]


def encode_array(array: NDArray[Any]) -> dict[str, str]:
    """`{"dtype": "f4", "bdata": ...}`: little-endian bytes in base64."""
    plain = np.ascontiguousarray(array)
    little = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    return {"dtype": f"{plain.dtype.kind}{plain.dtype.itemsize}", "bdata": base64.b64encode(little.tobytes()).decode()}


def gather_arrays(event: Event, tracks: Any, labels: TrackLabels, missed: Bool) -> Arrays:
    """Every array of the page, each in the smallest type that holds it without loss."""
    return {
        **_hit_arrays(event.hits, labels),
        **_track_arrays(tracks, labels),
        **_particle_arrays(event, labels, missed),
    }


def find_missed(labels: TrackLabels, truth: Truth | None, min_pt: float, min_hits: int = 3) -> Bool:
    """Particles that should have a track and have none: primary, pT > `min_pt` GeV, |eta| < 4, >= `min_hits` hits."""
    if truth is None or truth.particles is None:
        return np.zeros(len(labels.particle_id), bool)
    row, exists = _rows_of(labels, truth)
    particles = truth.particles
    wanted = particles.primary & (particles.pt > min_pt) & (np.abs(particles.eta) < 4)
    return np.asarray(~labels.found & (labels.n_hits >= min_hits) & exists & wanted[row], dtype=np.bool_)


def _rows_of(labels: TrackLabels, truth: Truth) -> tuple[NDArray[np.int64], Bool]:
    """Row in `truth.particles` of each particle of `labels`, and whether it is there."""
    assert truth.particles is not None
    table = truth.particles.particle_id
    if len(table) == 0:
        return np.zeros(len(labels.particle_id), np.int64), np.zeros(len(labels.particle_id), bool)
    order = np.argsort(table, kind="stable")
    row = order[np.minimum(np.searchsorted(table[order], labels.particle_id), len(table) - 1)]
    return row, np.asarray(table[row] == labels.particle_id, dtype=np.bool_)


def _shrink(array: NDArray[Any], *, signed: bool = False) -> NDArray[Any]:
    top = int(array.max(initial=0))
    if signed:
        return array.astype(np.int16 if top < 2**15 else np.int32)
    return array.astype(np.uint16 if top < 2**16 else np.uint32 if top < 2**32 else np.uint64)


def _hit_arrays(hits: Hits, labels: TrackLabels) -> Arrays:
    module_id, module = np.unique(hits.module_id, return_inverse=True)
    volume, layer, number = decode_module_id(module_id)
    return {
        "hit_x": hits.x,
        "hit_y": hits.y,
        "hit_z": hits.z,
        "hit_id": _shrink(hits.hit_id),
        "hit_module": _shrink(module),
        "hit_particle": _shrink(labels.hit_particle, signed=True),
        "module_volume": _shrink(volume),
        "module_layer": _shrink(layer),
        "module_number": _shrink(number),
    }


def _track_arrays(tracks: Any, labels: TrackLabels) -> Arrays:
    return {
        "track_offsets": _shrink(np.asarray(tracks.offsets, np.int64)),
        "track_hits": _shrink(np.asarray(tracks.hits, np.int64)),
        "track_class": labels.track_class.astype(np.uint8),
        "track_majority": _shrink(labels.majority, signed=True),
        "track_n_majority": _shrink(labels.n_majority),
        "track_n_known": _shrink(labels.n_known),
    }


def _particle_arrays(event: Event, labels: TrackLabels, missed: Bool) -> Arrays:
    n = len(labels.particle_id)
    columns: dict[str, Float32] = {name: np.full(n, np.nan, np.float32) for name in ("pt", "eta", "radius")}
    if event.truth is not None and event.truth.particles is not None:
        row, exists = _rows_of(labels, event.truth)
        for name, column in columns.items():
            if exists.any():
                column[exists] = getattr(event.truth.particles, name)[row[exists]]
    return {
        "particle_id": labels.particle_id.astype(np.uint64),
        "particle_n_hits": _shrink(labels.n_hits),
        "particle_missed": missed.astype(np.uint8),
        **{f"particle_{name}": column for name, column in columns.items()},
    }


def count_classes(labels: TrackLabels, missed: Bool) -> dict[str, int]:
    """Number of tracks of each class, and of particles missed."""
    counts = {name: int((labels.track_class == i).sum()) for i, name in enumerate(CLASSES)}
    return {**counts, "missed": int(missed.sum())}
