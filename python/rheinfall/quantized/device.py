"""Networks on CUDA devices, and arrays that are not NumPy's: DLPack (CuPy, PyTorch, JAX), CUDA's array interface.

The result lives where the input lives: arrays of a CUDA device are computed there, in the order of a stream of the
caller's; arrays in host memory are read in place, and the result is NumPy's. Results on a device are made for PyTorch
and CuPy; for others the caller gives one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rheinfall import _core
from rheinfall._device_arrays import CPU, CUDA, CUDA_MANAGED, capsule, empty_like, on_host, place, stream_of
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType

if TYPE_CHECKING:
    from rheinfall.quantized.network import Network


class DeviceNetwork:
    """A network whose constants lie on a CUDA device: `net.to_device()` makes one; the same bits as on the CPU.

    Arrays have the shapes and types that the network takes on the CPU, are C-contiguous and lie on this device. Without
    CUDA in this build, or without a device, the constructor raises a RuntimeError that says so.

    Attributes:
        device: its number.
        kernel: what runs for integers, "layers", "dot_products" or "tensor_cores" (docs/quantized_devices.md); real
            values always go through "layers", and so do integers whose alignment "tensor_cores" does not take.
    """

    def __init__(self, network: Network, device: int = 0, kernel: str = "best") -> None:
        """Lower the network and upload its constants.

        Raises:
            ModelError: the kernel cannot compute the network; the message names the layer and the reason.
            ValueError: the network is too large for the kernel or the device.
            RuntimeError: CUDA is missing, or failed.
        """
        self._calls = _core.DeviceCalls(network._core, device, kernel)
        _upload(self._calls)
        self.device = device
        self.kernel: str = self._calls.kernel

    def __call__(self, x: Any, *, stream: Any = None) -> Any:
        """Compute events; waits for the result.

        Args:
            x: of PyTorch or CuPy; float32, float64 (real values) or integers (stored integers).
            stream: see `run_into`.

        Returns:
            an array of the same package on the same device, of the shape and type that it has on the CPU.

        Raises:
            TypeError, ValueError: as on the CPU.
        """
        return _call(self._calls, x, stream)

    def run_integers(self, x: Any, *, stream: Any = None) -> Any:
        """Stored integers in, stored integers out: as a call, for integers alone."""
        return _call(self._calls, x, stream, only_integers=True)

    def run_into(self, x: Any, out: Any, *, stream: Any = None, flags: Any = None, packed: bool = False) -> Any:
        """Fill out, in the order of a stream, and return it: neither allocates nor waits, fit for CUDA graphs.

        What x holds is not refused: NaN and infinity count as 0, integers outside the input's type are converted as its
        overflow says. Both arrays must live until the work is done.

        Args:
            x: the events. Where `kernel` is "tensor_cores", integers that do not begin at a multiple of 16 bytes (new
                arrays do; `x[1:]` may not) go through "layers", or are refused if it was asked for by name.
            out: writable; its type says what it holds.
            stream: a stream's handle, or an object with one as `__cuda_stream__`, `cuda_stream` or `ptr`; by default
                the current stream of x's package, PyTorch or CuPy, or that of its CUDA array interface, else CUDA's
                default stream.
            flags: None, or an array of one 32-bit integer on the device, in which bit 0 is set if some integer is
                outside its type, bit 1 if some value is not finite; never cleared.
            packed: x holds events as `Network.pack` makes them.
        """
        handle = stream_of(x, stream)
        word = None if flags is None else capsule(flags, "flags", handle, writable=True)
        self._calls.run(capsule(x, "x", handle), capsule(out, "out", handle, writable=True), handle, word, packed)
        return out


def call_elsewhere(model: Any, method: str, x: Any, out: Any) -> Any:
    """net(x), net.run_integers(x) or net.run_into(x, out) where not all arrays are NumPy's."""
    arrays = [("x", x)] if out is None else [("x", x), ("out", out)]
    places = [place(array, name) for name, array in arrays]
    if all(kind == CPU for kind, _ in places):
        result = getattr(model, method)(*(on_host(array, name) for name, array in arrays))
        return result if out is None else out
    if len(set(places)) > 1:
        raise ValueError(f"x and out lie in different places, DLPack's devices {places[0]} and {places[1]}")
    kind, device = places[0]
    if kind not in (CUDA, CUDA_MANAGED):
        raise TypeError(f"x: expected an array in host memory or on a CUDA device, got DLPack's device {places[0]}")
    if not hasattr(model, "to_device"):
        raise TypeError("x: forests run on the CPU alone; expected an array in host memory")
    return _call_on_device(model, method, device, x, out)


def _call_on_device(model: Any, method: str, device: int, x: Any, out: Any) -> Any:
    if (device, "best") not in model._devices:  # wrong arrays are wrong without a device, too
        handle = stream_of(x)
        _core.DeviceCalls(model._core, device, "best").result_of(capsule(x, "x", handle))
    network = model.to_device(device)
    return getattr(network, method)(x) if out is None else _fill(network._calls, x, out, stream_of(x))


def _call(calls: Any, x: Any, stream: Any, *, only_integers: bool = False) -> Any:
    handle = stream_of(x, stream)
    shape, dtype = calls.result_of(capsule(x, "x", handle))
    if only_integers and dtype.startswith("float"):
        raise TypeError("x: expected integers, got floating-point numbers")
    return _fill(calls, x, empty_like(x, shape, dtype, "give run_into(x, out) an array of yours"), handle)


def _fill(calls: Any, x: Any, out: Any, stream: int) -> Any:
    """Waits, and refuses what the CPU refuses."""
    calls.run_and_wait(capsule(x, "x", stream), capsule(out, "out", stream, writable=True), stream)
    return out


def _upload(calls: Any) -> None:
    try:
        calls.upload()
    except RuntimeError as error:
        if "the CUDA kernels cannot compute it" in str(error):
            raise ModelError(str(error)) from None
        raise


def pack(fixed: FixedType, q: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    """Events in the least room: `fixed.width` bits an integer, least significant first, in whole words of 32 bits.

    Args:
        fixed: the input's type, of at most 32 bits.
        q: stored integers (n, n_inputs).

    Returns:
        uint32 (n, ceil(n_inputs · width / 32)).

    Raises:
        ValueError: some integers lie outside the type.
    """
    if q.size and not (int(q.min()) >= fixed.minimum and int(q.max()) <= fixed.maximum):
        raise ValueError(f"q: some integers lie outside the input type {fixed}")
    n_words = (q.shape[1] * fixed.width + 31) // 32
    words = np.zeros((n_words, len(q)), np.uint32)
    mask = np.uint64((1 << fixed.width) - 1)
    for position, column in enumerate(q.T):
        word, bit = divmod(position * fixed.width, 32)
        shifted = (column.astype(np.uint64) & mask) << np.uint64(bit)
        words[word] |= shifted.astype(np.uint32)
        if bit + fixed.width > 32:
            words[word + 1] |= (shifted >> np.uint64(32)).astype(np.uint32)
    return np.ascontiguousarray(words.T)
