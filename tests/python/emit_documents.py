"""Small random documents, each with one or two layers of a given operation, for tests of generated code."""

from __future__ import annotations

import math
import random
from typing import Any

from rheinfall.quantized.fixed_point import OVERFLOWS, ROUNDINGS, parse

Json = dict[str, Any]


class Documents:
    """Draws documents; the same seed, the same documents."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def type(self, most: int = 20, least: int = 1, fraction: tuple[int, int] = (-3, 14)) -> str:
        """A type of at most `most` bits, of any modes."""
        width = self.random.randint(least, min(most, 64))
        integer = width - self.random.randint(*fraction)
        modes = f"{self.random.choice(ROUNDINGS)},{self.random.choice(OVERFLOWS)}"
        return str(parse(f"ap_{self.random.choice(['', 'u'])}fixed<{width},{integer},{modes}>"))

    def tensor(self, shape: list[int], named: str | None = None) -> Json:
        """A tensor with values over its type's whole range, the limits and 0 among them."""
        named = named or self.type(10)
        low, high = parse(named).range
        high = min(high, 2**63 - 1)
        data = [self.random.choice([low, high, 0, self.random.randint(low, high)]) for _ in range(math.prod(shape))]
        return {"type": named, "shape": shape, "data": data}

    def document(self, op: str, most: int = 20) -> Json:
        """A document around one layer of `op`, its input converted to a type of its own first."""
        shape = {"conv1d": [7, 4], "conv2d": [5, 6, 4], "pool": [5, 6, 3]}.get(op, [self.random.choice([3, 8]), 4])
        if op in ("dense", "softmax", "dot", "sum", "sum_of_squares", "constant"):
            shape = [self.random.choice([5, 16])]
        layer: Json = {"name": f"my {op}", "op": op, "inputs": ["x"], "result": self.type(most)}
        inputs = [{"name": "x", "shape": shape, "type": self.type(most)}]
        outputs: list[Any] = [layer["name"]]
        getattr(self, f"fill_{op}", self.fill_nothing)(layer, shape, inputs, most)
        if op == "constant":
            layer["inputs"] = []
            outputs = [layer["name"], "x"]
        return {
            "format": "rheinfall.quantized",
            "version": 1,
            "name": f"net {op}",
            "inputs": inputs,
            "layers": [layer],
            "outputs": outputs,
        }

    def fill_nothing(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        if layer["op"] in ("add", "subtract", "multiply", "maximum", "minimum", "average", "dot"):
            second = shape if layer["op"] == "dot" or self.random.random() < 0.5 else shape[-1:]
            inputs.append({"name": "y", "shape": second, "type": self.type(most)})
            layer["inputs"] = self.random.choice([["x", "y"], ["y", "x"], ["x", "x"]])
        if layer["op"] in ("dot", "sum", "sum_of_squares"):
            layer["accum"] = self.type(most + 8, 4)

    def fill_constant(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        layer["value"] = self.tensor([2, 3])

    def fill_reshape(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        layer["shape"] = [math.prod(shape)]

    def fill_transpose(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        layer["perm"] = list(reversed(range(len(shape))))

    def fill_concatenate(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        inputs.append({"name": "y", "shape": [shape[0], 3], "type": self.type(most)})
        layer.update(inputs=["x", "y", "x"], axis=self.random.choice([1, -1]))

    def fill_gather(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        layer.update(index=[self.random.randint(-1, math.prod(shape) - 1) for _ in range(6)], shape=[2, 3])

    def fill_dense(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        n_in, n_out = shape[-1], self.random.choice([1, 5, 16])
        layer.update(accum=self.type(most + 8, 6), weight=self.tensor([n_in, n_out]))
        if self.random.random() < 0.7:
            layer["bias"] = self.tensor([n_out])
        if self.random.random() < 0.3:
            layer["order"] = self.random.sample(range(n_in), n_in)

    def fill_conv1d(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        layer.update(weight=self.tensor([3, 4, 2]), accum=self.type(most + 8, 6), strides=[2], padding=[1, 2])

    def fill_conv2d(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        groups = self.random.choice([1, 2, 4])
        layer.update(weight=self.tensor([2, 3, 4 // groups, 4]), bias=self.tensor([4]), groups=groups)
        layer["accum"] = self.type(most + 8, 6)
        if self.random.random() < 0.7:
            layer.update(strides=[2, 1], padding=[1, 0, 1, 2], dilations=self.random.choice([[1, 1], [2, 2]]))

    def fill_pool(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        layer.update(kind=self.random.choice(["max", "average"]), kernel=[2, 3], strides=[2, 2])
        layer.update(accum=self.type(most + 4, 4), count_padding=self.random.random() < 0.5)
        if self.random.random() < 0.6:
            layer["padding"] = [1, 1, 1, 1]

    def fill_affine(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        size = self.random.choice([shape[-1:], shape])
        layer.update(scale=self.tensor(size), bias=self.tensor(size))

    def fill_relu(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        if self.random.random() < 0.5:
            layer["maximum"] = self.random.randint(0, 9) * 2.0 ** -parse(inputs[0]["type"]).fraction

    def fill_leaky_relu(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        layer["alpha"] = self.tensor(self.random.choice([[1], shape[-1:], shape]))

    def fill_thresholded_relu(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        layer["theta"] = self.tensor([1])

    def fill_hard_sigmoid(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        layer.update(slope=self.tensor([1]), shift=self.tensor([1]))

    fill_hard_tanh = fill_hard_sigmoid

    def fill_threshold(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        rows = self.random.choice([1, shape[-1]])
        thresholds = self.tensor([rows, 7])
        data = thresholds["data"]
        thresholds["data"] = [q for r in range(rows) for q in sorted(data[7 * r : 7 * r + 7])]
        low, high = parse(layer["result"]).range
        layer.update(thresholds=thresholds, values=[self.random.randint(low, high) for _ in range(8)])

    def fill_table(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        bits = min(4, parse(inputs[0]["type"]).width)
        index = {"multiply": self.random.randint(1, 9), "shift": self.random.randint(0, 9), "offset": 8}
        layer.update(index=self.random.choice([index, {"bits": bits}]), table=self.tensor([1 << bits]))
        if self.random.random() < 0.6:
            layer["otherwise"] = {"when": self.random.choice(["nonnegative", "positive"]), "multiply": self.tensor([1])}
            if self.random.random() < 0.5:
                layer["otherwise"]["negative_multiply"] = self.tensor([1])

    def fill_softmax(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        kind = self.random.choice(["latency", "stable", "legacy"])
        inputs[0]["type"] = self.type(most, 5)
        layer.update(implementation=kind, exp_table=self.tensor([16]), inv_table=self.tensor([32]))
        layer.update(accum=self.type(18, 6), inv_input=self.type(18, 6), norm=self.type(18, 6))
        if kind == "legacy":
            layer["accum"] = layer["exp_table"]["type"]
            layer["inv_input"] = layer["accum"]
            del layer["norm"]
        if kind == "latency":
            del layer["norm"]
        if self.random.random() < 0.3 and shape[-1] % 4 == 0:
            layer["axis_size"] = 4

    def fill_shift(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        n = self.random.choice([1, math.prod(shape)])
        layer["shift"] = [self.random.randint(-5, 9) for _ in range(n)]

    def fill_rescale(self, layer: Json, shape: list[int], inputs: list[Json], most: int) -> None:
        n = self.random.choice([1, shape[-1]])
        layer["multiplier"] = [self.random.randint(-300, 300) for _ in range(n)]
        layer["addend"] = [self.random.randint(-300, 300) for _ in range(n)]
        layer["divisor"] = [self.random.randint(1, 60) for _ in range(n)]
        layer["round"] = self.random.choice([*ROUNDINGS, "CEIL", "UP"])
        low, high = parse(layer["result"]).range
        if self.random.random() < 0.4:
            layer.update(minimum=max(low, -7), maximum=min(high, 30))
