"""The modules of TrackML's detectors file: numbers, local frames, pitches, and what happens to a hit on them."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheinfall.event import encode_module_id

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]

_NUMBERS = ("volume_id", "layer_id", "module_id")
_ROTATION = ("rot_xu", "rot_xv", "rot_xw", "rot_yu", "rot_yv", "rot_yw", "rot_zu", "rot_zv", "rot_zw")
_COLUMNS = (
    *_NUMBERS,
    *("cx", "cy", "cz"),
    *_ROTATION,
    *("module_minhu", "module_maxhu", "module_hv", "pitch_u", "pitch_v"),
)
MATCH_TOLERANCE = 0.02  # [mm]; centres agree to 4 µm, the nearest two modules of a layer are millimetres apart


@dataclass
class Modules:
    """The detector's modules, one row each.

    Attributes:
        module_id: uint64 (n,), encoded TrackML numbers, ascending.
        centre: float64 (n, 3) [mm].
        rotation: float64 (n, 3, 3); global = centre + rotation @ (u, v, w), w the normal.
        half_u_low, half_u_high: float64 (n,) [mm], half width at v = -half_v and at v = +half_v.
        half_v: float64 (n,) [mm].
        pitch: float64 (n, 2) [mm], of a readout cell in u and in v.
    """

    module_id: UInt64
    centre: Float64
    rotation: Float64
    half_u_low: Float64
    half_u_high: Float64
    half_v: Float64
    pitch: Float64

    def __len__(self) -> int:
        return len(self.module_id)

    def find(self, module_id: UInt64) -> Int64:
        """Rows of the given modules. Raises ValueError for one that the detectors file lacks."""
        row = np.minimum(np.searchsorted(self.module_id, module_id), len(self) - 1)
        unknown = self.module_id[row] != module_id
        if unknown.any():
            raise ValueError(f"module_id {int(module_id[unknown][0])}: not in the detectors file")
        return row.astype(np.int64)

    def half_u(self, row: Int64, v: Float64) -> Float64:
        """Half width [mm] of the (trapezoidal) modules `row` at local `v` [mm]."""
        share = (v / self.half_v[row] + 1) / 2
        return np.asarray(self.half_u_low[row] + share * (self.half_u_high[row] - self.half_u_low[row]))

    def to_local(self, row: Int64, position: Float64) -> Float64:
        """Global (n, 3) [mm] to local u, v, w (n, 3) [mm]."""
        return np.asarray(np.einsum("nji,nj->ni", self.rotation[row], position - self.centre[row]))

    def to_global(self, row: Int64, local: Float64) -> Float64:
        """Local u, v, w (n, 3) [mm] to global (n, 3) [mm]."""
        return np.asarray(self.centre[row] + np.einsum("nij,nj->ni", self.rotation[row], local))

    def smear(self, rng: np.random.Generator, row: Int64, position: Float64) -> Float64:
        """Move hits within their module as reading them out does, and keep them on it.

        Uniform over one cell, from -pitch/2 to +pitch/2 in u and in v: the residual of a cluster of one cell, which
        sits at the cell's centre (rms pitch / sqrt(12)). A hit that would leave the module is reflected at its edge.
        """
        local = self.to_local(row, position)
        shift = (rng.random((len(row), 2)) - 0.5) * self.pitch[row]
        v = _reflect(local[:, 1] + shift[:, 1], self.half_v[row])
        u = _reflect(local[:, 0] + shift[:, 0], self.half_u(row, v))
        return self.to_global(row, np.column_stack([u, v, local[:, 2]]))

    def draw_points(self, rng: np.random.Generator, row: Int64) -> Float64:
        """Points (n, 3) [mm], uniform over the surface of the modules `row`."""
        high, low = self.half_u_high[row], self.half_u_low[row]
        # Inverse of the area below v, a quadratic; written so that a rectangle (high = low) needs no special case.
        share = rng.random(len(row))
        height = share * (low + high) / (low + np.sqrt(low**2 + share * (high**2 - low**2)))
        v = (2 * height - 1) * self.half_v[row]
        u = rng.uniform(-1.0, 1.0, len(row)) * self.half_u(row, v)
        return self.to_global(row, np.column_stack([u, v, np.zeros(len(row))]))

    @property
    def area(self) -> Float64:
        """Surface of each module [mm²]."""
        return np.asarray(2 * self.half_v * (self.half_u_low + self.half_u_high))

    def match_centres(self, acts_id: UInt64, centre: Float64) -> UInt64:
        """TrackML's module_id of each ACTS sensitive surface, matched by centres, one to one, layer by layer.

        The numbers of volumes and layers are the same in both, and so are the barrels' modules; the end-caps' are
        not. Match centres, never a hit with the nearest centre: of pixel end-cap hits 29 % would go wrong.

        Args:
            acts_id: uint64 (n,), identifiers of the surfaces.  centre: float64 (n, 3) [mm].
        """
        layer_mask = np.uint64(0xFF0FFF << 36)
        matched = np.empty(len(acts_id), dtype=np.uint64)
        for layer in np.unique(acts_id & layer_mask):
            ours, theirs = (np.flatnonzero((ids & layer_mask) == layer) for ids in (self.module_id, acts_id))
            what = f"volume {int(layer) >> 56} layer {(int(layer) >> 36) & 0xFFF}"
            if len(ours) != len(theirs):
                raise ValueError(f"detectors: expected {len(theirs)} modules in {what} as in ACTS, got {len(ours)}")
            # The nearest by |a|² - 2 a·b, a matrix product (rounding: 1e-9 mm²); its distance is then taken exactly.
            nearest = (np.sum(self.centre[ours] ** 2, axis=1) - 2 * centre[theirs] @ self.centre[ours].T).argmin(axis=1)
            worst = float(np.linalg.norm(centre[theirs] - self.centre[ours[nearest]], axis=1).max())
            if worst > MATCH_TOLERANCE or len(np.unique(nearest)) != len(ours):
                raise ValueError(f"detectors: modules of {what} do not match ACTS' by centre; worst {worst:.3g} mm")
            matched[theirs] = self.module_id[ours[nearest]]
        return matched


def _reflect(value: Float64, half: Float64) -> Float64:
    return np.asarray(np.where(np.abs(value) > half, np.sign(value) * 2 * half - value, value))


def read_modules(path: str | Path) -> Modules:
    """Read TrackML's detectors.csv, plain or gzipped.

    Raises ValueError naming the file and the column or line that is wrong.
    """
    path = Path(path)
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        header = stream.readline().strip().split(",")
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            raise ValueError(f"{path}: line 1: column {missing[0]!r} is missing, got {','.join(header)}")
        try:
            table = np.loadtxt(stream, delimiter=",", usecols=[header.index(c) for c in _COLUMNS], ndmin=2)
        except ValueError as error:
            raise ValueError(f"{path}: expected numbers below the header: {error}") from error
    if len(table) == 0 or not np.isfinite(table).all():
        raise ValueError(f"{path}: expected finite numbers and at least one module, got {len(table)} rows")
    column = {name: table[:, i] for i, name in enumerate(_COLUMNS)}
    ids = encode_module_id(*(column[name].astype(np.uint64) for name in _NUMBERS))
    if len(np.unique(ids)) != len(ids):
        raise ValueError(f"{path}: a module is listed twice")
    order = np.argsort(ids)
    return Modules(
        module_id=ids[order],
        centre=table[order, 3:6],
        rotation=table[order, 6:15].reshape(-1, 3, 3),
        half_u_low=column["module_minhu"][order],
        half_u_high=column["module_maxhu"][order],
        half_v=column["module_hv"][order],
        pitch=np.column_stack([column["pitch_u"], column["pitch_v"]])[order],
    )
