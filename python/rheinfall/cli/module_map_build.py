"""Build one module map in several processes: each builds a part, and the parts merge."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial, reduce
from pathlib import Path
from typing import Any

from rheinfall.cli.errors import reading
from rheinfall.cli.output import Output

LARGEST_PART = 8
"""Events per part at most: few enough to show progress, enough to make merging cheap."""


def read_with_truth(prefixes: Sequence[Path]) -> Iterator[Any]:
    """Read events one after the other; one without truth cannot train a map."""
    from rheinfall.io import read_event

    for prefix in prefixes:
        with reading(prefix):
            event = read_event(prefix)
            if event.truth is None:
                raise ValueError("no truth, which building a module map needs")
        yield event


def build_part(prefixes: Sequence[Path], options: dict[str, Any]) -> Any:
    """The map of some events."""
    from rheinfall import ModuleMap

    return ModuleMap.build(read_with_truth(prefixes), **options)


def build_in_workers(prefixes: Sequence[Path], workers: int, output: Output, **options: Any) -> Any:
    """The map of all events; merging is exact and associative, so that it does not matter how they are shared out.

    `options` are those of `ModuleMap.build`, limits apart.
    """
    size = min(LARGEST_PART, -(-len(prefixes) // workers))
    parts = [prefixes[i : i + size] for i in range(0, len(prefixes), size)]
    build = partial(build_part, options=options)
    if workers == 1 or len(parts) == 1:
        return reduce(lambda a, b: a.merge(b), (build(part) for part in output.track(parts, "Building")))
    # spawn: forking a process that has threads may deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(parts)), mp_context=context) as pool:
        futures = [pool.submit(build, part) for part in parts]
        return reduce(lambda a, b: a.merge(b), (future.result() for future in output.track(futures, "Building")))
