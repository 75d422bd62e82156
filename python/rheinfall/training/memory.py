"""Keep freed memory in the process while training."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# <malloc.h> of glibc, and its defaults.
_TRIM_THRESHOLD, _DEFAULT_TRIM_THRESHOLD = -1, 128 * 1024
_MMAP_MAX, _DEFAULT_MMAP_MAX = -4, 65536


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let malloc reuse large blocks instead of returning them to the system; no effect without glibc.

    Each step frees and asks again for hundreds of blocks of 10 to 30 MB. By default each is a fresh mapping whose pages
    the kernel clears one by one, which takes a third of the step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        yield
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        mallopt(_MMAP_MAX, _DEFAULT_MMAP_MAX)
        mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM_THRESHOLD)
