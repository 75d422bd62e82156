"""The schema of network documents: it takes every valid random document and the examples, and knows what is wrong."""

from __future__ import annotations

import copy
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from random_layers import MAKERS
from random_networks import random_document, trigger_document
from rheinfall.quantized.fixed_point import parse

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
FORMAT = ROOT / "docs" / "quantized_format.md"


@pytest.fixture(scope="module")
def validator() -> Any:
    text = resources.files("rheinfall.quantized").joinpath("network.schema.json").read_text()
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def example_of_each_op() -> dict[str, dict[str, Any]]:
    """A document for each operation whose last layer is of that kind."""
    found: dict[str, dict[str, Any]] = {}
    for seed in range(1000):
        document = random_document(seed)
        for layer in document["layers"]:
            found.setdefault(layer["op"], document)
        if len(found) == len(MAKERS):
            break
    return found


EXAMPLES = example_of_each_op()


def test_every_operation_has_an_example_and_a_schema(validator: Any) -> None:
    known = validator.schema["$defs"]["layer"]["properties"]["op"]["enum"]
    assert set(EXAMPLES) == set(MAKERS) == set(known)


@pytest.mark.parametrize("op", sorted(MAKERS))
def test_random_documents_are_valid(validator: Any, op: str) -> None:
    document = EXAMPLES[op]
    validator.validate(document)
    validator.validate(json.loads(json.dumps(document)))


def test_trigger_networks_are_valid(validator: Any) -> None:
    for seed in range(5):
        validator.validate(trigger_document(seed, max_width=8))


def test_the_example_of_the_documentation_is_valid(validator: Any) -> None:
    blocks = re.findall(r"```json\n(.*?)```", FORMAT.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        validator.validate(json.loads(block))


@pytest.mark.parametrize("op", sorted(MAKERS))
def test_what_a_layer_lacks_or_has_too_much_is_an_error(validator: Any, op: str) -> None:
    document = copy.deepcopy(EXAMPLES[op])
    layer = next(layer for layer in document["layers"] if layer["op"] == op)
    required = {"name", "op", "result"} | set(validator.schema["$defs"][op].get("required", []))
    for key in required:
        value = layer.pop(key)
        assert not validator.is_valid(document), f"without {key}"
        layer[key] = value
    for key, value in (("surplus", 1), ("name", 5), ("result", "float"), ("inputs", ["x0"] * 4), ("op", "nothing")):
        if (op, key) == ("concatenate", "inputs"):
            continue
        changed = {**layer, key: value}
        others = [changed if other is layer else other for other in document["layers"]]
        assert not validator.is_valid({**document, "layers": others}), f"{key}: {value}"


@pytest.mark.parametrize(
    "text",
    [
        "ap_fixed<16,6>",
        "ap_ufixed<1,-128,AP_RND_MIN_INF,AP_SAT_SYM,0>",
        "ap_int<64,TRN>",
        "ap_uint< 7 , RND , WRAP >",
        "ap_fixed<65,6>",
        "ap_fixed<0,6>",
        "ap_fixed<16>",
        "ap_int<8,8>",
        "ap_fixed<16,6,WRAP>",
        "ap_fixed<16,6,TRN,WRAP_SM>",
        "ap_fixed<16,6,TRN,WRAP,1>",
        "ap_fixed<16,6",
        "fixed<16,6> ",
    ],
)
def test_the_pattern_of_types_agrees_with_the_parser(validator: Any, text: str) -> None:
    try:
        parse(text)
        expected = text.startswith("ap_")  # the names without ap_ are hls4ml's, not the documents'
    except ValueError:
        expected = False
    document = {**EXAMPLES["quantize"], "inputs": [{"name": "x0", "shape": [1], "type": text}]}
    assert validator.is_valid(document) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"surplus": 0},
        {"inputs": []},
        {"outputs": []},
        {"outputs": [{"scale": 1.0}]},
        {"outputs": [{"name": "x", "zero_point": 1}]},
        {"inputs": [{"name": "x", "shape": [0], "type": "ap_int<8>"}]},
        {"inputs": [{"name": "x", "shape": [2], "type": "ap_int<8>", "scale": 0}]},
        {"inputs": [{"name": "x", "shape": [2], "type": "ap_int<8>", "scale": 0.5, "zero_point": 0.5}]},
    ],
)
def test_what_is_wrong_beside_the_layers_is_an_error(validator: Any, change: dict[str, Any]) -> None:
    assert not validator.is_valid({**EXAMPLES["quantize"], **change})
