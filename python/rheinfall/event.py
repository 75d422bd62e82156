"""The event as every stage sees it: hits as a structure of arrays, and truth where there is some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall._device_arrays import on_cuda

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]
Bool = NDArray[np.bool_]

VOLUME_SHIFT = 56
LAYER_SHIFT = 36
MODULE_SHIFT = 8


def encode_module_id(volume: Any, layer: Any, module: Any) -> UInt64:
    """Pack (volume, layer, module) numbers as `volume<<56 | layer<<36 | module<<8`.

    The bit layout of an ACTS geometry identifier (acts: Geometry/GeometryIdentifier.hpp).
    """
    v = np.asarray(volume, dtype=np.uint64) << np.uint64(VOLUME_SHIFT)
    y = np.asarray(layer, dtype=np.uint64) << np.uint64(LAYER_SHIFT)
    m = np.asarray(module, dtype=np.uint64) << np.uint64(MODULE_SHIFT)
    return np.asarray(v | y | m, dtype=np.uint64)


def decode_module_id(module_id: Any) -> tuple[Int64, Int64, Int64]:
    """Unpack a module_id into (volume, layer, module) numbers."""
    ids = np.asarray(module_id, dtype=np.uint64)
    volume = (ids >> np.uint64(VOLUME_SHIFT)) & np.uint64(0xFF)
    layer = (ids >> np.uint64(LAYER_SHIFT)) & np.uint64(0xFFF)
    module = (ids >> np.uint64(MODULE_SHIFT)) & np.uint64(0xFFFFF)
    return volume.astype(np.int64), layer.astype(np.int64), module.astype(np.int64)


def _check_columns(owner: str, table: Any, columns: Mapping[str, Any]) -> None:
    """Refuse columns that are no 1-D NumPy arrays of their dtype, or not as long as the first."""
    first, n = next(iter(columns)), 0
    for name, dtype in columns.items():
        array = getattr(table, name)
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
            got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{owner}.{name}: expected a 1-D {np.dtype(dtype)} array, got {got}")
        n = len(array) if name == first else n
        if len(array) != n:
            raise ValueError(f"{owner}.{name}: expected {n} values as in {owner}.{first}, got {len(array)}")


def _refuse(field_name: str, array: NDArray[Any], bad: Bool, expected: str) -> None:
    """Name the first value that is `bad`."""
    where = np.flatnonzero(bad)
    if len(where):
        raise ValueError(f"{field_name}: expected {expected}, got {array[where[0]]} at index {where[0]}")


@dataclass
class Hits:
    """Measurements of one event, in the order in which they were recorded.

    Attributes:
        x, y, z: float32 (n_hits,), position [mm].
        module_id: uint64 (n_hits,), the sensor; see `encode_module_id`.
        hit_id: uint64 (n_hits,), the number by which the event's files know the hit.
    """

    x: Float32
    y: Float32
    z: Float32
    module_id: UInt64
    hit_id: UInt64

    def __post_init__(self) -> None:
        if on_cuda(self.x):
            raise TypeError(
                "hits.x: expected an array in host memory; rheinfall.DeviceHits takes those of a CUDA device"
            )
        floats = dict.fromkeys(("x", "y", "z"), np.float32)
        _check_columns("hits", self, {**floats, "module_id": np.uint64, "hit_id": np.uint64})

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Hits({len(self)} hits on {len(np.unique(self.module_id))} modules)"

    def take(self, index: Any) -> Hits:
        """The hits at `index` (any NumPy index), in that order."""
        return Hits(self.x[index], self.y[index], self.z[index], self.module_id[index], self.hit_id[index])


@dataclass
class Particles:
    """Simulated particles of one event.

    Attributes:
        particle_id: uint64 (n,), each once; a row for 0, which is noise, makes no particle of it.
        vx, vy, vz: float32 (n,), production vertex [mm].
        px, py, pz: float32 (n,), momentum at production [GeV].
        charge: float32 (n,), in units of e.
        primary: bool (n,), produced in a proton-proton collision rather than in a decay or the material.
    """

    particle_id: UInt64
    vx: Float32
    vy: Float32
    vz: Float32
    px: Float32
    py: Float32
    pz: Float32
    charge: Float32
    primary: Bool

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse columns of another type or length, numbers that are not finite, and a particle listed twice."""
        numbers = ("vx", "vy", "vz", "px", "py", "pz", "charge")
        columns = {"particle_id": np.uint64, **dict.fromkeys(numbers, np.float32), "primary": np.bool_}
        _check_columns("particles", self, columns)
        for name in numbers:
            array = getattr(self, name)
            _refuse(f"particles.{name}", array, ~np.isfinite(array), "finite numbers")
        again = np.ones(len(self), np.bool_)
        again[np.unique(self.particle_id, return_index=True)[1]] = False
        _refuse("particles.particle_id", self.particle_id, again, "each particle once")

    def __len__(self) -> int:
        return len(self.particle_id)

    def __repr__(self) -> str:
        return f"Particles({len(self)} particles)"

    @property
    def pt(self) -> Float32:
        """Transverse momentum [GeV], float32 (n,)."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> Float32:
        """Pseudorapidity of the momentum, float32 (n,)."""
        return np.asarray(np.arcsinh(self.pz / np.maximum(self.pt, np.float32(1e-12))), np.float32)

    @property
    def phi(self) -> Float32:
        """Azimuth of the momentum [rad], float32 (n,)."""
        return np.asarray(np.arctan2(self.py, self.px), np.float32)

    @property
    def radius(self) -> Float32:
        """Transverse distance of the production vertex from the z axis [mm], float32 (n,)."""
        return np.hypot(self.vx, self.vy)


@dataclass
class Truth:
    """Which particle made each hit.

    Attributes:
        particle_id: uint64 (n_hits,); 0 is noise, and 0 too where the truth is unknown: ask `known`.
        known: bool (n_hits,); False means that the truth of the hit is unknown, which is not noise.
        particles: the simulated particles, or None where the event has no such table.
        weight: float32 (n_hits,), TrackML's weight of each hit, finite and never negative, or None.
    """

    particle_id: UInt64
    known: Bool
    particles: Particles | None = None
    weight: Float32 | None = None

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse columns of another type or length, bad weights, and particles that are no `Particles`."""
        columns: dict[str, Any] = {"particle_id": np.uint64, "known": np.bool_}
        if self.weight is not None:
            columns["weight"] = np.float32
        _check_columns("truth", self, columns)
        if self.weight is not None:
            good = np.isfinite(self.weight) & (self.weight >= 0)
            _refuse("truth.weight", self.weight, ~good, "finite numbers of at least 0")
        particles: Any = self.particles
        if particles is not None and not isinstance(particles, Particles):
            raise TypeError(f"truth.particles: expected rheinfall.Particles or None, got {type(particles).__name__}")

    def __repr__(self) -> str:
        return f"Truth({np.count_nonzero(self.known)} of {len(self.known)} hits known, {self.particles!r})"

    def take(self, index: Any) -> Truth:
        """The truth of the hits at `index`, in that order."""
        weight = None if self.weight is None else self.weight[index]
        return Truth(self.particle_id[index], self.known[index], self.particles, weight)


@dataclass
class Event:
    """One event: its hits, and its truth where there is some."""

    hits: Hits
    truth: Truth | None = None
    name: str = ""
    notes: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        hits: Any = self.hits
        truth: Any = self.truth
        if not isinstance(hits, Hits):
            raise TypeError(f"event.hits: expected rheinfall.Hits, got {type(hits).__name__}")
        if truth is not None and not isinstance(truth, Truth):
            raise TypeError(f"event.truth: expected rheinfall.Truth or None, got {type(truth).__name__}")
        if truth is not None and len(truth.particle_id) != len(hits):
            raise ValueError(f"event.truth: expected that of {len(hits)} hits, got {len(truth.particle_id)}")

    def take(self, index: Any) -> Event:
        """The event with the hits at `index` only, in that order."""
        truth = None if self.truth is None else self.truth.take(index)
        return Event(self.hits.take(index), truth, self.name, self.notes)
