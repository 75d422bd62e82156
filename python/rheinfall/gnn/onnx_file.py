"""Read an ONNX file, external data included, without leaving the folder it lies in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rheinfall._extras import require
from rheinfall.gnn.ir_file import MAGIC
from rheinfall.gnn.onnx_graph_checks import check_graph

_STATE_DICT = (
    "; where it is a state dict, EdgeClassifier.load_state_dict reads it with its description (on the command line "
    "--description, docs/gnn_state_dicts.md)"
)
_OTHER_FILES = {
    MAGIC: "a network that was lowered before: EdgeClassifier.load_lowered reads it",
    b"PK\x03\x04": "an archive, as torch.save and numpy.savez write it" + _STATE_DICT,
    b"\x80\x02": "a pickle, as older torch.save writes it" + _STATE_DICT,
}


@contextmanager
def naming_damage(name: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a ValueError that names the file.

    A damaged file that still parses trips over its strings, shapes and attributes in any place that reads them.
    """
    try:
        yield
    except (ImportError, OSError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, ValueError) and name in str(error):
            raise
        raise ValueError(f"{name}: damaged ONNX file: {type(error).__name__}: {error}") from error


def load_model(path: Path) -> Any:
    """The `onnx.ModelProto` in `path`, local functions inlined and external tensors read in.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an ONNX model, or its external data is missing, too short or outside the model's folder.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such ONNX file")
    model = parse_model(path.read_bytes(), str(path))
    for tensor in _tensors(model.graph):
        _read_external(tensor, path)
    return model


def parse_model(data: bytes, name: str) -> Any:
    """The `onnx.ModelProto` serialized in `data`, its nodes checked to be sorted; `name` stands in error messages."""
    for begin, what in _OTHER_FILES.items():
        if data.startswith(begin):
            raise ValueError(f"{name}: not an ONNX file but {what}")
    onnx = require("onnx", "onnx")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        hint = f", perhaps of the format safetensors{_STATE_DICT}" if data[8:9] == b"{" else ""
        raise ValueError(f"{name}: not an ONNX file: {error}{hint}") from error
    if not model.graph.node or not model.graph.output:
        raise ValueError(f"{name}: not an ONNX model: its graph has no nodes or no outputs")
    if len(model.functions) > 0:
        model = require("onnx.inliner", "onnx").inline_local_functions(model)
    check_graph(model, name, opset_of(model))
    return model


def opset_of(model: Any) -> int:
    """The version of the default operator set that `model` is written in."""
    return max((int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor stored in `graph`: initializers, sparse ones, attributes, subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for subgraph in attribute.graphs:
                yield from _tensors(subgraph)


def _read_external(tensor: Any, path: Path) -> None:
    """Replace a reference to external data by the data.

    A model may name any file there; such names have been a path traversal four times (CVE-2022-25882,
    CVE-2024-27318, CVE-2025-51480, CVE-2026-34447), so symbolic links are resolved before the folder is compared.
    """
    onnx = require("onnx", "onnx")
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    folder = path.parent.resolve()
    target = (folder / location).resolve() if location and "\0" not in location else folder
    where = f"{path}: external data of tensor {tensor.name!r}: location {location!r}"
    if Path(location).is_absolute() or folder not in target.parents:
        raise ValueError(f"{where} is outside the model's folder, which is refused")
    if not target.is_file():
        raise ValueError(f"{where} is not a file")
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", target.stat().st_size - offset))
    except ValueError as error:
        raise ValueError(f"{where}: offset and length must be integers: {error}") from error
    if offset < 0 or length < 0 or offset + length > target.stat().st_size:
        raise ValueError(
            f"{where} has {target.stat().st_size} bytes, but offset {offset} and length {length} ask for more"
        )
    with target.open("rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
