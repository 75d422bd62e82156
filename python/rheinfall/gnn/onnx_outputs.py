"""Tell which tensor of an ONNX model holds its logits or scores, by the ranges that its values can have."""

from __future__ import annotations

import math
from typing import Any, Literal

from rheinfall._extras import require
from rheinfall.gnn.onnx_checks import GraphIndex
from rheinfall.gnn.onnx_ranges import ranges_of

Output = Literal["auto", "logits", "scores"]

_COPIES = ("Squeeze", "Unsqueeze", "Reshape", "Flatten", "Identity", "Cast", "Transpose", "Dropout")


def find_logits(model: Any, name: str, output: Output, output_name: str | None) -> tuple[str, bool]:
    """The tensor to fetch, and True if it holds logits (False: probabilities).

    Where the file ends in a Sigmoid, the tensor before it is taken, since log(p / (1-p)) of a rounded p is inexact.
    Otherwise, with "auto", values that lie in [0, 1] whatever the event are probabilities.

    Raises:
        ValueError: several outputs and none named, an unknown `output`, or, with "auto", values that have other limits,
            of which it cannot be told what they are; names the node that limits them.
    """
    names = [o.name for o in model.graph.output]
    if output not in ("auto", "logits", "scores"):
        raise ValueError(f"{name}: output: expected 'auto', 'logits' or 'scores', got {output!r}")
    if output_name is None:
        if len(names) != 1:
            raise ValueError(f"{name}: {len(names)} outputs {names}: name the one with the edge scores by output_name")
        output_name = names[0]
    elif output_name not in names:
        raise ValueError(f"{name}: output_name={output_name!r} is not one of its outputs {names}")
    if output == "logits":
        return output_name, True
    before = _before_sigmoid(model, output_name)
    if before is not None:
        if before not in names:
            onnx = require("onnx", "onnx")
            model.graph.output.append(onnx.helper.make_tensor_value_info(before, onnx.TensorProto.FLOAT, None))
        return before, True
    if output == "scores":
        return output_name, False
    found = ranges_of(model).get(output_name)
    if found is None or not found.node or found.high == math.inf:
        return output_name, True
    if found.low >= 0 and found.high <= 1:
        return output_name, False
    raise ValueError(
        f"{name}: output {output_name!r} is limited to {found.low:g} to {found.high:g} by node {found.node}, so that "
        "it cannot be told whether it holds logits or probabilities: pass output='scores' or output='logits'"
    )


def _before_sigmoid(model: Any, output: str) -> str | None:
    """The tensor whose sigmoid the output is, copied and reshaped at most; None where it is no sigmoid."""
    index = GraphIndex(model.graph)
    node = index.producer.get(output)
    while node is not None and node.op_type in _COPIES:
        node = index.producer.get(node.input[0])
    return str(node.input[0]) if node is not None and node.op_type == "Sigmoid" else None
