"""Writer of events in the format of the TrackML challenge, and of tracks."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rheinfall._extras import require
from rheinfall._files import require_path
from rheinfall.event import Bool, Event, Hits, Particles, decode_module_id
from rheinfall.io.reading import SUFFIXES
from rheinfall.metrics.tracks import TrackHits, check_no_repeats, check_tracks

if TYPE_CHECKING:
    from rheinfall.metrics.comparison import TrackComparison
    from rheinfall.tracking.track_fit import TrackParameters

_KINDS = ("hits", "truth", "pixeltruth", "particles")


def write_event(prefix: str | os.PathLike[str], event: Event, *, suffix: str = ".csv.gz") -> list[Path]:
    """Write an event so that `read_event(prefix)` gives it back, bit for bit.

    Writes `-hits`, and with truth `-truth` (or `-pixeltruth` with the known hits only, where the truth of some is
    unknown) and `-particles`. Beyond TrackML's columns `-particles` has `primary` (0 or 1); `-truth` has hit_id,
    particle_id, and weight where the event has weights; `particle_type`, the true positions and momenta are left out,
    since an Event does not have them. `name` and `notes` are not written. The same event gives the same bytes.

    Args:
        prefix: folder and name, such as "events/event000000001"; the folder is made where missing.
        event: what to write.
        suffix: ".csv" or ".csv.gz".

    Returns:
        The files written.

    Raises:
        ValueError: another suffix, or coordinates that are not finite.
        FileExistsError: a file is in the way that this call does not replace and a reader would take for the event's.
    """
    if suffix not in SUFFIXES:
        raise ValueError(f"suffix: expected one of {', '.join(SUFFIXES)}, got {suffix!r}")
    prefix = require_path("prefix", prefix)
    tables = _event_tables(event)
    paths = {kind: prefix.with_name(f"{prefix.name}-{kind}{suffix}") for kind in tables}
    others = {prefix.with_name(f"{prefix.name}-{kind}{s}") for kind in _KINDS for s in SUFFIXES} - set(paths.values())
    for other in sorted(others):
        if other.exists():
            raise FileExistsError(f"{other}: a reader would take it for a part of the event written now; remove it")
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for kind, columns in tables.items():
        _write_table(paths[kind], columns)
    return list(paths.values())


def write_tracks(path: str | os.PathLike[str], tracks: TrackHits, hits: Hits) -> Path:
    """Write tracks, by the hit_id of their hits; the file's name says how.

    - `.csv`, `.csv.gz`: columns hit_id, track_id as in a TrackML submission of one event. track_id counts from 0, the
      index into `tracks`; lines go by track, in each from inside to outside. Hits without a track have no line (TrackML
      wants one: give them a track_id of their own); a hit in several tracks has several.
    - `.parquet` (extra [io]): one row per track, columns track_id (int64) and hit_id (list of uint64).

    Returns:
        The file written.

    Raises:
        TypeError: no path, tracks or hits.
        ValueError: another suffix, track hits outside `hits`, or a track that lists a hit twice.
        ImportError: Parquet without the extra.
    """
    path = require_path("path", path)
    if not isinstance(hits, Hits):
        raise TypeError(f"hits: expected rheinfall.Hits, got {type(hits).__name__}")
    offsets, index = check_tracks(tracks, len(hits))
    check_no_repeats(offsets, index)
    hit_id = hits.hit_id[index]
    if path.name.endswith(SUFFIXES):
        track_id = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        _write_table(path, {"hit_id": hit_id, "track_id": track_id})
    elif path.suffix == ".parquet":
        arrow = require("pyarrow", "io")
        parquet = require("pyarrow.parquet", "io")
        lists = arrow.LargeListArray.from_arrays(arrow.array(offsets), arrow.array(hit_id))
        rows = arrow.table({"track_id": arrow.array(np.arange(len(offsets) - 1)), "hit_id": lists})
        parquet.write_table(rows, path)
    else:
        raise ValueError(f"{path}: expected a name that ends in .csv, .csv.gz or .parquet")
    return path


def write_parameters(path: str | os.PathLike[str], parameters: TrackParameters) -> Path:
    """Write helix parameters, one row per track: track_id as of `write_tracks`, then `TrackParameters.columns()`.

    Parameters of tracks without a fit are empty fields in `.csv` and `.csv.gz`, NaN in `.parquet` (extra [io]).

    Returns:
        The file written.

    Raises:
        ValueError: another suffix.
        ImportError: Parquet without the extra.
    """
    path = require_path("path", path)
    columns = {"track_id": np.arange(len(parameters)), **parameters.columns()}
    if path.name.endswith(SUFFIXES):
        fitted = parameters.ok
        _write_table(path, {name: _blank(column, fitted) for name, column in columns.items()})
    elif path.suffix == ".parquet":
        arrow = require("pyarrow", "io")
        require("pyarrow.parquet", "io").write_table(arrow.table(columns), path)
    else:
        raise ValueError(f"{path}: expected a name that ends in .csv, .csv.gz or .parquet")
    return path


def write_comparison(path: str | os.PathLike[str], comparison: TrackComparison) -> Path:
    """Write the selected particles that one finder of a comparison has and the other lacks, as `.csv` or `.csv.gz`.

    Columns: particle_id, found_by (the finder's name), pt [GeV], eta, phi [rad], radius [mm], n_hits; by finder, then
    by particle_id. What is not known of a particle is an empty field.

    Returns:
        The file written.

    Raises:
        ValueError: another suffix, or a name with a comma or a line break in it.
    """
    path = require_path("path", path)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"{path}: expected a name that ends in .csv or .csv.gz")
    for name in comparison.names:
        if set(name) & set(",\n\r"):
            raise ValueError(f"names: expected no comma and no line break, got {name!r}")
    table = comparison.first.particles
    found = [np.searchsorted(table.particle_id, comparison.particles[which]) for which in ("first", "second")]
    rows = np.concatenate(found)
    columns: dict[str, NDArray[Any]] = {"particle_id": table.particle_id[rows]}
    columns["found_by"] = np.repeat(comparison.names, [len(part) for part in found])
    for name in ("pt", "eta", "phi", "radius"):
        values = getattr(table, name)[rows]
        columns[name] = _blank(values, np.isfinite(values))
    columns["n_hits"] = table.n_hits[rows]
    _write_table(path, columns)
    return path


def _event_tables(event: Event) -> dict[str, dict[str, NDArray[Any]]]:
    hits, truth = event.hits, event.truth
    for name in ("x", "y", "z"):
        bad = np.flatnonzero(~np.isfinite(getattr(hits, name)))
        if len(bad):
            raise ValueError(f"hits.{name}: expected finite coordinates, got {getattr(hits, name)[bad[0]]} at {bad[0]}")
    volume, layer, module = decode_module_id(hits.module_id)
    tables: dict[str, dict[str, NDArray[Any]]] = {
        "hits": {"hit_id": hits.hit_id, "x": hits.x, "y": hits.y, "z": hits.z}
    }
    tables["hits"].update(volume_id=volume, layer_id=layer, module_id=module)
    if truth is None:
        return tables
    kind = "truth" if bool(truth.known.all()) else "pixeltruth"
    tables[kind] = {"hit_id": hits.hit_id[truth.known], "particle_id": truth.particle_id[truth.known]}
    if truth.weight is not None:
        tables[kind]["weight"] = truth.weight[truth.known]
    if truth.particles is not None:
        ids, n_hits = np.unique(truth.particle_id[truth.known], return_counts=True)
        tables["particles"] = _particle_table(truth.particles, dict(zip(ids.tolist(), n_hits.tolist(), strict=True)))
    return tables


def _particle_table(particles: Particles, n_hits: Mapping[int, int]) -> dict[str, NDArray[Any]]:
    names = ("particle_id", "vx", "vy", "vz", "px", "py", "pz")
    columns: dict[str, NDArray[Any]] = {name: getattr(particles, name) for name in names}
    columns["q"] = particles.charge
    columns["nhits"] = np.array([n_hits.get(i, 0) for i in particles.particle_id.tolist()], np.int64)
    columns["primary"] = particles.primary.astype(np.int64)
    return columns


def _write_table(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    lines = [",".join(columns)]
    lines += map(",".join, zip(*(_to_text(values) for values in columns.values()), strict=True))
    data = ("\n".join(lines) + "\n").encode()
    # No time stamp and no name inside, so that the same event gives the same bytes.
    path.write_bytes(gzip.compress(data, compresslevel=6, mtime=0) if path.suffix == ".gz" else data)


def _blank(values: NDArray[Any], filled: Bool) -> NDArray[Any]:
    """Text of `values`, floats that are not `filled` empty."""
    text = np.array(_to_text(values))
    return np.where(filled, text, "") if values.dtype.kind == "f" else text


def _to_text(values: NDArray[Any]) -> list[str]:
    """The shortest text that reads back as the same float32, integers and texts as they are."""
    if values.dtype.kind in "iuU":
        return list(map(str, values.tolist()))
    text: list[str] = values.astype(np.float32).astype(str).tolist()
    return text
