"""Reader of tracks, those of `write_tracks` or of another finder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rheinfall._extras import require
from rheinfall._files import require_path
from rheinfall.event import Hits, Int64, UInt64
from rheinfall.io.errors import EventFileError
from rheinfall.io.reading import SUFFIXES, find_hits, match_rows
from rheinfall.io.table import read_table

if TYPE_CHECKING:
    from rheinfall.tracking.tracks import Tracks

TRACK_SUFFIXES = (*SUFFIXES, ".parquet")
"""Names of files of tracks end so."""


def read_tracks(path: str | os.PathLike[str], hits: Hits) -> Tracks:
    """Read the tracks of one event, as `write_tracks` wrote them or as a TrackML submission holds them.

    - `.csv`, `.csv.gz`: columns hit_id and track_id, lines in any order, others ignored.
    - `.parquet` (extra [io]): one row per track, columns track_id and hit_id (a list).

    Tracks come by rising track_id; a negative one means no track. Hits of a track are ordered by 3-D distance from the
    origin, ties by index. Other finders may share hits: of several tracks with a hit, `labels` has the first.

    Args:
        path: the file.
        hits: the event's hits, by whose hit_id the file names them.

    Raises:
        EventFileError: a bad file, a hit_id that the event lacks, or a hit that stands twice in one track.
        TypeError: no path or no hits.
        ValueError: another suffix.
        ImportError: Parquet without the extra.
    """
    from rheinfall.tracking.tracks import Tracks

    path = require_path("path", path)
    if not isinstance(hits, Hits):
        raise TypeError(f"hits: expected rheinfall.Hits, got {type(hits).__name__}")
    if not path.name.endswith(TRACK_SUFFIXES):
        raise ValueError(f"{path}: expected a name that ends in {', '.join(TRACK_SUFFIXES)}")
    hit, track_id = _read_parquet(path, hits) if path.suffix == ".parquet" else _read_csv(path, hits)
    hit, track_id = hit[track_id >= 0], track_id[track_id >= 0]
    names, track = np.unique(track_id, return_inverse=True)
    distance = sum(column.astype(np.float64) ** 2 for column in (hits.x, hits.y, hits.z))
    order = np.lexsort((hit, np.asarray(distance)[hit], track))
    hit, track = hit[order], track[order]
    repeated = np.flatnonzero((np.diff(hit) == 0) & (np.diff(track) == 0))
    if len(repeated):
        first = repeated[0]
        problem = f"hit_id {hits.hit_id[hit[first]]} stands twice in track {names[track[first]]}"
        raise EventFileError(path, problem, column="hit_id")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(track, minlength=len(names)))]).astype(np.int64)
    labels: Int64 = np.full(len(hits), -1, np.int64)
    labels[hit[::-1]] = track[::-1]
    return Tracks(offsets, hit, labels)


def _read_csv(path: Path, hits: Hits) -> tuple[Int64, Int64]:
    table = read_table(path, {"hit_id": "u8", "track_id": "i8"})
    return match_rows(table, hits.hit_id), table.column("track_id")


def _read_parquet(path: Path, hits: Hits) -> tuple[Int64, Int64]:
    parquet = require("pyarrow.parquet", "io")
    if not path.is_file():
        raise EventFileError(path, "no such file")
    try:
        rows = parquet.read_table(path, columns=["track_id", "hit_id"])
        lists = rows["hit_id"].to_pylist()
        numbers = rows["track_id"].to_numpy().astype(np.int64)
        hit_id: UInt64 = np.array([h for hits_of in lists for h in hits_of], np.uint64)
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        problem = f"expected columns track_id (an integer) and hit_id (a list of them): {_first_line(error)}"
        raise EventFileError(path, problem) from None
    hit = find_hits(hit_id, hits.hit_id)
    unknown = hit_id[hit < 0]
    if len(unknown):
        problem = f"unknown hit_id {unknown[0]}, expected one of the event's {len(hits)} hits"
        raise EventFileError(path, problem, column="hit_id")
    return hit, np.repeat(numbers, [len(hits_of) for hits_of in lists])


def _first_line(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
