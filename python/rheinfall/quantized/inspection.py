"""What `Network.inspect()` shows: layers, types, proven ranges, work, kernels chosen, and traps."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from rheinfall.quantized.fixed_point import parse

COLUMNS = ("layer", "op", "shape", "type", "proven range", "MACs", "bytes", "zeros", "accumulator", "kernel")


class Inspection:
    """A network's description, to print; `to_dict()` gives plain data, a notebook shows a table."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        """Take what `Network.describe()` gives."""
        self._facts = dict(description)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: ranges are stored integers; `traps` come with the model, `proven` from its ranges."""
        layers = [{**layer, "bytes": _bytes(layer)} for layer in self._facts["layers"]]
        return {**self._facts, "layers": layers, "proven": self.proven, "total": self.total}

    @property
    def total(self) -> dict[str, int]:
        """Multiply-adds of one event, weights, and bytes of the weights in their types."""
        layers = self._facts["layers"]
        sums = {key: sum(layer[key] for layer in layers) for key in ("macs", "weights", "nonzeros")}
        return {**sums, "bytes": sum(map(_bytes, layers))}

    @property
    def traps(self) -> list[str]:
        """What the importer found suspicious: types left at their defaults, wraps, offsets that lose their fraction."""
        return list(self._facts["traps"])

    @property
    def proven(self) -> list[str]:
        """What the proven ranges cannot exclude: overflows, and fraction bits lost on the way to an accumulator."""
        return [text for layer in self._facts["layers"] for text in _findings(layer)]

    def __str__(self) -> str:
        lines = [self._title(), *(_port("input", port) for port in self._facts["inputs"])]
        lines += [_port("output", port) for port in self._facts["outputs"]]
        lines += ["", *_align([COLUMNS, *self._rows()]), "", self._sums()]
        for title, texts in (("traps", self.traps), ("not excluded by the proven ranges", self.proven)):
            if texts:
                lines += ["", f"{title}:", *(f"  {text}" for text in texts)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        n = len(self._facts["layers"])
        return f"Inspection({self._facts['name'] or 'network'}: {n} layers, {len(self.traps)} traps)"

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in self._rows())
        found = "".join(f"<li>{html.escape(text)}</li>" for text in (*self.traps, *self.proven))
        title = f"<p>{html.escape(self._title())}; {html.escape(self._sums())}</p>"
        return f"{title}<table>{row(COLUMNS, 'th')}{body}</table>" + (f"<ul>{found}</ul>" if found else "")

    def _title(self) -> str:
        source = f" ({self._facts['source']})" if self._facts["source"] else ""
        refusal = f" ({self._facts['refusal']})" if self._facts.get("refusal") else ""
        return f"{self._facts['name'] or 'network'}{source}, kernels: {self._facts['isa']}{refusal}"

    def _sums(self) -> str:
        total = self.total
        zeros = total["weights"] - total["nonzeros"]
        return f"{total['macs']:,} MACs, {total['weights']:,} constants ({zeros:,} zeros), {total['bytes']:,} bytes"

    def _rows(self) -> list[tuple[str, ...]]:
        kernels: dict[str, str] = {}
        for step in self._facts.get("steps", []):
            for name in step["layers"].split(" + "):
                kernels.setdefault(name, step["kernel"])  # what follows only moves the values
        return [_row(layer, kernels.get(layer["name"], "")) for layer in self._facts["layers"]]


def _row(layer: Mapping[str, Any], kernel: str) -> tuple[str, ...]:
    accumulator = layer["accumulator"]
    shape = "x".join(map(str, layer["shape"]))
    sums = f"{accumulator['type']}, {accumulator['bits']} bits" if accumulator else ""
    macs = f"{layer['macs']:,}" if layer["macs"] else ""
    size = f"{_bytes(layer):,}" if layer["bits"] else ""
    zeros = f"{1 - layer['nonzeros'] / layer['weights']:.0%}" if layer["weights"] else ""
    return layer["name"], layer["op"], shape, layer["type"], _real_range(layer), macs, size, zeros, sums, kernel


def _port(kind: str, port: Mapping[str, Any]) -> str:
    return f"  {kind:6s} {port['name']} {'x'.join(map(str, port['shape']))} of {port['type']}"


def _bytes(layer: Mapping[str, Any]) -> int:
    return (int(layer["bits"]) + 7) // 8


def _real_range(layer: Mapping[str, Any]) -> str:
    lowest, highest = (_real(q, parse(layer["type"]).fraction) for q in layer["range"])
    return f"{lowest:g} to {highest:g}"


def _real(q: int, fraction: int) -> float:
    return float(q) * 2.0**-fraction


def _findings(layer: Mapping[str, Any]) -> list[str]:
    name, kind, accumulator = layer["name"], parse(layer["type"]), layer["accumulator"]
    found = []
    if layer["overflows"]:
        verb = "wrap" if kind.overflow == "WRAP" else "saturate"
        found.append(f"layer '{name}': the conversion to {layer['type']} may {verb}")
    if accumulator and accumulator["products_round"]:
        found.append(f"layer '{name}': products lose fraction bits in {accumulator['type']}")
    if accumulator and accumulator["sums_overflow"]:
        order = ", so that their order matters" if accumulator["order_matters"] else ""
        bits = accumulator["bits"]
        found.append(f"layer '{name}': sums may overflow {accumulator['type']} (they need {bits} bits){order}")
    return found


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = [COLUMNS.index(name) for name in ("MACs", "bytes", "zeros")]
    used = [i for i, width in enumerate(widths) if i == 0 or any(row[i] for row in rows[1:])]
    return [
        "  ".join(row[i].rjust(widths[i]) if i in right else row[i].ljust(widths[i]) for i in used).rstrip()
        for row in rows
    ]
