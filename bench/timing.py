"""Timing of contenders side by side."""

from __future__ import annotations

import gc
import time
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np

BLOCK_S = 50e-6


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


def time_blocks(
    statements: list[tuple[str, dict[str, Any]]], seconds: float, at_most_s: float = float("inf")
) -> list[dict[str, Any]]:
    """ns of one execution of each statement, in turns, over blocks of as many executions as take 50 µs.

    The fastest get blocks for `seconds`, and at least 200; a statement slower than a block comes less often. After
    `at_most_s` in all no further round begins.
    """
    timers = [timeit.Timer(statement, globals=names) for statement, names in statements]
    calls, strides = [], []
    for timer in timers:
        once = timer.timeit(1)
        if once < 0.1:
            once = min(timer.timeit(1) for _ in range(5))
        calls.append(max(1, round(BLOCK_S / once)))
        strides.append(max(1, round(calls[-1] * once / BLOCK_S)))
    rounds = min(max(200, round(seconds / BLOCK_S)), 20_000)
    times: list[list[float]] = [[] for _ in timers]
    gc.collect()
    gc.disable()
    end = time.perf_counter() + at_most_s
    try:
        for r in range(rounds):
            if time.perf_counter() > end:
                break
            for i, timer in enumerate(timers):
                if r % min(strides[i], rounds // 3) == 0:
                    times[i].append(timer.timeit(calls[i]) / calls[i])
    finally:
        gc.enable()
    return [_summarize_blocks(t, k) for t, k in zip(times, calls, strict=True)]


def _summarize_blocks(times: list[float], calls: int) -> dict[str, Any]:
    p5, p50, p95, p99 = np.percentile(times, [5, 50, 95, 99]) * 1e9
    return {
        "p50_ns": float(p50), "p99_ns": float(p99), "best_ns": min(times) * 1e9, "spread": float((p95 - p5) / p50),
        "blocks": len(times), "calls_per_block": calls,
    }  # fmt: skip
