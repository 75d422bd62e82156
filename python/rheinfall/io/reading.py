"""Reader of events in the format of the TrackML challenge (kaggle.com/c/trackml-particle-identification/data)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rheinfall._files import require_path
from rheinfall.event import Bool, Event, Hits, Int64, Particles, Truth, UInt64
from rheinfall.io.detectors import MODULE_COLUMNS, Detectors, check_modules, module_ids, read_detectors
from rheinfall.io.errors import EventFileError
from rheinfall.io.table import Table, read_table

PRIMARY_RADIUS = 2.0
"""Particles produced closer than this to the z axis count as primary [mm], exclusive."""

SUFFIXES = (".csv", ".csv.gz")
_HITS = {"hit_id": "u8", "x": "f4", "y": "f4", "z": "f4", **MODULE_COLUMNS}
_TRUTH = {"hit_id": "u8", "particle_id": "u8"}
_PARTICLES = {"particle_id": "u8", **dict.fromkeys(("vx", "vy", "vz", "px", "py", "pz", "q"), "f4")}

PathLike = str | os.PathLike[str]


def read_event(path: PathLike, *, detectors: PathLike | Detectors | None = None, truth: bool = True) -> Event:
    """Read one TrackML event; the order of the hits file is kept, hit_id need not be contiguous.

    `path` is a prefix (".../event000021000") or a hits file (".../event000021000-hits.csv", .csv.gz alike). Beside the
    hits, `-truth` (or else `-pixeltruth`) and `-particles` are read where they exist; of a table that is there both as
    .csv and as .csv.gz the plain one is taken. Cells are not read. A file with only its header is an event of no hits.

    Truth is matched by hit_id. `-truth` must have a row for every hit. `-pixeltruth` is partial: hits without a row get
    `known` False. Its rows flagged `ambiguous` are kept as known: each is one of two hits with the same module and
    coordinates, so that exchanging their particles changes nothing that can be measured; `event.notes` counts them.

    TrackML does not say which particles are primary: unless the file has a column `primary` (0 or 1, as
    `write_event` adds), a particle is primary if produced at a radius below 2 mm (`PRIMARY_RADIUS`).

    Args:
        path: prefix or hits file.
        detectors: file of the detector's modules, or what `read_detectors` gave: hits on other modules are refused.
        truth: False leaves truth and particles unread.

    Raises:
        EventFileError: bad input, with file, line, column and what was expected.
    """
    hits_file, prefix = _find_hits(require_path("path", path))
    table = read_table(hits_file, _HITS)
    table.check_unique("hit_id")
    module_id = module_ids(table)
    if detectors is not None:
        known = detectors if isinstance(detectors, Detectors) else read_detectors(detectors)
        source = "the detector" if isinstance(detectors, Detectors) else os.fspath(detectors)
        check_modules(table, module_id, known, source)
    hits = Hits(table.column("x"), table.column("y"), table.column("z"), module_id, table.column("hit_id"))
    name = prefix.name if prefix is not None else hits_file.name.removesuffix(".gz").removesuffix(".csv")
    if not truth or prefix is None:
        return Event(hits, None, name)
    found, notes = _read_truth(prefix, hits)
    return Event(hits, found, name, notes)


def iter_events(
    folder: PathLike, *, detectors: PathLike | Detectors | None = None, truth: bool = True
) -> Iterator[Event]:
    """Read the events of a folder one after the other, sorted by name; options as for `read_event`.

    Raises:
        EventFileError: at once if the folder does not exist or holds no hits file; bad files when their turn comes.
    """
    folder = require_path("folder", folder)
    if not folder.is_dir():
        raise EventFileError(folder, "expected a folder with files named *-hits.csv or *-hits.csv.gz")
    prefixes = {p.name.split("-hits.csv")[0] for s in SUFFIXES for p in folder.glob(f"*-hits{s}")}
    if not prefixes:
        raise EventFileError(folder, "no events, expected files named *-hits.csv or *-hits.csv.gz")
    modules = read_detectors(detectors) if isinstance(detectors, str | os.PathLike) else detectors
    return (read_event(folder / name, detectors=modules, truth=truth) for name in sorted(prefixes))


def _find_hits(path: Path) -> tuple[Path, Path | None]:
    """The hits file, and the prefix of the event's other files where the name of the hits file tells it."""
    for suffix in SUFFIXES:
        if path.name.endswith(f"-hits{suffix}"):
            return path, path.with_name(path.name.removesuffix(f"-hits{suffix}"))
    if path.is_dir():
        raise EventFileError(path, "expected an event's prefix or hits file, got a folder: use iter_events")
    if path.name.endswith(SUFFIXES):
        return path, None
    found = _find_table(path, "hits")
    if found is None:
        names = " or ".join(f"{path.name}-hits{suffix}" for suffix in SUFFIXES)
        raise EventFileError(path, f"no such event, expected a file {names} in {path.parent}")
    return found, path


def _find_table(prefix: Path, kind: str) -> Path | None:
    candidates = (prefix.with_name(f"{prefix.name}-{kind}{suffix}") for suffix in SUFFIXES)
    return next((path for path in candidates if path.exists()), None)


def _read_truth(prefix: Path, hits: Hits) -> tuple[Truth | None, tuple[str, ...]]:
    particles_file = _find_table(prefix, "particles")
    particles = None if particles_file is None else _read_particles(particles_file)
    path = _find_table(prefix, "truth")
    complete = path is not None
    path = path or _find_table(prefix, "pixeltruth")
    if path is None:
        return None, ()
    table = read_table(path, _TRUTH, {"weight": "f4", "ambiguous": "i8"})
    table.check_unique("hit_id")
    row_to_hit = match_rows(table, hits.hit_id)
    known: Bool = np.zeros(len(hits), np.bool_)
    known[row_to_hit] = True
    if complete and not known.all():
        missing = hits.hit_id[np.flatnonzero(~known)[0]]
        problem = f"expected a row for every hit, got none for {(~known).sum()} of {len(hits)}, first hit_id {missing}"
        raise EventFileError(path, problem, column="hit_id")
    particle_id: UInt64 = np.zeros(len(hits), np.uint64)
    particle_id[row_to_hit] = table.column("particle_id")
    weight = None
    if table.has("weight"):
        weight = np.zeros(len(hits), np.float32)
        weight[row_to_hit] = table.column("weight")
        negative = np.flatnonzero(table.column("weight") < 0)
        if len(negative):
            row = int(negative[0])
            raise table.error(row, "weight", f"expected a number of at least 0, got {table.column('weight')[row]}")
    return Truth(particle_id, known, particles, weight), _ambiguity_note(table)


def _ambiguity_note(table: Table) -> tuple[str, ...]:
    n = int(np.count_nonzero(table.rows["ambiguous"])) if table.has("ambiguous") else 0
    return (f"{n} coincident hits whose particles may be exchanged, kept as known truth",) if n else ()


def match_rows(table: Table, hit_id: UInt64) -> Int64:
    """The hit that each row of `table` tells of; refuses rows of unknown hits."""
    rows = table.column("hit_id")
    hit = find_hits(rows, hit_id)
    unknown = np.flatnonzero(hit < 0)
    if len(unknown):
        row = int(unknown[0])
        raise table.error(row, "hit_id", f"unknown hit_id {rows[row]}, expected one of the event's {len(hit_id)} hits")
    return hit


def find_hits(wanted: UInt64, hit_id: UInt64) -> Int64:
    """Index of each wanted hit_id among the event's, -1 for those that it lacks."""
    order = np.argsort(hit_id, kind="stable")
    place = np.searchsorted(hit_id, wanted, sorter=order)
    inside = place < len(hit_id)
    hit: Int64 = np.full(len(wanted), -1, np.int64)
    hit[inside] = order[place[inside]]
    hit[inside] = np.where(hit_id[hit[inside]] == wanted[inside], hit[inside], -1)
    return hit


def _read_particles(path: Path) -> Particles:
    table = read_table(path, _PARTICLES, {"primary": "i8"})
    table.check_unique("particle_id")
    noise = np.flatnonzero(table.rows["particle_id"] == 0)
    if len(noise):
        raise table.error(int(noise[0]), "particle_id", "expected a positive particle_id, got 0, which means noise")
    columns = {name: table.column(name) for name in _PARTICLES}
    charge = columns.pop("q")
    if table.has("primary"):
        table.check_range("primary", 1)
        primary = table.column("primary").astype(np.bool_)
    else:
        primary = np.hypot(columns["vx"], columns["vy"]) < PRIMARY_RADIUS
    return Particles(**columns, charge=charge, primary=primary)
