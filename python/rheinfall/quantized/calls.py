"""The calls of networks and forests, which are written in C: a trigger's network takes less time than a Python call.

Checkers see the classes below; at run time they are those of `rheinfall._core` (python/src/quantized_call.cpp).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]  # Python 3.12

    from numpy.typing import NDArray

    class BoundCall:
        """What `bind(x, out)` returns: call it without arguments to run on what x holds then."""

        x: Buffer
        out: Buffer
        model: Any

        def __call__(self) -> Any:
            """Fill out and return it.

            Raises:
                ValueError: x holds a NaN, an infinity, or an integer outside the input's type.
            """

    class Model:
        """The base of `Network` and `Forest`: calls with NumPy arrays, and calls with buffers held."""

        def __init__(self, core: object, /) -> None: ...

        def __call__(self, x: NDArray[Any], /) -> NDArray[Any]:
            """Compute events; what x may be and what comes back is said by the classes."""

        def run_integers(self, x: NDArray[Any], /) -> NDArray[Any]:
            """Stored integers in, stored integers out: the firmware's own numbers. As a call, for integers alone."""

        def run_into(self, x: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
            """As a call, into an array of yours, which is returned; its type says what it holds, whatever x's is."""

        def bind(self, x: Buffer, out: Buffer) -> BoundCall:
            """Hold both buffers, checked once, for calls that cost a bare Python call and the kernel."""

else:
    from rheinfall._core import _BoundCall as BoundCall
    from rheinfall._core import _QuantizedModel as Model

__all__ = ["BoundCall", "Model"]
