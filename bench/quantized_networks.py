"""The networks of the quantized benchmarks: trigger shapes with seeded weights, as our document and as plain arrays.

python bench/quantized_networks.py FOLDER             writes the documents
python bench/quantized_networks.py FOLDER --pruned    those of the jet tagger's shape with zeros among the weights
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Dense:
    """Dense, then ReLU into `activation` where there is one."""

    n_out: int
    weight: tuple[int, int]  # width and integer bits
    accum: tuple[int, int]
    activation: str | None = None
    result: str | None = None  # before the ReLU; as the accumulator if none

    @property
    def result_type(self) -> str:
        """The type of the sums as they are stored."""
        return self.result or _fixed(self.accum)


@dataclass(frozen=True)
class Spec:
    """A chain of dense layers; `scaled`: offset and shift come first, `score`: what comes of the last values."""

    name: str
    n_in: int
    input_type: str
    layers: tuple[Dense, ...]
    scaled: bool = False
    score: str | None = None
    sigma: float = 2.0  # of the events' real values
    seed: int = 1
    zeros: float = 0.0  # fraction of the weights that pruning took, no structure in it
    largest: int | None = None  # of the weights: 1 leaves -1, 0 and 1
    weights: list[Any] = field(default_factory=list, compare=False)  # stored integers, (weight, bias) per layer

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        n_in = self.n_in
        for layer in self.layers:
            limit = 2 ** (layer.weight[0] - 1)
            spread = limit / 2.5
            weight = np.clip(np.rint(rng.normal(0, spread, (n_in, layer.n_out))), -limit, limit - 1)
            bias = np.clip(np.rint(rng.normal(0, spread, layer.n_out)), -limit, limit - 1)
            if self.largest is not None:
                weight = np.clip(weight, -self.largest, self.largest)
            if self.zeros > 0:
                weight[rng.random(weight.shape) < self.zeros] = 0
            self.weights.append((weight.astype(np.int64), bias.astype(np.int64)))
            n_in = layer.n_out

    def core(self) -> Spec:
        """The dense layers alone, which is what other tools run: no scaling before them, no score after them."""
        return replace(self, name=f"{self.name}, dense layers", scaled=False, score=None, weights=[])

    @property
    def sizes(self) -> list[int]:
        """Widths of the layers."""
        return [self.n_in, *(layer.n_out for layer in self.layers)]

    def real_weights(self) -> list[tuple[Any, Any]]:
        """(weight, bias) per layer as float32, exact."""
        steps = [2.0 ** (layer.weight[1] - layer.weight[0]) for layer in self.layers]
        return [
            ((w * s).astype(np.float32), (b * s).astype(np.float32))
            for (w, b), s in zip(self.weights, steps, strict=True)
        ]

    def draw(self, n: int, dtype: Any = np.float32, seed: int = 7) -> Any:
        """Events: real values on the input's grid."""
        step, limit = self._grid()
        q = np.rint(np.random.default_rng(seed).normal(0, self.sigma / step, (n, self.n_in)))
        return np.ascontiguousarray(np.clip(q, -limit, limit - 1) * step, dtype)

    def stored(self, x: Any) -> Any:
        """The stored integers of drawn events, in the narrowest integers of 8, 16 or 32 bits."""
        step, limit = self._grid()
        return np.rint(x / step).astype(np.int8 if limit <= 128 else np.int16 if limit <= 1 << 15 else np.int32)

    def _grid(self) -> tuple[float, int]:
        width, integer = (int(part) for part in self.input_type.split("<")[1].rstrip(">").split(",")[:2])
        return 2.0 ** (integer - width), 1 << (width - 1)

    def document(self) -> dict[str, Any]:
        """The network in our format."""
        layers: list[dict[str, Any]] = []
        last = "x"
        if self.scaled:
            last = self._scale(layers)
        for i, (layer, (weight, bias)) in enumerate(zip(self.layers, self.weights, strict=True)):
            accum, kind = _fixed(layer.accum), _fixed(layer.weight)
            layers.append(
                {"name": f"fc{i + 1}", "op": "dense", "inputs": [last], "result": layer.result_type, "accum": accum,
                 "weight": _tensor(kind, weight), "bias": _tensor(kind, bias)}
            )  # fmt: skip
            last = f"fc{i + 1}"
            if layer.activation is not None:
                layers.append({"name": f"relu{i + 1}", "op": "relu", "inputs": [last], "result": layer.activation})
                last = f"relu{i + 1}"
        last = self._score(layers, last)
        inputs = [{"name": "x", "shape": [self.n_in], "type": self.input_type}]
        head = {"format": "rheinfall.quantized", "version": 1, "name": self.name.replace(" ", "_")}
        return {**head, "source": "bench", "inputs": inputs, "layers": layers, "outputs": [last]}

    def _scale(self, layers: list[dict[str, Any]]) -> str:
        rng = np.random.default_rng(self.seed + 100)
        offset = {"type": "ap_fixed<10,10>", "shape": [self.n_in], "data": rng.integers(-20, 21, self.n_in).tolist()}
        shift = [int(s) for s in rng.integers(0, 6, self.n_in)]
        layers += [
            {"name": "offset", "op": "constant", "inputs": [], "value": offset, "result": "ap_fixed<10,10>"},
            {"name": "centred", "op": "subtract", "inputs": ["x", "offset"], "result": self.input_type},
            {"name": "scaled", "op": "shift", "inputs": ["centred"], "shift": shift, "result": self.input_type},
        ]
        return "scaled"

    def _score(self, layers: list[dict[str, Any]], last: str) -> str:
        if self.score == "sum_of_squares":
            kind = "ap_ufixed<18,14>"
            layers.append({"name": "score", "op": "sum_of_squares", "inputs": [last], "accum": kind, "result": kind})
        elif self.score is not None:  # the squared distance of the last values from an earlier layer's
            kind = "ap_fixed<16,10,RND_CONV,SAT>"
            layers.append({"name": "miss", "op": "subtract", "inputs": [last, self.score], "result": kind})
            kind = "ap_fixed<21,17>"
            dot = {"name": "score", "op": "dot", "inputs": ["miss", "miss"], "accum": kind, "result": kind}
            layers.append(dot)
        return "score" if self.score is not None else last


def _fixed(bits: tuple[int, int]) -> str:
    return f"ap_fixed<{bits[0]},{bits[1]}>"


def _tensor(kind: str, values: Any) -> dict[str, Any]:
    return {"type": kind, "shape": list(values.shape), "data": values.reshape(-1).tolist()}


def _chain(
    widths: tuple[int, ...], weight: tuple[int, int], accum: tuple[int, int], activation: str, last: str | None = None
) -> tuple[Dense, ...]:
    hidden = tuple(Dense(n, weight, accum, activation) for n in widths[:-1])
    return (*hidden, Dense(widths[-1], weight, accum, result=last))


SPECS = {
    "jet": Spec(
        "jet", 16, "ap_fixed<8,4>", _chain((64, 32, 32, 5), (8, 1), (24, 12), "ap_ufixed<8,4,RND_CONV,SAT>"), seed=11
    ),
    "AXOL1TL v4": Spec(
        "AXOL1TL v4", 57, "ap_fixed<18,13>",
        _chain((28, 15, 8), (8, 2), (26, 13), "ap_ufixed<10,6,RND_CONV,SAT>", "ap_fixed<10,7,TRN,SAT>"),
        scaled=True, score="sum_of_squares", sigma=20.0, seed=12,
    ),
    "AXOL1TL v5": Spec(
        "AXOL1TL v5", 57, "ap_fixed<14,6,RND_CONV,SAT>",
        _chain((29, 10, 9, 6, 4, 6, 9, 10), (5, 1), (21, 9), "ap_ufixed<10,6,RND_CONV,SAT>"), score="relu2", seed=13,
    ),
}  # fmt: skip

PRUNED = {
    **{
        f"jet {zeros}": replace(SPECS["jet"], name=f"jet {zeros}", zeros=zeros / 100, weights=[])
        for zeros in (50, 75, 90)
    },
    "jet ternary": replace(SPECS["jet"], name="jet ternary", zeros=1 / 3, largest=1, weights=[]),
}


def main() -> None:
    """Write the documents into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in (PRUNED if "--pruned" in sys.argv[2:] else SPECS).items():
        path = folder / f"{name.lower().replace(' ', '_')}.json"
        path.write_text(json.dumps(spec.document()), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
