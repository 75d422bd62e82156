"""Comma-separated tables with a header line, plain or gzip-compressed, into typed columns.

`np.loadtxt` does the parsing (its C parser takes 70 ms for 125,000 lines); where it or a check refuses, the lines are
gone through once more, slowly, to say what is wrong and where.
"""

from __future__ import annotations

import gzip
import re
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall.io.errors import EventFileError

Columns = Mapping[str, str]
"""Names of columns with their NumPy types: "u8", "i8" or "f4"."""

_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")
_EXPECTED = {
    "u8": "a non-negative integer below 2^64",
    "i8": "an integer of 64 bits",
    "f4": "a finite number (float32)",
}


@dataclass
class Table:
    """Typed columns of one file; row i stands on line i + 2."""

    path: Path
    rows: NDArray[Any]
    lines: list[str]
    header: list[str]

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, column: str) -> bool:
        """True if the file has this column and the reader asked for it."""
        return column in (self.rows.dtype.names or ())

    def column(self, name: str) -> NDArray[Any]:
        """One column as a contiguous array."""
        return np.ascontiguousarray(self.rows[name])

    def field(self, row: int, column: str) -> str:
        """The text of one field as it stands in the file."""
        return self.lines[row + 1].split(",")[self.header.index(column)]

    def error(self, row: int | np.integer[Any], column: str, problem: str) -> EventFileError:
        """The error for a value in row `row`."""
        return EventFileError(self.path, problem, line=int(row) + 2, column=column)

    def check_unique(self, column: str) -> None:
        """Refuse a value that stands on two lines, naming the first repetition."""
        values = self.rows[column]
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        repeated = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        if len(repeated):
            second = int(order[repeated].min())
            first = int(np.flatnonzero(values == values[second])[0])
            raise self.error(second, column, f"duplicate {column} {values[second]}, already on line {first + 2}")

    def check_range(self, column: str, largest: int, smallest: int = 0) -> None:
        """Refuse values outside [smallest, largest]."""
        values = self.rows[column]
        bad = np.flatnonzero((values < smallest) | (values > largest))
        if len(bad):
            problem = f"expected a number from {smallest} to {largest}, got {values[bad[0]]}"
            raise self.error(int(bad[0]), column, problem)


def read_table(path: Path, required: Columns, optional: Columns | None = None) -> Table:
    """Read the named columns of a file; other columns are ignored, their order is free.

    Args:
        path: a text file, or a gzip-compressed one if its name ends in .gz.
        required: columns that must be there.
        optional: columns that are read where present.

    Raises:
        EventFileError: for anything but a header and complete lines of finite numbers of the right type.
    """
    lines = _split_lines(path, _read_bytes(path))
    if not lines:
        raise EventFileError(path, f"empty file, expected a header with the columns {', '.join(required)}", line=1)
    header = [name.strip() for name in lines[0].split(",")]
    columns = dict(required)
    columns.update({name: dtype for name, dtype in (optional or {}).items() if name in header})
    for name in columns:
        if header.count(name) != 1:
            what = "missing column" if name not in header else "repeated column"
            problem = f"{what}, expected each of {', '.join(required)} once, got the header {lines[0].strip()!r}"
            raise EventFileError(path, problem, line=1, column=name)
    _check_field_counts(path, lines, header)
    table = Table(path, _parse(path, lines, header, columns), lines, header)
    for name, dtype in columns.items():
        if dtype == "f4":
            _check_finite(table, name)
    return table


def _read_bytes(path: Path) -> bytes:
    if not path.exists():
        raise EventFileError(path, "no such file")
    if not path.is_file():
        raise EventFileError(path, "expected a file")
    data = path.read_bytes()
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise _gzip_error(path, data, error) from None


def _gzip_error(path: Path, data: bytes, error: Exception) -> EventFileError:
    """Tell a truncated file from one that is no gzip file or is damaged, and how far it could be read."""
    if not data.startswith(b"\x1f\x8b"):
        return EventFileError(path, "expected gzip data, since the name ends in .gz; got something else")
    if not isinstance(error, EOFError):
        return EventFileError(path, f"damaged gzip file: {error}")
    stream = zlib.decompressobj(wbits=31)
    n_lines = stream.decompress(data).count(b"\n") + stream.flush().count(b"\n")
    return EventFileError(path, "truncated gzip file, its data end within this line", line=n_lines + 1)


def _split_lines(path: Path, data: bytes) -> list[str]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise EventFileError(path, "expected comma-separated text, got bytes that are not UTF-8", line=line) from None
    lines = text.replace("\r\n", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _check_field_counts(path: Path, lines: list[str], header: list[str]) -> None:
    n_commas = np.fromiter((line.count(",") for line in lines), np.int64, len(lines))
    blank = [i for i in np.flatnonzero(n_commas == 0) if not lines[i].strip()]
    bad = blank if blank else np.flatnonzero(n_commas != len(header) - 1)
    if len(bad):
        row = int(min(bad))
        got = n_commas[row] + 1 if lines[row].strip() else 0
        problem = f"expected {len(header)} fields as in the header, got {got}"
        column = header[got] if got < len(header) else None
        raise EventFileError(path, problem, line=row + 1, column=column)


def _parse(path: Path, lines: list[str], header: list[str], columns: Columns) -> NDArray[Any]:
    dtype = np.dtype(list(columns.items()))
    if len(lines) == 1:
        return np.zeros(0, dtype)
    use = [header.index(name) for name in columns]
    try:
        # "," and "\n" alone are structure: no comments, no quotes.
        rows = np.loadtxt(lines[1:], dtype=dtype, delimiter=",", usecols=use, comments=None, ndmin=1)
    except (ValueError, DeprecationWarning) as error:
        raise _find_fault(path, lines, header, columns) or EventFileError(path, str(error)) from None
    if _parses_integers_as_floats():
        integers = {name: dtype for name, dtype in columns.items() if dtype != "f4"}
        fault = _find_fault(path, lines, header, integers)
        if fault is not None:
            raise fault
    return rows


@lru_cache
def _parses_integers_as_floats() -> bool:
    """True for older NumPy, which reads 1.5 as the integer 1 with nothing but a DeprecationWarning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            np.loadtxt(["1.5"], dtype="u8")
        except ValueError:
            return False
    return True


def _find_fault(path: Path, lines: list[str], header: list[str], columns: Columns) -> EventFileError | None:
    """The error for the first field that is not of its column's type."""
    position = {name: header.index(name) for name in columns}
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split(",")
        for name, dtype in columns.items():
            text = fields[position[name]]
            if not _is_number(text, dtype):
                problem = f"expected {_EXPECTED[dtype]}, got {text.strip()!r}"
                return EventFileError(path, problem, line=number, column=name)
    return None


def _is_number(text: str, dtype: str) -> bool:
    if dtype == "f4":
        try:
            float(text)
        except ValueError:
            return False
        return "_" not in text
    if _INTEGER.fullmatch(text) is None:
        return False
    limits = np.iinfo(np.dtype(dtype))
    return limits.min <= int(text) <= limits.max


def _check_finite(table: Table, column: str) -> None:
    bad = np.flatnonzero(~np.isfinite(table.rows[column]))
    if len(bad):
        row = int(bad[0])
        raise table.error(row, column, f"expected {_EXPECTED['f4']}, got {table.field(row, column).strip()!r}")
