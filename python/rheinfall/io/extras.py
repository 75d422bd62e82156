"""Packages that only the extra [io] brings."""

from __future__ import annotations

import importlib
from typing import Any


def import_extra(package: str, purpose: str) -> Any:
    """Import a package of the extra [io].

    Raises:
        ImportError: naming the extra to install.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{purpose} needs {package}: pip install rheinfall[io]") from error
