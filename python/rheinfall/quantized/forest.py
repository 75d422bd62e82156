"""Forests of decision trees, exact to their document and to the firmware emulation that it came from."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rheinfall import _core
from rheinfall.quantized.calls import Model
from rheinfall.quantized.errors import ModelError

MAX_BYTES = 1 << 28  # of a file, unpacked: a document larger than this is refused before it is parsed


class Forest(Model):
    """Decision trees and their sums: raw scores, the same bits for every instruction set and number of events.

    Immutable, may be called from several threads, pickles. What each number means is in docs/forest_format.md.

    `forest(x)`: x is (n, n_features) or one event (n_features,), C-contiguous, of float32 or float64 (real values,
    converted as the input type says), or stored integers of a fixed input type. The result is (n, n_classes), or (n,)
    with one class; without the n for one event. Of a fixed score: real values for floats, stored integers for
    integers; of a float score its type, whatever x is. ValueError: a wrong shape; or, with a fixed input type, a NaN,
    an infinity or an integer outside the type (floats outside it are converted as its overflow says). With a float
    input type integers are numbers, and a NaN goes where the model sends missing values. `run_integers(x)`,
    `run_into(x, out)` and `bind(x, out)`: see `rheinfall.quantized.calls.Model`.
    """

    def __init__(self, document: Mapping[str, Any], *, isa: str = "best", file: str = "") -> None:
        """Read a document; see `load_forest` for files.

        Args:
            document: as docs/forest_format.md defines it.
            isa: instruction set of the kernels: "best" of this machine, "portable", "avx2", "avx512"; or "exact",
                the readable walk. All give the same bits.
            file: its name, for errors.

        Raises:
            ModelError: a rule of the format is broken; the message names file, tree, node and field.
        """
        self.document = dict(document)
        self.isa = isa
        self.file = file
        try:
            text = json.dumps(self.document, allow_nan=False)
            self._core = _core.Forest.from_json(text, file or "forest", isa)
        except (RuntimeError, TypeError, RecursionError) as error:
            raise ModelError(str(error)) from None
        except ValueError as error:
            if str(error).startswith("isa"):
                raise
            raise ModelError(f"{file or 'forest'}: {error}") from None
        super().__init__(self._core)

    @property
    def n_features(self) -> int:
        """Features of one event."""
        return int(self.document["n_features"])

    @property
    def n_classes(self) -> int:
        """Scores of one event."""
        return int(self.document["n_classes"])

    @property
    def n_trees(self) -> int:
        """Trees, over all classes."""
        return len(self.document["trees"])

    @property
    def info(self) -> dict[str, Any]:
        """The kernel that runs, the bytes it reads for an event, the proof about its sums, sizes."""
        return dict(self._core.info)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the document as JSON; gzipped if the name ends in .gz."""
        data = json.dumps(self.document, allow_nan=False).encode()
        Path(path).write_bytes(gzip.compress(data, mtime=0) if os.fspath(path).endswith(".gz") else data)

    def inspect(self) -> str:
        """Types, sizes, sum, kernel and traps found, as text to print."""
        info, document = self.info, self.document
        order = "in any order (proven to be the same)" if info["any_order"] else f"{document['sum']}, in order"
        lines = [
            f"forest {document.get('name') or self.file or ''}".rstrip() + f" ({document.get('source', 'no source')})",
            f"  trees     {self.n_trees} of depth {info['max_depth']} at most, {info['n_nodes']} nodes",
            f"  input     {self.n_features} of {document['input']}; left where x {document['comparison']} threshold",
            f"  score     {self.n_classes} of {document['score']}; summed {order}",
            f"  kernel    {info['kernel']} ({info['isa']}), {info['bytes']} bytes of thresholds and leaves",
        ]
        if "normalisation" in document:
            lines.insert(4, f"  then      {document['normalisation']}")
        lines += [f"  trap      {trap}" for trap in document.get("traps", [])]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"Forest({self.n_trees} trees, {self.n_features} features, {self.n_classes} scores, "
            f"{self.document['input']} -> {self.document['score']})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self.document, self.isa, self.file)


def load_forest(
    path: str | os.PathLike[str], *, precision: str | Mapping[str, str] | None = None, isa: str = "best"
) -> Forest:
    """Read a forest: conifer JSON, xgboost JSON or UBJ, LightGBM text or JSON dump, ONNX-ML, or `Forest.save`'s JSON.

    Args:
        path: the file; gzipped or not. What it holds is found by its content.
        precision: for conifer only: the types of its `cpp` backend instead of the file's own backend and types, one
            for all ("ap_fixed<18,8>", "float", ...) or a mapping with `input`, `score`, maybe `threshold`, `weight`.
        isa: see `Forest`.

    Raises:
        ModelError: the file cannot be read as a forest or not be computed exactly; the message names file, tree, node
            and field.
        OSError: there is no such file.
    """
    file = os.fspath(path)
    data = _unpacked(Path(path).read_bytes(), file)
    try:
        document, is_conifer = _document(data, file, precision)
    except ModelError:
        raise
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        # The formats are other tools' own, and a damaged file may hold anything anywhere.
        raise ModelError(f"{file}: damaged, or of a version that is not known: {error}") from error
    if precision is not None and not is_conifer:
        raise ModelError(f"{file}: precision is for conifer models; this file says its types itself")
    return Forest(document, isa=isa, file=file)


def _unpacked(data: bytes, file: str) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise ModelError(f"{file}: damaged gzip: {error}") from None
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ModelError(f"{file}: damaged gzip, or more than {MAX_BYTES} bytes unpacked")
    return unpacked


def _document(data: bytes, file: str, precision: str | Mapping[str, str] | None) -> tuple[dict[str, Any], bool]:
    """The document of whatever the bytes hold, and whether that was conifer's."""
    from rheinfall.quantized import forest_lightgbm, forest_xgboost

    if len(data) > MAX_BYTES:
        raise ModelError(f"{file}: {len(data)} bytes, more than {MAX_BYTES}")
    start = data[:200].lstrip()
    if start.startswith(b"tree") and b"version=" in start:
        return forest_lightgbm.read_lightgbm_text(_text(data, file), file), False
    if start.startswith(b"{L") or start[:2] in (b"{i", b"{U", b"{$", b"{#", b"{I", b"{l"):
        return _by_content(forest_xgboost.read_ubj(data, file), file, precision)
    if start.startswith(b"{"):
        try:
            content = json.loads(_text(data, file), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{file}: no valid JSON: {error}") from None
        return _by_content(content, file, precision)
    if file.removesuffix(".gz").endswith(".onnx") or start[:1] == b"\x08":
        from rheinfall.quantized import forest_onnxml

        return forest_onnxml.read_onnxml(data, file), False
    raise ModelError(
        f"{file}: expected JSON (conifer, xgboost, LightGBM or rheinfall.forest), UBJSON, LightGBM text or ONNX"
    )


def _by_content(content: Any, file: str, precision: str | Mapping[str, str] | None) -> tuple[dict[str, Any], bool]:
    from rheinfall.quantized import forest_conifer, forest_lightgbm, forest_xgboost

    if not isinstance(content, dict):
        raise ModelError(f"{file}: expected an object, got a {type(content).__name__}")
    if "format" in content:
        return content, False
    if "learner" in content:
        return forest_xgboost.read_xgboost(content, file), False
    if "tree_info" in content:
        return forest_lightgbm.read_lightgbm_dump(content, file), False
    if "trees" in content:
        return forest_conifer.read_conifer(content, file, precision), True
    raise ModelError(f"{file}: a JSON object, but of no known kind: conifer has 'trees', xgboost 'learner', LightGBM "
                     "'tree_info', rheinfall 'format'")  # fmt: skip


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{file}: no UTF-8 text: {error}") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _unpickle(document: dict[str, Any], isa: str, file: str) -> Forest:
    return Forest(document, isa=isa, file=file)
