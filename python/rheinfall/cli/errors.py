"""Errors of commands: one line on stderr and an exit code, no traceback."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from rheinfall.cli.exit_codes import ExitCode

Command = TypeVar("Command", bound=Callable[..., Any])


class CommandError(Exception):
    """A failure with its exit code."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


def one_line(error: BaseException) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def code_of(error: BaseException) -> ExitCode:
    """The exit code of an error that the library raised.

    Input errors are OSErrors and ValueErrors that name a file, and more of it than a sum holds; other ValueErrors come
    from an option's value.
    """
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, ImportError):
        own = (error.name or "").startswith("rheinfall")
        return ExitCode.INTERNAL if own else ExitCode.MISSING_EXTRA
    if isinstance(error, OSError | OverflowError) or type(error).__name__ == "EventFileError":
        return ExitCode.BAD_INPUT
    if isinstance(error, ValueError):
        return ExitCode.USAGE
    return ExitCode.INTERNAL


def guard(command: Command) -> Command:
    """Turn what `command` raises into one line on stderr and the exit code."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            print("rheinfall: interrupted", file=sys.stderr)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            # The reader has gone, as `head` does; what is still buffered must not fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(int(ExitCode.OK)) from None
        except Exception as error:
            if os.environ.get("RHEINFALL_TRACEBACK") == "1" or type(error).__module__.startswith(("click", "typer")):
                raise
            code = code_of(error)
            kind = f"internal error: {type(error).__name__}: " if code is ExitCode.INTERNAL else ""
            print(f"rheinfall: {kind}{one_line(error)}", file=sys.stderr)
            raise typer.Exit(int(code)) from None

    return guarded  # type: ignore[return-value]


class reading:  # noqa: N801 (used as a verb: `with reading(path): ...`)
    """Errors inside are those of an input file; `source` is put in front where the message does not name it."""

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self.source = os.fspath(source)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        bad = OSError | ValueError | RuntimeError | OverflowError
        if isinstance(error, bad) and not isinstance(error, CommandError):
            raise CommandError(_name_source(self.source, error), ExitCode.BAD_INPUT) from error


class writing(reading):  # noqa: N801
    """Errors inside are those of an output file."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError | RuntimeError):
            raise CommandError(_name_source(self.source, error), ExitCode.BAD_OUTPUT) from error


def _name_source(source: str, error: BaseException) -> str:
    text = one_line(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return text if source in text else f"{source}: {text}"
