"""A module map built with a dictionary: the definition of `rheinfall.ModuleMap.build` and of the limits it stores."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rheinfall.event import LAYER_SHIFT, Float32
from rheinfall.reference.graph_construction import space_points, triple_quantities

MOST_FIXED = 1048576.0
_PAIR_SCALES = (64.0, 262144.0, 67108864.0, 65536.0)
Modules = tuple[int, ...]


def scales(bend: str) -> tuple[float, ...]:
    """Fixed-point units per unit of each quantity, in which sums are kept, so that merging is exact."""
    return (*_PAIR_SCALES, *_PAIR_SCALES, 32768.0, 262144.0 if bend == "angle" else 4096.0)


@dataclass
class Record:
    """What was seen of one module triplet."""

    occurrence: int = 0
    low: list[float] = field(default_factory=lambda: [math.inf] * 10)
    high: list[float] = field(default_factory=lambda: [-math.inf] * 10)
    total: list[int] = field(default_factory=lambda: [0] * 10)
    squares: list[int] = field(default_factory=lambda: [0] * 10)

    def add(self, quantities: Sequence[float], units: Sequence[float]) -> None:
        """Count one triple."""
        self.occurrence += 1
        for q, value in enumerate(quantities):
            fixed = round(min(max(value * units[q], -MOST_FIXED), MOST_FIXED))  # ties to even
            self.low[q], self.high[q] = min(self.low[q], value), max(self.high[q], value)
            self.total[q] += fixed
            self.squares[q] += fixed * fixed

    def scatter(self, q: int) -> float:
        """Sum of squared deviations from the mean, in fixed-point units."""
        total = float(self.total[q])
        return max(0.0, float(self.squares[q]) - total * total / float(self.occurrence))


Records = dict[Modules, Record]


def add_event(records: Records, hits: Any, triples: Any, bend: str) -> None:
    """Add the hit triples (n, 3) of one event."""
    points = space_points(hits.x, hits.y, hits.z)
    a, b, c = triples.T
    quantities = triple_quantities(bend, points[a], points[b], points[c])
    for triple, values in zip(triples, quantities.tolist(), strict=True):
        modules = tuple(int(m) for m in hits.module_id[triple])
        records.setdefault(modules, Record()).add(values, scales(bend))


def widened_limits(
    records: Records,
    bend: str,
    *,
    absolute: Sequence[float] = (0.0,) * 6,
    relative: float = 0.0,
    sigmas: float = 2.0,
    sigmas_differences: float = 4.0,
    prior_weight: float = 4.0,
    core: float = 5.0,
    min_occurrence: int = 1,
    remove_two_cycles: bool = True,
    max_phi_slope: float = 1e30,
) -> dict[Modules, Float32]:
    """Limits (10, 2) of each triplet that stays, before they are coded; see `rheinfall.ModuleMap.with_limits`."""
    pooled, freedom = _pools(records)
    kept = {m: r for m, r in sorted(records.items()) if r.occurrence >= min_occurrence}
    if remove_two_cycles:
        kept = _without_two_cycles(kept)
    result = {}
    for modules, record in kept.items():
        layers, n, ends = _layers(modules), float(record.occurrence), []
        for q, unit in enumerate(scales(bend)):
            prior = pooled[layers][q] / freedom[layers] if freedom[layers] > 0 else 0.0
            variance = (record.scatter(q) + prior_weight * prior) / (n + prior_weight)
            factor = sigmas if q < 8 else sigmas_differences
            fixed = absolute[q % 4 if q < 8 else q - 4]
            margin = fixed + relative * (record.high[q] - record.low[q]) + factor * math.sqrt(variance / n) / unit
            mean = float(record.total[q]) / n / unit
            spread = record.occurrence > 1 and variance > 0
            reach = core * math.sqrt(variance) / unit if spread else math.inf
            low = min(max(record.low[q] - margin, mean - reach), mean)
            high = max(min(record.high[q] + margin, mean + reach), mean)
            ends.append((round_down(low), -round_down(-high)))
        cut = np.array(ends, np.float32)
        most = -round_down(-max_phi_slope)
        cut[[2, 6]] = np.clip(cut[[2, 6]], [-most, -np.inf], [np.inf, most])
        if (cut[:, 0] <= cut[:, 1]).all():
            result[modules] = cut
    return result


def code_limits(limits: dict[Modules, Float32]) -> tuple[dict[Modules, Float32], dict[Modules, Float32]]:
    """Limits of doublets (4, 2), and of triplets (10, 2) as they are after coding: each at least as wide as given."""
    doublets: dict[Modules, Float32] = {}
    for (m1, m2, m3), cut in limits.items():
        for pair, part in (((m1, m2), cut[:4]), ((m2, m3), cut[4:8])):
            old = doublets.get(pair, part)
            doublets[pair] = np.stack([np.minimum(old[:, 0], part[:, 0]), np.maximum(old[:, 1], part[:, 1])], axis=1)
    coded: dict[Modules, Float32] = {}
    for (m1, m2, m3), cut in limits.items():
        ranges = np.concatenate([doublets[m1, m2], doublets[m2, m3]])
        ends = [code_within(pair, end) for pair, end in zip(ranges, cut[:8], strict=True)]
        ends += [(bfloat16_down(low), -bfloat16_down(-high)) for low, high in cut[8:]]
        coded[m1, m2, m3] = np.array(ends, np.float32)
    return doublets, coded


def code_within(outer: Any, given: Any) -> tuple[Any, Any]:
    """`given` with its ends moved outward to the nearest of 256 fractions of the range `outer`."""
    step = (outer[1] - outer[0]) / np.float32(255)
    codes = np.arange(256, dtype=np.float32)
    lows, highs = outer[0] + codes * step, outer[1] - codes * step
    return lows[lows <= given[0]].max(), highs[highs >= given[1]].min()


def bfloat16_down(value: Any) -> Any:
    """The largest bfloat16, which is the upper half of a float32, that is not above `value`."""
    bits = np.array([value], np.float32).view(np.uint32)
    cut = bits & np.uint32(0xFFFF0000)
    if cut.view(np.float32)[0] > value:
        cut = cut + np.uint32(0x10000)
    return np.float32(cut.view(np.float32)[0])


def round_down(value: float) -> Any:
    """The largest float32 that is not above `value`."""
    rounded = np.float32(value)
    return np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > value else rounded


def _layers(modules: Modules) -> Modules:
    return tuple(m >> LAYER_SHIFT for m in modules)


def _pools(records: Records) -> tuple[dict[Modules, list[float]], dict[Modules, float]]:
    """Scatter and degrees of freedom of all triplets on the same three layers."""
    scatter: dict[Modules, list[float]] = defaultdict(lambda: [0.0] * 10)
    freedom: dict[Modules, float] = defaultdict(float)
    for modules, record in sorted(records.items()):
        layers = _layers(modules)
        scatter[layers] = [s + record.scatter(q) for q, s in enumerate(scatter[layers])]
        freedom[layers] += float(record.occurrence - 1)
    return scatter, freedom


def _without_two_cycles(records: Records) -> Records:
    counts: dict[Modules, int] = defaultdict(int)
    for (m1, m2, m3), record in records.items():
        counts[m1, m2] += record.occurrence
        counts[m2, m3] += record.occurrence

    def loses(a: int, b: int) -> bool:
        forward, reverse = counts[a, b], counts.get((b, a), 0)
        return reverse > 0 and (forward < reverse or (forward == reverse and a > b))

    return {m: r for m, r in records.items() if not loses(m[0], m[1]) and not loses(m[1], m[2])}
