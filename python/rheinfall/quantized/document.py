"""Small helpers for whoever writes documents of docs/quantized_format.md: the importers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, format_type, parse

Document = dict[str, Any]


def tensor(fixed: FixedType | str, values: npt.ArrayLike) -> dict[str, Any]:
    """A constant of the format from its stored integers.

    Args:
        fixed: its type, or the type's name.
        values: integers of any shape, each within the type.

    Raises:
        ModelError: a value lies outside the type, or is no integer.
    """
    fixed = parse(fixed) if isinstance(fixed, str) else fixed
    array = np.asarray(values)
    if array.dtype.kind not in "iuO" and array.size:
        raise ModelError(f"tensor of {format_type(fixed)}: expected integers, got {array.dtype}")
    data = [int(value) for value in array.ravel().tolist()]
    low, high = fixed.range
    for value in data:
        if not low <= value <= high:
            raise ModelError(f"tensor of {format_type(fixed)}: expected {low} to {high}, got {value}")
    return {"type": format_type(fixed), "shape": list(array.shape), "data": data}


def document(
    *,
    name: str,
    source: str,
    inputs: Sequence[Mapping[str, Any]],
    layers: Iterable[Mapping[str, Any]],
    outputs: Sequence[str | Mapping[str, Any]],
    traps: Sequence[str] = (),
) -> Document:
    """A document of its parts."""
    return {
        "format": "rheinfall.quantized",
        "version": 1,
        "name": name,
        "source": source,
        "inputs": [dict(each) for each in inputs],
        "layers": [dict(layer) for layer in layers],
        "outputs": [each if isinstance(each, str) else dict(each) for each in outputs],
        "traps": list(traps),
    }
