"""Arrays of other packages: where they lie, the streams in whose order they are ready, results beside them.

Taken are DLPack (PyTorch, CuPy, JAX) and, on a CUDA device, the CUDA array interface (Numba). Nothing is copied.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from rheinfall import _core

# Device types of DLPack.
CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13
DEFAULT_STREAM = 1  # CUDA's handle, and DLPack's number, of the legacy default stream
_REFUSALS = (BufferError, RuntimeError, TypeError, ValueError)  # of DLPack, by the packages


def place(array: Any, name: str) -> tuple[int, int]:
    """DLPack's type and number of the device on which an array lies; pinned memory of the host is (CPU, 0).

    Raises:
        TypeError: no such array, or one that lies nowhere, as PyTorch's of device "meta".
        RuntimeError: CUDA or a device is missing.
    """
    if hasattr(array, "__dlpack_device__"):
        try:
            kind, device = map(int, array.__dlpack_device__())
        except _REFUSALS as error:
            raise _refusal(array, name, error) from error
        return (CPU, 0) if kind in (CPU, CUDA_HOST) else (kind, device)
    interface = _interface(array, name)
    return CUDA, _core.device_of(name, interface["data"][0] or 0)


def on_cuda(array: Any) -> bool:
    """Whether an object is an array on a CUDA device; False for one that lies nowhere."""
    if isinstance(array, np.ndarray):
        return False
    if hasattr(array, "__dlpack_device__"):
        try:
            return int(array.__dlpack_device__()[0]) in (CUDA, CUDA_MANAGED)
        except _REFUSALS:
            return False
    return hasattr(array, "__cuda_array_interface__")


def cuda_device(array: Any, name: str) -> int:
    """The number of the CUDA device on which an array lies; raises as `place`, and a TypeError for other places."""
    kind, device = place(array, name)
    if kind not in (CUDA, CUDA_MANAGED):
        raise TypeError(f"{name}: expected an array on a CUDA device, got one on DLPack's device {(kind, device)}")
    return device


def capsule(array: Any, name: str, stream: int, *, writable: bool = False) -> Any:
    """What the core takes of an array on a CUDA device, ready in the order of a stream.

    Raises:
        TypeError: no such array, or its package gives it away to nobody.
        ValueError: it is read-only.
        RuntimeError: CUDA or a device is missing.
    """
    device = cuda_device(array, name)
    if not hasattr(array, "__dlpack__"):
        return _from_interface(_interface(array, name), array, name, device, stream, writable)
    try:
        return array.__dlpack__(stream=stream)
    except _REFUSALS as error:
        raise _refusal(array, name, error) from error


def _refusal(array: Any, name: str, error: Exception) -> TypeError:
    return TypeError(f"{name}: {type(array).__qualname__} refuses DLPack: {error}")


def _interface(array: Any, name: str) -> dict[str, Any]:
    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is None:
        raise TypeError(f"{name}: expected an array with DLPack or CUDA's array interface, got {type(array).__name__}")
    return dict(interface)


def _from_interface(interface: dict[str, Any], owner: Any, name: str, device: int, stream: int, writable: bool) -> Any:
    """Numba's specification, version 3: strides in bytes, and the stream in whose order the values are ready."""
    address, is_read_only = interface["data"]
    if is_read_only and writable:
        raise ValueError(f"{name}: expected an array that may be written")
    if interface.get("mask") is not None:
        raise TypeError(f"{name}: expected an array without a mask")
    try:
        dtype = np.dtype(interface["typestr"])
    except TypeError:
        raise TypeError(f"{name}: expected the type of its elements, got {interface['typestr']!r}") from None
    if not dtype.isnative or dtype.kind not in "iufbc":
        raise TypeError(f"{name}: expected integers or floats in the byte order of this machine, got {dtype.str}")
    if dtype.itemsize not in (1, 2, 4, 8, 16):
        raise TypeError(f"{name}: expected elements of 1, 2, 4, 8 or 16 bytes, got {dtype.str}")
    shape = [int(n) for n in interface["shape"]]
    steps = _steps(shape, interface.get("strides"), dtype.itemsize, name)
    producer = interface.get("stream")
    if producer is not None and producer != stream:
        _core.order_after(stream, producer, device)
    return _core.array_at(address or 0, device, shape, steps, dtype.kind, dtype.itemsize, owner)


def _steps(shape: list[int], strides: Any, itemsize: int, name: str) -> list[int]:
    """C order's strides in elements; refuses others. Those of empty arrays and of axes of one element say nothing."""
    steps = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    if strides is None:
        return steps
    if len(strides) != len(shape):
        raise ValueError(f"{name}: expected strides of {len(shape)} axes, got {len(strides)}")
    axes = [] if 0 in shape else [axis for axis, n in enumerate(shape) if n > 1]
    if any(strides[axis] != steps[axis] * itemsize for axis in axes):
        raise ValueError(f"{name}: expected a C-contiguous array")
    return steps


def stream_of(x: Any, given: Any = None, name: str = "x") -> int:
    """The handle of a stream: the one given, else that of x's package, else CUDA's default stream.

    Given may be a handle, or an object with one as `__cuda_stream__`, `cuda_stream` or `ptr`. CUDA's 0 is the legacy
    default stream, which DLPack calls 1, as CUDA may, too. Without one x must lie on a CUDA device; else raises as
    `cuda_device`.
    """
    if given is not None:
        if hasattr(given, "__cuda_stream__"):
            given = given.__cuda_stream__()[1]
        handle = getattr(given, "cuda_stream", getattr(given, "ptr", given))
        if not isinstance(handle, int) or isinstance(handle, bool) or handle < 0:
            raise TypeError("stream: expected a handle, or an object with one as __cuda_stream__, cuda_stream or ptr")
        return handle or DEFAULT_STREAM
    cuda_device(x, name)
    package = package_of(x)
    if package == "torch":
        return int(sys.modules["torch"].cuda.current_stream(x.device).cuda_stream) or DEFAULT_STREAM
    if package == "cupy":
        with x.device:
            return int(sys.modules["cupy"].cuda.get_current_stream().ptr) or DEFAULT_STREAM
    interface = None if hasattr(x, "__dlpack__") else getattr(x, "__cuda_array_interface__", None)
    return (interface or {}).get("stream") or DEFAULT_STREAM


def package_of(array: Any) -> str:
    """The package of an array's class."""
    return type(array).__module__.partition(".")[0]


def empty_like(x: Any, shape: tuple[int, ...], dtype: str, instead: str) -> Any:
    """An array of x's package where x lies, not initialised.

    Raises:
        TypeError: neither PyTorch's nor CuPy's; `instead` says what to do.
    """
    package = package_of(x)  # imported, since x is there
    if package == "torch":
        return x.new_empty(shape, dtype=getattr(sys.modules["torch"], dtype), requires_grad=False)
    if package == "cupy":
        with x.device:
            return sys.modules["cupy"].empty(shape, dtype)
    name = f"{type(x).__module__}.{type(x).__qualname__}"
    raise TypeError(f"x: results on a device are made for PyTorch and CuPy; for {name} {instead}")


def on_host(array: Any, name: str) -> Any:
    """The same memory as NumPy's array."""
    if isinstance(array, np.ndarray):
        return array
    try:
        return np.from_dlpack(array)
    except _REFUSALS as error:
        raise _refusal(array, name, error) from error
