"""Random networks as hls4ml model graphs: layers, widths, modes, strategies and reuse factors drawn from one seed."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDINGS = ("TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV")
OVERFLOWS = ("WRAP", "SAT", "SAT_ZERO", "SAT_SYM")


class Builder:
    """Grows the layer list of a network; `shape` is that of the last layer."""

    def __init__(self, seed: int, io_type: str = "io_parallel") -> None:
        self.rng = np.random.default_rng(seed)
        self.io_type = io_type
        self.layers: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {}
        self.shape: list[int] = []
        self.names: list[str] = []
        self.inputs: list[str] = []
        self.outputs: list[str] | None = None  # None: the last layer
        self.kinds: list[str] = []

    # -- chances
    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def type(self, least: int = 3, most: int = 18, modes: float = 0.5, is_signed: bool | None = None) -> str:
        width = self.number(least, most)
        integer = self.number(max(1, width // 3 - 1), max(2, 2 * width // 3))
        signed = self.chance(0.8) if is_signed is None else is_signed
        text = f"{width},{integer}"
        if self.chance(modes):
            text += f",{self.pick(*ROUNDINGS)},{self.pick(*OVERFLOWS)}"
        return f"{'' if signed else 'u'}fixed<{text}>"

    def weights(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        data = self.rng.normal(0, scale, shape)
        data[self.rng.random(shape) < self.pick(0.0, 0.3, 0.7)] = 0
        return data

    # -- layers
    def add(self, kind: str, shape: list[int], precision: dict[str, str] | None = None, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.layers)}"
        inputs = attributes.pop("inputs", [self.names[-1]] if self.names else [])
        config = attributes.pop("config", {})
        self.layers.append({"class_name": kind, "name": name, "inputs": inputs, **attributes})
        types = {"result": self.type(4, 18)} | (precision or {})
        self.config[name] = {"Precision": types, "Trace": False, **config}
        self.shape = list(shape)
        self.names.append(name)
        self.kinds.append(kind)
        return name

    def input(self, *shape: int) -> None:
        name = self.add(
            "InputLayer", list(shape), {"result": self.type(4, 16, 0.3)}, input_shape=list(shape), inputs=[]
        )
        self.layers[-1]["data_format"] = "channels_last"
        self.inputs.append(name)

    def strategy(self, n_in: int, n_out: int) -> dict[str, Any]:
        if self.chance(0.5):
            return {"Strategy": "Latency", "ReuseFactor": 1}
        factors = [r for r in range(1, n_in + 1) if n_in % r == 0]
        factors += [n_in * r for r in range(2, n_out + 1) if n_out % r == 0]
        factor = self.pick(*factors)
        is_unrolled = factor > 1 and self.chance(0.25)  # hls4ml writes no kernel for an unrolled one with factor 1
        return {"Strategy": "resource_unrolled" if is_unrolled else "Resource", "ReuseFactor": factor}

    def multiplier_types(self) -> dict[str, str]:
        if self.chance(0.15):
            return {"weight": "auto", "bias": "auto", "accum": "auto", "result": "auto"}
        types = {"weight": self.type(2, 10, 0.3), "bias": self.type(3, 12, 0.3), "result": self.type(4, 20)}
        types["accum"] = self.type(8, 28, 0.3) if self.chance(0.7) else "auto"
        return types

    def dense(self) -> None:
        n_in, n_out = self.shape[-1], self.number(1, 12)
        self.add(
            "Dense", [*self.shape[:-1], n_out], self.multiplier_types(), n_in=n_in, n_out=n_out,
            weight_data=self.weights(n_in, n_out), bias_data=self.weights(n_out) if self.chance(0.8) else None,
            use_bias=True, config=self.strategy(n_in, n_out),
        )  # fmt: skip

    def activation(self) -> None:
        n_in = int(np.prod(self.shape))
        kind = self.pick("relu", "relu", "relu", "relu6", "linear", "sigmoid", "tanh", "softplus", "softsign", "selu",
                         "elu", "leaky", "thresholded", "prelu", "hard_sigmoid", "hard_tanh", "binary_tanh",
                         "ternary_tanh", "softmax")  # fmt: skip
        table = {"table": self.type(8, 20, 0.4), "result": self.type(4, 18)}
        common = {"n_in": n_in, "config": {"TableSize": self.pick(256, 1024, 2048)}}
        if kind == "relu6" and self.io_type == "io_stream":
            kind = "relu"  # hls4ml's relu_max of streams does not compile
        if kind in ("leaky", "thresholded", "elu"):
            class_name = {"leaky": "LeakyReLU", "thresholded": "ThresholdedReLU", "elu": "ELU"}[kind]
            parameter = self.pick(0.1, 0.3, 1.0, 0.5)
            precision = {**table, "param": self.type(4, 16, 0.3, is_signed=False)}
            self.add(class_name, self.shape, precision, activation=class_name, activ_param=parameter, **common)
        elif kind == "prelu":
            precision = {**table, "param": self.type(3, 10, 0.3)}
            self.add("PReLU", self.shape, precision, activation="prelu", param_data=self.weights(*self.shape), **common)
        elif kind.startswith("hard"):
            self.add("HardActivation", self.shape, table, activation=kind, slope=0.2, shift=0.5, **common)
        elif kind == "softmax":
            self.softmax()
        else:
            self.add("Activation", self.shape, table, activation=kind, **common)

    def softmax(self) -> None:
        implementation = self.pick("latency", "stable", "stable", "legacy", "argmax")
        if len(self.shape) > 1 and self.io_type == "io_stream" and implementation == "legacy":
            implementation = "stable"
        types = {
            name: self.type(10, 18, 0.7, is_signed=self.chance(0.3))
            for name in ("exp_table", "inv_table", "accum", "inv_inp", "table")
        }
        axis = -1
        if len(self.shape) > 1 and self.io_type == "io_parallel" and implementation != "legacy":
            axis = self.pick(-1, *range(1, len(self.shape) + 1))
        self.add(
            "Softmax", self.shape, {**types, "result": self.type(4, 18)}, activation="softmax", axis=axis,
            n_in=int(np.prod(self.shape)), config={"Implementation": implementation, "TableSize": self.pick(256, 1024)},
        )  # fmt: skip

    def batch_norm(self) -> None:
        n = self.shape[-1]
        self.add(
            "BatchNormalization", self.shape, {"scale": self.type(3, 10, 0.3), "bias": self.type(3, 10, 0.3)},
            n_in=int(np.prod(self.shape)), n_filt=-1 if len(self.shape) == 1 else n, use_gamma=True, use_beta=True,
            gamma_data=self.rng.normal(0, 1, n), beta_data=self.weights(n), mean_data=self.weights(n),
            variance_data=np.abs(self.weights(n)) + 0.5, epsilon=0.001,
        )  # fmt: skip

    def window(self, low: int = 1) -> tuple[list[int], list[int], list[tuple[int, int]], list[int]]:
        """Kernel, strides, padding and output sizes on the spatial axes."""
        sizes = self.shape[:-1]
        kernel = [self.number(low, min(3, size)) for size in sizes]
        strides = [self.number(1, 2) for _ in sizes]
        padding = []
        for size, k, s in zip(sizes, kernel, strides, strict=True):
            if self.chance(0.4):
                total = max(-(-size // s) * s - size + k - s, 0)
                padding.append((total // 2, total - total // 2))
            else:
                padding.append((0, 0))
        out = [(n + sum(p) - k) // s + 1 for n, k, s, p in zip(sizes, kernel, strides, padding, strict=True)]
        return kernel, strides, padding, out

    def geometry(self, kernel: Any, strides: Any, padding: Any, out: Any, size: str = "filt") -> dict[str, Any]:
        fields: dict[str, Any] = {}
        axes = ("width",) if len(self.shape) == 2 else ("height", "width")
        sides = (("left", "right"),) if len(self.shape) == 2 else (("top", "bottom"), ("left", "right"))
        for i, (axis, pair) in enumerate(zip(axes, sides, strict=True)):
            fields |= {f"in_{axis}": self.shape[i], f"out_{axis}": out[i], f"{size}_{axis}": kernel[i]}
            fields |= {f"stride_{axis}": strides[i], f"pad_{pair[0]}": padding[i][0], f"pad_{pair[1]}": padding[i][1]}
        is_padded = any(sum(p) for p in padding)
        return fields | {"data_format": "channels_last", "padding": "same" if is_padded else "valid", "dilation": 1}

    def conv(self) -> None:
        dims, channels = len(self.shape) - 1, self.shape[-1]
        kernel, strides, padding, out = self.window()
        is_depthwise = self.chance(0.25)
        filters = channels if is_depthwise else self.number(1, 4)
        geometry = self.geometry(kernel, strides, padding, out)
        n_in = int(np.prod(kernel)) * channels
        config: dict[str, Any] = {"Strategy": "Latency", "ReuseFactor": 1} if is_depthwise else self.strategy(n_in, 1)
        data = self.weights(*kernel, channels, 1 if is_depthwise else filters)
        self.add(
            f"{'Depthwise' if is_depthwise else ''}Conv{dims}D", [*out, filters], self.multiplier_types(),
            n_chan=channels, n_filt=filters, weight_data=data, depth_multiplier=1,
            depthwise_data=data, bias_data=self.weights(filters) if self.chance(0.8) else None, use_bias=True,
            config=config | {"ConvImplementation": "LineBuffer"}, **geometry,
        )  # fmt: skip

    def pool(self) -> None:
        dims, channels = len(self.shape) - 1, self.shape[-1]
        operation = self.pick("Max", "Average")
        types = {"accum": self.type(8, 20, 0.4), "result": self.type(4, 18)}
        if self.chance(0.25):
            fields: dict[str, Any] = dict(
                zip(("in_height", "in_width") if dims == 2 else ("n_in",), self.shape, strict=False)
            )
            self.add(f"Global{operation}Pooling{dims}D", [channels], types, n_filt=channels, pool_op=operation,
                     data_format="channels_last", keepdims=False, **fields)  # fmt: skip
            return
        kernel, strides, padding, out = self.window(low=min(2, *self.shape[:-1]))
        if self.io_type == "io_stream":
            strides, padding = kernel, [(0, 0)] * dims
            out = [size // k for size, k in zip(self.shape, kernel, strict=False)]
        geometry = self.geometry(kernel, strides, padding, out, "pool")
        if dims == 1:
            geometry |= {"n_in": self.shape[0], "n_out": out[0]}
        geometry["count_pad"] = self.chance(0.3)
        self.add(f"{operation}Pooling{dims}D", [*out, channels], types, n_filt=channels, pool_op=operation, **geometry)

    def move(self) -> None:
        dims, channels = len(self.shape) - 1, self.shape[-1]
        fields: dict[str, Any] = {"n_chan": channels, "data_format": "channels_last"}
        axes = ("width",) if dims == 1 else ("height", "width")
        sides = (("left", "right"),) if dims == 1 else (("top", "bottom"), ("left", "right"))
        kind = self.pick("pad", "crop", "resize", "transpose", "reshape")
        out = list(self.shape[:-1])
        if kind in ("pad", "crop"):
            for i, (axis, pair) in enumerate(zip(axes, sides, strict=True)):
                amounts = [self.number(0, 2) if kind == "pad" else self.number(0, (out[i] - 1) // 2) for _ in pair]
                fields[f"in_{axis}"] = out[i]
                out[i] += sum(amounts) if kind == "pad" else -sum(amounts)
                fields[f"out_{axis}"] = out[i]
                fields |= {f"{kind}_{side}": amount for side, amount in zip(pair, amounts, strict=True)}
            self.add(f"{'ZeroPadding' if kind == 'pad' else 'Cropping'}{dims}D", [*out, channels], **fields)
        elif kind == "resize":
            fields |= {"in_height": 1, "out_height": 1}
            for i, axis in enumerate(axes):
                factor = self.number(1, 2)
                fields |= {f"in_{axis}": out[i], f"out_{axis}": out[i] * factor}
                out[i] *= factor
            self.add("Resize", [*out, channels], algorithm="nearest", **fields)
        elif kind == "transpose":
            perm = [int(axis) for axis in self.rng.permutation(len(self.shape))]
            self.add("Transpose", [self.shape[axis] for axis in perm], perm=perm)
        else:
            self.flatten()

    def flatten(self) -> None:
        size = int(np.prod(self.shape))
        self.add("Reshape", [size], {}, target_shape=[size])

    def merge(self) -> None:
        """Two branches of one layer each, merged."""
        source, shape = self.names[-1], list(self.shape)
        self.activation()
        first, first_shape = self.names[-1], list(self.shape)
        self.shape = shape
        self.names.append(source)
        self.batch_norm()
        second = self.names[-1]
        kind = self.pick("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot1D")
        types = {"result": self.type(4, 18), "accum": self.type(8, 20, 0.4)}
        if kind == "Concatenate":
            rank, axis = len(shape), self.pick(-1, *range(1, len(shape) + 1))
            if self.io_type == "io_stream":
                axis = -1
            at = axis if axis < 0 else axis - 1
            shape[at] *= 2
            self.add(kind, shape, types, inputs=[first, second], axis=axis, op=f"concatenate{rank}d")
        elif kind == "Dot1D":
            if len(shape) == 1 and self.io_type == "io_parallel":
                self.add("Dot", [1], types, inputs=[first, second], op="dot1d", axes=1)
            else:
                self.add("Merge", first_shape, types, inputs=[first, second], op="add")
        else:
            self.add("Merge", first_shape, types, inputs=[first, second], op=kind.lower())

    def model(self, folder: Path, name: str = "network", backend: str = "Vitis") -> Any:
        """The model graph, its passes done; not yet written."""
        import hls4ml

        with quiet():
            config = hls4ml.utils.config.create_config(
                output_dir=str(folder), project_name=name, backend=backend, io_type=self.io_type
            )
            config["HLSConfig"] = {
                "Model": {"Precision": {"default": "fixed<16,6>"}, "ReuseFactor": 1, "Strategy": "Latency"},
                "LayerName": self.config,
            }
            return hls4ml.model.graph.ModelGraph.from_layer_list(
                config, self.layers, inputs=self.inputs, outputs=self.outputs
            )


_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def quiet() -> Any:
    """hls4ml prints and warns; neither is of interest here, and what silences them is the whole process's."""
    with _ONE_AT_A_TIME, contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def random_network(seed: int) -> tuple[Builder, str]:
    """A random network and its backend; seeds from FIRST_SPECIAL on are networks of what chance seldom brings."""
    rng = np.random.default_rng([seed, 1])
    kinds, streams = (_KINDS, 0.15) if seed < FIRST_SPECIAL else (_SPECIAL, 0.3)
    io_type = "io_stream" if rng.random() < streams else "io_parallel"
    backend = "Vivado" if rng.random() < 0.3 else "Vitis"
    builder = Builder(seed, io_type)
    grow: Callable[[Builder], None] = kinds[int(rng.integers(len(kinds)))]
    grow(builder)
    return builder, backend


def grow_dense(b: Builder) -> None:
    """Dense layers with activations between them."""
    b.input(b.number(2, 16))
    for _ in range(b.number(1, 3)):
        b.dense()
        if b.chance(0.2):
            b.batch_norm()
        if b.chance(0.8):
            b.activation()
        if b.chance(0.25):
            b.merge()


def grow_conv(b: Builder) -> None:
    """Convolutions and pooling on one or two axes, then dense."""
    dims = b.number(1, 2)
    b.input(*([b.number(5, 9)] if dims == 1 else [b.number(3, 6), b.number(3, 6)]), b.number(1, 3))
    for _ in range(b.number(1, 2)):
        if len(b.shape) != dims + 1:
            break
        b.conv()
        if b.chance(0.5):
            b.activation()
        if b.chance(0.5) and min(b.shape[:-1]) > 1:
            b.pool()
    b.flatten() if len(b.shape) > 1 else None
    b.dense()
    if b.chance(0.5):
        b.activation()


def grow_moves(b: Builder) -> None:
    """What moves values about, with something to compute between."""
    b.input(*[b.number(2, 5) for _ in range(b.number(2, 3))])
    for _ in range(b.number(2, 4)):
        step = b.pick(b.activation, b.batch_norm, b.merge, b.conv, b.pool, b.move, b.move, b.dense)
        if len(b.shape) == 1:
            step = b.pick(b.activation, b.batch_norm, b.dense)
        step()


def grow_binary(b: Builder) -> None:
    """Binary and ternary weights and activations."""
    from hls4ml.model.quantizers import BinaryQuantizer, TernaryQuantizer

    b.input(b.number(3, 12))
    for _ in range(b.number(1, 3)):
        n_in, n_out = b.shape[-1], b.number(2, 10)
        quantizer = b.pick(lambda: BinaryQuantizer(bits=b.pick(1, 2)), TernaryQuantizer)()
        types = {"weight": "int<2>", "bias": b.type(3, 8, 0.2), "accum": b.type(8, 20, 0.2), "result": b.type(6, 16)}
        b.add("Dense", [n_out], types, n_in=n_in, n_out=n_out, weight_data=b.weights(n_in, n_out),
              bias_data=b.weights(n_out), use_bias=True, weight_quantizer=quantizer,
              config=b.strategy(n_in, n_out))  # fmt: skip
        b.batch_norm()
        kind = b.pick("binary_tanh", "ternary_tanh", "none")
        if kind != "none":
            b.add("Activation", b.shape, activation=kind, n_in=n_out, threshold=0.5)
    b.dense()


def grow_ordered(b: Builder) -> None:
    """Sums that saturate, in the order of a reuse factor."""
    is_dense = b.chance(0.6)
    b.input(*([b.pick(4, 6, 8, 12)] if is_dense else [b.number(4, 6), b.number(4, 6), 2][b.number(0, 1) :]))
    for _ in range(b.number(1, 2)):
        b.dense() if is_dense else b.conv()
        layer, config = b.layers[-1], b.config[b.names[-1]]
        width = b.number(5, 9)
        config["Precision"]["accum"] = f"fixed<{width},{b.number(2, 4)},{b.pick(*ROUNDINGS)},{b.pick(*OVERFLOWS[1:])}>"
        config["Precision"]["weight"] = b.type(4, 8, 0.3)
        n_in = int(np.prod(np.shape(layer["weight_data"])[:-1]))
        factors = [r for r in range(2, n_in) if n_in % r == 0]
        if factors and not layer["class_name"].startswith("Depthwise"):
            config |= {"Strategy": b.pick("Resource", "Resource", "resource_unrolled"), "ReuseFactor": b.pick(*factors)}
    b.activation()


def grow_xnor(b: Builder) -> None:
    """Bits times bits."""
    from hls4ml.model.quantizers import BinaryQuantizer

    b.input(b.number(3, 12))
    for _ in range(b.number(2, 3)):
        n_in, n_out = b.shape[-1], b.number(3, 10)
        types = {"weight": "int<2>", "bias": "int<2>", "accum": b.type(12, 16, 0), "result": b.type(10, 16, 0)}
        b.add("Dense", [n_out], types, n_in=n_in, n_out=n_out, weight_data=b.weights(n_in, n_out),
              bias_data=np.zeros(n_out), use_bias=True, weight_quantizer=BinaryQuantizer(bits=2),
              config=b.strategy(n_in, n_out))  # fmt: skip
        b.batch_norm()
        b.add("Activation", b.shape, activation="binary_tanh", n_in=n_out)
    n_in = b.shape[-1]
    b.add("Dense", [5], {"weight": "int<2>"}, n_in=n_in, n_out=5, weight_data=b.weights(n_in, 5), bias_data=None,
          use_bias=True, weight_quantizer=BinaryQuantizer(bits=2), config=b.strategy(n_in, 5))  # fmt: skip


def grow_softmax(b: Builder) -> None:
    """Softmax in all implementations, of one axis or another."""
    b.input(*[b.number(2, 6) for _ in range(b.number(1, 3))])
    if b.chance(0.5):
        b.batch_norm()
    b.softmax()


def grow_pools(b: Builder) -> None:
    """Pooling, padded and global, and what moves values."""
    b.input(*[b.number(3, 6) for _ in range(b.number(1, 2))], b.number(1, 3))
    b.pool()
    if len(b.shape) > 1:
        b.pick(b.move, b.pool, b.conv)() if min(b.shape[:-1]) > 1 else b.move()


FIRST_SPECIAL = 100_000
_SPECIAL = (grow_ordered, grow_ordered, grow_xnor, grow_softmax, grow_pools)
_KINDS = (grow_dense, grow_dense, grow_conv, grow_conv, grow_moves, grow_binary)
