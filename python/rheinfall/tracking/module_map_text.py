"""Module maps as text: 24 columns, the format of ACORN and ModuleMapGraph's *.triplets.txt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rheinfall.tracking.module_map import ModuleMap
from rheinfall.tracking.module_map_convention import CONVENTIONS, find_convention, from_foreign_triplets

PAIR = ("z0", "dphi", "phiSlope", "deta")
# (max, min) of each quantity, in ACORN's spelling.
COLUMNS = (
    "module1",
    "module2",
    "module3",
    "occurrence",
    *(f"{quantity}{end}_{pair}" for pair in ("12", "23") for quantity in PAIR for end in ("max", "min")),
    *(f"{quantity}_{end}" for quantity in ("diff_dzdr", "diff_dydx") for end in ("max", "min")),
)


def read_text(path: str | os.PathLike[str], *, convention: str) -> ModuleMap:
    """Read a map of triplets, one a line: three modules, occurrence, then (max, min) of the ten quantities.

    Columns stand apart by blanks; empty lines, and lines that begin with #, are skipped.

    Args:
        path: the file.
        convention: whose signs the file has, a name in `module_map_convention.CONVENTIONS`.

    Raises:
        ValueError: an unknown convention, or a bad line; names file, line and column.
    """
    signs = find_convention(convention)
    rows = list(_rows(os.fspath(path)))
    integers = np.array([row[0] for row in rows], np.uint64).reshape(-1, 4)
    limits = np.array([row[1] for row in rows], np.float64).reshape(-1, 10, 2)[:, :, ::-1]
    modules = np.ascontiguousarray(integers[:, :3])
    try:
        return from_foreign_triplets(modules, np.ascontiguousarray(integers[:, 3]), limits, signs)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def write_text(module_map: ModuleMap, path: str | os.PathLike[str]) -> None:
    """Write the 24 columns; `read_text` gives back the same limits, with convention `text_convention(module_map)`.

    Of the occurrence, a map keeps floor(log2): its power of two is written.

    Raises:
        ValueError: the map holds doublets alone, for which the format has no place.
    """
    if module_map.n_triplets == 0 and module_map.n_doublets > 0:
        raise ValueError(f"{os.fspath(path)}: the text format holds triplets, the map has doublets alone")
    modules, log2, limits = module_map.triplets()
    with Path(path).open("w", encoding="ascii") as file:
        for ids, exponent, cut in zip(modules.tolist(), log2.tolist(), limits, strict=True):
            # repr of a float32 made double reads back exactly, here and in any code that reads doubles.
            values = (repr(float(v)) for v in cut[:, ::-1].ravel())
            file.write(" ".join((*map(str, ids), str(1 << exponent), *values)) + "\n")


def text_convention(module_map: ModuleMap) -> str:
    """The convention in which `write_text` writes a map."""
    return next(name for name, c in CONVENTIONS.items() if c.deta_sign > 0 and c.bend == module_map.bend)


def _rows(name: str) -> Iterator[tuple[list[int], list[float]]]:
    with Path(name).open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            where = f"{name}: line {number}"
            if len(words) != len(COLUMNS):
                raise ValueError(f"{where}: expected {len(COLUMNS)} columns, got {len(words)}")
            integers = [_integer(where, i, words[i]) for i in range(4)]
            limits = [_number(where, i, words[i]) for i in range(4, len(COLUMNS))]
            for i in range(0, 20, 2):
                if limits[i] < limits[i + 1]:
                    raise ValueError(
                        f"{where}, column {i + 5} ({COLUMNS[i + 4]}): expected max >= min, {limits[i + 1]}"
                    )
            yield integers, limits


def _integer(where: str, column: int, word: str) -> int:
    if not (word.isascii() and word.isdigit()) or int(word) >= 1 << 64:
        raise ValueError(f"{where}, column {column + 1} ({COLUMNS[column]}): expected an integer >= 0, got {word!r}")
    return int(word)


def _number(where: str, column: int, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if value != value:
        raise ValueError(f"{where}, column {column + 1} ({COLUMNS[column]}): expected a number, got {word!r}")
    return value
