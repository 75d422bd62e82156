"""The definition of quantized networks itself: by hand, and the traps in which emulations differ from firmware."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rheinfall.reference.quantized import integers_of_reals, run

Layer = dict[str, Any]


def tensor(type_: str, *data: int, shape: list[int] | None = None) -> dict[str, Any]:
    return {"type": type_, "shape": shape or [len(data)], "data": list(data)}


def network(x_type: str, shape: list[int], *layers: Layer) -> dict[str, Any]:
    """A chain: each layer takes the one before, where it does not say otherwise."""
    named, last = [], "x"
    for i, layer in enumerate(layers):
        named.append({"name": f"y{i}", "inputs": [last], "result": "ap_fixed<32,16>", **layer})
        last = f"y{i}"
    inputs = [{"name": "x", "shape": shape, "type": x_type}]
    return {"format": "rheinfall.quantized", "version": 1, "inputs": inputs, "layers": named, "outputs": [last]}


def one(x_type: str, x: list[int], layer: Layer, shape: list[int] | None = None) -> list[int]:
    return run(network(x_type, shape or [len(x)], layer), x).tolist()


# --- traps of firmware ---------------------------------------------------------------------------------------------


def test_inputs_are_rounded_a_second_time_at_the_input_type() -> None:
    """2.4375 is 2.5 in quarters, which an 8-bit input of whole numbers rounds to 2 (ties to even), 2.5625 to 3."""
    quarters = {"op": "quantize", "result": "ap_fixed<10,8,RND,SAT>"}
    whole = {"op": "quantize", "result": "ap_int<8,RND,SAT>"}
    x = [39, 41]  # in sixteenths: 2.4375, 2.5625
    assert run(network("ap_fixed<12,8>", [2], whole), x).tolist() == [2, 3]
    assert run(network("ap_fixed<12,8>", [2], quarters, whole), x).tolist() == [3, 3]


def test_types_wrap_unless_they_say_otherwise() -> None:
    """9.5 in a type that ends at 7.75; 127·127 in an accumulator of 12 bits."""
    assert one("ap_fixed<16,8>", [9 * 256 + 128], {"op": "quantize", "result": "ap_fixed<6,4>"}) == [38 - 64]
    assert one("ap_fixed<16,8>", [9 * 256 + 128], {"op": "quantize", "result": "ap_fixed<6,4,TRN,SAT>"}) == [31]
    dense = {"op": "dense", "weight": tensor("ap_int<8>", 127, shape=[1, 1]), "result": "ap_int<16>"}
    assert one("ap_int<8>", [127], {**dense, "accum": "ap_int<12>"}) == [16129 - 4 * 4096]
    assert one("ap_int<8>", [127], {**dense, "accum": "ap_int<12,TRN,SAT>"}) == [2047]


def test_an_offset_whose_type_has_no_fraction_loses_it() -> None:
    """AXOL1TL's offsets are ap_fixed<10,10>: 4.5 becomes 4 when it is stored."""
    assert integers_of_reals(network("ap_fixed<10,10>", [1], {"op": "quantize"}), [[4.5]]).tolist() == [[4]]
    offsets = {"op": "constant", "inputs": [], "value": tensor("ap_fixed<11,10>", 9), "result": "ap_fixed<10,10>"}
    subtract = {"op": "subtract", "inputs": ["x", "y0"], "result": "ap_fixed<18,13>"}
    assert run(network("ap_fixed<18,13>", [1], offsets, subtract), [10 * 32]).tolist() == [6 * 32]
    exact = {**offsets, "result": "ap_fixed<11,10>"}
    assert run(network("ap_fixed<18,13>", [1], exact, subtract), [10 * 32]).tolist() == [11 * 16]


def test_a_shift_by_minus_one_wraps_in_the_type_of_its_input() -> None:
    shift = {"op": "shift", "shift": [-1], "result": "ap_fixed<20,13>"}
    scaled = [q * 4 for q in (-2, 131070, -131072 + 2 * 1)]
    assert one("ap_fixed<18,13>", [-1, 65535, 65537], shift) == scaled


def test_a_difference_wraps_before_it_is_shifted() -> None:
    """x - offset is stored in the input's own type: the largest negative input comes out positive."""
    offset = {"op": "constant", "inputs": [], "value": tensor("ap_fixed<10,10>", 5), "result": "ap_fixed<10,10>"}
    subtract = {"op": "subtract", "inputs": ["x", "y0"], "result": "ap_fixed<18,13>"}
    halve = {"op": "shift", "shift": [1], "result": "ap_fixed<18,13>"}
    q = -131072 - 5 * 32 + 2**18
    assert run(network("ap_fixed<18,13>", [1], offset, subtract, halve), [-131072]).tolist() == [q >> 1]


def test_the_squares_of_a_score_are_cut_off_and_their_sum_wraps() -> None:
    score = {"op": "sum_of_squares", "accum": "ap_ufixed<18,14>", "result": "ap_ufixed<18,14>"}
    x = [45, 1000, 3]
    squares = [q * q >> 12 for q in x]  # 16 fraction bits, of which 4 are kept
    assert one("ap_fixed<16,8>", x, score) == [sum(squares) % 2**18]
    large = [2**15 - 1] * 64
    assert one("ap_fixed<16,8>", large, score) == [64 * (large[0] ** 2 >> 12) % 2**18]


def test_a_saturating_accumulator_depends_on_the_order() -> None:
    weight = tensor("ap_int<8>", 100, 100, -100, shape=[3, 1])
    dense = {"op": "dense", "weight": weight, "accum": "ap_int<8,TRN,SAT>", "result": "ap_int<8>"}
    assert one("ap_int<2>", [1, 1, 1], dense) == [27]
    assert one("ap_int<2>", [1, 1, 1], {**dense, "order": [0, 2, 1]}) == [100]


def test_each_product_is_cut_to_the_accumulator() -> None:
    weight = tensor("ap_fixed<4,1>", 3, 3, 3, shape=[3, 1])
    dense = {"op": "dense", "weight": weight, "result": "ap_fixed<16,10>"}  # 3/64 each, kept in sixteenths or not
    assert one("ap_fixed<8,5>", [1, 1, 1], {**dense, "accum": "ap_fixed<20,14>"}) == [9]
    assert one("ap_fixed<8,5>", [1, 1, 1], {**dense, "accum": "ap_fixed<18,14>"}) == [0]
    assert one("ap_fixed<8,5>", [1, 1, 1], {**dense, "accum": "ap_fixed<18,14,RND>"}) == [3 * 4]


# --- operations by hand --------------------------------------------------------------------------------------------


def test_convolution_is_the_sum_over_the_window() -> None:
    """Against a loop that reads the definition the other way round: over outputs, then inputs."""
    rng = np.random.default_rng(1)
    height, width, channels, kernel, n_out, groups = 5, 4, 4, (3, 2), 6, 2
    padding, strides, dilations = [1, 2, 0, 1], [2, 1], [1, 2]
    w = rng.integers(-8, 8, (*kernel, channels // groups, n_out))
    bias = rng.integers(-8, 8, n_out)
    x = rng.integers(-100, 100, (height, width, channels))
    layer = {
        "op": "conv2d",
        "weight": tensor("ap_int<4>", *w.ravel().tolist(), shape=list(w.shape)),
        "bias": tensor("ap_int<4>", *bias.tolist()),
        "accum": "ap_int<32>",
        "result": "ap_int<32>",
        "strides": strides,
        "padding": padding,
        "dilations": dilations,
        "groups": groups,
    }
    expected = []
    for row in range((height + 3 - 3) // 2 + 1):
        for column in range((width + 1 - 3) // 1 + 1):
            for o in range(n_out):
                total = int(bias[o])
                for i, j, c in np.ndindex(*kernel, channels // groups):
                    r, s = row * 2 + i - 1, column + 2 * j
                    if 0 <= r < height and 0 <= s < width:
                        first = o // (n_out // groups) * (channels // groups)
                        total += int(x[r, s, first + c]) * int(w[i, j, c, o])
                expected.append(total)
    assert one("ap_int<8>", x.ravel().tolist(), layer, [height, width, channels]) == expected


def test_pooling_without_padding() -> None:
    layer = {"op": "pool", "kernel": [2], "strides": [1], "accum": "ap_int<8>", "result": "ap_int<8>"}
    x = [1, 5, -2, -9]
    assert one("ap_int<8>", x, {**layer, "kind": "max"}, [4, 1]) == [5, 5, -2]
    assert one("ap_int<8>", x, {**layer, "kind": "average"}, [4, 1]) == [3, 1, -5]  # 1.5 and -5.5 towards zero


def test_padded_pixels_take_no_part_in_pooling() -> None:
    layer = {
        "op": "pool",
        "kernel": [3],
        "strides": [3],
        "padding": [2, 0],
        "accum": "ap_int<8>",
        "result": "ap_int<8>",
    }
    assert one("ap_int<8>", [-6, 1, 2, 3], {**layer, "kind": "max"}, [4, 1]) == [-6, 3]
    assert one("ap_int<8>", [-7, 1, 2, 3], {**layer, "kind": "average"}, [4, 1]) == [-7, 2]
    assert one("ap_int<8>", [-7, 1, 2, 3], {**layer, "kind": "average", "count_padding": True}, [4, 1]) == [-2, 2]


X = [-5, -1, 0, 1, 5]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"op": "relu"}, [0, 0, 0, 1, 5]),
        ({"op": "relu", "maximum": 1.5}, [0, 0, 0, 1, 3]),
        ({"op": "leaky_relu", "alpha": tensor("ap_fixed<8,4>", 4)}, [-2, -1, 0, 1, 5]),
        ({"op": "leaky_relu", "alpha": tensor("ap_int<4>", -1, -2, 1, 2, 3)}, [5, 2, 0, 1, 5]),
        ({"op": "thresholded_relu", "theta": tensor("ap_fixed<8,7>", 1)}, [0, 0, 0, 0, 5]),
        (
            {"op": "affine", "scale": tensor("ap_int<4>", *[3] * 5), "bias": tensor("ap_fixed<8,6>", *[-2] * 5)},
            [-16, -4, -1, 2, 14],
        ),
        ({"op": "gather", "index": [4, -1, 0], "shape": [3]}, [5, 0, -5]),
        ({"op": "argmax", "result": "ap_uint<1>"}, [0, 0, 0, 0, 1]),
        ({"op": "sum", "accum": "ap_fixed<8,7>"}, [0]),
        (
            {"op": "threshold", "thresholds": tensor("ap_int<4>", -1, 0, shape=[1, 2]), "values": [7, 8, 9]},
            [7, 8, 9, 9, 9],
        ),
        ({"op": "shift", "shift": [1]}, [-3, -1, 0, 0, 2]),
    ],
)
def test_elements_by_hand(layer: Layer, expected: list[int]) -> None:
    """x in halves: -2.5, -0.5, 0, 0.5, 2.5."""
    assert one("ap_fixed<8,7>", X, {"result": "ap_fixed<8,7>", **layer}) == expected


def test_hard_sigmoid_and_tanh_are_clamped() -> None:
    line = {"slope": tensor("ap_fixed<8,0>", 51), "shift": tensor("ap_fixed<8,1>", 64)}  # 0.19921875·x + 0.5
    x = [-8 * 4, -4, 0, 6, 8 * 4]
    y = [0, 308, 512, 818, 1024]  # in 2**-10
    assert one("ap_fixed<8,6>", x, {"op": "hard_sigmoid", "result": "ap_fixed<12,2>", **line}) == y
    assert one("ap_fixed<8,6>", x, {"op": "hard_tanh", "result": "ap_fixed<13,3>", **line}) == [2 * v - 1024 for v in y]


def test_a_table_is_read_by_the_truncated_product_or_the_top_bits() -> None:
    entries = tensor("ap_int<8>", *range(10, 26))
    ratio = {"op": "table", "table": entries, "index": {"multiply": 16, "shift": 8, "offset": 8}, "result": "ap_int<8>"}
    # x·16/16 + 8 with x in sixteenths: towards zero, so that -0.94 and +0.94 share an entry
    assert one("ap_fixed<10,6>", [-15, 15, 16, -16, 511, -512], ratio) == [18, 18, 19, 17, 25, 10]
    top = {"op": "table", "table": entries, "index": {"bits": 4}, "result": "ap_int<8>"}
    assert one("ap_fixed<8,4>", [0, 16, 127, -1, -128], top) == [10, 11, 17, 25, 18]
    elu = {**top, "otherwise": {"when": "nonnegative", "multiply": tensor("ap_int<4>", 2)}}
    assert one("ap_int<8>", [0, 16, 50, -1, -128], elu) == [0, 32, 100, 25, 18]
    selu = {**elu, "otherwise": {**elu["otherwise"], "negative_multiply": tensor("ap_int<4>", -3)}}
    assert one("ap_int<8>", [0, 16, -1, -128], selu) == [0, 32, -75, -54]


def test_softmax_comes_close_to_the_real_one() -> None:
    """Tables of the exponential and the inverse, as hls4ml makes them; its emulation judges the steps elsewhere."""
    n = 1024
    x = [0, 512, 1024, -700]  # in 2**-10
    real = np.exp(np.array(x) / 1024)
    real /= real.sum()
    steps = np.arange(n)
    bits = (steps + n // 2) % n - n // 2  # the top bits of a signed number
    stable = {
        "op": "softmax",
        "implementation": "stable",
        "norm": "ap_ufixed<18,4,RND,SAT>",
        "accum": "ap_ufixed<24,6>",
        "inv_input": "ap_ufixed<20,4>",
        "exp_table": tensor("ap_ufixed<18,2,RND,SAT>", *(np.exp(-steps * 16 / n) * 2**16).astype(int).tolist()),
        "inv_table": tensor("ap_ufixed<18,2>", *(2**16 / np.maximum(steps * 16 / n, 0.3)).astype(int).tolist()),
        "result": "ap_ufixed<18,2>",
    }
    latency = {
        **stable,
        "implementation": "latency",
        "exp_table": tensor("ap_ufixed<24,10>", *(np.exp(bits * 8 / (n // 2)) * 2**14).astype(int).tolist()),
        "accum": "ap_ufixed<30,12>",
    }
    legacy = {
        **stable,
        "implementation": "legacy",
        "exp_table": tensor("ap_ufixed<26,12>", *(np.exp((steps - n // 2) * 16 / n) * 2**14).astype(int).tolist()),
        "accum": "ap_ufixed<28,14>",
        "inv_table": tensor("ap_ufixed<18,2>", *(2**16 / np.maximum(steps * 64 / n, 0.3)).astype(int).tolist()),
    }
    for layer in (stable, latency, legacy):
        y = np.array(one("ap_fixed<14,4>", x, layer), dtype=float) / 2**16
        np.testing.assert_allclose(y, real, atol=0.03)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        ("TRN", [-2, -1, 0, 0, 1]),
        ("TRN_ZERO", [-1, 0, 0, 0, 1]),
        ("RND", [-1, 0, 0, 1, 2]),
        ("RND_ZERO", [-1, 0, 0, 0, 1]),
        ("RND_MIN_INF", [-2, -1, 0, 0, 1]),
        ("RND_INF", [-2, -1, 0, 1, 2]),
        ("RND_CONV", [-2, 0, 0, 0, 2]),
        ("CEIL", [-1, 0, 0, 1, 2]),
        ("UP", [-2, -1, 0, 1, 2]),
    ],
)
def test_rescaling_rounds_a_quotient(rounding: str, expected: list[int]) -> None:
    """x·3 / 6 for -3, -1, 0, 1 and 3: halves."""
    layer = {
        "op": "rescale",
        "multiplier": [3],
        "addend": [0],
        "divisor": [6],
        "round": rounding,
        "result": "ap_int<8>",
    }
    assert one("ap_int<8>", [-3, -1, 0, 1, 3], layer) == expected
    thirds = {**layer, "multiplier": [1], "divisor": [3]}
    nearest = rounding.startswith("RND")
    exact = {"TRN": [-2, -1, 0, 1], "CEIL": [-1, 0, 1, 2], "TRN_ZERO": [-1, 0, 0, 1], "UP": [-2, -1, 1, 2]}
    mixed = [-1, -1, 1, 1] if nearest else exact.get(rounding)
    assert one("ap_int<8>", [-4, -2, 2, 4], thirds) == mixed


def test_a_rescaled_number_is_clamped_where_limits_are_given() -> None:
    layer = {"op": "rescale", "multiplier": [10], "addend": [1], "divisor": [1], "round": "TRN", "result": "ap_int<8>"}
    assert one("ap_int<8>", [-50, 1, 50], layer) == [(-499 + 128) % 256 - 128, 11, (501 + 128) % 256 - 128]
    assert one("ap_int<8>", [-50, 1, 50], {**layer, "minimum": -20, "maximum": 100}) == [-20, 11, 100]
    assert one("ap_int<8>", [-50, 1, 50], {**layer, "maximum": 100}) == [-128, 11, 100]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("add", [11, 20, 17]),
        ("subtract", [-3, 4, 3]),
        ("multiply", [28, 96, 70]),
        ("maximum", [7, 12, 10]),
        ("minimum", [4, 8, 7]),
        ("average", [5, 10, 8]),
    ],
)
def test_the_shorter_of_two_inputs_begins_again(op: str, expected: list[int]) -> None:
    y = {"op": "constant", "inputs": [], "value": tensor("ap_int<8>", 7, 8, 7), "result": "ap_int<8>"}
    layer = {"op": op, "inputs": ["x", "y0"], "result": "ap_int<12>"}
    assert run(network("ap_int<8>", [6], y, layer), [4, 12, 10, 4, 12, 10]).tolist() == expected * 2


def test_dot_is_a_sum_of_products_in_the_accumulator() -> None:
    two = {"op": "shift", "shift": [-1], "result": "ap_int<8>"}
    dot = {"op": "dot", "inputs": ["x", "y0"], "accum": "ap_int<8>", "result": "ap_int<8>"}
    assert run(network("ap_int<8>", [3], two, dot), [1, -2, 3]).tolist() == [28]
    assert run(network("ap_int<8>", [3], two, dot), [5, 6, 7]).tolist() == [220 - 256]


def test_real_inputs_with_a_scale_are_rounded_to_even_in_float32() -> None:
    document = network("ap_int<8,TRN,SAT>", [4], {"op": "quantize"})
    document["inputs"][0].update(scale=0.5, zero_point=3)
    assert integers_of_reals(document, [[0.25, 0.75, -0.25, 1e9]]).tolist() == [[3, 5, 3, 127]]


def test_inputs_of_the_wrong_number_are_refused() -> None:
    with pytest.raises(ValueError, match="3 elements an event: expected 2"):
        run(network("ap_int<8>", [2], {"op": "quantize"}), [1, 2, 3])
