"""What inspect() prints: types, proven ranges, work, kernels, traps."""

from __future__ import annotations

import json
from typing import Any

from rheinfall.quantized.network import Network


def network(isa: str = "best") -> Network:
    layers: list[dict[str, Any]] = [
        {"name": "fc", "op": "dense", "inputs": ["x"], "result": "ap_fixed<8,4>", "accum": "ap_fixed<12,6>",
         "weight": {"type": "ap_fixed<4,2>", "shape": [2, 3], "data": [4, -2, 0, 7, 7, -8]},
         "bias": {"type": "ap_int<3>", "shape": [3], "data": [1, 0, -1]}},
        {"name": "act<1>", "op": "relu", "inputs": ["fc"], "result": "ap_ufixed<6,2,RND,SAT>"},
    ]  # fmt: skip
    document = {
        "format": "rheinfall.quantized", "version": 1, "name": "small", "source": "by hand",
        "inputs": [{"name": "x", "shape": [2], "type": "ap_fixed<8,4>"}],
        "layers": layers, "outputs": ["act<1>"], "traps": ["a trap of the importer"],
    }  # fmt: skip
    return Network(document, isa=isa)


def test_the_text_holds_what_a_user_looks_for() -> None:
    text = str(network().inspect())
    for part in ("small (by hand)", "input  x 2 of ap_fixed<8,4>", "output act<1> 3 of ap_ufixed<6,2,RND,SAT>",
                 "ap_fixed<12,6>", "-8 to 7.9375", "0 to 3.9375", "6 MACs, 9 constants (2 zeros), 5 bytes",
                 "22%", "a trap of the importer", "layer 'fc': the conversion to ap_fixed<8,4> may wrap",
                 "layer 'act<1>': the conversion to ap_ufixed<6,2,RND,SAT> may saturate"):  # fmt: skip
        assert part in text, part


def test_ranges_are_those_of_the_weights() -> None:
    layer = network().inspect().to_dict()["layers"][0]
    accumulator = layer["accumulator"]
    # Column 1: bias 0, -2/4 and 7/4 times [-8, 7.9375]: from -17.97 to 17.89, in steps of 1/64; then WRAP.
    assert accumulator["range"][0] <= -17.96875 * 64
    assert accumulator["range"][1] >= 17.890625 * 64
    assert layer["range"] == (-128, 127)
    assert (layer["macs"], layer["weights"], layer["nonzeros"], layer["bytes"]) == (6, 9, 7, 5)


def test_plain_data_can_be_written() -> None:
    facts = network().inspect().to_dict()
    assert json.loads(json.dumps(facts))["total"]["macs"] == 6
    assert facts["traps"] == ["a trap of the importer"]
    assert len(facts["proven"]) >= 2


def test_the_exact_executor_says_so_and_notebooks_get_html() -> None:
    inspection = network("exact").inspect()
    assert "kernels: exact" in str(inspection)
    assert repr(inspection) == "Inspection(small: 2 layers, 1 traps)"
    page = inspection._repr_html_()
    assert "act&lt;1&gt;" in page
    assert "<1>" not in page
