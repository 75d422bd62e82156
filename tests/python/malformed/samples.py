"""Small valid models of each format."""

from __future__ import annotations

import json
from collections.abc import Callable

from .sample import Sample


def own_json() -> Sample:
    """The project's own format, with one of most operations."""
    ones = [1, -2, 3, 0, 5, -6, 7, 1, 2, -3, 1, 4]
    layers = [
        {"name": "scaled", "op": "shift", "inputs": ["x"], "result": "ap_fixed<12,6>", "shift": [1]},
        {"name": "image", "op": "reshape", "inputs": ["scaled"], "result": "ap_fixed<12,6>", "shape": [4, 4, 1]},
        {"name": "conv", "op": "conv2d", "inputs": ["image"], "result": "ap_fixed<16,8>", "accum": "ap_fixed<20,10>",
         "weight": {"type": "ap_int<4>", "shape": [2, 2, 1, 3], "data": ones}, "strides": [2, 2],
         "bias": {"type": "ap_fixed<6,2>", "shape": [3], "data": [1, -2, 3]}, "padding": [0, 0, 0, 0]},
        {"name": "act", "op": "relu", "inputs": ["conv"], "result": "ap_ufixed<8,4,RND_CONV,SAT>"},
        {"name": "flat", "op": "reshape", "inputs": ["act"], "result": "ap_ufixed<8,4>", "shape": [12]},
        {"name": "fc", "op": "dense", "inputs": ["flat"], "result": "ap_fixed<16,8>", "accum": "ap_fixed<24,12>",
         "weight": {"type": "ap_fixed<6,1>", "shape": [12, 4], "data": ones * 4},
         "bias": {"type": "ap_fixed<6,1>", "shape": [4], "data": [1, 0, 2, -1]}, "order": list(range(12))},
        {"name": "table", "op": "table", "inputs": ["fc"], "result": "ap_fixed<8,2>",
         "index": {"multiply": 1, "shift": 6, "offset": 4},
         "table": {"type": "ap_fixed<8,2>", "shape": [8], "data": [0, 1, 2, 4, 8, 16, 32, 63]}},
        {"name": "sum", "op": "add", "inputs": ["table", "fc"], "result": "ap_fixed<18,9,RND,SAT>"},
        {"name": "score", "op": "sum_of_squares", "inputs": ["sum"], "result": "ap_ufixed<18,14>",
         "accum": "ap_ufixed<18,14>"},
    ]  # fmt: skip
    document = {
        "format": "rheinfall.quantized", "version": 1, "name": "sample", "source": "by hand",
        "inputs": [{"name": "x", "shape": [16], "type": "ap_fixed<12,6>"}],
        "layers": layers, "outputs": ["sum", "score"], "traps": ["layer 'fc': wraps"],
    }  # fmt: skip
    return Sample("own JSON", {"model.json": json.dumps(document).encode()}, "model.json")


SAMPLES: dict[str, Callable[[], Sample]] = {
    "own JSON": own_json,
}


def make_samples(names: list[str] | None = None) -> list[Sample]:
    """The samples named, or all; one whose packages are missing raises ImportError."""
    return [SAMPLES[name]() for name in names or SAMPLES]
