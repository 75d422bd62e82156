"""Random QONNX and QDQ graphs for the tests of the importers: dense and convolutional, with what exporters write."""

from __future__ import annotations

import numpy as np

from onnx_models import QONNX_DOMAIN, Graph

ROUNDINGS = ["ROUND", "HALF_EVEN", "FLOOR", "CEIL", "DOWN", "UP", "HALF_UP", "HALF_DOWN"]


class RandomGraph:
    """Draws one network. `powers`: all scales are powers of two; `plain`: quantizers as most trainings have them."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.g = Graph()
        self.powers = self.coin()
        self.plain = self.coin()

    def coin(self, n=2):
        return self.rng.integers(n) == 0

    def scale(self, n=None):
        if self.powers:
            return np.float32(2.0 ** self.rng.integers(-6, 2))
        return np.float32(self.rng.uniform(0.01, 0.3, n))

    def activation(self, x):
        if self.coin(6):
            return self.g.node("BipolarQuant", x, self.scale(), domain=QONNX_DOMAIN)
        bits, signed = int(self.rng.integers(1, 9)), int(self.rng.integers(2))
        if self.plain:
            return self.g.quant(x, self.scale(), max(bits, 2), signed=signed)
        zero = float(self.rng.choice([0, 0, 0, 1, 3, -5, 128])) if bits > 2 else 0.0
        narrow = int(self.rng.integers(2)) if bits > 1 else 0
        return self.g.quant(x, self.scale(), bits, zero, signed, narrow, str(self.rng.choice(ROUNDINGS)))

    def weights(self, shape, axis):
        w = self.g.const(self.rng.normal(0, 1, shape))
        scale = self.scale()
        if not self.powers and self.coin():
            scale = self.scale(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        return self.g.quant(w, scale, int(self.rng.integers(2, 7)), narrow=int(self.rng.integers(2)))

    def normalization(self, y, n):
        draw = [self.rng.normal(0, 1, n) for _ in range(3)] + [self.rng.uniform(0.1, 2, n)]
        return self.g.node("BatchNormalization", y, *draw)

    def bend(self, y):
        kind = self.rng.integers(4)
        if kind == 0:
            return self.g.node("Relu", y)
        if kind == 1:
            return self.g.node("LeakyRelu", y, alpha=0.125)
        return self.g.node("Clip", y, -0.75, 1.25) if kind == 2 else y

    def dense(self):
        """(model, shape of an event): MatMul, biases, batch normalisation, curves, two branches."""
        n = k = int(self.rng.integers(2, 9))
        x = self.g.input("x", [1, n])
        if self.coin(3):
            x = self.g.node("Mul", x, float(self.rng.choice([2, 0.5, -1.5])))
            x = self.g.node("Sub", x, self.rng.normal(0, 1, (n,) if self.coin() else ()))
        h = self.activation(x)
        for _ in range(self.rng.integers(1, 4)):
            m = int(self.rng.integers(1, 9))
            y = self.g.node("MatMul", h, self.weights((k, m), 1))
            y = self.g.node("Add", y, self.rng.normal(0, 1, m)) if self.coin() else y
            y = self.normalization(y, m) if self.coin() else y
            h, k = self.activation(self.bend(y)), m
            if self.coin(3):
                branch = self.activation(self.g.node("MatMul", h, self.weights((m, m), 1)))
                if self.coin():
                    h, k = self.g.node("Concat", h, branch, axis=1), 2 * m
                else:
                    h = self.g.node(str(self.rng.choice(["Add", "Sub"])), h, branch)
                h = self.activation(h) if self.coin() else h
        if self.coin(3):
            h = self.g.node("MatMul", h, self.weights((k, 3), 1))
        return self.g.model(h), (n,)

    def convolution(self):
        """(model, shape of an event): Conv in 1 or 2 dimensions, pads, groups, strides, pooling, then dense."""
        d = int(self.rng.integers(1, 3))
        shape = [int(self.rng.integers(1, 4)), *(int(v) for v in self.rng.integers(4, 8, d))]
        event = tuple(shape)
        h = self.activation(self.g.input("x", [1, *shape]))
        for _ in range(self.rng.integers(1, 3)):
            kernel = [int(v) for v in self.rng.integers(1, 4, d)]
            if any(k > s for k, s in zip(kernel, shape[1:], strict=True)):
                break
            h, shape = self._convolution_step(h, shape, kernel)
        if self.coin(3):
            h, shape = self.activation(self.g.node("GlobalAveragePool", h)), [shape[0]] + [1] * d
        if not self.coin(3):
            k = int(np.prod(shape))
            flat = self.g.node("Reshape", h, self.g.const([-1, k], np.int64)) if self.coin() else None
            h = self.g.node("MatMul", flat or self.g.node("Flatten", h), self.weights((k, 3), 1))
            h = self.activation(h) if self.coin() else h
        return self.g.model(h), event

    def _convolution_step(self, h, shape, kernel):
        d, groups = len(kernel), int(self.rng.choice([1, shape[0]]))
        out = groups * int(self.rng.integers(1, 4))
        strides = [int(v) for v in self.rng.integers(1, 3, d)]
        attributes = {"kernel_shape": kernel, "group": groups, "strides": strides}
        pads, kind = [0] * (2 * d), self.rng.integers(4)
        if kind == 0:
            attributes["pads"] = pads = [int(v) for v in self.rng.integers(0, 2, 2 * d)]
        sizes = [(s + pads[i] + pads[i + d] - kernel[i]) // strides[i] + 1 for i, s in enumerate(shape[1:])]
        if kind in (1, 2):
            attributes["auto_pad"] = "SAME_UPPER" if kind == 1 else "SAME_LOWER"
            sizes = [-(-s // t) for s, t in zip(shape[1:], strides, strict=True)]
        bias = [self.rng.normal(0, 1, out)] if self.coin() else []
        y = self.g.node("Conv", h, self.weights((out, shape[0] // groups, *kernel), 0), *bias, **attributes)
        y = self.normalization(y, out) if self.coin() else y
        y = self.g.node("Relu", y) if self.coin() else y
        pools_first = self.coin()
        y, sizes = self._pool(y if pools_first else self.activation(y), sizes)
        h, shape = self.activation(y) if pools_first else y, [out, *sizes]
        if self.coin(3):
            other = self.activation(h)
            if self.coin():
                return self.g.node("Concat", other, other, axis=1), [2 * out, *sizes]
            h = self.g.node("Add", other, h) if self.coin() else other
        return h, shape

    def _pool(self, y, sizes):
        d, kind = len(sizes), self.rng.integers(4)
        if min(sizes) < 2 or kind == 3:
            return y, sizes
        if kind == 0:
            return self.g.node("MaxPool", y, kernel_shape=[2] * d, strides=[2] * d), [s // 2 for s in sizes]
        if kind == 1:
            pooled = self.g.node(
                "AveragePool", y, kernel_shape=[2] * d, pads=[1] * 2 * d, count_include_pad=int(self.coin())
            )
            return pooled, [s + 1 for s in sizes]
        return self.g.node("MaxPool", y, kernel_shape=[2] * d, pads=[1] * d + [0] * d), sizes


def inputs(seed, shape, n):
    """Events, half of them at the multiples of 1/4 where ties lie."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, 1, (n, *shape)), rng.integers(-8, 9, (n, *shape)) * 0.25]).astype(np.float32)
