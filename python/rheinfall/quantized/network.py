"""A quantized network: a document of docs/quantized_format.md, and its executor in C++."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall import _core
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, parse


class Network:
    """A network of integers with a binary point, exact to its document: the firmware's bits.

    Immutable; may be called from several threads, pickles. `rheinfall.quantized.load` makes one of a file.

    Attributes:
        isa: the kernels that run: "portable", "avx2" or "avx512", or "exact", also where no kernel does what some layer
            needs. All give the same bits.
        file: where it came from; empty if from memory.
    """

    def __init__(self, document: Mapping[str, Any], *, isa: str = "best", file: str = "") -> None:
        """Read a document.

        Args:
            document: as docs/quantized_format.md defines it.
            isa: "best" of this machine, "portable", "avx2", "avx512", or "exact", the readable executor.
            file: its name, for errors.

        Raises:
            ModelError: a rule of the format is broken; the message names file, layer, field and what was expected.
        """
        try:
            text = json.dumps(document, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelError(f"{file or 'document'}: cannot be written as JSON: {error}") from None
        self._read(text, isa, file)

    @classmethod
    def from_json(cls, text: bytes | str, *, isa: str = "best", file: str = "") -> Network:
        """A network from the text of a document; see the constructor."""
        network = cls.__new__(cls)
        try:
            network._read(text if isinstance(text, str) else text.decode(), isa, file)
        except UnicodeDecodeError as error:
            raise ModelError(f"{file or 'document'}: no UTF-8 text: {error}") from None
        return network

    def _read(self, text: str, isa: str, file: str) -> None:
        try:
            self._core = _core.Network.from_json(text, file, isa)
        except RuntimeError as error:
            raise ModelError(str(error)) from None
        self._text = text
        self._isa = isa
        self.isa: str = self._core.isa
        self.file = file
        self.n_inputs: int = self._core.n_inputs
        self.n_outputs: int = self._core.n_outputs
        self._output_types = [parse(port["type"]) for port in self._core.outputs]

    @cached_property
    def document(self) -> dict[str, Any]:
        """The document, as docs/quantized_format.md defines it."""
        document: dict[str, Any] = json.loads(self._text)
        return document

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one event: that of the input, or (n_inputs,) where there are several."""
        inputs = self._core.inputs
        return tuple(inputs[0]["shape"]) if len(inputs) == 1 else (self.n_inputs,)

    @property
    def output_dtype(self) -> np.dtype[Any]:
        """Of stored integers: int64, or uint64 where an output has 64 unsigned bits.

        Raises:
            TypeError: the outputs have signed types, too, so that no integer type holds all of them.
        """
        if not any(_needs_uint64(fixed) for fixed in self._output_types):
            return np.dtype(np.int64)
        if any(fixed.is_signed for fixed in self._output_types):
            raise TypeError("the outputs have signed types and 64 unsigned bits: no integer type holds both")
        return np.dtype(np.uint64)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Compute events.

        Args:
            x: C-contiguous (n, n_inputs), or (n, *input_shape); or one event (n_inputs,) or input_shape. Several inputs
                stand one after the other in a row. float32 and float64 are real values, converted exactly as the
                input's type says (rounded, and saturated or wrapped); integers are stored integers q of q / 2^F.

        Returns:
            (n, n_outputs), or (n_outputs,) for one event. For floats real values: float32 if x is and no output can
            lose a bit in it, else float64. For integers stored integers: int64 (uint64 for 64 unsigned bits).

        Raises:
            TypeError: x is no array of integers, float32 or float64.
            ValueError: the shape or layout is wrong; some x are NaN or infinite, or integers outside the input's type.
        """
        rows = self._rows(x)
        if x.dtype.kind != "f":
            return self._run(rows, x, self.output_dtype)
        fits = x.dtype == np.float32 and not self._has_scales and all(map(_fits_float32, self._output_types))
        return self._run(rows, x, np.dtype(np.float32 if fits else np.float64))

    def run_integers(self, x: NDArray[Any]) -> NDArray[Any]:
        """Stored integers in, stored integers out: the firmware's own numbers. As a call, for integers alone."""
        rows = self._rows(x)
        if x.dtype.kind == "f":
            raise TypeError(f"x: expected integers, got {x.dtype}")
        return self._run(rows, x, self.output_dtype)

    def describe(self) -> dict[str, Any]:
        """What is known of the network and proven about it.

        Returns:
            "name", "source", "traps"; "inputs" and "outputs": name, shape, type; "isa": what runs; "steps": layers fused
            into one kernel each, none where the exact executor runs, of which "refusal" tells why; "layers": name, op,
            inputs, shape, type, "range" of stored integers, macs, weights, nonzeros, bits of the weights, "work_bits"
            of the widest intermediate, whether the conversion to the result "rounds" or "overflows", and the
            "accumulator" (or None): type, range of all partial sums, bits, whether products round or overflow, sums
            overflow, the order matters.
        """
        return dict(self._core.describe())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the document as JSON; `load` reads it."""
        Path(path).write_text(self._text, encoding="utf-8")

    def __repr__(self) -> str:
        types = ", ".join(map(str, self._output_types))
        inputs = ", ".join(port["type"] for port in self._core.inputs)
        return f"Network({self.n_inputs} inputs of {inputs}, {self.n_outputs} outputs of {types}, {self.isa})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._text, self._isa, self.file)

    @cached_property
    def _has_scales(self) -> bool:
        return any(not isinstance(output, str) for output in self.document["outputs"])

    def _rows(self, x: Any) -> NDArray[Any]:
        """x as (n, n_inputs), without a copy."""
        if not isinstance(x, np.ndarray):
            raise TypeError(f"x: expected a NumPy array, got {type(x).__name__}")
        if x.dtype.kind not in "iuf" or x.dtype.itemsize > 8 or x.dtype == np.float16:
            raise TypeError(f"x: expected integers, float32 or float64, got {x.dtype}")
        if not x.dtype.isnative:
            raise TypeError(f"x: expected native byte order, got {x.dtype}")
        shapes = {(self.n_inputs,), self.input_shape}
        if x.shape not in shapes and x.shape[1:] not in shapes:
            own = "" if len(shapes) == 1 else f", or (n, {', '.join(map(str, self.input_shape))})"
            raise ValueError(f"x: expected shape (n, {self.n_inputs}){own}, or one event without the n; got {x.shape}")
        if not x.flags.c_contiguous:
            raise ValueError("x: expected a C-contiguous array (numpy.ascontiguousarray makes one), got strides "
                             f"{x.strides}")  # fmt: skip
        return x.reshape(-1, self.n_inputs)

    def _run(self, rows: NDArray[Any], x: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        out = np.empty((len(rows), self.n_outputs), dtype)
        status = self._core.run(rows, out)
        if status == "not_finite":
            raise ValueError("x: some values are NaN or infinite")
        if status == "out_of_range":
            types = ", ".join(port["type"] for port in self._core.inputs)
            raise ValueError(f"x: some integers lie outside the input type ({types})")
        if status != "ok":
            raise RuntimeError(f"network: {status}")
        shapes = {(self.n_inputs,), self.input_shape}
        is_batch = x.ndim > 1 and x.shape[1:] in shapes
        return out if is_batch else out[0]


def _needs_uint64(fixed: FixedType) -> bool:
    return fixed.width == 64 and not fixed.is_signed


def _fits_float32(fixed: FixedType) -> bool:
    """True if every value of the type is a float32, whose integers are exact up to 2^24 in magnitude."""
    return fixed.width - fixed.is_signed <= 24 and -64 <= fixed.fraction <= 120


def _unpickle(text: str, isa: str, file: str) -> Network:
    return Network.from_json(text, isa=isa, file=file)
