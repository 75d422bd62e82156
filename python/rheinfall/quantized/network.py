"""A quantized network: a document of docs/quantized_format.md, and its executor in C++."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Network:
    """A quantized network, exact to its document; see `rheinfall.quantized.load`."""

    def __init__(self, document: Mapping[str, Any], *, isa: str = "best", file: str = "") -> None:
        self.document = dict(document)
        self.isa = isa
        self.file = file

    @classmethod
    def from_json(cls, text: bytes | str, *, isa: str = "best", file: str = "") -> Network:
        """A network from the text of a document."""
        return cls(json.loads(text), isa=isa, file=file)
