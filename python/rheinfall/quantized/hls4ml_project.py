"""hls4ml projects read as data: types from defines.h, layers from the top function and parameters.h, weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import format_type
from rheinfall.quantized.hls4ml_cpp import Declarations, Function, LayerCall
from rheinfall.quantized.hls4ml_declarations import read_declarations
from rheinfall.quantized.hls4ml_functions import lower
from rheinfall.quantized.hls4ml_lowering import Lowering
from rheinfall.quantized.hls4ml_resolve import Project
from rheinfall.quantized.hls4ml_tokens import read_text
from rheinfall.quantized.hls4ml_wrapper import apply_wrapper, read_wrapper

WRAPPER_FILE = "rheinfall.json"


def read_project(path: str | Path, wrapper: dict[str, Any] | str | Path | None = None) -> dict[str, Any]:
    """The document of an hls4ml project directory; nothing in it is compiled or run.

    Args:
        path: a folder with `firmware/` (as hls4ml writes it, Vivado or Vitis backend) or `NN/` (as CMS's AXOL1TL), or
            that folder itself: `defines.h`, `parameters.h`, a source with the top function, weights in `weights/*.h`,
            `weights/*.txt`, `weights.h` or `weights.cpp`.
        wrapper: what surrounds the network: input offset and shift, and score; `rheinfall.json` of the folder if None.

    Raises:
        ModelError: file, layer and reason of what cannot be read or not be expressed exactly.
    """
    folder = Path(path)
    try:
        lowering = lower(_open(folder))
        document = _document(folder, lowering)
        if wrapper is None and (folder / WRAPPER_FILE).is_file():
            wrapper = folder / WRAPPER_FILE
        if wrapper is not None:
            document = apply_wrapper(document, read_wrapper(wrapper), folder, lowering.project)
    except RecursionError:
        raise ModelError(f"{folder}: expressions nested too deeply") from None
    return document


def _open(folder: Path) -> Project:
    sources = next((f for f in (folder / "firmware", folder / "NN", folder) if (f / "defines.h").is_file()), None)
    if sources is None:
        raise ModelError(f"{folder}: expected an hls4ml project: firmware/defines.h, NN/defines.h or defines.h")
    declared = Declarations()
    headers = [sources / name for name in ("defines.h", "parameters.h")]
    if not headers[1].is_file():
        raise ModelError(f"{headers[1]}: there is no such file; the configs of the layers stand there")
    for name in ("weights.h", "weights.cpp"):
        if (sources / name).is_file():
            headers.append(sources / name)
    for header in headers:
        read_declarations(header, declared)
    for source in _sources(folder, sources):
        read_declarations(source, declared)
    function = _top_function(sources, declared.functions)
    weights = sources / "weights"
    return Project(folder, function, declared, weights if weights.is_dir() else None)


def _sources(folder: Path, sources: Path) -> list[Path]:
    """The file of the top function as hls4ml's settings name it; else what is neither wrapper nor weights."""
    settings = folder / "hls4ml_config.yml"
    name = re.search(r"^ProjectName: *(\w+)", read_text(settings), re.MULTILINE) if settings.is_file() else None
    if name is not None and (sources / f"{name.group(1)}.cpp").is_file():
        return [sources / f"{name.group(1)}.cpp"]
    others = ("weights", "_axi", "_bridge", "_test", "_wrapper")
    return [source for source in sorted(sources.glob("*.cpp")) if not source.stem.endswith(others)]


def _top_function(folder: Path, functions: list[Function]) -> Function:
    found = [f for f in functions if any(isinstance(statement, LayerCall) for statement in f.body)]
    if len(found) != 1:
        names = ", ".join(repr(function.name) for function in found)
        raise ModelError(f"{folder}: expected one .cpp file with the calls of the layers, got {names or 'none'}")
    return found[0]


def _document(folder: Path, lowering: Lowering) -> dict[str, Any]:
    function = lowering.project.function
    parameters = [parameter.name for parameter in function.parameters]
    inputs = [lowering.inputs[name] for name in parameters if name in lowering.inputs]
    outputs = [lowering.values[name].name for name in parameters if name in lowering.written]
    unread = [
        name for name in parameters
        if name not in lowering.values and not lowering.project.has_weights(name)
    ]  # fmt: skip
    if unread or not inputs or not outputs:
        what = f"parameter {unread[0]!r} is neither read nor written" if unread else "no input, or no output"
        raise ModelError(f"{function.file}:{function.line}: function {function.name!r}: {what}")
    return {
        "format": "rheinfall.quantized",
        "version": 1,
        "name": function.name,
        "source": _source(folder),
        "inputs": [
            {"name": value.name, "shape": list(value.shape), "type": format_type(value.type.fixed)} for value in inputs
        ],
        "layers": lowering.layers,
        "outputs": outputs,
        "traps": _traps(lowering),
    }


def _source(folder: Path) -> str:
    config = folder / "hls4ml_config.yml"
    backend = re.search(r"^Backend: *(\w+)", read_text(config), re.MULTILINE) if config.is_file() else None
    return f"hls4ml project{f', {backend.group(1)}' if backend else ''}"


def _traps(lowering: Lowering) -> list[str]:
    traps = list(lowering.traps)
    if lowering.defaulted:
        traps.append(f"results of the type ap_fixed<16,6>, hls4ml's default: {_listed(lowering.defaulted)}")
    if lowering.wrapping:
        traps.append(f"results that wrap where they overflow (WRAP, hls4ml's default): {_listed(lowering.wrapping)}")
    return traps


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
