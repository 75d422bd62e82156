"""TrackML's table of modules: which exist, where they are, how they are turned."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rheinfall.event import Bool, Float32, UInt64, encode_module_id
from rheinfall.io.errors import EventFileError
from rheinfall.io.table import Table, read_table

MODULE_COLUMNS = {"volume_id": "i8", "layer_id": "i8", "module_id": "i8"}
_CENTER = ("cx", "cy", "cz")
_ROTATION = tuple(f"rot_{axis}{local}" for axis in "xyz" for local in "uvw")
_SIZE = ("module_t", "module_minhu", "module_maxhu", "module_hv", "pitch_u", "pitch_v")


@dataclass
class Detectors:
    """The modules of a detector, in the order of the file.

    Attributes:
        module_id: uint64 (n,), see `rheinfall.encode_module_id`; no two alike.
        center: float32 (n, 3), x, y, z of the middle of the module [mm].
        rotation: float32 (n, 3, 3); global = center + rotation @ local, local axes u, v, w (w the normal).
        half_thickness: float32 (n,) [mm] (module_t).
        min_half_u, max_half_u: float32 (n,), half width along u at the lower and the upper end in v [mm].
        half_v: float32 (n,), half length along v [mm].
        pitch_u, pitch_v: float32 (n,), cell size [mm].
    """

    module_id: UInt64
    center: Float32
    rotation: Float32
    half_thickness: Float32
    min_half_u: Float32
    max_half_u: Float32
    half_v: Float32
    pitch_u: Float32
    pitch_v: Float32

    def __len__(self) -> int:
        return len(self.module_id)

    def contains(self, module_id: UInt64) -> Bool:
        """True for each of `module_id` that is one of these modules."""
        return np.isin(module_id, self.module_id)


def read_detectors(path: str | os.PathLike[str]) -> Detectors:
    """Read TrackML's detectors.csv or detectors.csv.gz; an unnamed first column is ignored.

    Raises:
        EventFileError: missing or malformed columns, numbers out of range, or the same module twice.
    """
    numbers = dict.fromkeys(_CENTER + _ROTATION + _SIZE, "f4")
    table = read_table(Path(path), {**MODULE_COLUMNS, **numbers})
    module_id = module_ids(table)
    _, first = np.unique(module_id, return_index=True)
    if len(first) != len(table):
        again = np.setdiff1d(np.arange(len(table)), first)[0]
        before = int(np.flatnonzero(module_id == module_id[again])[0])
        problem = f"duplicate module {module_numbers(table, again)}, already on line {before + 2}"
        raise table.error(again, "volume_id, layer_id, module_id", problem)
    center = np.stack([table.column(name) for name in _CENTER], axis=1)
    rotation = np.stack([table.column(name) for name in _ROTATION], axis=1).reshape(-1, 3, 3)
    return Detectors(module_id, center, rotation, *(table.column(name) for name in _SIZE))


def module_ids(table: Table) -> UInt64:
    """Encode the volume_id, layer_id and module_id columns, refusing numbers that do not fit the bit layout."""
    for column, bits in (("volume_id", 8), ("layer_id", 12), ("module_id", 20)):
        table.check_range(column, (1 << bits) - 1)
    return encode_module_id(*(table.column(name) for name in MODULE_COLUMNS))


def module_numbers(table: Table, row: int) -> str:
    """(volume, layer, module) of a row, for messages."""
    return "({}, {}, {})".format(*(table.rows[name][row] for name in MODULE_COLUMNS))


def check_modules(table: Table, module_id: UInt64, detectors: Detectors, source: str) -> None:
    """Refuse a hit on a module that the detector does not have.

    Raises:
        EventFileError: naming the line of the first such hit.
    """
    unknown = np.flatnonzero(~detectors.contains(module_id))
    if len(unknown):
        row = int(unknown[0])
        problem = f"unknown module {module_numbers(table, row)}, expected one of the {len(detectors)} of {source}"
        raise EventFileError(table.path, problem, line=row + 2, column="volume_id, layer_id, module_id")
