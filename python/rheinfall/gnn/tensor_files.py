"""Read named tensors from safetensors, npz and torch.save files, without PyTorch and without running any of them."""

from __future__ import annotations

import io
import json
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall.gnn.torch_pickle import read_pickle

Array = NDArray[Any]
LARGEST = 1 << 30  # bytes of tensors in a file

_SAFETENSORS = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool", "U8": "uint8"},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
}
_DAMAGE = (EOFError, KeyError, IndexError, TypeError, OverflowError, struct.error, SyntaxError)
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that torch.save put first before version 1.6


def read_tensors(path: Path, under: Sequence[str] = ()) -> dict[str, Array]:
    """The tensors of a file by name; bfloat16 as float32, everything else in its own dtype.

    Args:
        path: a safetensors, npz or torch.save file; told apart by their contents.
        under: in a file of torch.save, the keys of the dictionaries that the state dict lies in.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, none of these, or it holds more than tensors; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of tensors")
    try:
        _check_file_size(path.stat().st_size)
        return _read(path.read_bytes(), under)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, *_DAMAGE) as error:
        raise ValueError(f"{path}: damaged: {type(error).__name__}: {error}") from error


def _read(data: bytes, under: Sequence[str]) -> dict[str, Array]:
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_size(sum(entry.file_size for entry in archive.infolist()))
            if any(e.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for e in archive.infolist()):
                raise ValueError("expected entries that are stored or deflated, as NumPy and PyTorch write them")
            if any(n.endswith("data.pkl") for n in archive.namelist()):
                return _read_torch(archive, len(data), under)
            return _refuse_under(under, _read_npz(archive))
    if data.startswith(_OLD_TORCH):
        raise ValueError("the format of torch.save before PyTorch 1.6: save it again")
    return _refuse_under(under, _read_safetensors(data))


def _check_size(n: int) -> None:
    if n > LARGEST:
        raise ValueError(f"expected at most {LARGEST} bytes of tensors, got {n}")


def _check_file_size(n: int) -> None:
    """Before all of it is in memory: names and headers may take as much as the tensors."""
    if n > 2 * LARGEST:
        raise ValueError(f"expected a file of at most {2 * LARGEST} bytes, got {n}")


def _refuse_under(under: Sequence[str], tensors: dict[str, Array]) -> dict[str, Array]:
    if under:
        raise ValueError(f"under: expected [] for a file of tensors only, got {list(under)}")
    return tensors


def _values(data: bytes, dtype: str) -> Array:
    """Little-endian bytes as a flat array."""
    if dtype == "bfloat16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<"))


def _read_torch(archive: zipfile.ZipFile, n_bytes: int, under: Sequence[str]) -> dict[str, Array]:
    pickles = [n for n in archive.namelist() if n.endswith("data.pkl")]
    folder = pickles[0].removesuffix("data.pkl")
    if len(pickles) != 1:
        raise ValueError(f"expected one data.pkl, got {len(pickles)}")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size > n_bytes for entry in archive.infolist()):
        raise ValueError("expected entries that are not compressed, as torch.save writes them")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("byteorder: expected little")
    names = frozenset(archive.namelist())
    storages: dict[str, tuple[str, Array]] = {}

    def load_storage(dtype: str, key: str) -> Array:
        if key not in storages:
            entry = f"{folder}data/{key}"
            if entry not in names:
                raise ValueError(f"no entry {entry!r}")
            storages[key] = dtype, _values(archive.read(entry), dtype)
        if storages[key][0] != dtype:
            raise ValueError(f"storage {key!r} has two types")
        return storages[key][1]

    content = read_pickle(archive.read(pickles[0]), load_storage)
    for place, step in enumerate(under):
        content = content.get(step) if isinstance(content, dict) else None
        if not isinstance(content, dict):
            raise ValueError(f"under: no dictionary at {'/'.join(under[: place + 1])!r}")
    if not isinstance(content, dict):
        raise ValueError(f"expected a dictionary of tensors, got a {type(content).__name__}")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, np.ndarray):
            inner = [k for k, v in content.items() if isinstance(v, dict)]
            raise ValueError(
                f"{str(key)[:100]!r}: expected a tensor, got a {type(value).__name__}"
                + (f'; is the state dict "under" {str(inner[0])[:100]!r}?' if inner else "")
            )
    return content


def _read_npz(archive: zipfile.ZipFile) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for entry in archive.infolist():
        key = entry.filename.removesuffix(".npy")
        if key == entry.filename or key in tensors:
            raise ValueError(f"{entry.filename!r}: expected .npy entries, each once")
        tensors[key] = _read_npy(archive.read(entry), key)
    return tensors


def _read_npy(data: bytes, key: str) -> Array:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{key!r}: npy version {version}: expected (1, 0) or (2, 0)")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(stream)
    except (tokenize.TokenError, MemoryError) as error:  # of the parser: the header is at most 10,000 characters
        raise ValueError(f"{key!r}: npy header: {type(error).__name__}") from error
    rest = data[stream.tell() :]
    if dtype.kind not in "fiub" or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(rest):
        raise ValueError(f"{key!r}: expected numbers {shape} of {dtype}, got {len(rest)} bytes")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")


def _read_safetensors(data: bytes) -> dict[str, Array]:
    if len(data) < 8 or struct.unpack("<Q", data[:8])[0] > len(data) - 8:
        raise ValueError("neither a safetensors file nor a zip archive (npz, torch.save)")
    end = 8 + struct.unpack("<Q", data[:8])[0]
    try:
        header = json.loads(data[8:end].decode(), object_pairs_hook=unique_keys)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"neither a safetensors file nor a zip archive (npz, torch.save): {error}") from error
    if not isinstance(header, dict):
        raise ValueError("header: expected an object")
    header.pop("__metadata__", None)
    body, tensors, spans = data[end:], {}, []
    _check_size(len(body))
    for key, entry in header.items():
        dtype, shape, (start, stop) = _entry(key, entry, len(body))
        tensors[key] = _values(body[start:stop], dtype).reshape(shape)
        spans.append((start, stop))
    place = 0
    for start, stop in sorted(spans):
        if start != place:
            raise ValueError(f"data_offsets: expected tensors one behind the other, got {start} behind {place}")
        place = stop
    if place != len(body):
        raise ValueError(f"data_offsets: expected {len(body)} bytes of tensors, got {place}")
    return tensors


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON file: json.loads' `object_pairs_hook`.

    Raises:
        ValueError: a key stands in it twice; the message names it.
    """
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {key[:100]!r} twice")
        result[key] = value
    return result


def _entry(key: str, entry: Any, n_bytes: int) -> tuple[str, list[int], tuple[int, int]]:
    fields = ("dtype", "shape", "data_offsets")
    if not isinstance(entry, dict) or set(entry) != set(fields):
        raise ValueError(f"{key[:100]!r}: expected the fields {', '.join(fields)}")
    dtype, shape, offsets = _SAFETENSORS.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
    if dtype is None:
        raise ValueError(f"{key[:100]!r}: dtype {str(entry['dtype'])[:20]!r}: expected {', '.join(_SAFETENSORS)}")
    for what, numbers in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError(f"{key[:100]!r}: {what}: expected a list of natural numbers")
    size = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    if len(shape) > 8 or len(offsets) != 2 or not offsets[0] <= offsets[1] <= n_bytes:
        raise ValueError(f"{key[:100]!r}: data_offsets: expected two within {n_bytes} bytes, and at most 8 dimensions")
    if math.prod(shape) * size != offsets[1] - offsets[0]:
        raise ValueError(f"{key[:100]!r}: shape: expected {offsets[1] - offsets[0]} bytes, got {shape[:8]} of {dtype}")
    return dtype, shape, (offsets[0], offsets[1])
