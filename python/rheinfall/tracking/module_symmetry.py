"""Symmetries of a detector: each event teaches a module map once more for each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rheinfall.event import Float64, Hits, UInt64


@dataclass(frozen=True)
class ModuleSymmetry:
    """A map of the detector onto itself.

    Attributes:
        signs: factors of x, y and z, each 1 or -1.
        modules: uint64 (n,), ascending.
        images: uint64 (n,), where each of them goes.
    """

    signs: tuple[int, int, int]
    modules: UInt64
    images: UInt64

    def apply(self, hits: Hits) -> Hits:
        """The hits as the symmetry moves them.

        Raises:
            ValueError: a hit's module is not among `modules`.
        """
        at = np.minimum(np.searchsorted(self.modules, hits.module_id), len(self.modules) - 1)
        unknown = np.flatnonzero(self.modules[at] != hits.module_id)
        if len(unknown):
            raise ValueError(f"hits.module_id: module {hits.module_id[unknown[0]]} is not part of the symmetry")
        x, y, z = (np.float32(s) * getattr(hits, a) for s, a in zip(self.signs, "xyz", strict=True))
        return Hits(x, y, z, self.images[at], hits.hit_id)


def find_symmetries(module_id: UInt64, centres: Float64, tolerance: float = 3.5) -> list[ModuleSymmetry]:
    """Rotation by π, reflection z → -z and both, as far as they map module centres one to one.

    Args:
        module_id: uint64 (n,).
        centres: float64 (n, 3) [mm].
        tolerance: how far an image may lie from a module's centre [mm].
    """
    order = np.argsort(module_id)
    ids, centres = module_id[order], np.asarray(centres, np.float64)[order]
    found = []
    for signs in ((-1, -1, 1), (1, 1, -1), (-1, -1, -1)):
        image = _match(centres * np.asarray(signs, np.float64), centres, tolerance)
        if image is not None:
            found.append(ModuleSymmetry(signs, ids, ids[image]))
    return found


def _match(moved: Float64, centres: Float64, tolerance: float) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """For each moved centre the nearest module, or None unless that is one to one and within tolerance."""
    by_z = np.argsort(centres[:, 2], kind="stable")
    z = centres[by_z, 2]
    first = np.searchsorted(z, moved[:, 2] - tolerance)
    last = np.searchsorted(z, moved[:, 2] + tolerance, side="right")
    nearest = np.full(len(moved), -1, np.int64)
    for i in range(len(moved)):
        near = by_z[first[i] : last[i]]
        if len(near) == 0:
            return None
        distance = ((centres[near] - moved[i]) ** 2).sum(axis=1)
        best = int(distance.argmin())
        if distance[best] > tolerance**2:
            return None
        nearest[i] = near[best]
    return nearest if len(np.unique(nearest)) == len(nearest) else None
