"""The importer of hls4ml projects on a folder written by hand, without hls4ml: what is read, and refused, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import axol1tl_layout
from rheinfall.quantized import ModelError, load
from rheinfall.quantized.fixed_point import parse
from rheinfall.quantized.hls4ml_project import read_project
from rheinfall.reference.quantized import run

LAYERS = ["input_3_unscaled_offset", "input_3", "q_dense", "q_dense_relu", "layer4_out", "layer5_out", "mu",
          "mu_quantized", "score"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    axol1tl_layout.write_folder(tmp_path / "axo")
    return tmp_path / "axo"


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_layers_types_and_names(folder: Path) -> None:
    document = read_project(folder)
    assert [layer["name"] for layer in document["layers"]] == LAYERS
    assert document["inputs"] == [{"name": "input_3_unscaled", "shape": [57], "type": "ap_fixed<18,13>"}]
    assert document["outputs"] == ["score"]
    by_name = {layer["name"]: layer for layer in document["layers"]}
    assert by_name["input_3"]["result"] == "ap_fixed<8,6,RND_CONV,SAT>"
    assert by_name["q_dense"]["accum"] == "ap_fixed<29,16>"
    assert by_name["q_dense"]["weight"]["shape"] == [57, 28]
    assert "order" not in by_name["q_dense"]
    assert by_name["score"]["accum"] == "ap_ufixed<18,14>"


def test_the_same_numbers_as_a_plain_computation(folder: Path) -> None:
    """Floats hold every value of this network exactly, so NumPy can say what it gives without our arithmetic."""
    document = read_project(folder, wrapper={"format": 1})
    by_name = {layer["name"]: layer for layer in document["layers"]}
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (50, 57))
    y = x / 4.0
    for name in ("q_dense", "layer4_out", "mu"):
        layer = by_name[name]
        weight = np.array(layer["weight"]["data"]).reshape(layer["weight"]["shape"]) / 8.0
        y = y @ weight + np.array(layer["bias"]["data"]) / 8.0
        if name != "mu":
            y = np.clip(np.round(np.maximum(y, 0) * 16) / 16, 0, 64 - 1 / 16)
    expected = np.clip(np.round(y * 8), -512, 511)
    np.testing.assert_array_equal(run(document, x).astype(np.int64), expected)


def test_wrapper_as_dict_path_and_lists(folder: Path) -> None:
    expected = read_project(folder)["layers"]
    (folder / "rheinfall.json").rename(folder / "other.json")
    assert read_project(folder, wrapper=folder / "other.json")["layers"] == expected
    assert read_project(folder, wrapper=axol1tl_layout.WRAPPER)["layers"] == expected
    layers = {layer["name"]: layer for layer in expected}
    offsets = [-q / 1 for q in layers["input_3_unscaled_offset"]["bias"]["data"]]
    listed = dict(axol1tl_layout.WRAPPER, input={
        "type": "ap_fixed<18,13>", "offset": {"type": "ap_fixed<10,10>", "data": offsets},
        "shift": layers["input_3"]["shift"],
    })  # fmt: skip
    assert read_project(folder, wrapper=listed)["layers"] == expected
    identity = dict(axol1tl_layout.WRAPPER, score={"op": "identity", "type": "ap_fixed<18,14>"})
    assert read_project(folder, wrapper=identity)["layers"][-1]["op"] == "quantize"
    assert load(folder, wrapper=axol1tl_layout.WRAPPER).n_outputs == 1


def test_offset_and_shift_lose_what_their_types_say(folder: Path) -> None:
    """ap_fixed<10,10> loses the .5 of 4.5, and a shift by -1 wraps in the input's type."""
    network = axol1tl_layout.WRAPPER | {"input": {
        "type": "ap_fixed<8,6>", "offset": {"type": "ap_fixed<10,10>", "data": [4.5] * 57}, "shift": [-1] * 57,
    }}  # fmt: skip
    document = read_project(folder, wrapper=network)
    document |= {"layers": document["layers"][:2], "outputs": ["input_3"]}
    assert run(document, [36] + [0] * 56).tolist()[:2] == [40, -32]  # (9 - 4)·2 = 10, and (0 - 4)·2 = -8, in quarters
    assert run(document, [96] + [0] * 56).tolist()[0] == -96  # (24 - 4)·2 = 40 wraps to -24
    assert any("does not hold the offsets" in trap for trap in document["traps"])
    assert parse(document["layers"][1]["result"]).fraction == 2


def test_text_files_beside_the_sources(folder: Path) -> None:
    expected = read_project(folder)["layers"]
    sources, weights = folder / "NN", folder / "NN" / "weights"
    lines = (sources / "weights.h").read_text().splitlines()
    (sources / "weights.h").unlink()
    weights.mkdir()
    for line in lines:
        if "[" in line:
            name, numbers = line.split()[1].split("[")[0], line[line.index("{") + 1 : line.index("}")]
            (weights / f"{name}.txt").write_text(numbers)
            (weights / f"{name}.h").write_text(line.split(" = ")[0] + ";")
    assert read_project(folder)["layers"] == expected
    (weights / "w2.txt").write_text("1, 2")
    with pytest.raises(ModelError, match=r"'w2': expected 1596 values, got 2"):
        read_project(folder)


Damage = Callable[[Path], None]
CPP, PARAMETERS, DEFINES = "NN/AXO.cpp", "NN/parameters.h", "NN/defines.h"


def change(file: str, old: str, new: str) -> Damage:
    return lambda folder: replace(folder / file, old, new)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            change(PARAMETERS, "nnet::latency", "nnet::distributed_arithmetic"),
            r"AXO.cpp:13, node 'q_dense' \(op nnet::dense\): strategy distributed_arithmetic holds no weights",
        ),
        (
            change(CPP, "nnet::dense<input_t, layer2_t, config2>", "axo::dense_da_2<input_t, layer2_t>"),
            "only generated adder code",
        ),
        (change(CPP, "nnet::relu<layer2_t", "nnet::lstm<layer2_t"), "a recurrent layer is not read"),
        (change(CPP, "nnet::relu<layer2_t", "nnet::embedding<layer2_t"), "an embedding is a gather"),
        (
            change(CPP, "nnet::relu<layer2_t", "nnet::frobnicate<layer2_t"),
            r"node 'q_dense_relu' \(op nnet::frobnicate\): this function",
        ),
        (
            change(CPP, "nnet::relu<layer2_t", "for (;;) nnet::relu<layer2_t"),
            "AXO.cpp:15: 'for': expected a variable or the call",
        ),
        (change(CPP, "(layer2_out, layer3_out)", "(layer5_out, layer3_out)"), "'layer5_out' is not declared"),
        (change(CPP, "(layer4_out, layer5_out)", "(layer6_out, layer5_out)"), "'layer6_out' is not declared"),
        (
            change(CPP, "layer4_t layer4_out[N_LAYER_4]", "layer4_t layer4_out[14]"),
            "has 14 elements, its layer gives 15",
        ),
        (
            change(CPP, "layer4_t layer4_out", "layer2_t layer4_out"),
            r"its output is ap_fixed<29,16>, its template argument ap_fixed<22,15>",
        ),
        (change(CPP, "w4, b4", "w4, b6"), "expected 15 constants 'b6', got 8"),
        (change(CPP, "w4, b4", "w4, b99"), "there are no constants 'b99'"),
        (change(CPP, "config4>", "config5>"), "expected a config struct"),
        (change(PARAMETERS, "n_in = 57", "n_in = 58"), "expected 1624 constants 'w2', got 1596"),
        (change(PARAMETERS, "n_in = 57", "n_in = 57 +"), r"parameters.h:\d+: expected a name, got ';'"),
        (change(PARAMETERS, "n_in = 57", "n_in = -57"), "config2::n_in: expected 1 to"),
        (change(PARAMETERS, "n_in = 57", "n_in = unknown"), "config2::n_in: expected an integer, got unknown"),
        (change(PARAMETERS, "n_in = 57", "n_in = n_in"), "refers to itself"),
        (change(PARAMETERS, "n_in = 57", f"n_in = {'(' * 5000}57"), "too deeply nested"),
        (
            change(PARAMETERS, "nnet::product::mult", "nnet::product::weight_exponential"),
            "product 'weight_exponential'",
        ),
        (change(PARAMETERS, "reuse_factor = 1", "strategy2 = @"), r"parameters.h:\d+: unexpected character '@'"),
        (
            change(DEFINES, "typedef ap_fixed<6,3> q_weight_t", "typedef ap_float<16,5> q_weight_t"),
            "type 'ap_float': expected ap_fixed",
        ),
        (
            change(DEFINES, "typedef ap_fixed<6,3> q_weight_t", "typedef struct q_w {ap_uint<4> row; } q_weight_t"),
            "compressed or exponent weights",
        ),
        (change(DEFINES, "AP_RND_CONV,AP_SAT> layer3_t", "AP_RND_CONV,AP_WRAP_SM> layer3_t"), "WRAP_SM"),
        (
            change(DEFINES, "ap_fixed<29,16> layer2_t", "ap_fixed<29,16,AP_TRN,AP_SAT,2> layer2_t"),
            "only 0 is supported",
        ),
        (
            change(DEFINES, "ap_fixed<29,16> layer2_t", "layer2_t layer2_t"),
            "expected the name of a type|expected ap_fixed",
        ),
        (change(DEFINES, "#endif", ""), "an #if without its #endif"),
        (
            change("NN/weights.h", "q_bias_t b2[28] = {", "q_bias_t b2[28] = {1e999, "),
            "inf has no value in|expected 28 values",
        ),
        (change("NN/weights.h", "q_bias_t b2[28] = {", "q_bias_t b2[28] = {0, "), "'b2': expected 28 values, got 29"),
        (change("NN/weights.h", "q_bias_t b2[28] = {", "q_bias_t b2[28] = {nan_, "), "expected numbers, got 'nan_'"),
        (lambda folder: (folder / DEFINES).unlink(), "expected an hls4ml project"),
        (lambda folder: (folder / PARAMETERS).unlink(), "there is no such file"),
        (lambda folder: (folder / CPP).unlink(), "expected one .cpp file with the calls of the layers, got none"),
        (lambda folder: (folder / CPP).write_bytes(b"\xff\xfe"), "is no text"),
        (lambda folder: (folder / "rheinfall.json").write_text("{"), "rheinfall.json: expected JSON"),
        (lambda folder: (folder / "scales.h").unlink(), "scales.h: cannot be read"),
    ],
)
def test_refusals_name_file_and_reason(folder: Path, damage: Damage, message: str) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=message) as error:
        read_project(folder)
    assert str(folder) in str(error.value) or "axo" in str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format", 2, "format: expected 1"),
        ("extra", 1, "unknown key 'extra'"),
        ("input.type", "float", "input.type"),
        ("input.offset.name", "ad_off", "has no constants 'ad_off'"),
        ("input.offset.file", "../../etc/passwd", "expected a file inside the folder"),
        ("input.offset.file", "/etc/passwd", "expected a file inside the folder"),
        ("input.shift", [1, 2], "expected 57 numbers"),
        ("input.shift", [0.5] * 57, "input.shift: expected integers"),
        ("input.shift", ["a"] * 57, "expected numbers, got 'a'"),
        ("score.op", "product", "score.op: expected sum_of_squares or identity"),
        ("score.type", "ap_fixed<99,3>", "score.type"),
    ],
)
def test_wrappers_are_checked(folder: Path, path: str, value: Any, message: str) -> None:
    wrapper = json.loads(json.dumps(axol1tl_layout.WRAPPER))
    *parents, last = path.split(".")
    fields = wrapper
    for parent in parents:
        fields = fields[parent]
    fields[last] = value
    with pytest.raises(ModelError, match=message):
        read_project(folder, wrapper=wrapper)
