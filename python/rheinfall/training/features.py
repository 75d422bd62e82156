"""Scaling of input features, measured on training graphs and stored in the exported network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
_SAMPLE_PER_GRAPH = 20_000


@dataclass(frozen=True)
class FeatureScaling:
    """`clip((x - centre) * factor, ± clip)` per column; factor 0 removes a column.

    Attributes:
        centre, factor: float32 (features,).
        clip: limit of the scaled values.
    """

    centre: Float32
    factor: Float32
    clip: float

    def apply(self, features: Float32) -> Float32:
        """Scaled features, float32."""
        scaled: Float32 = np.clip((features - self.centre) * self.factor, -self.clip, self.clip).astype(np.float32)
        return scaled


def measure_scaling(
    features: Sequence[Float32], mirrored: Sequence[int], ignored: Sequence[int], clip: float
) -> FeatureScaling:
    """Centre and spread of each column over graphs: median and half the central 68 %.

    Slopes have tails over orders of magnitude, which would set a standard deviation alone. Columns that a reflection
    turns around are centred at 0.
    """
    rows = np.concatenate([f[:: max(1, len(f) // _SAMPLE_PER_GRAPH)] for f in features]).astype(np.float64)
    low, centre, high = np.quantile(rows, [0.16, 0.5, 0.84], axis=0)
    turned = [column for column in mirrored if column < rows.shape[1]]
    centre[turned] = 0
    spread = (high - low) / 2
    deviation = rows.std(axis=0)
    spread = np.where(spread > 1e-3 * deviation, spread, deviation)
    factor = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    factor[[column for column in ignored if column < rows.shape[1]]] = 0
    return FeatureScaling(centre.astype(np.float32), factor.astype(np.float32), clip)


def scaling_to_dict(scaling: FeatureScaling) -> dict[str, Any]:
    """Plain values, for a checkpoint."""
    return {"centre": scaling.centre.tolist(), "factor": scaling.factor.tolist(), "clip": scaling.clip}


def scaling_from_dict(values: dict[str, Any]) -> FeatureScaling:
    """The scaling that `scaling_to_dict` wrote."""
    return FeatureScaling(
        np.asarray(values["centre"], np.float32), np.asarray(values["factor"], np.float32), float(values["clip"])
    )
