"""Sign conventions of foreign module maps, and how their limits become ours.

Public codes disagree on two of the ten quantities. Ours: deta = eta2 - eta1, and the bend is either the difference of
the slopes dy12/dx12 - dy23/dx23 or the angle between the segments.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from rheinfall import _core
from rheinfall.event import Float32, Float64, UInt64
from rheinfall.tracking.module_map import ModuleMap

DETA = (3, 7)
BEND = 9


@dataclass(frozen=True)
class Convention:
    """What a map's columns mean.

    Attributes:
        deta_sign: 1 for eta2 - eta1, -1 for eta1 - eta2.
        bend: "slope_difference" or "angle" as ours; None where the column is -(dy12/dx12) - dy23/dx23, as ACORN and
            ModuleMapGraph compute diff_dydx (marked there as a typo): no limits of ours say the same.
    """

    deta_sign: int
    bend: str | None


CONVENTIONS = {
    "rheinfall": Convention(1, "slope_difference"),
    "rheinfall-angle": Convention(1, "angle"),
    "acorn": Convention(-1, None),  # py_module_map.py
    "modulemapgraph-2024": Convention(-1, None),  # GNN4ITkTeam/ModuleMapGraph
    "modulemapgraph-deta21": Convention(1, None),  # its newer kernels
    "fpgatracksim": Convention(1, "slope_difference"),  # Athena: FPGATrackSimGNNGraphConstructionTool.cxx
}


def find_convention(name: str) -> Convention:
    """The convention of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in CONVENTIONS:
        raise ValueError(f"convention: expected one of {', '.join(CONVENTIONS)}, got {name!r}")
    return CONVENTIONS[name]


def outward(limits: Float64) -> Float32:
    """Limits (..., 2) as float32, rounded outward; beyond ±1e30 they mean no limit."""
    clipped = np.clip(limits, -1e30, 1e30)
    rounded = clipped.astype(np.float32)
    low = np.where(rounded > clipped, np.nextafter(rounded, np.float32(-np.inf)), rounded)[..., 0]
    high = np.where(rounded < clipped, np.nextafter(rounded, np.float32(np.inf)), rounded)[..., 1]
    return np.asarray(np.stack([low, high], axis=-1), np.float32)


def from_foreign_triplets(modules: UInt64, occurrence: UInt64, limits: Float64, convention: Convention) -> ModuleMap:
    """The map of foreign triplets: modules (n, 3), occurrence (n,), limits (n, 10, 2), low and high of `QUANTITIES`."""
    limits = _with_our_signs(limits, DETA, convention)
    if convention.bend is None and len(limits):
        limits[:, BEND] = [-np.inf, np.inf]
        warnings.warn(
            "the limits on diff_dydx are of -(slope12 + slope23), which limits on a difference of slopes cannot say: "
            "they are left out, so that the map lets more triples pass than where it comes from",
            stacklevel=4,
        )
    bend = convention.bend or "slope_difference"
    return ModuleMap(_core.ModuleMap.from_triplets(modules, occurrence, outward(limits), bend))


def from_foreign_doublets(modules: UInt64, limits: Float64, convention: Convention) -> ModuleMap:
    """The map of foreign doublets alone: modules (n, 2), limits (n, 4, 2)."""
    limits = _with_our_signs(limits, DETA[:1], convention)
    return ModuleMap(_core.ModuleMap.from_doublets(modules, outward(limits), convention.bend or "slope_difference"))


def _with_our_signs(limits: Float64, columns: tuple[int, ...], convention: Convention) -> Float64:
    limits = np.array(limits, np.float64)
    if convention.deta_sign < 0:
        for column in columns:
            limits[:, column] = -limits[:, column, ::-1]
    return limits
