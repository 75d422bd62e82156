"""Scatters of an ONNX graph that lost the reduction they need: which they are, and what each was meant to be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rheinfall.gnn.onnx_checks import SCATTERS, GraphIndex, nodes_of, reduction_of, subgraphs
from rheinfall.gnn.onnx_file import opset_of

Repair = bool | Literal["add", "mean"]
FIRST_OPSET_WITH_REDUCTION = 16

_NOTE = "pkg.torch.onnx.fx_node"  # where PyTorch's present exporter writes what a node was
_CALL = re.compile(r"target=torch\.ops\.aten\.(\w+)\.\w+\]\((args = .*)")
_CAUSES = {
    "old": "exporters to opset < 16 lose the scatter-add of message passing in this way, and the file computes wrong "
    "scores. {count} such node(s). Export it again with opset >= 16, or load it with repair_scatter=True "
    "(--repair-scatter), which makes the scatters add.",
    "add": "PyTorch's older exporter (dynamo=False) writes index_add and index_put so at every opset, and the file "
    "computes wrong scores. {count} such node(s). Write the sum as scatter_add, or export it with dynamo=True, or load "
    "it with repair_scatter=True (--repair-scatter), which makes the scatters add.",
    "mean": "PyTorch's present exporter writes scatter_reduce(..., 'mean') so, as which its note marks this node, and "
    "the file computes wrong scores. {count} such node(s). Write the mean as a sum divided by a count, or load it with "
    "repair_scatter=True (--repair-scatter), which restores it.",
    "unknown": "PyTorch's present exporter writes scatter_reduce(..., 'mean') so, and the file computes wrong scores. "
    "{count} such node(s). Whether a mean or a sum was meant cannot be told from the file: write the mean as a sum "
    "divided by a count and export it again, or load it with repair_scatter='mean' or repair_scatter='add'.",
    "overwrite": "that is what aten.{call} means, as which the exporter's note marks this node: the scores hang on the "
    "order of the edges. {count} such node(s). Write the sum as scatter_add and export it again.",
}


@dataclass(frozen=True)
class LostReduction:
    """A scatter without a reduction whose indices come from edge_index.

    Attributes:
        node: the `onnx.NodeProto`.
        starts_at_zero: it scatters into zeros.
        meaning: "add", "mean", "overwrite", or "unknown": a sum or a mean.
        call: what the exporter's note says the node was, or nothing.
        cleared: what it scatters into was made zero at those places before: PyTorch's include_self=False.
    """

    node: Any
    starts_at_zero: bool
    meaning: str
    call: str = ""
    cleared: bool = False

    @property
    def place(self) -> str:
        """The node as messages name it."""
        return f"node {self.node.name or self.node.output[0]!r} ({self.node.op_type})"


def find_lost_reductions(graph: Any, edge_index: str) -> list[LostReduction]:
    """Scatters of `graph` that write to places chosen by the input `edge_index` and keep the last write only.

    A scatter whose places do not depend on edge_index is an assignment to a slice, which needs no reduction, and
    zeros are zeros however many are written. In subgraphs (If, Loop, Scan) every scatter without a reduction counts,
    since where its indices come from is open.
    """
    index = GraphIndex(graph)
    found = []
    for node in graph.node:
        keeps_last_write = node.op_type in SCATTERS and reduction_of(node) == "none" and len(node.input) >= 3
        if keeps_last_write and index.depends_on(node.input[1], edge_index) and not index.is_zero(node.input[2]):
            cleared = _clearing(index, node) is not None
            found.append(LostReduction(node, index.is_zero(node.input[0]), *_meaning(node), cleared))
        for subgraph in subgraphs(node):
            found.extend(_inner(subgraph))
    return found


def _inner(subgraph: Any) -> Iterator[LostReduction]:
    for node in nodes_of(subgraph):
        if node.op_type in SCATTERS and reduction_of(node) == "none":
            yield LostReduction(node, False, *_meaning(node))


def _clearing(index: GraphIndex, node: Any) -> Any:
    """The scatter of zeros to the same places before this one, or None."""
    before = index.producer.get(node.input[0])
    if before is None or before.op_type not in SCATTERS or before.input[1] != node.input[1]:
        return None
    return before if index.is_zero(before.input[2]) else None


def _meaning(node: Any) -> tuple[str, str]:
    """What a scatter without a reduction was meant to be, and the call in its exporter's note.

    Without a note it is told by the attribute: the present exporter of PyTorch writes `reduction="none"` for a mean,
    and no scatter for sums; where there is no attribute, the exporter knew none, and such refuse means.
    """
    note = next((p.value for p in getattr(node, "metadata_props", ()) if p.key == _NOTE), "")
    call = _CALL.search(note)
    if call is not None:
        name, words = call[1], set(re.findall(r"%?\w+", call[2]))  # those with a % are names of tensors
        if name.rstrip("_") == "scatter_reduce":
            return "mean" if "mean" in words else "add" if "sum" in words else "unknown", name
        adds = name.rstrip("_") in ("scatter_add", "index_add") or "True" in words
        return "add" if adds else "overwrite", name
    written = any(a.name == "reduction" for a in node.attribute)
    return ("unknown" if written else "add"), ""


def refusal(model: Any, lost: Sequence[LostReduction], name: str) -> str:
    """Why a file with these scatters is refused, and what to do."""
    first, opset = lost[0], opset_of(model)
    old = first.meaning == "add" and opset < FIRST_OPSET_WITH_REDUCTION
    cause = _CAUSES["old" if old else first.meaning].format(count=len(lost), call=first.call)
    return (
        f"{name}: node {first.node.name!r} ({first.node.op_type}, opset {opset}) has no reduction, so where several "
        f"edges point to one node only the last one written is kept: {cause}"
    )


def trap(lost: LostReduction) -> str:
    """The trap in one sentence."""
    if not lost.starts_at_zero:
        why = "a sum may be meant; it does not start from zeros and is not repaired"
    else:
        why = {
            "add": "a sum was meant; repair_scatter=True makes it add",
            "mean": "a mean was meant, by the exporter's note; repair_scatter=True restores it",
            "unknown": "a mean or a sum was meant, which the file does not tell; repair_scatter='mean' or 'add' does",
            "overwrite": f"the exporter's note says {lost.call}, which overwrites; it is not repaired",
        }[lost.meaning]
    name = lost.node.name or lost.node.output[0]
    return f"{name} ({lost.node.op_type}) has no reduction: the last write wins where {why}"


def repairs(lost: Sequence[LostReduction], repair: Repair, name: str) -> list[str]:
    """What each of these scatters is to become: "add" or "mean".

    Raises:
        ValueError: one was meant as something else, or what it was meant to be is unknown and not named.
    """
    result = []
    for scatter in lost:
        if not scatter.starts_at_zero:
            raise ValueError(
                f"{name}: {scatter.place} has no reduction and does not start from zeros, so it cannot be told whether "
                "it was meant to add: it is not repaired; export the model again"
            )
        known = bool(scatter.call) and scatter.meaning != "unknown"
        wanted = scatter.meaning if repair is True or known else str(repair)
        if wanted == "unknown":
            raise ValueError(
                f"{name}: {scatter.place} has reduction 'none', and whether a mean or a sum was meant cannot be told "
                "from the file: load it with repair_scatter='mean' or repair_scatter='add'"
            )
        if wanted == "overwrite" or (known and repair is not True and repair != wanted):
            raise ValueError(
                f"{name}: {scatter.place} was aten.{scatter.call} ({wanted}) before it was exported, as its exporter's "
                f"note says: repair_scatter={repair!r} does not make it something else"
            )
        result.append(wanted)
    return result
