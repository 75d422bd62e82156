"""Timing of contenders side by side."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def interleave(runs: list[Callable[[], Any]], repetitions: int) -> list[list[float]]:
    """Milliseconds of each repetition of each contender; they take turns, so that a noisy minute hits all alike."""
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    gc.collect()
    gc.disable()
    try:
        for repetition in range(repetitions):
            for i in range(len(runs)):
                which = (i + repetition) % len(runs)
                start = time.perf_counter_ns()
                runs[which]()
                times[which].append((time.perf_counter_ns() - start) / 1e6)
    finally:
        gc.enable()
    return times


def summarize(times: list[float]) -> dict[str, Any]:
    """Median, spread (p95 - p5) / median, and every repetition."""
    p5, median, p95 = np.percentile(times, [5, 50, 95])
    return {
        "median_ms": float(median),
        "p5_ms": float(p5),
        "p95_ms": float(p95),
        "spread": float((p95 - p5) / median),
        "repetitions_ms": [round(t, 6) for t in times],
    }
