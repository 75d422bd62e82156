"""Paths as arguments, and files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def require_path(name: str, value: object) -> Path:
    """`value` as a Path, if it is one or a string."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name}: expected a path, a str or an os.PathLike, got {type(value).__name__}")
    return Path(value)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the name of a file to write beside `path`, which then takes its place; after an error it is gone.

    Raises:
        OSError: the file cannot be written; names `path`.
    """
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno is not None and error.filename == str(partial):
            raise type(error)(error.errno, error.strerror, str(target)) from error
        raise
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
