"""The same bits from every executor, batch size and number of threads: `python tools/exactness_determinism.py`.

Events for networks of the jet tagger's and AXOL1TL's shapes (v3, v4, v5; tests/python/trigger_networks.py), by default
10^7 in all, go through {portable, avx2, avx512} × batches {1, 8, 64, 1024} × threads {1, 2}; the readable executor
takes the first `--exact-events` of each network. Every result is compared, and kept as a hash (SHA-256) in
bench/results/quantized_exactness.json.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from exactness_record import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "python"))

import itertools

import executors
from rheinfall.quantized.fixed_point import parse
from rheinfall.quantized.network import Network
from trigger_networks import trigger_networks

BATCHES = (1, 8, 64, 1024)
THREADS = (1, 2)
Integers = npt.NDArray[np.int64]


def draw_events(document: Mapping[str, Any], n_events: int, seed: int) -> Integers:
    """Stored integers of the input type: half of the events over its whole range, half near zero."""
    rng = np.random.default_rng(seed)
    declared = document["inputs"][0]
    low, high = parse(declared["type"]).range
    events = rng.integers(low, high, (n_events, *declared["shape"]), endpoint=True)
    events[1::2] //= 64
    return events


def run_part(network: Network, events: Integers, batch: int, results: Integers) -> None:
    """Events in batches, into `results`; the last batch may be shorter."""
    for start in range(0, len(events), batch):
        stop = min(start + batch, len(events))
        results[start:stop] = np.asarray(network.run_integers(events[start:stop])).reshape(stop - start, -1)


def run_threads(network: Network, events: Integers, batch: int, n_threads: int) -> Integers:
    """All events, each thread with a contiguous part of them, on one shared network."""
    results = np.empty((len(events), network.n_outputs), dtype=np.int64)
    edges = [len(events) * i // n_threads for i in range(n_threads + 1)]
    parts = list(itertools.pairwise(edges))
    failures: list[BaseException] = []

    def work(start: int, stop: int) -> None:
        try:
            run_part(network, events[start:stop], batch, results[start:stop])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=part) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def configurations() -> Iterator[tuple[str, int, int]]:
    """(executor, batch, threads), those that this machine has."""
    for isa in executors.ISAS:
        if executors.available(isa):
            for batch in BATCHES:
                for n_threads in THREADS:
                    yield isa, batch, n_threads


def sha256(results: Integers) -> str:
    """Of the results as little-endian int64."""
    return hashlib.sha256(np.ascontiguousarray(results, dtype="<i8").tobytes()).hexdigest()


def main() -> None:
    """Run the campaign; the exit status tells of mismatches."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=10_000_000, help="of all networks together")
    arguments.add_argument(
        "--exact-events", type=int, default=20_000, help="of each network, for the readable executor"
    )
    options = arguments.parse_args()
    documents = trigger_networks()
    per_network = options.events // len(documents)
    networks: dict[str, Any] = {}
    runs = events_run = mismatches = 0
    for position, (name, document) in enumerate(documents.items()):
        events = draw_events(document, per_network, position)
        few = min(options.exact_events, per_network)
        whole: Integers | None = None
        hashes: dict[str, str] = {}
        for isa, batch, n_threads in configurations():
            started = time.perf_counter()
            n = few if isa == "exact" else per_network
            results = run_threads(Network(document, isa=isa), events[:n], batch, n_threads)
            hashes[f"{isa}, batch {batch}, threads {n_threads}"] = sha256(results)
            if whole is None or len(whole) < n:
                mismatches += 0 if whole is None else int(np.any(results[: len(whole)] != whole, axis=1).sum())
                whole = results
            else:
                mismatches += int(np.any(results != whole[:n], axis=1).sum())
            runs, events_run = runs + 1, events_run + n
            seconds = time.perf_counter() - started
            print(f"{name}: {isa}, batch {batch}, threads {n_threads}: {n} events, {seconds:.1f} s", flush=True)
        assert whole is not None
        expected = {n: sha256(whole[:n]) for n in {few, per_network}}
        networks[name] = {
            "events": per_network,
            "exact_events": few,
            "sha256": expected[per_network],
            "sha256_of_exact_events": expected[few],
            "all_equal": set(hashes.values()) <= set(expected.values()),
        }
    digest = hashlib.sha256("".join(entry["sha256"] for entry in networks.values()).encode())
    section = {
        "what": "equal bits over executors, batch sizes and threads",
        "events": per_network * len(documents),
        "events_run": events_run,
        "runs": runs,
        "configurations": [" ".join(map(str, configuration)) for configuration in configurations()],
        "mismatches": mismatches,
        "networks": networks,
        "sha256": digest.hexdigest(),
        "command": f"python tools/exactness_determinism.py --events {options.events}",
    }
    record("determinism", section)
    print(section)
    sys.exit(1 if mismatches else 0)


if __name__ == "__main__":
    main()
