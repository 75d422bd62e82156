"""Import of optional packages, with an error that says how to get them."""

from __future__ import annotations

import importlib
from typing import Any


def require(module: str, extra: str) -> Any:
    """Import `module`, or raise an ImportError that names the extra which brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"this needs the package {package}, which the extra [{extra}] brings: "
            f"pip install 'rheinfall[{extra}]' ({error})"
        ) from error
