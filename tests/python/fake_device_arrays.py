"""Arrays that claim to lie on a CUDA device: for the checks, which read no element, on machines without one."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy.typing as npt

CUDA = 2


class FakeDeviceArray:
    """Host memory that says by DLPack that it lies on a CUDA device: for the checks, which read no element."""

    def __init__(self, array: npt.NDArray[Any], device: tuple[int, int] = (CUDA, 0)) -> None:
        self.array = array
        self.shape = array.shape
        self.device = device
        self.streams: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        self.streams.append(stream)
        capsule = self.array.__dlpack__()
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        tensor = pointer(capsule, b"dltensor")
        # DLTensor: data, then the device's type and number.
        ctypes.memmove(tensor + 8, (ctypes.c_int32 * 2)(*self.device), 8)
        return capsule


class FakeInterface:
    """The same by CUDA's array interface alone, as Numba's arrays have it."""

    def __init__(self, array: npt.NDArray[Any], **changed: Any) -> None:
        self.array = array
        self.__cuda_array_interface__ = {**array.__array_interface__, "version": 3, **changed}
