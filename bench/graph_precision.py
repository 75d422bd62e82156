"""Graph construction of a real event in double precision: how many edges float32 loses or adds, and why.

python bench/graph_precision.py [--event PREFIX] [--out FILE]

The quantities are those of `rheinfall.reference.graph_construction`, evaluated for all pairs and triples of hits of the
map's modules at once, in float32 (whose edges must be ours), in float64, and in float64 with limits that are a little
wider. Both precisions are held beside the reference itself on a sector of the pixels' barrel. Some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from environment import describe_environment

import rheinfall as rf
from rheinfall.reference import graph_construction as reference

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("RHEINFALL_SHARED", ROOT.parent / "shared"))
CHUNK = 1 << 20
"""Pairs or triples evaluated at once."""
WIDENING = 4e-6
"""Of the larger of a limit and its quantity's scale: what float32 may lose in a few operations."""
SCALES = np.array([1000, np.pi, 1e-2, 4] * 2 + [1, 0.1])  # mm, rad, rad/mm, 1, twice; dz/dr, rad


class Evaluation:
    """The edges of `hits` by `module_map` in one precision, with limits wider by `WIDENING` if `wider`."""

    def __init__(self, hits: rf.Hits, module_map: rf.ModuleMap, dtype: Any, wider: bool = False) -> None:
        self.points = reference.space_points(hits.x, hits.y, hits.z, dtype)
        self.hits, self.map, self.wider = hits, module_map, wider

    def edges(self) -> set[tuple[int, int]]:
        """Every edge that a triplet of hits within all limits keeps."""
        doublet, inner, outer = self._pairs()
        modules, _ = self.map.doublets()
        triplets, _, limits = self.map.triplets()
        limits = self._limits(limits, SCALES)
        number = {(int(a), int(b)): d for d, (a, b) in enumerate(modules)}
        first = np.array([number[int(a), int(b)] for a, b, _ in triplets])
        second = np.array([number[int(b), int(c)] for _, b, c in triplets])
        n_hits = len(self.hits)
        leaving = np.lexsort((outer, inner, doublet))  # pairs 23 by doublet, then by their inner hit
        key = doublet[leaving] * n_hits + inner[leaving]
        of_first = np.argsort(first, kind="stable")
        start = np.searchsorted(first[of_first], np.arange(len(modules) + 1))
        kept: list[Any] = []
        for some in _chunks(start[doublet + 1] - start[doublet]):
            pair, rank = _expand((start[doublet + 1] - start[doublet])[some], some)
            triplet = of_first[start[doublet[pair]] + rank]
            wanted = second[triplet] * n_hits + outer[pair]
            low, high = np.searchsorted(key, wanted, "left"), np.searchsorted(key, wanted, "right")
            which, rank = _expand(high - low, np.arange(len(low)))
            next_pair = leaving[low[which] + rank]
            a, b, c = inner[pair[which]], outer[pair[which]], outer[next_pair]
            quantities = reference.triple_quantities(self.map.bend, self.points[a], self.points[b], self.points[c])
            cut = limits[triplet[which]]
            passed = ((quantities >= cut[..., 0]) & (quantities <= cut[..., 1])).all(axis=-1)
            kept += [np.stack([a, b], 1)[passed], np.stack([b, c], 1)[passed]]
        return set(map(tuple, np.unique(np.concatenate(kept), axis=0).tolist()))

    def _pairs(self) -> tuple[Any, Any, Any]:
        """Doublet, inner and outer hit of every pair within the limits of its doublet."""
        modules, limits = self.map.doublets()
        limits = self._limits(limits, SCALES[:4])
        hits = self.hits
        known = np.isfinite(hits.x) & np.isfinite(hits.y) & np.isfinite(hits.z)
        order = np.flatnonzero(known)[np.argsort(hits.module_id[known], kind="stable")]
        ids = hits.module_id[order]
        low, high = np.searchsorted(ids, modules, "left"), np.searchsorted(ids, modules, "right")
        n = high - low
        found: list[Any] = []
        for some in _chunks(n[:, 0] * n[:, 1]):
            d, rank = _expand((n[:, 0] * n[:, 1])[some], some)
            a, b = order[low[d, 0] + rank // n[d, 1]], order[low[d, 1] + rank % n[d, 1]]
            quantities = reference.doublet_quantities(self.points[a], self.points[b])
            passed = ((quantities >= limits[d, :, 0]) & (quantities <= limits[d, :, 1])).all(axis=-1) & (a != b)
            found.append(np.stack([d, a, b])[:, passed])
        doublet, inner, outer = np.concatenate(found, axis=1)
        return doublet, inner, outer

    def _limits(self, limits: Any, scales: Any) -> Any:
        if not self.wider:
            return limits
        room = WIDENING * np.maximum(np.abs(limits), scales[:, None])
        return limits + room * np.array([-1, 1])


def _chunks(counts: Any) -> Any:
    """Consecutive indices whose counts sum to about `CHUNK`."""
    end = np.cumsum(counts)
    return np.split(np.arange(len(counts)), np.searchsorted(end, np.arange(CHUNK, end[-1] if len(end) else 0, CHUNK)))


def _expand(counts: Any, index: Any) -> tuple[Any, Any]:
    """Each index as often as its count says, and the number of the repetition."""
    repeated = np.repeat(np.arange(len(index)), counts)
    return index[repeated], np.arange(len(repeated)) - np.repeat(np.cumsum(counts) - counts, counts)


class Part:
    """A module map's doublets and triplets of some modules, for the reference, which looks at every one."""

    def __init__(self, module_map: rf.ModuleMap, modules: Any) -> None:
        self.map, self.modules, self.bend = module_map, np.unique(modules), module_map.bend
        self.n_triplets = module_map.n_triplets

    def doublets(self) -> tuple[Any, Any]:
        modules, limits = self.map.doublets()
        known = np.isin(modules, self.modules).all(axis=1)
        return modules[known], limits[known]

    def triplets(self) -> tuple[Any, Any, Any]:
        modules, occurrence, limits = self.map.triplets()
        known = np.isin(modules, self.modules).all(axis=1)
        return modules[known], occurrence[known], limits[known]


def _equals_reference(hits: rf.Hits, module_map: rf.ModuleMap) -> bool:
    """Whether both precisions have the reference's edges on the modules around phi = 0 of the pixels' barrel."""
    sector = (hits.module_id >> np.uint64(56) == 8) & (np.abs(np.arctan2(hits.y, hits.x)) < 0.3)
    some = hits.take(np.flatnonzero(np.isin(hits.module_id, np.unique(hits.module_id[sector]))))
    part = Part(module_map, some.module_id)
    arrays = (some.x, some.y, some.z, some.module_id)
    return all(
        Evaluation(some, module_map, dtype).edges()
        == set(map(tuple, reference.build_graph(*arrays, part, dtype).T.tolist()))
        for dtype in (np.float32, np.float64)
    )


def _compare(hits: rf.Hits, module_map: rf.ModuleMap) -> dict[str, int]:
    ours = set(map(tuple, rf.build_graph(hits, module_map).edge_index.T.tolist()))
    single = Evaluation(hits, module_map, np.float32).edges()
    double = Evaluation(hits, module_map, np.float64).edges()
    wider = Evaluation(hits, module_map, np.float64, wider=True).edges()
    return {
        "hits": len(hits),
        "edges": len(ours),
        "float32_edges_that_differ_from_ours": len(ours ^ single),
        "float64_edges": len(double),
        "only_in_float32": len(ours - double),
        "only_in_float64": len(double - ours),
        f"only_in_float32_with_limits_wider_by_{WIDENING:g}": len(ours - wider),
    }


def main() -> int:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--event", default=str(SHARED / "data" / "trackml" / "event21000" / "event000021000"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "graph_precision.json")
    args = parser.parse_args()
    module_map = rf.ModuleMap.load(Path(rf.__file__).parent / "bundles" / "trackml" / "module_map.rfmap")
    hits = rf.io.read_event(args.event).hits
    report = {
        "event": Path(args.event).name,
        "equals_the_reference_on_a_sector_of_volume_8": _equals_reference(hits, module_map),
        "all_hits": _compare(hits, module_map),
    }
    out = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "environment": describe_environment(), **report}
    args.out.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0 if report["equals_the_reference_on_a_sector_of_volume_8"] else 1


if __name__ == "__main__":
    sys.exit(main())
