"""`rheinfall info`: what is installed."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from rheinfall.cli.errors import guard
from rheinfall.cli.options import Json, Quiet
from rheinfall.cli.output import Output, make_table

EXTRAS = {
    "onnx": ("onnx", "onnxruntime"),
    "cli": ("typer", "rich", "plotly"),
    "io": ("pyarrow", "uproot", "awkward"),
    "acts": ("pyacts",),
    "train": ("torch",),
    "plots": ("matplotlib", "mplhep"),
}


@guard
def info(quiet: Quiet = False, as_json: Json = False) -> None:
    """Tell the version, how it was built, its threads, extras and bundles."""
    facts = gather_facts()
    out = Output(quiet, as_json)
    out.say(make_table(f"rheinfall {facts['version']}", ("", ""), _rows(facts), left=2))
    out.document(facts)


def gather_facts() -> dict[str, Any]:
    """Everything that `info` prints."""
    import numpy as np

    from rheinfall import __version__, build_info, get_num_threads
    from rheinfall.tracking.bundle import shipped_bundles

    return {
        "version": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "threads": get_num_threads(),
        "build": build_info(),
        "extras": {extra: {name: _version_of(name) for name in names} for extra, names in EXTRAS.items()},
        "bundles": shipped_bundles(),
    }


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(name, str(facts[name])) for name in ("python", "numpy", "system", "threads")]
    rows += [(f"build: {name}", str(value)) for name, value in facts["build"].items() if name != "version"]
    for extra, packages in facts["extras"].items():
        versions = ", ".join(f"{name} {version or '(missing)'}" for name, version in packages.items())
        rows.append((f"extra {extra}", versions))
    rows.append(("bundles", ", ".join(facts["bundles"]) or "none"))
    return rows
