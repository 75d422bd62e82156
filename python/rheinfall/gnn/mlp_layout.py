"""Layers of an `nn.Sequential` as ACORN's and Exa.TrkX's `make_mlp` builds it, found among named tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall.gnn.ir import Builder
from rheinfall.gnn.tensor_files import LARGEST

Float32 = NDArray[np.float32]

ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "ReLU": ("relu", {}),
    "Tanh": ("tanh", {}),
    "Sigmoid": ("sigmoid", {}),
    "Softplus": ("softplus", {}),
    "ELU": ("elu", {"alpha": 1.0}),
    "LeakyReLU": ("leaky_relu", {"alpha": 0.01}),
    "SiLU": ("silu", {}),
    "GELU": ("gelu", {}),
}
NORMS = ("layer", "batch")


class Tensors:
    """The tensors of a file, each taken by its key and expected shape; tells at the end which were left.

    Args:
        tensors: by key.
        source: the file, for error messages.
    """

    def __init__(self, tensors: dict[str, NDArray[Any]], source: str) -> None:
        self._tensors = tensors
        self.source = source
        self._used: set[str] = set()
        self._n_bytes = 0

    def take(self, key: str, *shape: int) -> Float32:
        """The tensor of this key.

        Raises:
            ValueError: there is none, or its shape or dtype is another, or it holds what is not finite.
        """
        wanted = f"{self.source}: {key}: expected float32, float16 or bfloat16 {shape}"
        if key not in self._tensors:
            raise ValueError(f"{wanted}, got nothing of that key")
        value = self._tensors[key]
        if value.dtype not in (np.float32, np.float16) or value.shape != shape:
            raise ValueError(f"{wanted}, got {value.dtype} {value.shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"{wanted} of finite numbers")
        self._used.add(key)
        self._n_bytes += value.size * 4  # tensors may be views of one storage, and each is copied at last
        if self._n_bytes > LARGEST:
            raise ValueError(f"{self.source}: {key}: expected at most {LARGEST} bytes of tensors")
        return value.astype(np.float32, copy=False)

    def drop(self, key: str) -> None:
        """A tensor that is known and not needed."""
        self._used.add(key)

    def finish(self, ignore: Sequence[str]) -> None:
        """See to it that every tensor was used, or begins as one of `ignore`.

        Raises:
            ValueError: naming those left.
        """
        left = [k for k in self._tensors if k not in self._used and not k.startswith(tuple(ignore))]
        if left:
            names = ", ".join(repr(k[:100]) for k in left[:5]) + (", ..." if len(left) > 5 else "")
            raise ValueError(
                f'{self.source}: {len(left)} tensors that the description has no place for ("ignore" lists beginnings '
                f"of keys to leave out): {names}"
            )


@dataclass(frozen=True)
class MlpLayout:
    """What `make_mlp` was told.

    Attributes:
        layers: linear layers.
        hidden_activation, output_activation: of PyTorch, None for none.
        hidden_norms, output_norms: "layer" or "batch", between a linear layer and its activation; those of the output
            are there only with an activation.
        layer_norm_affine: layer norms have a weight and a bias.
        track_running_stats: batch norms use stored means and variances, not those of the event.
        layer_norm_epsilon, batch_norm_epsilon: of the norms.
        hidden_dropout, input_dropout: there are Dropout modules behind hidden activations, or in front.
    """

    layers: int
    hidden_activation: str = "ReLU"
    output_activation: str | None = None
    hidden_norms: tuple[str, ...] = ()
    output_norms: tuple[str, ...] = ()
    layer_norm_affine: bool = False
    track_running_stats: bool = False
    layer_norm_epsilon: float = 1e-5
    batch_norm_epsilon: float = 6e-5
    hidden_dropout: bool = False
    input_dropout: bool = False


class Mlp:
    """The layers of one MLP, which may run several times."""

    def __init__(
        self, tensors: Tensors, prefix: str, layout: MlpLayout, widths: Sequence[int], logits: bool = False
    ) -> None:
        """Take its tensors.

        Args:
            tensors: those of the file.
            prefix: of its keys.
            layout: of its layers.
            widths: those of its input and of each layer's output.
            logits: leave the output's activation out.
        """
        self.prefix = prefix
        self._steps: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self._tensors = tensors
        place = 0
        for layer, (n_in, n_out) in enumerate(pairwise(widths)):
            last = layer + 2 == len(widths)
            place += int(layer == 0 and not last and layout.input_dropout)
            weight, bias = tensors.take(f"{prefix}.{place}.weight", n_out, n_in), f"{prefix}.{place}.bias"
            self._steps.append(("linear", {"weight": weight.T, "bias": tensors.take(bias, n_out)}, {}))
            place += 1
            activation = layout.output_activation if last else layout.hidden_activation
            if activation is None:
                continue
            for norm in layout.output_norms if last else layout.hidden_norms:
                self._norm(norm, f"{prefix}.{place}", layout, n_out)
                place += 1
            op, attributes = ACTIVATIONS[activation]
            if last and logits:
                continue
            self._steps.append((op, {}, dict(attributes)))
            place += 1 + int(layout.hidden_dropout and not last)

    def _norm(self, norm: str, key: str, layout: MlpLayout, width: int) -> None:
        take, weights = self._tensors.take, {}
        if norm == "batch" or layout.layer_norm_affine:
            weights = {"scale": take(f"{key}.weight", width), "shift": take(f"{key}.bias", width)}
        if norm == "layer":
            self._steps.append(("layer_norm", weights, {"epsilon": layout.layer_norm_epsilon}))
        elif not layout.track_running_stats:
            self._steps.append(("batch_norm", weights, {"epsilon": layout.batch_norm_epsilon}))
        else:
            variance = take(f"{key}.running_var", width).astype(np.float64) + layout.batch_norm_epsilon
            if not variance.min() > 0:
                raise ValueError(f"{self._tensors.source}: {key}.running_var: expected no negative numbers")
            scale = weights["scale"] / np.sqrt(variance)
            shift = weights["shift"] - scale * take(f"{key}.running_mean", width)
            self._tensors.drop(f"{key}.num_batches_tracked")
            self._steps.append(("affine", {"scale": scale, "shift": shift}, {}))

    def __call__(self, builder: Builder, *values: int) -> int:
        """The position of its output on these values side by side."""
        builder.name = self.prefix
        inputs: tuple[int, ...] = values
        for op, weights, attributes in self._steps:
            if op == "silu":
                result = builder.add("mul", inputs[0], builder.add("sigmoid", inputs[0]))
            elif op == "gelu":
                result = gelu(builder, inputs[0])
            else:
                result = builder.add(op, *inputs, weights=weights, **attributes)
            inputs = (result,)
        return inputs[0]


def gelu(builder: Builder, x: int) -> int:
    """x · (1 + erf(x / sqrt 2)) / 2."""
    inner = builder.add("erf", builder.add("affine", x, weights={"scale": np.array([0.5**0.5])}))
    half = {"scale": np.array([0.5]), "shift": np.array([0.5])}
    return builder.add("mul", x, builder.add("affine", inner, weights=half))
