"""hls4ml model objects: what their own writer writes is what is read, so a model and its project cannot differ."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.hls4ml_project import read_project

_BACKENDS = ("Vivado", "Vitis", "VivadoAccelerator")


def read_model(model: Any, wrapper: dict[str, Any] | None = None) -> dict[str, Any]:
    """The document of an hls4ml `ModelGraph`, with the types that hls4ml inferred.

    The model's writer writes its project into a temporary folder, which is read as any other: the decimal texts there
    are what emulation and firmware compute with. As `model.write()` does, this runs the passes that still wait.

    Raises:
        ModelError: no hls4ml model, a backend other than Vivado or Vitis, or a layer that cannot be expressed exactly.
    """
    config = getattr(model, "config", None)
    if config is None or not hasattr(model, "get_layers") or not hasattr(config, "get_output_dir"):
        raise ModelError(f"expected an hls4ml ModelGraph, got a {type(model).__name__}")
    backend = getattr(config, "backend", None)
    name = str(getattr(backend, "name", None))
    if backend is None or name not in _BACKENDS:
        raise ModelError(f"hls4ml model with backend {name}: expected one of {', '.join(_BACKENDS)}")
    with tempfile.TemporaryDirectory(prefix="rheinfall-") as folder:
        project = Path(folder) / "project"  # the writer lays an archive beside it
        with _output_folder(config, project):
            model.write()
        document = read_project(project, wrapper)
    document["name"] = str(config.get_project_name())
    document["source"] = f"hls4ml model, {name}"
    return document


@contextlib.contextmanager
def _output_folder(config: Any, folder: Path) -> Iterator[None]:
    """Let a model's config name another output folder for a while."""
    key = "OutputDir"
    before = config.config.get(key)
    config.config[key] = str(folder)
    try:
        yield
    finally:
        config.config[key] = before
