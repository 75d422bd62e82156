"""Loads damaged models in a process of little memory, and tells what came of each."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .sample import Sample

MEMORY_LIMIT = 256 << 20  # bytes above what the process has after it loaded every sample undamaged
CPU_LIMIT_S = 1.0

GOOD = ("loaded", "refused")
BAD = ("file not named", "other error", "out of memory", "slow", "hung", "crashed")


def load(sample: Sample, path: Path) -> Any:
    """The model at `path`."""
    import rheinfall as rf

    if sample.loader == "crash in tests" and path.parent.name == "damaged":
        os.abort()
    return rf.quantized.load_forest(path) if sample.loader == "forest" else rf.quantized.load(path)


def try_model(sample: Sample, path: Path) -> tuple[str, str]:
    """What loading gave, and running one event of zeros where it loaded: (outcome, message)."""
    import numpy as np

    from rheinfall.quantized import ModelError

    try:
        model = load(sample, path)
    except (ModelError, OSError) as error:
        message = str(error)
        named = str(path) in message or path.name in message
        return ("refused" if named and len(message) > len(path.name) + 8 else "file not named"), message
    except MemoryError as error:
        return "out of memory", f"while loading: {error}"
    except Exception as error:  # any other is a fault of ours
        return "other error", f"{type(error).__name__}: {error}"
    try:
        model(np.zeros(model.n_features if sample.loader == "forest" else model.n_inputs, np.float32))
    except Exception as error:
        return "other error", f"loaded, then {type(error).__name__}: {error}"
    return "loaded", ""


def work(samples: Sequence[Sample], cases: Sequence[tuple[int, int, str, int]], folder: Path, pipe: Any) -> None:
    """Try the cases (id, sample, mutation, number); tells the pipe the id before and the outcome after each."""
    for i, sample in enumerate(samples):
        model_path = sample.write(folder / f"valid{i}")
        outcome = try_model(sample, model_path)
        if outcome[0] != "loaded":
            pipe.send(("broken", sample.name, *outcome))
            return
    _limit_memory()
    for case, i, mutation, number in cases:
        path = samples[i].write(folder / "damaged", mutation, number)
        pipe.send(("start", case))
        start = time.process_time()
        outcome, message = try_model(samples[i], path)
        cpu = time.process_time() - start
        if cpu > CPU_LIMIT_S and outcome in GOOD:
            outcome, message = "slow", f"{cpu:.2f} s; {outcome} {message}"
        pipe.send(("end", case, outcome, message[:600], cpu))
    pipe.send(("done",))


def _limit_memory() -> None:
    if sys.platform != "linux":
        return
    status = Path("/proc/self/status").read_text(encoding="ascii")
    used = int(status.split("VmSize:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_LIMIT, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
