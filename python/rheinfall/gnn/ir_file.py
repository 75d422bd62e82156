"""The file of a graph network in the intermediate form: docs/gnn_format.md."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from rheinfall import _core
from rheinfall.gnn.ir import Network, Operation

MAGIC = b"rfgnn\n\x1a\0"
"""What the file begins with."""

_HEADER = struct.Struct("<8sIIQQQQ")
VERSION = 1


def to_bytes(network: Network, source: str = "") -> bytes:
    """The file's bytes; `source` says where the network comes from."""
    floats: list[Any] = []
    n_floats = 0
    operations = []
    for o in network.operations:
        entry: dict[str, Any] = {"op": o.op}
        if o.name:
            entry["name"] = o.name
        if o.op == "input":
            entry["kind"] = o.kind
        else:
            entry.update(o.attributes)
        if o.op in ("input", "linear"):
            entry["width"] = o.width
        if o.op not in ("input", "degree"):
            entry["inputs"] = list(o.inputs)
        for name, values in o.weights.items():
            values = _full(o, name, values)
            entry.setdefault("weights", {})[name] = [n_floats, values.size]
            floats.append(values)
            n_floats += values.size
        operations.append(entry)
    document = {"format": "rheinfall.gnn", "operations": operations, "output": network.output, "source": source}
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 64)
    body = text + (np.concatenate(floats).astype("<f4").tobytes() if floats else b"")
    return _HEADER.pack(MAGIC, VERSION, 0, len(text), n_floats, _core.checksum(body), 0) + body


def _full(o: Operation, name: str, values: Any) -> Any:
    """A tensor as the file has it: one scale or shift stands for all columns here, and never there."""
    return (values if name == "weight" else np.broadcast_to(values.reshape(-1), (o.width,))).ravel()
