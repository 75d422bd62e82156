"""Events from columns of variable length: Awkward arrays and ROOT trees, through the extra [io]."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall._extras import require
from rheinfall.event import Event, Hits, Particles, Truth, encode_module_id
from rheinfall.io.errors import EventFileError
from rheinfall.io.reading import PRIMARY_RADIUS

_POSITION = ("x", "y", "z")
_NUMBERS = ("volume_id", "layer_id", "module_id")
_HIT_FIELDS = (*_POSITION, *_NUMBERS, "hit_id", "particle_id", "known", "weight")
_PARTICLE_FIELDS = ("particle_id", "vx", "vy", "vz", "px", "py", "pz", "charge")
_PREFIX = "particles_"
_BITS = {"volume_id": 8, "layer_id": 12, "module_id": 20}


def from_awkward(array: Any, *, source: str = "awkward array") -> list[Event]:
    """Events from an Awkward array of records, one record per event, each field a list of numbers.

    Fields per hit: x, y, z [mm], stored as float32; module_id, encoded as `rheinfall.encode_module_id` does, or else
    volume_id, layer_id and module_id, which are encoded here; where present hit_id (else hits are counted from 0),
    particle_id (the truth; 0 is noise), known (bool) and weight. Fields per particle, where present: particles_ +
    particle_id, vx, vy, vz, px, py, pz, charge, and perhaps primary (else a production radius below 2 mm, as in
    `read_event`). Other fields are ignored.

    Args:
        array: awkward.Array, or a sequence that it accepts.
        source: what to call the array in errors.

    Raises:
        EventFileError: a field is missing or not a list of the right numbers, with its name, event and entry.
        ImportError: without the extra.
    """
    ak = require("awkward", "io")
    array = ak.Array(array)
    if not len(array):
        return []
    fields = set(ak.fields(array))
    for name in (*_POSITION, "module_id"):
        if name not in fields:
            expected = ", ".join((*_POSITION, "module_id"))
            raise EventFileError(source, f"missing field, expected {expected}; got {sorted(fields)}", column=name)
    per_hit = {name: _Column(ak, array, name, source) for name in _HIT_FIELDS if name in fields}
    per_particle: dict[str, _Column] = {}
    if _PREFIX + "particle_id" in fields:
        for name in _PARTICLE_FIELDS:
            if _PREFIX + name not in fields:
                raise EventFileError(source, "missing field of the particle table", column=_PREFIX + name)
        names = [*_PARTICLE_FIELDS, *(["primary"] if _PREFIX + "primary" in fields else [])]
        per_particle = {name: _Column(ak, array, _PREFIX + name, source) for name in names}
    for group in (per_hit, per_particle):
        columns = list(group.values())
        for column in columns[1:]:
            column.check_counts(columns[0])
    n_digits = max(9, len(str(len(array))))
    return [_make_event(i, per_hit, per_particle, f"event{i:0{n_digits}d}") for i in range(len(array))]


def read_root(path: str | os.PathLike[str], tree: str | None = None) -> list[Event]:
    """Events from a ROOT tree with one entry per event; branches as the fields of `from_awkward`.

    Args:
        path: the ROOT file.
        tree: name of the tree; None where the file has just one.

    Raises:
        EventFileError: no such file, no such tree, or what `from_awkward` refuses.
        ImportError: without the extra.
    """
    uproot = require("uproot", "io")
    require("awkward", "io")
    if not Path(path).is_file():
        raise EventFileError(path, "no such file")
    try:
        file = uproot.open(Path(path))
    except (ValueError, OSError, EOFError) as error:
        raise EventFileError(path, f"expected a ROOT file: {str(error).strip().splitlines()[0]}") from None
    with file:
        trees = file.keys(filter_classname="TTree", cycle=False)
        if tree is None and len(trees) != 1:
            raise EventFileError(path, f"expected one tree, or its name in tree=, got {trees}")
        name = trees[0] if tree is None else tree
        if name not in trees:
            raise EventFileError(path, f"no tree {name!r}, expected one of {trees}")
        wanted = set(_HIT_FIELDS) | {_PREFIX + field for field in (*_PARTICLE_FIELDS, "primary")}
        arrays = file[name].arrays(filter_name=lambda branch: branch in wanted, library="ak")
    return from_awkward(arrays, source=f"{os.fspath(path)}:{name}")


class _Column:
    """One field of all events: its values end to end, and where each event's begin."""

    def __init__(self, ak: Any, array: Any, field: str, source: str) -> None:
        self.field, self.source = field, source
        try:
            counts = ak.to_numpy(ak.num(array[field], axis=1))
            values = ak.to_numpy(ak.flatten(array[field], axis=1), allow_missing=False)
        except (ValueError, TypeError):
            problem = f"expected a list of numbers per event, got {array[field].type}"
            raise EventFileError(source, problem, column=field) from None
        self.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        self.values: NDArray[Any] = values
        if values.ndim != 1 or (values.dtype.kind not in "iufb" and len(values)):
            raise EventFileError(source, f"expected a list of numbers per event, got {array[field].type}", column=field)

    def check_counts(self, other: _Column) -> None:
        """Refuse events in which two fields differ in length."""
        mine, theirs = np.diff(self.offsets), np.diff(other.offsets)
        bad = np.flatnonzero(mine != theirs)
        if len(bad):
            i = bad[0]
            problem = f"event {i}: expected {theirs[i]} entries as in {other.field}, got {mine[i]}"
            raise EventFileError(self.source, problem, column=self.field)

    def of(self, event: int) -> NDArray[Any]:
        return self.values[self.offsets[event] : self.offsets[event + 1]]

    def floats(self, event: int) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            values = self.of(event).astype(np.float32)
        self._refuse(event, ~np.isfinite(values), "a finite number (float32)")
        return values

    def weights(self, event: int) -> NDArray[np.float32]:
        values = self.floats(event)
        self._refuse(event, values < 0, "a number of at least 0")
        return values

    def integers(self, event: int, bits: int = 64) -> NDArray[np.uint64]:
        values = self.of(event)
        if values.dtype.kind not in "iu" and len(values):
            raise EventFileError(self.source, f"expected integers, got {values.dtype}", column=self.field)
        bad = values < 0
        if bits < 64:
            bad = bad | (values > (1 << bits) - 1)
        self._refuse(event, bad, f"an integer from 0 to 2^{bits} - 1")
        return values.astype(np.uint64)

    def unique(self, event: int) -> NDArray[np.uint64]:
        values = self.integers(event)
        repeated = np.ones(len(values), np.bool_)
        repeated[np.unique(values, return_index=True)[1]] = False
        self._refuse(event, repeated, "no duplicate")
        return values

    def booleans(self, event: int) -> NDArray[np.bool_]:
        values = self.of(event)
        self._refuse(event, (values != 0) & (values != 1), "true or false (1 or 0)")
        return values.astype(np.bool_)

    def _refuse(self, event: int, bad: NDArray[np.bool_], expected: str) -> None:
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            problem = f"event {event}, entry {i}: expected {expected}, got {self.of(event)[i]}"
            raise EventFileError(self.source, problem, column=self.field)


def _make_event(i: int, per_hit: dict[str, _Column], per_particle: dict[str, _Column], name: str) -> Event:
    x, y, z = (per_hit[axis].floats(i) for axis in _POSITION)
    if "volume_id" in per_hit and "layer_id" in per_hit:
        module_id = encode_module_id(*(per_hit[field].integers(i, _BITS[field]) for field in _NUMBERS))
    else:
        module_id = per_hit["module_id"].integers(i)
    hit_id = per_hit["hit_id"].unique(i) if "hit_id" in per_hit else np.arange(len(x), dtype=np.uint64)
    hits = Hits(x, y, z, module_id, hit_id)
    if "particle_id" not in per_hit:
        return Event(hits, None, name)
    particle_id = per_hit["particle_id"].integers(i)
    known = per_hit["known"].booleans(i) if "known" in per_hit else np.ones(len(x), np.bool_)
    particle_id[~known] = 0
    weight = per_hit["weight"].weights(i) if "weight" in per_hit else None
    particles = _make_particles(i, per_particle) if per_particle else None
    return Event(hits, Truth(particle_id, known, particles, weight), name)


def _make_particles(i: int, columns: dict[str, _Column]) -> Particles:
    numbers: dict[str, Any] = {name: columns[name].floats(i) for name in _PARTICLE_FIELDS if name != "particle_id"}
    if "primary" in columns:
        primary = columns["primary"].booleans(i)
    else:
        primary = np.hypot(numbers["vx"], numbers["vy"]) < PRIMARY_RADIUS
    return Particles(particle_id=columns["particle_id"].unique(i), primary=primary, **numbers)


def to_awkward(events: Sequence[Event]) -> Any:
    """The events as `from_awkward` reads them: an Awkward array of records, one per event.

    Raises:
        ValueError: only some of the events have truth, weights or particles.
        ImportError: without the extra.
    """
    ak = require("awkward", "io")
    if not events:
        return ak.Array([])
    rows: dict[str, list[NDArray[Any]]] = {}
    for event in events:
        for name, values in _event_fields(event).items():
            rows.setdefault(name, []).append(values)
    for name, lists in rows.items():
        if len(lists) != len(events):
            raise ValueError(f"events: expected {name} in all {len(events)} events or in none, got it in {len(lists)}")
    columns = {name: ak.unflatten(np.concatenate(lists), [len(v) for v in lists]) for name, lists in rows.items()}
    return ak.zip(columns, depth_limit=1)


def _event_fields(event: Event) -> dict[str, NDArray[Any]]:
    fields: dict[str, NDArray[Any]] = {n: getattr(event.hits, n) for n in (*_POSITION, "module_id", "hit_id")}
    truth = event.truth
    if truth is not None:
        fields.update(particle_id=truth.particle_id, known=truth.known)
        if truth.weight is not None:
            fields["weight"] = truth.weight
        if truth.particles is not None:
            names = (*_PARTICLE_FIELDS, "primary")
            fields.update({_PREFIX + name: getattr(truth.particles, name) for name in names})
    return fields
