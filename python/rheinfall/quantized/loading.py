"""Find out what a path holds, and let the importer of that format read it."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rheinfall.quantized.errors import ModelError

if TYPE_CHECKING:
    from rheinfall.quantized.network import Network

Wrapper: TypeAlias = Mapping[str, Any] | str | os.PathLike[str]


def load(path: str | os.PathLike[str], wrapper: Wrapper | None = None, *, isa: str = "best") -> Network:
    """Read a quantized network: exact integers from there on.

    Args:
        path: a folder (an hls4ml project), an `.onnx` file (QONNX or QDQ), or a `.json` file that `Network.save` wrote.
        wrapper: what surrounds an hls4ml project's network: input scaling and score, as a dict or the path of a JSON
            file; without one, `rheinfall.json` in the folder if there is one.
        isa: instruction set of the kernels: "best" of this machine, "portable", "avx2", "avx512"; or "exact", the
            readable executor. All give the same bits.

    Raises:
        ModelError: the model cannot be read or not be expressed exactly; the message names file, node and reason.
        OSError: there is no such file.
    """
    from rheinfall.quantized.network import Network

    path = Path(path)
    if path.is_dir():
        return Network(
            _importer("hls4ml_project").read_project(path, _read_wrapper(wrapper)), isa=isa, file=os.fspath(path)
        )
    if wrapper is not None:
        raise ModelError(f"{path}: a wrapper goes with the folder of an hls4ml project, and this is a file")
    if path.suffix == ".json":
        return Network.from_json(path.read_bytes(), isa=isa, file=os.fspath(path))
    if path.suffix == ".onnx":
        return Network(_importer("onnx_import").read_onnx(path), isa=isa, file=os.fspath(path))
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    raise ModelError(f"{path}: expected a folder (an hls4ml project), a .onnx or a .json file")


def from_hls4ml(model: Any, *, isa: str = "best") -> Network:
    """The network of an hls4ml `ModelGraph`, with the types that hls4ml inferred; its weights are copied.

    Raises:
        ModelError: a layer cannot be expressed exactly; the message names it and the reason.
    """
    from rheinfall.quantized.network import Network

    return Network(_importer("hls4ml_model").read_model(model), isa=isa)


def _importer(module: str) -> Any:
    return importlib.import_module(f"rheinfall.quantized.{module}")


def _read_wrapper(wrapper: Wrapper | None) -> dict[str, Any] | None:
    if wrapper is None:
        return None
    if isinstance(wrapper, Mapping):
        return dict(wrapper)
    path = Path(wrapper)
    try:
        read = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path}: expected JSON: {error}") from error
    if not isinstance(read, dict):
        raise ModelError(f"{path}: expected a JSON object, got a {type(read).__name__}")
    return read
