"""What the tests of metrics share: small truths, particles, hits and tracks, and the real events."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rheinfall.event import Hits, Particles, Truth, encode_module_id

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TRACKML = SHARED / "data" / "trackml"
needs_trackml = pytest.mark.skipif(not TRACKML.is_dir(), reason=f"needs the TrackML events in {TRACKML}")

# Particle 1 has hits 0-7, particle 2 hits 8-11, particle 3 hits 12 and 13, noise 14-17.
IDS = [1] * 8 + [2] * 4 + [3] * 2 + [0] * 4
EVERY: dict[str, Any] = {"min_pt": None, "min_hits": 1, "eta_max": None, "primary_only": False}


def make_tracks(*tracks: list[int]) -> SimpleNamespace:
    offsets = np.cumsum([0, *map(len, tracks)]).astype(np.int64)
    return SimpleNamespace(offsets=offsets, hits=np.array([h for t in tracks for h in t], np.int64))


def make_particles(ids: list[int], **columns: Any) -> Particles:
    n = len(ids)
    numbers = {name: np.zeros(n, np.float32) for name in ("vx", "vy", "vz", "py", "pz", "charge")}
    numbers["px"] = np.full(n, 2, np.float32)
    primary = np.array(columns.pop("primary", [True] * n), np.bool_)
    numbers.update({name: np.array(values, np.float32) for name, values in columns.items()})
    return Particles(particle_id=np.array(ids, np.uint64), primary=primary, **numbers)


def make_truth(ids: list[int], particles: Particles | None = None, unknown: tuple[int, ...] = ()) -> Truth:
    known = np.ones(len(ids), np.bool_)
    known[list(unknown)] = False
    return Truth(np.where(known, np.array(ids, np.uint64), np.uint64(0)), known, particles)


def make_hits(x: list[float], layers: list[int] | None = None) -> Hits:
    n = len(x)
    layers = [2 * (i + 1) for i in range(n)] if layers is None else layers
    position = np.array(x, np.float32)
    module_id = encode_module_id(np.full(n, 8), layers, np.arange(n))
    return Hits(position, np.zeros_like(position), np.zeros_like(position), module_id, np.arange(n, dtype=np.uint64))
