"""Exit codes of `rheinfall`, and their one description."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code tells; the text is what --help and docs/cli.md say."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    MISSING_EXTRA = 3
    BAD_INPUT = 4
    BAD_STATUS = 5
    BAD_OUTPUT = 6
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.INTERNAL: "internal error (a bug: RHEINFALL_TRACEBACK=1 shows where)",
    ExitCode.USAGE: "wrong usage, or an option's value out of range",
    ExitCode.MISSING_EXTRA: "an extra is missing; the message names it",
    ExitCode.BAD_INPUT: "an input file is missing or bad",
    ExitCode.BAD_STATUS: "an event ended with a bad status (not_finite, cycle, capacity_exceeded)",
    ExitCode.BAD_OUTPUT: "an output cannot be written",
    ExitCode.INTERRUPTED: "interrupted",
}

EPILOG = "Exit codes: " + "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANINGS.items()) + "."
