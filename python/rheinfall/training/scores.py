"""Figures of merit of edge scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CUTS = (0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.95, 0.98)


def area_under_curve(scores: NDArray[np.float32], label: NDArray[np.uint8]) -> float:
    """Area under the ROC curve: the chance that a true edge scores above a false one, ties counting half.

    NaN where there are no true or no false edges.
    """
    n_true = int(label.sum())
    n_false = len(label) - n_true
    if n_true == 0 or n_false == 0:
        return float("nan")
    _, group, count = np.unique(scores, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(count)
    mean_rank = (last_rank - count + 1 + last_rank) / 2
    rank_sum = mean_rank[group][label == 1].sum()
    return float((rank_sum - n_true * (n_true + 1) / 2) / (n_true * n_false))


def edge_figures(scores: NDArray[np.float32], label: NDArray[np.uint8], cuts: Sequence[float] = CUTS) -> dict[str, Any]:
    """AUC, and for each cut (score > cut) the efficiency and purity of edges."""
    figures: dict[str, Any] = {
        "auc": area_under_curve(scores, label),
        "n_edges": len(label),
        "n_true": int(label.sum()),
    }
    rows = []
    for cut in cuts:
        kept = scores > cut
        n_right = int((kept & (label == 1)).sum())
        rows.append(
            {
                "cut": cut,
                "efficiency": n_right / max(1, figures["n_true"]),
                "purity": n_right / max(1, int(kept.sum())),
            }
        )
    figures["cuts"] = rows
    return figures


def describe(figures: dict[str, Any]) -> str:
    """One line for a log."""
    cuts = "  ".join(f"{c['cut']:g}: {c['efficiency']:.4f}/{c['purity']:.4f}" for c in figures["cuts"])
    return f"AUC {figures['auc']:.5f}  efficiency/purity above {cuts}"
