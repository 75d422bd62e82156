"""Times of generated headers (`emit_cpp`) at batch 1: a jet tagger and the AXOL1TL shapes, gcc and clang.

    PYTHONPATH=python python bench/emitted.py [--json OUT]

Networks have random weights and the types of the detectors' own; the generated test program compares 100 events with
the reference before anything is timed. ns an event: best and median of 200 blocks of 2,000 events, back to back, warm.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from rheinfall.quantized.emit import emit_cpp
from rheinfall.quantized.fixed_point import parse

PROGRAM = """
#include "net.hpp"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>
int main() {
    constexpr int n = 64, block = 2000;
    static std::int32_t in[n][net::n_inputs], out[net::n_outputs];
    std::uint32_t state = 1;
    for (auto& event : in)
        for (auto& x : event) x = static_cast<std::int32_t>((state = state * 1664525u + 1013904223u) >> 20) % LIMIT;
    std::vector<double> ns;
    for (int b = 0; b < 200; ++b) {
        const auto begin = std::chrono::steady_clock::now();
        for (int k = 0; k < block; ++k) {
            net::run(in[k % n], out);
            asm volatile("" : : "r"(out) : "memory");
        }
        const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;
        ns.push_back(taken.count() / block);
    }
    std::sort(ns.begin(), ns.end());
    std::printf("%.2f %.2f\\n", ns[0], ns[ns.size() / 2]);
}
"""


class Builder:
    """A chain of layers with random weights."""

    def __init__(self, n_inputs: int, stored: str) -> None:
        self.random, self.width, self.last = random.Random(1), n_inputs, "x"
        self.inputs = [{"name": "x", "shape": [n_inputs], "type": stored}]
        self.layers: list[dict[str, Any]] = []

    def layer(self, op: str, result: str, **fields: Any) -> None:
        name = f"{op}{len(self.layers)}"
        self.layers.append({"name": name, "op": op, "inputs": [self.last], "result": result, **fields})
        self.last = name

    def tensor(self, stored: str, *shape: int) -> dict[str, Any]:
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        low, high = parse(stored).range
        return {"type": stored, "shape": list(shape), "data": [self.random.randint(low, high) for _ in range(size)]}

    def dense(self, n: int, weight: str, accum: str, result: str) -> None:
        tensors = {"weight": self.tensor(weight, self.width, n), "bias": self.tensor(weight, n)}
        self.layer("dense", result, accum=accum, **tensors)
        self.width = n

    def document(self) -> dict[str, Any]:
        return {
            "format": "rheinfall.quantized",
            "version": 1,
            "name": "net",
            "inputs": self.inputs,
            "layers": self.layers,
            "outputs": [self.last],
        }


def jet_tagger() -> dict[str, Any]:
    b = Builder(16, "ap_fixed<8,4>")
    for n in (64, 32, 32):
        b.dense(n, "ap_fixed<6,1>", "ap_fixed<24,12>", "ap_fixed<24,12>")
        b.layer("relu", "ap_ufixed<8,4,RND_CONV,SAT>")
    b.dense(5, "ap_fixed<6,1>", "ap_fixed<24,12>", "ap_fixed<16,6>")
    return b.document()


def axol1tl_v4() -> dict[str, Any]:
    b = Builder(57, "ap_fixed<18,13>")
    b.layer("shift", "ap_fixed<18,13>", shift=[b.random.randint(0, 7) for _ in range(57)])
    for n in (28, 15):
        b.dense(n, "ap_fixed<8,2>", "ap_fixed<31,16>", "ap_fixed<24,14>")
        b.layer("relu", "ap_ufixed<10,6,RND_CONV,SAT>")
    b.dense(8, "ap_fixed<8,2>", "ap_fixed<28,14>", "ap_fixed<12,8,RND,SAT>")
    b.layer("sum_of_squares", "ap_ufixed<18,14>", accum="ap_ufixed<18,14>")
    return b.document()


def axol1tl_v5() -> dict[str, Any]:
    b = Builder(57, "ap_fixed<14,6,RND_CONV,SAT>")
    for n in (29, 10, 9, 6, 4, 6, 9, 10):
        b.dense(n, "ap_fixed<5,2>", "ap_fixed<21,10>", "ap_fixed<18,10>")
        b.layer("relu", "ap_ufixed<10,6,RND_CONV,SAT>")
    b.layer("sum_of_squares", "ap_ufixed<18,12,TRN,SAT>", accum="ap_ufixed<24,14>")
    return b.document()


def measure(document: dict[str, Any], compiler: str, folder: Path) -> tuple[float, float]:
    """Best and median ns an event."""
    emit_cpp(document, folder, "net", n_test_events=100)
    limit = min(parse(document["inputs"][0]["type"]).maximum, 4000)
    (folder / "time.cpp").write_text(PROGRAM.replace("LIMIT", str(limit)))
    flags = ["-std=c++17", "-O3", "-march=native"]
    for name in ("net_test", "time"):
        subprocess.run([compiler, *flags, f"{name}.cpp", "-o", name], cwd=folder, check=True)
    subprocess.run([folder / "net_test"], check=True, capture_output=True)
    best, median = subprocess.run([folder / "time"], check=True, capture_output=True, text=True).stdout.split()
    return float(best), float(median)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", type=Path)
    chosen = arguments.parse_args()
    rows = []
    networks = {"jet 16-64-32-32-5": jet_tagger(), "AXOL1TL v4": axol1tl_v4(), "AXOL1TL v5": axol1tl_v5()}
    for name, document in networks.items():
        for compiler in ("g++", "clang++"):
            if shutil.which(compiler) is None:
                print(f"{compiler}: not here")
                continue
            with tempfile.TemporaryDirectory() as folder:
                best, median = measure(document, compiler, Path(folder))
            rows.append({"network": name, "compiler": compiler, "best_ns": best, "median_ns": median})
            print(f"{name:20} {compiler:8} best {best:7.1f} ns, median {median:7.1f} ns an event")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
