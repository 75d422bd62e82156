"""The whole chain: hits in, tracks out."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from rheinfall._files import require_path
from rheinfall.event import Float32, Hits, Int64
from rheinfall.gnn import EdgeClassifier
from rheinfall.tracking import bundle
from rheinfall.tracking.bundle import Thresholds
from rheinfall.tracking.device import DeviceHits
from rheinfall.tracking.device_finder import DeviceTrackFinder, DeviceTracks
from rheinfall.tracking.fit_model import FitModel
from rheinfall.tracking.graph import TripletModel, build_graph
from rheinfall.tracking.hit_order import canonical_hit_order
from rheinfall.tracking.module_map import ModuleMap
from rheinfall.tracking.track_building import STATUSES, build_tracks
from rheinfall.tracking.track_fit import TrackParameters, fit_tracks
from rheinfall.tracking.tracks import Tracks


@dataclass(frozen=True, eq=False)
class ScoredGraph:
    """The pruned graph of an event's hits in canonical order, with scores.

    Attributes:
        order: int64 (n_hits,), node i of the graph is hit order[i] of the event.
        graph: its graph.
        scores: float32 (n_edges,).
        status: of graph construction.
        counts: hits, edges, pruned_edges (those left by pruning).
    """

    order: Int64
    graph: Any
    scores: Float32
    status: str
    counts: dict[str, int]


class TrackFinder:
    """Finds the tracks of an event: module map, pruning, edge classification, track building.

    Hits are sorted first, so that the tracks do not depend on their order, save for hits that agree in all fields; nor
    do they depend on the number of threads. One finder may be called from several Python threads; it pickles and
    survives a fork.

    Args:
        module_map: what connects modules.
        edge_classifier: what scores edges.
        thresholds: settings of pruning and track building.
        provenance: stored in the bundle and shown in `info`: seeds, versions, inputs, figures.
        name: shown in `info`.
        triplet_model: the detector's resolutions, for the triplet chi²; it must be that of the training.
        fit_model: resolutions, material and field for `fit`; by default made of `triplet_model`.
    """

    def __init__(
        self,
        module_map: ModuleMap,
        edge_classifier: EdgeClassifier,
        thresholds: Thresholds | None = None,
        provenance: dict[str, Any] | None = None,
        name: str = "",
        triplet_model: TripletModel | None = None,
        fit_model: FitModel | None = None,
    ) -> None:
        self.module_map = module_map
        self.edge_classifier = edge_classifier
        self.thresholds = thresholds or Thresholds()
        self.provenance = provenance or {}
        self.name = name
        self.triplet_model = triplet_model or TripletModel()
        self.fit_model = fit_model or FitModel.from_triplet_model(self.triplet_model)
        self._last = threading.local()
        self._devices: dict[int, DeviceTrackFinder] = {}

    def __repr__(self) -> str:
        return f"TrackFinder({self.name!r}, {self.module_map!r}, {self.edge_classifier!r})"

    @classmethod
    def load(cls, name_or_path: str | Path) -> TrackFinder:
        """Load a shipped bundle by name, or any bundle by the path of its folder.

        Raises:
            TypeError: neither a name nor a path.
            FileNotFoundError: no such bundle.
            ValueError: a file of it is damaged or missing, or it needs a newer release; the message names the file,
                the key and the reason.
        """
        folder = bundle.find_bundle(name_or_path)
        description = bundle.read_description(folder)
        path = folder / bundle.DESCRIPTION
        thresholds = bundle.read_thresholds(path, description["thresholds"])
        map_file = bundle.checked_file(folder, description, bundle.MODULE_MAP)
        is_lowered = bundle.EDGE_CLASSIFIER not in description["files"] and bundle.LOWERED in description["files"]
        network_file = bundle.checked_file(
            folder, description, bundle.LOWERED if is_lowered else bundle.EDGE_CLASSIFIER
        )
        load = EdgeClassifier.load_lowered if is_lowered else EdgeClassifier.load
        try:
            classifier = load(network_file, **description["edge_classifier"])
        except TypeError as error:
            raise ValueError(f"{path}: edge_classifier: {error}") from error
        model = bundle.read_triplet_model(path, description["triplet_model"])
        fit_model = bundle.read_fit_model(path, description["fit_model"]) if "fit_model" in description else None
        name = folder.resolve().name
        return cls(ModuleMap.load(map_file), classifier, thresholds, description["provenance"], name, model, fit_model)

    def save(self, path: str | Path) -> None:
        """Write a bundle: a folder with the map, the network, also lowered for C++, and at last `bundle.json`.

        A network that was not read from ONNX is stored lowered only.
        """
        folder = require_path("path", path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / bundle.DESCRIPTION).unlink(missing_ok=True)
        self.module_map.save(folder / bundle.MODULE_MAP, statistics=False)  # a tenth of the size
        for name in (bundle.EDGE_CLASSIFIER, bundle.LOWERED):
            (folder / name).unlink(missing_ok=True)
        if self.edge_classifier.has_onnx:
            self.edge_classifier.save(folder / bundle.EDGE_CLASSIFIER)
        if self.edge_classifier.engine == "fused":
            self.edge_classifier.save_lowered(folder / bundle.LOWERED)
        models: dict[str, FitModel | TripletModel] = {"triplet_model": self.triplet_model, "fit_model": self.fit_model}
        load_options = self.edge_classifier.load_options
        bundle.write_description(folder, self.thresholds, models, load_options, self.provenance)

    @overload
    def __call__(self, hits: Hits) -> Tracks: ...

    @overload
    def __call__(self, hits: DeviceHits) -> DeviceTracks: ...

    def __call__(self, hits: Hits | DeviceHits) -> Tracks | DeviceTracks:
        """The tracks among `hits`, as indices into them; numbered by their first hit in canonical order.

        Of `DeviceHits` they are found where these lie, see `to_device`; `timings` and `counts` are not for those.

        Nothing in an event raises: `status` of the tracks tells what was wrong with it.

        Raises:
            TypeError: not hits, or their fields were replaced by what the constructor of `Hits` refuses (ValueError:
                by arrays of another length).
            ValueError: an `edge_classifier` of one's own gave a score outside [0, 1].
        """
        if isinstance(hits, DeviceHits):
            return self.to_device(hits.device)(hits)
        if not isinstance(hits, Hits):
            raise TypeError(f"hits: expected Hits, got {type(hits).__name__}")
        timings: dict[str, float] = {}
        with _timed(timings, "total"):
            scored = self._score(hits, timings)
            with _timed(timings, "build"):
                tracks = self.build(scored)
        self._last.timings, self._last.counts = timings, {**scored.counts, "tracks": len(tracks)}
        return tracks

    def score_edges(self, hits: Hits) -> ScoredGraph:
        """The chain up to the scores, to try several thresholds of track building on with `build`."""
        return self._score(hits, {})

    def build(self, scored: ScoredGraph, thresholds: Thresholds | None = None, report: bool = False) -> Tracks:
        """Tracks from scored edges, by the finder's thresholds or by others (whose `chi2_max` comes too late).

        With `report`, `tracks.report` tells what became of the components; see `build_tracks`.
        """
        cuts = thresholds or self.thresholds
        tracks = build_tracks(
            scored.graph,
            scored.scores,
            cuts.method,
            score_cut=cuts.score_cut,
            sure=cuts.sure,
            weak=-math.inf if cuts.weak is None else cuts.weak,
            walk_min=cuts.walk_min,
            walk_add=cuts.walk_add,
            min_length=cuts.min_length,
            on_cycle="break",
            report=report,
        )
        return _renumber(tracks, scored.order, scored.status)

    def to_device(self, device: int = 0) -> DeviceTrackFinder:
        """The finder in the memory of a CUDA device, uploaded at the first call; raises as `DeviceTrackFinder`."""
        if device not in self._devices:
            self._devices[device] = DeviceTrackFinder(self, device)
        return self._devices[device]

    def fit(self, hits: Hits, tracks: Tracks) -> TrackParameters:
        """Helix parameters of `tracks` of these hits, by the finder's `fit_model`; see `fit_tracks`."""
        return fit_tracks(tracks, hits, self.fit_model)

    def _score(self, hits: Hits, timings: dict[str, float]) -> ScoredGraph:
        with _timed(timings, "sort"):
            order = canonical_hit_order(hits)
            ordered = hits.take(order)
        with _timed(timings, "graph"):
            graph = build_graph(ordered, self.module_map, self.triplet_model)
            status, n_edges = graph.status, graph.edge_index.shape[1]
        with _timed(timings, "prune"):
            if self.thresholds.chi2_max is not None:
                graph = graph.prune(self.thresholds.chi2_max, self.thresholds.quadruplet_chi2_max)
        with _timed(timings, "classify"):
            scores = self.edge_classifier(graph)
        counts = {"hits": len(hits), "edges": n_edges, "pruned_edges": graph.edge_index.shape[1]}
        return ScoredGraph(order, graph, scores, status, counts)

    @property
    def timings(self) -> dict[str, float]:
        """Milliseconds per stage of this thread's last event: sort, graph, prune, classify, build, total."""
        return dict(getattr(self._last, "timings", {}))

    @property
    def counts(self) -> dict[str, int]:
        """Sizes in this thread's last event: hits, edges, pruned_edges (those left by pruning), tracks."""
        return dict(getattr(self._last, "counts", {}))

    @property
    def info(self) -> dict[str, Any]:
        """Name, thresholds, network and provenance."""
        return {
            "name": self.name,
            "thresholds": asdict(self.thresholds),
            "triplet_model": asdict(self.triplet_model),
            "fit_model": asdict(self.fit_model),
            "edge_classifier": dict(self.edge_classifier.info),
            "provenance": self.provenance,
        }

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_last", "_devices")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._last = threading.local()
        self._devices = {}


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = 1e3 * (time.perf_counter() - start)


def _renumber(tracks: Tracks, order: Any, status: str) -> Tracks:
    """Tracks of sorted hits as tracks of the hits in their own order."""
    labels = np.empty_like(tracks.labels)
    labels[order] = tracks.labels
    worst = max(tracks.status, status, key=STATUSES.index)
    report = tracks.report
    if report is not None:
        component, is_unused = np.empty_like(report.component), np.empty_like(report.is_unused)
        component[order], is_unused[order] = report.component, report.is_unused
        report = replace(report, component=component, is_unused=is_unused)
    return Tracks(tracks.offsets, order[tracks.hits], labels, worst, report)
