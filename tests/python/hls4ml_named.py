"""Networks of the shapes and types that triggers run, as hls4ml model graphs with random weights."""

from __future__ import annotations

from collections.abc import Callable

from hls4ml_networks import Builder

RELU = "ufixed<10,6,RND_CONV,SAT>"
SCORE = "fixed<18,14,RND_CONV,SAT>"


def dense(b: Builder, n_out: int, accum: str, weight: str = "fixed<6,3>", bias: str = "fixed<10,7>") -> None:
    n_in = b.shape[-1]
    b.add(
        "Dense", [n_out], {"weight": weight, "bias": bias, "accum": accum, "result": accum}, n_in=n_in, n_out=n_out,
        weight_data=b.weights(n_in, n_out, scale=0.5), bias_data=b.weights(n_out), use_bias=True,
        config={"Strategy": "Latency", "ReuseFactor": 1},
    )  # fmt: skip


def activation(b: Builder, kind: str, result: str) -> None:
    b.add("Activation", b.shape, {"result": result}, activation=kind, n_in=b.shape[-1])


def first(b: Builder, type_: str, *shape: int) -> None:
    b.input(*shape)
    b.config[b.names[0]]["Precision"]["result"] = type_


def encoder(b: Builder, sizes: tuple[int, ...], accums: tuple[str, ...]) -> None:
    first(b, "fixed<8,6,RND_CONV,SAT>", 57)
    for size, accum in zip(sizes[:-1], accums, strict=False):
        dense(b, size, accum)
        activation(b, "relu", RELU)
    dense(b, sizes[-1], accums[-1])
    activation(b, "linear", "fixed<10,7,RND_CONV,SAT>")


def axol1tl_v3(b: Builder) -> None:
    encoder(b, (32, 16, 8), ("fixed<21,16>", "fixed<22,15>", "fixed<21,14>"))


def axol1tl_v4(b: Builder) -> None:
    encoder(b, (28, 15, 8), ("fixed<29,16>", "fixed<22,15>", "fixed<21,14>"))


def axol1tl_v5(b: Builder) -> None:
    """An encoder, a decoder, and the squared distance of its output from the first latent layer."""
    first(b, "fixed<14,6,RND_CONV,SAT>", 57)
    compared = ""
    sizes = (29, 10, 9, 6, 4, 6, 9, 10)
    accums = ("27,16", "22,15", "21,14", "21,14", "20,13", "25,12", "20,13", "21,14")
    for size, accum in zip(sizes, accums, strict=True):
        dense(b, size, f"fixed<{accum}>", weight=f"fixed<{5 if size > 9 else 4},2>")
        is_linear = size == 4 or len(b.names) > 14
        activation(b, "linear" if is_linear else "relu", "fixed<16,6>" if is_linear else RELU)
        if size == 10 and not compared:
            compared = b.names[-1]
    b.add("Merge", [10], {"result": "fixed<16,6>"}, inputs=[b.names[-1], compared], op="subtract")
    b.add("Dot", [1], {"result": SCORE, "accum": SCORE}, inputs=[b.names[-1], b.names[-1]], op="dot1d", axes=1)


def jet_tagger(b: Builder, bits: int, last: str) -> None:
    first(b, "fixed<16,6>", 16)
    for size in (64, 32, 32):
        dense(b, size, "fixed<24,12>", f"fixed<{bits},1>", f"fixed<{bits},1>")
        activation(b, "relu", f"ufixed<{bits},{bits // 2},RND_CONV,SAT>")
    dense(b, 5, "fixed<24,12>", f"fixed<{bits},1>", f"fixed<{bits},1>")
    types = dict.fromkeys(("exp_table", "inv_table", "accum", "inv_inp"), "fixed<18,8,RND,SAT>")
    b.add(
        "Softmax", [5], {**types, "result": "fixed<16,6>"}, activation="softmax", axis=-1, n_in=5,
        config={"Implementation": last},
    )  # fmt: skip


def conv(b: Builder, kernel: int, stride: int, filters: int, weight: str, same: bool) -> None:
    height, width, channels = b.shape
    pads = [max(-(-n // stride) * stride - n + kernel - stride, 0) if same else 0 for n in (height, width)]
    out = [(n + p - kernel) // stride + 1 for n, p in zip((height, width), pads, strict=True)]
    geometry = b.geometry((kernel, kernel), (stride, stride), [(p // 2, p - p // 2) for p in pads], out)
    b.add(
        "Conv2D", [*out, filters],
        {"weight": weight, "bias": weight, "accum": "fixed<22,10>", "result": "fixed<22,10>"},
        n_chan=channels, n_filt=filters, weight_data=b.weights(kernel, kernel, channels, filters, scale=0.5),
        bias_data=b.weights(filters), use_bias=True, config={"Strategy": "Latency", "ReuseFactor": 1}, **geometry,
    )  # fmt: skip


def cicada(b: Builder) -> None:
    """252 trigger regions, 18 × 14: a convolution to 9 × 7 × 4, then 16 and 1."""
    first(b, "ufixed<10,10>", 18, 14, 1)
    conv(b, 2, 2, 4, "fixed<8,2>", same=False)
    b.add("Activation", b.shape, {"result": "ufixed<10,8,RND,SAT>"}, activation="relu", n_in=252)
    b.flatten()
    dense(b, 16, "fixed<26,14>", "fixed<8,2>", "fixed<10,4>")
    activation(b, "relu", "ufixed<12,8,RND,SAT>")
    dense(b, 1, "fixed<26,14>", "fixed<8,2>", "fixed<10,4>")
    activation(b, "relu", "ufixed<16,8,RND,SAT>")


def econ_t(b: Builder) -> None:
    """The HGCAL encoder: 8 × 8 × 1, eight 3 × 3 filters with stride 2, 128 to 16, 6-bit weights, 9-bit latent space."""
    first(b, "ufixed<8,1>", 8, 8, 1)
    conv(b, 3, 2, 8, "fixed<6,1>", same=True)
    b.add("Activation", b.shape, {"result": "ufixed<8,1,RND,SAT>"}, activation="relu", n_in=128)
    b.flatten()
    dense(b, 16, "fixed<20,6>", "fixed<6,1>", "fixed<6,1>")
    activation(b, "relu", "ufixed<9,1,RND,SAT>")


NAMED: dict[str, Callable[[Builder], None]] = {
    "axol1tl_v3": axol1tl_v3,
    "axol1tl_v4": axol1tl_v4,
    "axol1tl_v5": axol1tl_v5,
    "jet_tagger_6_stable": lambda b: jet_tagger(b, 6, "stable"),
    "jet_tagger_8_latency": lambda b: jet_tagger(b, 8, "latency"),
    "jet_tagger_8_argmax": lambda b: jet_tagger(b, 8, "argmax"),
    "cicada": cicada,
    "econ_t": econ_t,
}
