"""The same bits from every executor, batch size and number of threads: `python tools/exactness_determinism.py`.

Events for networks of the jet tagger's and AXOL1TL's shapes (v3, v4, v5; tests/python/trigger_networks.py), by default
10^7 in all, go through {avx2, avx512} × batches {1, 8, 64, 1024} × threads {1, 2}; the portable kernels and the
readable executor take the first `--portable-events` and `--exact-events` of each network. Every result is compared, and
kept as a hash (SHA-256) in bench/results/quantized_exactness.json. `--sparse` takes the same networks with most of
their weights 0, and one of convolutions whose accumulators saturate, so that the order of their sums matters.
"""

from __future__ import annotations

import argparse
import hashlib
import json
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
import random

import executors
from random_networks import pruned
from rheinfall.quantized.fixed_point import parse
from rheinfall.quantized.network import Network
from trigger_networks import document as make_document
from trigger_networks import layer, tensor, trigger_networks

BATCHES = (1, 8, 64, 1024)
THREADS = (1, 2)
Integers = npt.NDArray[np.int64]


def sparse_networks() -> dict[str, dict[str, Any]]:
    """The networks of triggers with most of their weights 0, and one of convolutions that sum in order."""
    networks = {
        f"{name}_sparse": pruned(document, 17 + i, (0.6, 0.75, 0.85))
        for i, (name, document) in enumerate(trigger_networks().items())
    }
    rng = random.Random(23)
    layers, name, n_in = [], "x", 4
    for i, n_out in enumerate((17, 6)):
        accum = "ap_fixed<13,6,TRN,SAT>"
        weight = tensor(rng, "ap_fixed<8,2>", 3, n_in, n_out, zeros=0.5)
        layers.append(layer(f"conv{i}", "conv1d", [name], accum, weight=weight, accum=accum))
        layers.append(layer(f"relu{i}", "relu", [f"conv{i}"], "ap_ufixed<8,4,RND_CONV,SAT>"))
        name, n_in = f"relu{i}", n_out
    ordered = make_document("ordered_convolutions", "ap_fixed<8,4>", 64, layers)
    ordered["inputs"][0]["shape"] = [16, 4]
    return {**networks, "ordered_convolutions": ordered}


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


class Comparison:
    """Results of one network, compared with the longest that came before."""

    def __init__(self) -> None:
        self.whole: Integers = np.empty((0, 0), dtype=np.int64)
        self.n_events: dict[str, int] = {}
        self.events_run = self.runs = self.mismatches = 0

    def add(self, isa: str, results: Integers) -> None:
        """Count the events that differ."""
        n = min(len(self.whole), len(results))
        if n:
            self.mismatches += int(np.any(results[:n] != self.whole[:n], axis=1).sum())
        if len(results) > n:
            self.whole = results
        self.n_events[isa] = len(results)
        self.events_run += len(results)
        self.runs += 1

    def section(self) -> dict[str, Any]:
        """Events by executor, and the hash of the results of that many events."""
        counts = sorted(set(self.n_events.values()))
        return {"events": self.n_events, "sha256_of_first": {str(n): sha256(self.whole[:n]) for n in counts}}


def compare_runs(document: Mapping[str, Any], events: Integers, at_most: Mapping[str, int]) -> Comparison:
    """All configurations on one network; `at_most` says how many of the events slow executors take."""
    comparison = Comparison()
    for isa, batch, n_threads in configurations():
        started = time.perf_counter()
        network = Network(document, isa=isa)
        kind = isa if network.describe()["steps"] else "exact"  # which runs where there is no plan
        chosen = events[: at_most.get(kind, len(events))]
        comparison.add(isa, run_threads(network, chosen, batch, n_threads))
        what = f"{document['name']}: {isa}, batch {batch}, threads {n_threads}: {len(chosen)} events"
        print(f"{what}, {time.perf_counter() - started:.1f} s", flush=True)
    return comparison


def main() -> None:
    """Run the campaign; the exit status tells of mismatches."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=10_000_000, help="of all networks together")
    arguments.add_argument("--portable-events", type=int, help="of each network; by default as the others")
    arguments.add_argument("--exact-events", type=int, default=20_000, help="of each network, where no plan runs, too")
    arguments.add_argument("--network", help="only the one of this name, whose counts get a section of their own")
    arguments.add_argument("--sparse", action="store_true", help="networks with many zeros and sums in order")
    options = arguments.parse_args()
    documents = sparse_networks() if options.sparse else trigger_networks()
    if options.network is not None:
        documents = {options.network: documents[options.network]}
    n_events = options.events // len(documents)
    at_most = {"exact": options.exact_events, "portable": options.portable_events or n_events}
    comparisons = {
        name: compare_runs(document, draw_events(document, n_events, position), at_most)
        for position, (name, document) in enumerate(documents.items())
    }
    networks = {name: comparison.section() for name, comparison in comparisons.items()}
    section = {
        "what": "equal bits over executors, batch sizes and threads",
        "events": sum(len(comparison.whole) for comparison in comparisons.values()),
        "events_run": sum(comparison.events_run for comparison in comparisons.values()),
        "runs": sum(comparison.runs for comparison in comparisons.values()),
        "configurations": [f"{isa}, batch {batch}, threads {n}" for isa, batch, n in configurations()],
        "mismatches": sum(comparison.mismatches for comparison in comparisons.values()),
        "networks": networks,
        "sha256": hashlib.sha256(json.dumps(networks, sort_keys=True).encode()).hexdigest(),
        "command": " ".join(["python", "tools/exactness_determinism.py", *sys.argv[1:]]),
    }
    of_what = "_sparse" if options.sparse else ""
    record(f"determinism{of_what}" + ("" if options.network is None else f"_{options.network}"), section)
    print(section)
    sys.exit(1 if section["mismatches"] else 0)


if __name__ == "__main__":
    main()
