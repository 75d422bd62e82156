"""The one error that a bad input file gives."""

from __future__ import annotations

import os


class EventFileError(ValueError):
    """A file that cannot be read as an event, with the place and what was expected there.

    Attributes:
        file: the file as the caller named it, or as found under the caller's prefix.
        line: the line in the file (of the decompressed text), the header being line 1; None where none applies.
        column: the name of the column, or of several; None where none applies.
        problem: the rest of the message.
    """

    def __init__(
        self, file: str | os.PathLike[str], problem: str, *, line: int | None = None, column: str | None = None
    ) -> None:
        self.file = os.fspath(file)
        self.line = line
        self.column = column
        self.problem = problem
        place = self.file
        if line is not None:
            place += f", line {line}"
        if column is not None:
            place += f", column {column}"
        super().__init__(f"{place}: {problem}")

    def __reduce__(self) -> tuple[object, ...]:
        # The default would hand the whole message to __init__ when a worker process sends the error home.
        return _rebuild, (self.file, self.problem, self.line, self.column)


def _rebuild(file: str, problem: str, line: int | None, column: str | None) -> EventFileError:
    return EventFileError(file, problem, line=line, column=column)
