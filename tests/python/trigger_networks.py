"""Documents of networks that triggers run, with random weights: the shapes and types, not the physics."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

from rheinfall.quantized.fixed_point import parse

Layer = dict[str, Any]
AXOL1TL_ENCODERS = {3: (57, 32, 16, 8), 4: (57, 28, 15, 8)}


def tensor(rng: random.Random, name: str, *shape: int, zeros: float = 0.0) -> dict[str, Any]:
    """A constant of random stored integers of a type; some of them 0."""
    low, high = parse(name).range
    size = 1
    for n in shape:
        size *= n
    return {
        "type": name,
        "shape": list(shape),
        "data": [0 if rng.random() < zeros else rng.randint(low, high) for _ in range(size)],
    }


def dense_stack(
    rng: random.Random,
    first: str,
    sizes: Sequence[int],
    *,
    weight: str,
    bias: str,
    accum: str,
    activation: str,
    prefix: str = "fc",
    last_activation: bool = False,
) -> list[Layer]:
    """Dense layers of these sizes with ReLUs between them; the result of the last has the accumulator's type."""
    layers: list[Layer] = []
    name = first
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        dense = f"{prefix}{i}"
        w, b = tensor(rng, weight, n_in, n_out, zeros=0.2), tensor(rng, bias, n_out)
        layers.append(layer(dense, "dense", [name], accum, weight=w, bias=b, accum=accum))
        name = dense
        if i < len(sizes) - 2 or last_activation:
            name = f"relu_{dense}"
            layers.append(layer(name, "relu", [dense], activation))
    return layers


def layer(name: str, op: str, inputs: list[str], result: str, **fields: Any) -> Layer:
    return {"name": name, "op": op, "inputs": inputs, "result": result, **fields}


def document(name: str, x_type: str, n_inputs: int, layers: list[Layer]) -> dict[str, Any]:
    return {
        "format": "rheinfall.quantized",
        "version": 1,
        "name": name,
        "inputs": [{"name": "x", "shape": [n_inputs], "type": x_type}],
        "layers": layers,
        "outputs": [layers[-1]["name"]],
    }


def jet_tagger(seed: int = 1) -> dict[str, Any]:
    """16-64-32-32-5, ReLU, 8-bit weights and activations."""
    layers = dense_stack(
        random.Random(f"jet {seed}"),
        "x",
        (16, 64, 32, 32, 5),
        weight="ap_fixed<8,1>",
        bias="ap_fixed<8,2>",
        accum="ap_fixed<24,8>",
        activation="ap_ufixed<8,4,RND_CONV,SAT>",
    )
    return document("jet_tagger", "ap_fixed<8,4,RND_CONV,SAT>", 16, layers)


def axol1tl(version: int, seed: int = 1) -> dict[str, Any]:
    """CMS's anomaly trigger: v3 and v4 are an encoder and the sum of squares, v5 compares with a second network."""
    rng = random.Random(f"axol1tl {version} {seed}")
    if version in AXOL1TL_ENCODERS:
        sizes = AXOL1TL_ENCODERS[version]
        layers = [
            {"name": "offset", "op": "constant", "inputs": [], "value": tensor(rng, "ap_int<7>", 57)},
            layer("subtract", "subtract", ["x", "offset"], "ap_fixed<18,13>"),
            layer("scaled", "shift", ["subtract"], "ap_fixed<18,13>", shift=[rng.randint(-1, 6) for _ in range(57)]),
        ]
        layers[0]["result"] = "ap_fixed<10,10>"
        layers += dense_stack(
            rng,
            "scaled",
            sizes,
            weight="ap_fixed<6,2>",
            bias="ap_fixed<10,4>",
            accum="ap_fixed<24,14>",
            activation="ap_ufixed<10,6,RND_CONV,SAT>",
        )
        last = layers[-1]["name"]
        layers.append(layer("mu", "quantize", [last], "ap_fixed<14,9>"))
        layers.append(layer("score", "sum_of_squares", ["mu"], "ap_ufixed<18,14>", accum="ap_ufixed<18,14>"))
        return document(f"axol1tl_v{version}", "ap_fixed<18,13>", 57, layers)
    common = {"weight": "ap_fixed<5,2>", "bias": "ap_fixed<8,4>", "activation": "ap_ufixed<10,6,RND_CONV,SAT>"}
    layers = dense_stack(
        rng, "x", (57, 29, 10), accum="ap_fixed<21,10>", prefix="encoder", last_activation=True, **common
    )
    latent = layers[-1]["name"]
    layers += dense_stack(rng, latent, (10, 9, 6, 4, 6, 9, 10), accum="ap_fixed<18,10>", prefix="decoder", **common)
    layers.append(layer("difference", "subtract", [layers[-1]["name"], latent], "ap_fixed<14,8,RND_CONV,SAT>"))
    layers.append(layer("score", "dot", ["difference", "difference"], "ap_ufixed<18,14>", accum="ap_ufixed<22,14>"))
    return document("axol1tl_v5", "ap_fixed<14,6,RND_CONV,SAT>", 57, layers)


def trigger_networks() -> dict[str, dict[str, Any]]:
    """By name: those of which determinism and speed are asked."""
    made = [jet_tagger(), *(axol1tl(version) for version in (3, 4, 5))]
    return {network["name"]: network for network in made}
