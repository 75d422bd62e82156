"""Soak quantized networks: swaps of models with the same layer names under running threads, then many events.

    python bench/soak_quantized.py [--swaps 10000] [--events 100000000]

Prints the wrong results (which must be none) and how much resident memory grew after a warm-up.
"""

from __future__ import annotations

import argparse
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rheinfall.quantized import Network
from rheinfall.quantized.document import document, tensor

WIDTHS = (16, 32, 16, 5)


def make_document(seed: int) -> dict[str, Any]:
    """A small network; the weights hang on the seed, the names do not."""
    rng = np.random.default_rng(seed)
    layers, last = [], "x"
    for i, (n_in, n_out) in enumerate(pairwise(WIDTHS)):
        weight = tensor("ap_fixed<6,1>", rng.integers(-32, 32, (n_in, n_out)))
        dense = {"name": f"fc{i}", "op": "dense", "inputs": [last], "result": "ap_fixed<24,12>"}
        layers.append({**dense, "accum": "ap_fixed<28,13>", "weight": weight})
        layers.append({"name": f"relu{i}", "op": "relu", "inputs": [f"fc{i}"], "result": "ap_ufixed<8,4,RND_CONV,SAT>"})
        last = f"relu{i}"
    inputs = [{"name": "x", "shape": [WIDTHS[0]], "type": "ap_fixed<16,6>"}]
    return document(name="soak", source="", inputs=inputs, layers=layers, outputs=[last])


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def swap(n_swaps: int, x: np.ndarray[Any, Any], n_threads: int) -> int:
    """Load networks while other threads run those they hold; the number of wrong results."""
    documents = [make_document(seed) for seed in range(8)]
    expected = [Network(each, isa="exact").run_integers(x) for each in documents]
    current = [(0, Network(documents[0]))]
    done = threading.Event()
    wrong = [0] * (n_threads + 1)

    def run(thread: int) -> None:
        while not done.is_set():
            which, network = current[0]
            wrong[thread] += not np.array_equal(network.run_integers(x), expected[which])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for i in range(n_swaps):
        which = i % len(documents)
        current[0] = (which, Network(documents[which]))
        wrong[-1] += not np.array_equal(current[0][1].run_integers(x), expected[which])
    done.set()
    for thread in threads:
        thread.join()
    return sum(wrong)


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    x = np.random.default_rng(0).integers(-(2**15), 2**15, (20_000, WIDTHS[0]))
    wrong = swap(500, x[:50], arguments.threads)
    before = resident_bytes()
    wrong += swap(arguments.swaps, x[:50], arguments.threads)
    after_swaps = resident_bytes()
    network = Network(make_document(0))
    for _ in range(20):
        expected = network.run_integers(x)
    begin, n_events = resident_bytes(), 0
    while n_events < arguments.events:
        wrong += not np.array_equal(network.run_integers(x), expected)
        n_events += len(x)
    grown = resident_bytes() - begin
    print(f"{arguments.swaps} swaps, {wrong} wrong results, resident memory grew {(after_swaps - before) / 1e6:.2f} MB")
    print(f"{n_events} events, resident memory grew {grown / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
