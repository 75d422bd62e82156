"""The tracks of one event."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rheinfall.event import Int64

if TYPE_CHECKING:
    from rheinfall.metrics.comparison import ComponentReport


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks of one event, each a list of hit indices from inside to outside.

    Attributes:
        offsets: int64 (n_tracks + 1,); track i is `hits[offsets[i]:offsets[i + 1]]`.
        hits: int64 (n,), indices into the event's hits; each hit is in at most one track, unless
            they were read from a file of another finder.
        labels: int64 (n_hits of the event,), the track of each hit, -1 for none; the first of several.
        status: what the event did to the stages: "ok", "empty", "unknown_modules", "not_finite", "cycle" or
            "capacity_exceeded"; where several hold, the last of them in this order.
        report: components kept whole, trimmed, split and lost, hits unused, if `report=True` asked for it; else None.
    """

    offsets: Int64
    hits: Int64
    labels: Int64
    status: str = "ok"
    report: ComponentReport | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Int64:
        """The hits of one track."""
        try:
            index = operator.index(index)
        except TypeError:
            problem = f"tracks: expected the index of one track, got {index!r}; tracks.select takes several"
            raise TypeError(problem) from None
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"tracks: index {index} is out of range for {n} tracks")
        i = index % n
        return self.hits[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[Int64]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        n_used = np.count_nonzero(self.labels >= 0)
        return f"Tracks({len(self)} tracks, {n_used} of {len(self.labels)} hits, status={self.status!r})"

    @property
    def lengths(self) -> Int64:
        """Number of hits of each track, int64 (n_tracks,)."""
        return np.diff(self.offsets)

    def select(self, mask: Any) -> Tracks:
        """The tracks at `mask` (bool per track, indices, or a slice), renumbered in that order; without the report.

        Raises:
            TypeError: another mask.
            ValueError: a bool mask of another length, or a track chosen twice.
            IndexError: an index of no track.
        """
        chosen = self._choose(mask)
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        hits = self.hits[np.repeat(self.offsets[:-1][chosen], lengths) + within]
        labels = np.full(len(self.labels), -1, dtype=np.int64)
        labels[hits[::-1]] = np.repeat(np.arange(len(chosen)), lengths)[::-1]  # the last to write is the first track
        return Tracks(offsets, hits, labels, self.status)

    def _choose(self, mask: Any) -> Int64:
        n = len(self)
        if isinstance(mask, slice):
            return np.arange(n)[mask]
        chosen = np.asarray(mask)
        if chosen.size == 0 and isinstance(mask, list):
            chosen = np.empty(0, np.int64)  # NumPy takes an empty list for floats
        if chosen.ndim != 1 or chosen.dtype.kind not in "biu":
            raise TypeError(f"mask: expected bool or indices, 1-D, got {chosen.dtype} {chosen.shape}")
        if chosen.dtype == np.bool_:
            if len(chosen) != n:
                raise ValueError(f"mask: expected {n} values, one per track, got {len(chosen)}")
            return np.flatnonzero(chosen)
        outside = np.flatnonzero((chosen < -n) | (chosen >= n))
        if len(outside):
            raise IndexError(f"mask: index {chosen[outside[0]]} is out of range for {n} tracks")
        chosen = np.where(chosen < 0, chosen + n, chosen).astype(np.int64)
        if len(np.unique(chosen)) != len(chosen):
            raise ValueError("mask: expected each track once at most")
        return chosen

    def to_awkward(self) -> Any:
        """The tracks as an awkward array of type `n_tracks * var * int64`; needs the [io] extra."""
        try:
            import awkward as ak
        except ImportError as error:
            raise ImportError("Tracks.to_awkward needs awkward: pip install rheinfall[io]") from error
        return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(self.offsets), ak.contents.NumpyArray(self.hits)))
