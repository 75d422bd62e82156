"""The whole chain on a CUDA device: hits of PyTorch or CuPy in, tracks of the same package on the same device out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rheinfall import _core
from rheinfall._device_arrays import capsule, empty_like, package_of, stream_of
from rheinfall.tracking.device import ADVICE, DeviceHits
from rheinfall.tracking.graph import MAX_DOUBLETS, MAX_EDGES
from rheinfall.tracking.track_building import plan_of
from rheinfall.tracking.tracks import Tracks

if TYPE_CHECKING:
    from rheinfall.tracking.track_finder import TrackFinder

FIRST_ROOM = 24, 4, 1024  # doublets and edges of a hit, and so many more; an event that needs more says how much
COUNTS = ("edges", "pruned_edges", "doublets", "unknown_modules", "not_finite")


@dataclass(frozen=True, eq=False)
class DeviceTracks:
    """Tracks of one event on a CUDA device; `to_host()` copies them.

    Attributes:
        offsets, hits, labels, status: as of `Tracks`; arrays of the package of the hits, on their device.
        counts: of this event: edges, pruned_edges (those left by pruning), doublets, unknown_modules, not_finite.
    """

    offsets: Any
    hits: Any
    labels: Any
    status: str
    counts: dict[str, int]

    def __len__(self) -> int:
        return int(self.offsets.shape[0]) - 1

    def __repr__(self) -> str:
        return f"DeviceTracks({len(self)} tracks, {self.hits.shape[0]} hits, status={self.status!r})"

    def to_host(self) -> Tracks:
        """The same in host memory; waits."""
        offsets, hits, labels = (_to_host(array) for array in (self.offsets, self.hits, self.labels))
        return Tracks(offsets, hits, labels, self.status)


class DeviceTrackFinder:
    """A track finder whose map and network lie on a CUDA device: `finder.to_device()` makes one; the CPU's tracks.

    A network in bf16 is computed on tensor cores, whose scores differ from the CPU's as docs/gnn_cuda.md says.

    Raises:
        ValueError: what has no device version: quadruplets, networks not on the fused engine.
        RuntimeError: CUDA or the device is missing; the message says which.
    """

    def __init__(self, finder: TrackFinder, device: int = 0) -> None:
        cuts = finder.thresholds
        if cuts.quadruplet_chi2_max is not None:
            raise ValueError("quadruplet_chi2_max: quadruplets have no device version; expected None")
        plan = plan_of(cuts)
        plan.break_cycles = True
        network, name, scores = finder.edge_classifier.lowered()
        precision = finder.edge_classifier.precision
        model = finder.triplet_model.arguments()
        core = finder.module_map.core
        self._core = _core.FinderOnDevice(core, network, name, precision, scores, plan, cuts.chi2_max, *model, device)
        self.device = device

    def __call__(
        self, hits: DeviceHits, *, stream: Any = None, max_doublets: int = MAX_DOUBLETS, max_edges: int = MAX_EDGES
    ) -> DeviceTracks:
        """The tracks among `hits`; waits for some 80 bytes that say how many they are, nothing else is copied.

        Args:
            hits: on this device.
            stream: a stream's handle, or an object with one; by default the current stream of the hits' package.
            max_doublets, max_edges: an event that needs more has the status "capacity_exceeded" and no tracks.
        """
        handle = _stream(hits, stream)
        doublets_each, edges_each, more = FIRST_ROOM
        doublets, edges = (
            min(max_doublets, doublets_each * len(hits) + more),
            min(max_edges, edges_each * len(hits) + more),
        )
        while True:
            bound = BoundTrackFinder(self, hits, doublets, edges, stream=handle)
            bound.run(stream=handle)
            tracks = bound.tracks(stream=handle)
            if tracks.status != "capacity_exceeded":
                return tracks
            needed = max(doublets, tracks.counts["doublets"]), max(edges, tracks.counts["edges"])
            if needed[0] > max_doublets or needed[1] > max_edges or needed == (doublets, edges):
                return tracks
            doublets, edges = needed

    def bind(
        self, hits: DeviceHits, max_doublets: int, max_edges: int, *, n_hits: Any = None, stream: Any = None
    ) -> BoundTrackFinder:
        """The finder with the arrays of one event in flight; its `run()` neither allocates nor waits.

        Args:
            hits: arrays that hold an event whenever `run` reaches them.
            max_doublets, max_edges: room; 5 to 20 doublets for each edge are usual.
            n_hits: None, or an array of one 32-bit integer on the device: how many hits of the arrays there are.
        """
        return BoundTrackFinder(self, hits, max_doublets, max_edges, n_hits=n_hits, stream=stream)


class BoundTrackFinder:
    """What `DeviceTrackFinder.bind` gives: scratch memory and results of one event in flight, fit for CUDA graphs.

    One thread at a time may call it; each event in flight has its own.

    Attributes:
        offsets, hits, labels: int64 (n_hits + 1,), (n_hits,), (n_hits,), filled by `run`, of the package of the hits.
    """

    def __init__(
        self,
        finder: DeviceTrackFinder,
        hits: DeviceHits,
        max_doublets: int,
        max_edges: int,
        *,
        n_hits: Any = None,
        stream: Any = None,
    ) -> None:
        handle = _stream(hits, stream)
        n, x = len(hits), hits.x
        self.offsets, self.hits, self.labels = (
            empty_like(x, (size,), "int64", ADVICE) for size in (n + 1, max(n, 1), n)
        )
        scratch = empty_like(x, (finder._core.scratch_bytes(n, max_doublets, max_edges),), "uint8", ADVICE)
        out = (capsule(a, "out", handle, writable=True) for a in (self.offsets, self.hits, self.labels, scratch))
        word = None if n_hits is None else capsule(n_hits, "n_hits", handle)
        given = hits.capsules(handle)
        self._core = _core.BoundFinder(finder._core, *given, word, max_doublets, max_edges, *out)
        self._stream = handle

    def run(self, *, stream: Any = None) -> None:
        """Find the tracks of what the arrays hold, in the order of a stream (that of `bind`); returns at once."""
        self._core.run(self._stream if stream is None else stream_of(None, stream))

    def tracks(self, *, stream: Any = None) -> DeviceTracks:
        """What the last `run` found, as views of the arrays that the next one fills; waits for it."""
        handle = self._stream if stream is None else stream_of(None, stream)
        status, n_tracks, n_track_hits, *counts = self._core.read(handle)
        if status == "capacity_exceeded":
            n_tracks = n_track_hits = 0
        named = dict(zip(COUNTS, counts, strict=True))
        return DeviceTracks(self.offsets[: n_tracks + 1], self.hits[:n_track_hits], self.labels, status, named)


def _stream(hits: Any, stream: Any) -> int:
    if not isinstance(hits, DeviceHits):
        raise TypeError(f"hits: expected DeviceHits, got {type(hits).__name__}")
    return stream_of(hits.x, stream, name="hits.x")


def _to_host(array: Any) -> Any:
    return array.get() if package_of(array) == "cupy" else array.cpu().numpy()


__all__ = ["BoundTrackFinder", "DeviceTrackFinder", "DeviceTracks"]
