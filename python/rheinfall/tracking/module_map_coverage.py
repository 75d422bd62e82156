"""How well training covered a detector: by layer, how many modules a map knows and how often it saw its triplets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheinfall.event import LAYER_SHIFT, UInt64, decode_module_id
from rheinfall.tracking.module_map import ModuleMap


@dataclass(frozen=True)
class LayerCoverage:
    """What a map knows of one layer; a triplet counts on each layer that it touches.

    Attributes:
        volume, layer: numbers of the layer.
        n_modules: its modules that occur in the map.
        n_missing: its modules that do not, of those of the detector; None if they were not given.
        n_doublets: doublets that touch it.
        n_triplets: triplets that touch it.
        median_occurrence: of these triplets; 0 without any.
        rare_share: of the triples that training saw on these triplets, the share on triplets of the rarest octave:
            seen less than twice as often as the rarest triplet of the map. If that was seen once, this is the chance
            that the next true triple lies on a triplet of modules that the map does not have (I. J. Good, Biometrika
            40 (1953) 237). NaN without triplets.
    """

    volume: int
    layer: int
    n_modules: int
    n_missing: int | None
    n_doublets: int
    n_triplets: int
    median_occurrence: float
    rare_share: float

    @property
    def name(self) -> str:
        """The layer for people."""
        return f"{self.volume}/{self.layer}"


@dataclass(frozen=True)
class Coverage:
    """Coverage of every layer, and of all together.

    Attributes:
        layers: by volume and layer.
        min_occurrence: of the rarest triplet; 0 for a map without triplets.
        rare_share: as of a layer, over all triplets.
    """

    layers: list[LayerCoverage]
    min_occurrence: int
    rare_share: float

    def thin(self, limit: float) -> list[str]:
        """One line for each layer of which a module is missing, or whose `rare_share` is above `limit`."""
        lines = []
        for layer in self.layers:
            if layer.n_missing:
                total = layer.n_modules + layer.n_missing
                lines.append(f"layer {layer.name}: {layer.n_missing} of {total} modules in no doublet")
            if layer.rare_share > limit:
                lines.append(f"layer {layer.name}: {layer.rare_share:.1%} of the triples on {self.rare_triplets}")
        return lines

    @property
    def rare_triplets(self) -> str:
        """The rarest octave for people."""
        least, most = self.min_occurrence, 2 * self.min_occurrence - 1
        return "triplets seen once" if most == 1 else f"triplets seen {least} to {most} times"


def measure_coverage(module_map: ModuleMap, module_id: UInt64 | None = None) -> Coverage:
    """Coverage by layer.

    Args:
        module_map: any map; with its statistics occurrences are exact, without them rounded down to powers of 2.
        module_id: uint64 (n,), all modules of the detector, to find those that the map lacks.
    """
    triplets, occurrence = module_map.core.triplets()[0], module_map.occurrences()
    least = int(occurrence.min()) if len(occurrence) else 0
    rare = occurrence < np.uint64(2 * least)
    doublets = module_map.core.doublets()[0] >> np.uint64(LAYER_SHIFT)
    known = module_map.modules
    missing = np.setdiff1d(np.empty(0, np.uint64) if module_id is None else module_id, known)
    on = triplets >> np.uint64(LAYER_SHIFT)
    layers = []
    for layer in np.unique(np.concatenate([known, missing]) >> np.uint64(LAYER_SHIFT)):
        touching = (on == layer).any(axis=1)
        counts = occurrence[touching]
        volume, number, _ = (int(v) for v in decode_module_id(layer << np.uint64(LAYER_SHIFT)))
        n_missing = _count(missing, layer)
        layers.append(
            LayerCoverage(
                volume=volume,
                layer=number,
                n_modules=_count(known, layer),
                n_missing=None if module_id is None else n_missing,
                n_doublets=int((doublets == layer).any(axis=1).sum()),
                n_triplets=len(counts),
                median_occurrence=float(np.median(counts)) if len(counts) else 0.0,
                rare_share=_share(counts, rare[touching]),
            )
        )
    return Coverage(layers, least, _share(occurrence, rare))


def _count(modules: UInt64, layer: np.uint64) -> int:
    return int(np.count_nonzero(modules >> np.uint64(LAYER_SHIFT) == layer))


def _share(counts: UInt64, chosen: NDArray[np.bool_]) -> float:
    total = int(counts.sum())
    return int(counts[chosen].sum()) / total if total else float("nan")
