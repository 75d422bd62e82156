"""What commands print: tables and progress for people, one JSON document for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text


@dataclass
class Output:
    """Where a command's words go. With --json stdout holds the document alone; with --quiet nothing but that."""

    quiet: bool = False
    as_json: bool = False
    console: Console = field(default_factory=lambda: Console(highlight=False))

    @property
    def talks(self) -> bool:
        """True where people read stdout."""
        return not self.quiet and not self.as_json

    def say(self, *what: Any) -> None:
        """Print text or a table, unless --quiet or --json."""
        if self.talks:
            self.console.print(*what)

    def say_plain(self, text: str) -> None:
        """Print text as it is, however long: a path must not be broken over lines."""
        if self.talks:
            self.console.print(text, soft_wrap=True, markup=False)

    def warn(self, text: str) -> None:
        """One line on stderr, unless --quiet."""
        if not self.quiet:
            print(f"rheinfall: warning: {text}", file=sys.stderr)

    def document(self, document: Mapping[str, Any]) -> None:
        """Print the result as JSON where --json asks for it; what is not finite becomes null."""
        if self.as_json:
            print(json.dumps(_plain(document), indent=2, allow_nan=False))

    def track(self, items: Sequence[Any], title: str) -> Iterator[Any]:
        """Iterate with a progress bar where there is more than one item and a terminal to see it."""
        console = Console(stderr=True)
        if self.quiet or len(items) < 2 or not console.is_terminal:
            yield from items
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            yield from progress.track(items, description=title)


def make_table(title: str, columns: Iterable[str], rows: Iterable[Sequence[str | Text]], *, left: int = 1) -> Table:
    """A table whose first `left` columns are text, which may wrap, and whose others are numbers, which may not.

    Titles and cells are shown as they are: the names of files and layers in them may hold brackets.
    """
    heading = Text(title, style="bold") if title else None
    table = Table(title=heading, title_justify="left", header_style="dim", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right", no_wrap=i >= left)
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str | bytes):
        return value if isinstance(value, str) else value.decode()
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)
