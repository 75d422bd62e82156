"""Which events and which output files a command line names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rheinfall.cli.errors import CommandError, reading
from rheinfall.cli.exit_codes import ExitCode

PLACEHOLDER = "{event}"


def expand_events(paths: Sequence[Path]) -> list[Path]:
    """Prefixes and hits files as they stand; a folder as the prefixes of its events, sorted by name."""
    return [event for path in paths for event in (_list_folder(path) if path.is_dir() else [path])]


def _list_folder(folder: Path) -> list[Path]:
    with reading(folder):
        names = {p.name.split("-hits.csv")[0] for end in ("", ".gz") for p in folder.glob(f"*-hits.csv{end}")}
    if not names:
        message = f"{folder}: no events, expected files named *-hits.csv or *-hits.csv.gz"
        raise CommandError(message, ExitCode.BAD_INPUT)
    return [folder / name for name in sorted(names)]


def event_name(path: Path) -> str:
    """The name that `read_event` gives to the event of a prefix or a hits file."""
    return re.sub(r"(-hits)?\.csv(\.gz)?$", "", path.name)


def name_output(path: Path, event: str, suffix: str, n_events: int, option: str) -> Path:
    """The output file of one event: a file for one event; "{event}" in the name, or a folder, for more."""
    if PLACEHOLDER in path.name:
        return path.with_name(path.name.replace(PLACEHOLDER, event))
    if path.is_dir():
        return path / f"{event}{suffix}"
    if n_events > 1:
        message = f"{option} {path}: {n_events} events need a folder that exists, or a name with {PLACEHOLDER} in it"
        raise CommandError(message, ExitCode.USAGE)
    return path
