"""A small tracking detector to simulate: what its modules are, and where.

The demo detector has eight barrel layers (four of pixels, four of strips) and six discs on each side, in a solenoid
whose field points along z. A *module* is one flat sensor: a plane with a local frame (u, v), u along the azimuth, v
along z in the barrel and along the radius in a disc. Its outline is a trapezoid that is symmetric in u.

Neighbouring modules overlap, so that no track slips between them: neighbours in azimuth stand on alternating sides of
the layer's nominal surface (`phi_stagger`), neighbours in z or in radius likewise (`row_stagger`). A track through an
overlap makes one hit on each of them, at slightly different radii. Real trackers are built that way; the tiling here
is ours and copies none of them.

    x, y, z    global frame [mm], z along the beam and the field
    layer      a cylinder or a disc; (volume, layer) is its number: volume 1 and 3 are the end caps at z < 0 and z > 0,
               volume 2 is the barrel; layers count from 1, away from the collision
    row        modules of one layer at the same z (barrel) or radius (disc); a ring of `n_phi` modules
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from rheinfall.event import Float64, Int64, UInt64, encode_module_id

ENDCAP_NEGATIVE, BARREL, ENDCAP_POSITIVE = 1, 2, 3


@dataclass(frozen=True)
class BarrelLayer:
    """A cylinder around the beam, tiled with `n_phi` x `n_rows` rectangular modules.

    Lengths in mm. Modules are wider than their share of the circumference by the factor 1 + `phi_overlap`, and longer
    than their share of the length by `row_overlap` [mm].
    """

    radius: float
    half_length: float
    n_phi: int
    n_rows: int
    pitch_u: float
    pitch_v: float
    x0: float  # thickness in radiation lengths at normal incidence
    phi_overlap: float = 0.06
    row_overlap: float = 5.0
    phi_stagger: float = 0.8
    row_stagger: float = 0.2
    first_module: int = 0  # row of the detector's module table where this layer starts

    def row_of(self, z: Float64) -> Float64:
        """Position of z in units of rows: row j covers [j, j + 1]."""
        return (z + self.half_length) * (self.n_rows / (2.0 * self.half_length))


@dataclass(frozen=True)
class DiscLayer:
    """A disc across the beam, tiled with rings of trapezoidal modules.

    Lengths in mm. `edges` are the n_rows + 1 radii between rings; each ring has its own number of modules and pitch.
    """

    z: float
    edges: tuple[float, ...]
    n_phi: tuple[int, ...]
    pitch_u: tuple[float, ...]
    pitch_v: tuple[float, ...]
    x0: float
    phi_overlap: float = 0.06
    row_overlap: float = 4.0
    phi_stagger: float = 1.5
    row_stagger: float = 3.0
    first_module: int = 0

    @property
    def n_rows(self) -> int:
        """Number of rings."""
        return len(self.n_phi)


@dataclass(frozen=True, eq=False)
class Modules:
    """All modules of a detector, one per row.

    Attributes:
        module_id: uint64 (n,), see `rheinfall.encode_module_id`.
        volume, layer: int64 (n,), as encoded in module_id.
        centre: float64 (n, 3) [mm].
        u, v, normal: float64 (n, 3), the unit vectors of the local frame; normal = u x v up to sign.
        half_u_min, half_u_max: float64 (n,), half width at v = -half_v and at v = +half_v [mm].
        half_v: float64 (n,), half length [mm].
        pitch_u, pitch_v: float64 (n,), size of one pixel or strip [mm].
    """

    module_id: UInt64
    volume: Int64
    layer: Int64
    centre: Float64
    u: Float64
    v: Float64
    normal: Float64
    half_u_min: Float64
    half_u_max: Float64
    half_v: Float64
    pitch_u: Float64
    pitch_v: Float64

    def __len__(self) -> int:
        return len(self.module_id)

    @property
    def area(self) -> Float64:
        """Area of each module [mm^2], float64 (n,)."""
        return 2.0 * self.half_v * (self.half_u_min + self.half_u_max)

    def half_width(self, index: Int64, v: Float64) -> Float64:
        """Half width [mm] of the modules at rows `index`, at local coordinate v [mm]."""
        slope = (self.half_u_max[index] - self.half_u_min[index]) / (2.0 * self.half_v[index])
        return np.asarray(self.half_u_min[index] + slope * (v + self.half_v[index]))

    def to_global(self, index: Int64, u: Float64, v: Float64) -> Float64:
        """Points [mm] (m, 3) at local coordinates (u, v) [mm] of the modules at rows `index`."""
        return np.asarray(self.centre[index] + u[:, None] * self.u[index] + v[:, None] * self.v[index])

    def to_local(self, index: Int64, points: Float64) -> tuple[Float64, Float64, Float64]:
        """Local (u, v) and the distance from the plane [mm] of global points (m, 3), on the modules at rows `index`."""
        delta = points - self.centre[index]
        frame = (self.u[index], self.v[index], self.normal[index])
        u, v, w = (np.asarray(np.einsum("ij,ij->i", delta, axis)) for axis in frame)
        return u, v, w

    def corners(self) -> Float64:
        """The four corners of each module [mm], float64 (n, 4, 3), in cyclic order, for drawing."""
        n = np.arange(len(self))
        low, high = self.half_u_min, self.half_u_max
        outline = ((-low, -self.half_v), (low, -self.half_v), (high, self.half_v), (-high, self.half_v))
        return np.stack([self.to_global(n, u, v) for u, v in outline], axis=1)

    def rows_of(self, module_id: UInt64) -> Int64:
        """Row of each module_id (m,) in this table; ValueError if one is not in the detector."""
        order = np.argsort(self.module_id)
        found = np.minimum(np.searchsorted(self.module_id, module_id, sorter=order), len(self) - 1)
        rows = order[found]
        unknown = np.flatnonzero(self.module_id[rows] != module_id)
        if len(unknown):
            raise ValueError(f"module_id: {int(module_id[unknown[0]])} at index {unknown[0]} is not in this detector")
        return rows


@dataclass(frozen=True, eq=False)
class Detector:
    """Layers, their modules, and the field.

    Attributes:
        barrel: from inside to outside; every |z| is smaller than that of any disc.
        discs: the discs at z > 0, by increasing z. Each stands mirrored at z < 0 too.
        modules: the module table; a layer's modules start at its `first_module`, row by row, then by azimuth. The
            mirrored discs start `mirror_offset` rows later.
        field: flux density along z [T].
    """

    barrel: tuple[BarrelLayer, ...]
    discs: tuple[DiscLayer, ...]
    modules: Modules
    mirror_offset: int
    field: float


def _tile_ring(n_phi: int, row: int, phi_stagger: float, row_stagger: float) -> tuple[Float64, Float64]:
    """Azimuth [rad] and offset from the nominal surface [mm] of the modules of one row; n_phi must be even."""
    if n_phi % 2:
        raise ValueError(f"n_phi: expected an even number, so that neighbours alternate around the ring, got {n_phi}")
    k = np.arange(n_phi)
    offset = np.where(k % 2 == 0, -phi_stagger, phi_stagger) + (-row_stagger if row % 2 == 0 else row_stagger)
    return 2.0 * np.pi * k / n_phi, offset


def _columns(**values: Any) -> dict[str, Float64]:
    """Broadcast scalars and arrays to columns of one length."""
    return dict(zip(values, (np.array(a) for a in np.broadcast_arrays(*values.values())), strict=True))


def _tile_barrel(layer: BarrelLayer, row: int) -> dict[str, Float64]:
    phi, offset = _tile_ring(layer.n_phi, row, layer.phi_stagger, layer.row_stagger)
    length = 2.0 * layer.half_length / layer.n_rows
    radius = layer.radius + offset
    half_u = radius * np.tan(np.pi / layer.n_phi) * (1.0 + layer.phi_overlap)
    return _columns(
        phi=phi,
        radius=radius,
        z=-layer.half_length + (row + 0.5) * length,
        half_u_min=half_u,
        half_u_max=half_u,
        half_v=0.5 * (length + layer.row_overlap),
        pitch_u=layer.pitch_u,
        pitch_v=layer.pitch_v,
    )


def _tile_disc(layer: DiscLayer, row: int, side: int) -> dict[str, Float64]:
    n_phi = layer.n_phi[row]
    phi, offset = _tile_ring(n_phi, row, layer.phi_stagger, layer.row_stagger)
    low, high = layer.edges[row] - 0.5 * layer.row_overlap, layer.edges[row + 1] + 0.5 * layer.row_overlap
    slope = np.tan(np.pi / n_phi) * (1.0 + layer.phi_overlap)
    return _columns(
        phi=phi,
        radius=0.5 * (low + high),
        z=side * (layer.z + offset),
        half_u_min=low * slope,
        half_u_max=high * slope,
        half_v=0.5 * (high - low),
        pitch_u=layer.pitch_u[row],
        pitch_v=layer.pitch_v[row],
    )


def _local_frames(phi: Float64, barrel: bool) -> dict[str, Float64]:
    zero, one = np.zeros_like(phi), np.ones_like(phi)
    azimuth = np.stack([-np.sin(phi), np.cos(phi), zero], axis=1)
    radial = np.stack([np.cos(phi), np.sin(phi), zero], axis=1)
    along_z = np.stack([zero, zero, one], axis=1)
    return {"u": azimuth, "v": along_z if barrel else radial, "normal": radial if barrel else along_z}


def build_detector(barrel: tuple[BarrelLayer, ...], discs: tuple[DiscLayer, ...], field: float = 2.0) -> Detector:
    """Number and place the modules of the given layers; `discs` are those at z > 0 and are mirrored.

    Raises:
        ValueError: a layer whose rows have an odd number of modules, or a barrel that reaches beyond the first disc.
    """
    reach = max((layer.half_length + layer.row_overlap for layer in barrel), default=0.0)
    for disc in discs:
        if disc.z - disc.phi_stagger - disc.row_stagger <= reach:
            raise ValueError(f"discs: expected every disc beyond the barrel's end at {reach} mm, got z = {disc.z} mm")
    columns: list[dict[str, Float64]] = []
    count = 0

    def add(volume: int, layer: int, rings: list[dict[str, Float64]]) -> int:
        nonlocal count
        first = count
        merged = {name: np.concatenate([ring[name] for ring in rings]) for name in rings[0]}
        n = len(merged["phi"])
        merged |= _columns(volume=np.full(n, volume), layer=layer, module=np.arange(1, n + 1))
        merged |= _local_frames(merged["phi"], volume == BARREL)
        columns.append(merged)
        count += n
        return first

    def place_disc(number: int, disc: DiscLayer, side: int) -> int:
        volume = ENDCAP_POSITIVE if side > 0 else ENDCAP_NEGATIVE
        return add(volume, number, [_tile_disc(disc, row, side) for row in range(disc.n_rows)])

    placed_barrel = tuple(
        replace(x, first_module=add(BARREL, i, [_tile_barrel(x, row) for row in range(x.n_rows)]))
        for i, x in enumerate(barrel, 1)
    )
    placed_discs = tuple(replace(x, first_module=place_disc(i, x, +1)) for i, x in enumerate(discs, 1))
    mirror_offset = count - placed_discs[0].first_module if discs else 0
    for i, disc in enumerate(discs, 1):
        place_disc(i, disc, -1)
    table = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
    phi, radius = table.pop("phi"), table.pop("radius")
    centre = np.stack([radius * np.cos(phi), radius * np.sin(phi), table.pop("z")], axis=1)
    module_id = encode_module_id(table["volume"], table["layer"], table.pop("module"))
    modules = Modules(module_id=module_id, centre=centre, **table)
    for column in fields(modules):
        getattr(modules, column.name).setflags(write=False)  # the demo detector is shared by all who ask for it
    return Detector(placed_barrel, placed_discs, modules, mirror_offset, field)


@lru_cache(maxsize=1)
def demo_detector() -> Detector:
    """The detector of `rheinfall.simulation.simulate`: 8 barrel layers, 6 discs per side, 2 T.

    Pixels of 50 um x 100 um inside a radius of 190 mm, strips of 80 um x 1.2 mm outside. Few, large modules, so that
    a module map of it stays small. It covers |eta| < 3 with at least 7 layers.
    """
    pixel: dict[str, Any] = {"half_length": 600.0, "pitch_u": 0.05, "pitch_v": 0.1, "x0": 0.015, "n_rows": 8}
    strip: dict[str, Any] = {"half_length": 600.0, "pitch_u": 0.08, "pitch_v": 1.2, "x0": 0.02, "n_rows": 4}
    barrel = (
        *(BarrelLayer(radius=r, n_phi=n, **pixel) for r, n in ((32.0, 12), (72.0, 16), (116.0, 24), (172.0, 32))),
        *(BarrelLayer(radius=r, n_phi=n, **strip) for r, n in ((260.0, 24), (360.0, 28), (500.0, 36), (680.0, 44))),
    )
    discs = tuple(
        DiscLayer(
            z=z,
            edges=(35.0, 100.0, 190.0, 400.0, 700.0),
            n_phi=(16, 24, 24, 32),
            pitch_u=(0.05, 0.05, 0.08, 0.08),
            pitch_v=(0.1, 0.1, 1.2, 1.2),
            x0=0.018,
        )
        for z in (650.0, 780.0, 930.0, 1100.0, 1300.0, 1550.0)
    )
    return build_detector(barrel, discs)
