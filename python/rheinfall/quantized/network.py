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
from rheinfall.quantized.calls import Model
from rheinfall.quantized.device import DeviceNetwork, pack
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, parse
from rheinfall.quantized.inspection import Inspection


class Network(Model):
    """A network of integers with a binary point, exact to its document: the firmware's bits.

    Immutable; may be called from several threads, pickles. `rheinfall.quantized.load` makes one of a file.

    `net(x)` computes events. x: C-contiguous (n, n_inputs), or (n, *input_shape); or one event, (n_inputs,) or
    input_shape. Several inputs stand one after the other in a row. float32 and float64 are real values, converted
    exactly as the input's type says (rounded, and saturated or wrapped); integers are stored integers q of q / 2^F. The
    result is (n, n_outputs), or (n_outputs,) for one event: for floats real values, float32 if x is and no output can
    lose a bit in it, else float64; for integers stored integers, int64 (uint64 for 64 unsigned bits). Raises TypeError
    where x is no array of integers, float32 or float64; ValueError where its shape or layout is wrong, or some x are
    NaN or infinite, or integers outside the input's type. `run_into(x, out)` fills an array of yours; `bind(x, out)`
    gives a callable that holds both buffers. The result of one event may be an array that an earlier call returned and
    nothing holds any more: the network keeps up to two of them, so weak references to results tell nothing, and
    `resize` of a result needs `refcheck=False`.

    x may also be another package's, by DLPack. In host memory (PyTorch, JAX) it is read in place, and the result is
    NumPy's; on a CUDA device (PyTorch, CuPy) the result is made there, by `to_device`. There no results are made for
    other packages, as JAX and Numba, which a call refuses: `run_into` takes an `out` of yours.

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
        super().__init__(self._core)
        self._text = text
        self._isa = isa
        self.isa: str = self._core.isa
        self.file = file
        self.n_inputs: int = self._core.n_inputs
        self.n_outputs: int = self._core.n_outputs
        self._devices: dict[tuple[int, str], DeviceNetwork] = {}
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

    def describe(self) -> dict[str, Any]:
        """What is known of the network and proven about it.

        Returns:
            "name", "source", "traps"; "inputs" and "outputs": name, shape, type; "isa": what runs; "steps": layers
            fused into one kernel each, none where the exact executor runs, of which "refusal" tells why; "layers":
            name, op, inputs, shape, type, "range" of stored integers, macs, weights, nonzeros, bits of the weights,
            "work_bits" of the widest intermediate, whether the conversion to the result "rounds" or "overflows", and
            the "accumulator" (or None): type, range of all partial sums, bits, whether products round or overflow, sums
            overflow, the order matters.
        """
        return dict(self._core.describe())

    def inspect(self) -> Inspection:
        """Layers, types, proven ranges, work, kernels chosen and traps: `print(net.inspect())`, or `.to_dict()`."""
        return Inspection(self.describe())

    def to_device(self, device: int = 0, kernel: str = "best") -> DeviceNetwork:
        """The network on a CUDA device, uploaded at the first call; see `rheinfall.quantized.DeviceNetwork`."""
        key = device, kernel
        if key not in self._devices:
            self._devices[key] = DeviceNetwork(self, device, kernel)
        return self._devices[key]

    def pack(self, q: NDArray[Any]) -> NDArray[np.uint32]:
        """Events in the least room, for `DeviceNetwork.run_into(..., packed=True)`: the copy to a device takes longest.

        Args:
            q: stored integers (n, n_inputs) of any integer type.

        Returns:
            uint32 (n, words): as many bits an integer as the input's type has, least significant first.

        Raises:
            TypeError, ValueError: no such integers, or some outside the input's type; several inputs, or one of more
                than 32 bits.
        """
        types = [parse(port["type"]) for port in self._core.inputs]
        if len(types) != 1 or types[0].width > 32:
            raise ValueError("pack: packed events are for one input of at most 32 bits")
        if not isinstance(q, np.ndarray) or q.dtype.kind not in "iu":
            raise TypeError("q: expected a NumPy array of integers")
        if q.ndim != 2 or q.shape[1] != self.n_inputs:
            raise ValueError(f"q: expected shape (n, {self.n_inputs}), got {q.shape}")
        return pack(types[0], q)

    def emit_cpp(self, folder: str | os.PathLike[str], name: str | None = None, *, n_test_events: int = 0) -> Path:
        """Write the network as one C++17 header without dependencies; see `rheinfall.quantized.emit.emit_cpp`."""
        from rheinfall.quantized.emit import emit_cpp

        return emit_cpp(self.document, folder, name, n_test_events=n_test_events)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the document as JSON; `load` reads it."""
        Path(path).write_text(self._text, encoding="utf-8")

    def __repr__(self) -> str:
        types = ", ".join(map(str, self._output_types))
        inputs = ", ".join(port["type"] for port in self._core.inputs)
        return f"Network({self.n_inputs} inputs of {inputs}, {self.n_outputs} outputs of {types}, {self.isa})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._text, self._isa, self.file)


def _needs_uint64(fixed: FixedType) -> bool:
    return fixed.width == 64 and not fixed.is_signed


def _unpickle(text: str, isa: str, file: str) -> Network:
    return Network.from_json(text, isa=isa, file=file)
