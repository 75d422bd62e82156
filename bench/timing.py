"""Timing of contenders side by side."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def interleave(runs: list[Callable[[], Any]], repetitions: int) -> list[list[tuple[float, float]]]:
    """(wall, CPU) ms of each repetition of each contender; they take turns, so that a noisy minute hits all alike."""
    for run in runs:
        run()
    times: list[list[tuple[float, float]]] = [[] for _ in runs]
    gc.collect()
    gc.disable()
    try:
        for repetition in range(repetitions):
            for i in range(len(runs)):
                which = (i + repetition) % len(runs)
                start, cpu_start = time.perf_counter_ns(), time.process_time_ns()
                runs[which]()
                cpu = time.process_time_ns() - cpu_start
                times[which].append(((time.perf_counter_ns() - start) / 1e6, cpu / 1e6))
    finally:
        gc.enable()
    return times


def summarize(times: list[tuple[float, float]]) -> dict[str, Any]:
    """Median, spread (p95 - p5) / median, median CPU time (all threads), and every repetition."""
    wall, cpu = (list(column) for column in zip(*times, strict=True))
    p5, median, p95 = np.percentile(wall, [5, 50, 95])
    return {
        "median_ms": float(median),
        "p5_ms": float(p5),
        "p95_ms": float(p95),
        "spread": float((p95 - p5) / median),
        "cpu_median_ms": float(np.median(cpu)),
        "repetitions_ms": [round(t, 6) for t in wall],
        "cpu_repetitions_ms": [round(t, 6) for t in cpu],
    }
