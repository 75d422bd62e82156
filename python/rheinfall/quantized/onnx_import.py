"""Read a quantized ONNX file, QONNX or QDQ, as a document of docs/quantized_format.md.

The graph is walked once. Each tensor stands for exact real numbers of stored integers (`onnx_values`); what lies
between two quantizers is exact rational arithmetic, lowered to integers at the second (`onnx_lower`). Whatever has no
exact integer form is refused, naming the node. The file is untrusted: no external data is read, and no tensor is made
larger than a limit.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from rheinfall._extras import require
from rheinfall.quantized import onnx_elementwise as elementwise
from rheinfall.quantized import onnx_operators as operators
from rheinfall.quantized import qonnx
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, format_type
from rheinfall.quantized.onnx_builder import Builder, doc_order
from rheinfall.quantized.onnx_linear import absorb_bias
from rheinfall.quantized.onnx_values import MAX_ELEMENTS, Array, Const, Linear, RefusalError, Stored, Value

INTEGER_INPUTS = {2: (8, False), 3: (8, True), 4: (16, False), 5: (16, True), 6: (32, True), 12: (32, False)}
FLOATS = (1, 10, 11)
MAX_NODES = 20_000
MAX_RANK = 16
SCALES = (Fraction(1, 10**30), Fraction(10**30))  # of outputs: within float32
FAILURES = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, AssertionError, MemoryError)


def read_onnx(path: Path) -> dict[str, Any]:
    """The document of an ONNX file with quantizers (QONNX, or QuantizeLinear and DequantizeLinear).

    Inputs and outputs keep the file's own order of elements (channels first, if that is what it has), without the
    batch. Needs the extra [onnx].

    Raises:
        ModelError: the file is damaged, or a node cannot be expressed exactly; the message names it and the reason.
        OSError: there is no such file.
    """
    onnx = require("onnx", "onnx")
    path = Path(path)
    content = path.read_bytes()
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf raises its own kinds
        raise ModelError(f"{path}: expected an ONNX model: {error}") from None
    if not model.HasField("graph") or not model.graph.node:
        raise ModelError(f"{path}: expected an ONNX model with nodes")
    with np.errstate(all="ignore"):  # what overflows in constants is refused where it matters
        return _Import(str(path), model, onnx).run()


class _Import:
    """One walk over a graph."""

    def __init__(self, file: str, model: Any, onnx: Any) -> None:
        self.file, self.model, self.onnx = file, model, onnx
        self.builder = Builder()
        self.tensors: dict[str, Value | Const] = {}
        self.uses: dict[str, int] = {}
        self.batch = 1
        self.opsets: dict[str, int] = {}

    def run(self) -> dict[str, Any]:
        graph = self.model.graph
        for where, step in (("opset_import", self._read_opsets), ("initializers", self._read_initializers),
                            ("inputs", self._read_inputs)):  # fmt: skip
            self._guarded(where, step)
        if len(graph.node) > MAX_NODES:
            raise ModelError(f"{self.file}: {len(graph.node)} nodes; at most {MAX_NODES}")
        for i, node in enumerate(graph.node):
            label = node.name or f"{node.op_type}_{i}"
            self._guarded(f"node {label!r} (op {node.op_type})", lambda n=node, k=label: self._lower(n, k))
        outputs = []
        for info in graph.output:
            self.builder.node = f"{info.name}.output"
            self._guarded(f"output {info.name!r}", lambda o=info: outputs.append(self._output(o)))
        if not outputs:
            raise ModelError(f"{self.file}: expected an output")
        rational = self.builder.rational
        if rational:
            self.builder.traps.add(
                f"{len(rational)} quantizers, the first {rational[0]!r}, have scales that are no powers of two: "
                "exact rational arithmetic here, an executor in float32 may differ near ties"
            )
        document = {
            "format": "rheinfall.quantized", "version": 1, "name": graph.name or Path(self.file).stem,
            "source": self._source(), "inputs": self.builder.inputs, "layers": self._needed(outputs),
            "outputs": outputs,
        }  # fmt: skip
        return document | ({"traps": self.builder.traps.notes} if self.builder.traps.notes else {})

    def _guarded(self, where: str, step: Any) -> None:
        try:
            step()
        except RefusalError as refusal:
            raise ModelError(f"{self.file}, {where}: {refusal}") from None
        except FAILURES as error:
            raise ModelError(f"{self.file}, {where}: malformed: {type(error).__name__}: {error}") from error

    def _source(self) -> str:
        domains = {node.domain for node in self.model.graph.node}
        kind = "QONNX" if domains & set(qonnx.DOMAINS) else "ONNX QDQ"
        producer = f"{self.model.producer_name} {self.model.producer_version}".strip()
        return f"{kind}, opset {self.opsets.get('', 0)}" + (f", {producer}" if producer else "")

    def _read_opsets(self) -> None:
        for entry in self.model.opset_import:
            self.opsets["" if entry.domain == "ai.onnx" else entry.domain] = int(entry.version)
        if self.model.functions:
            raise RefusalError("functions of the model's own are not supported: inline them (onnx.inliner)")

    def _array(self, tensor: Any) -> Array:
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL or len(tensor.external_data):
            raise RefusalError(
                f"tensor {tensor.name!r} is external data, which is never read: save the model in one file"
            )
        if tensor.data_type == self.onnx.TensorProto.STRING or np.prod(tensor.dims, dtype=np.float64) > MAX_ELEMENTS:
            raise RefusalError(f"tensor {tensor.name!r}: strings, or more than {MAX_ELEMENTS} elements")
        if len(tensor.dims) > MAX_RANK or any(d < 0 for d in tensor.dims):
            raise RefusalError(f"tensor {tensor.name!r} has the dimensions {list(tensor.dims)}")
        try:
            return np.asarray(self.onnx.numpy_helper.to_array(tensor))
        except FAILURES as error:
            raise RefusalError(f"tensor {tensor.name!r}: {error}") from None

    def _read_initializers(self) -> None:
        graph = self.model.graph
        if graph.sparse_initializer:
            raise RefusalError("sparse initializers are not supported")
        for tensor in graph.initializer:
            self._define(tensor.name, Const(self._array(tensor)))
        for node in graph.node:
            for name in node.input if node.op_type != "Shape" else ():
                self.uses[name] = self.uses.get(name, 0) + 1
        for info in graph.output:
            self.uses[info.name] = self.uses.get(info.name, 0) + 1

    def _define(self, name: str, tensor: Value | Const) -> None:
        if name in self.tensors:
            raise RefusalError(f"tensor {name!r} is defined twice")
        self.tensors[name] = tensor

    def _read_inputs(self) -> None:
        declared = [info for info in self.model.graph.input if info.name not in self.tensors]
        if not declared:
            raise RefusalError("expected an input")
        annotations = {}
        for note in self.model.graph.quantization_annotation:
            for entry in note.quant_parameter_tensor_names:
                if entry.key == "finn_datatype":
                    annotations[note.tensor_name] = entry.value
        for info in declared:
            self._define(info.name, self._input(info, annotations.get(info.name)))

    def _input(self, info: Any, annotation: str | None) -> Value:
        kind = info.type.tensor_type
        if not info.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise RefusalError(f"input {info.name!r} is no tensor with a shape")
        dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
        if len(dims) < 2 or any(d is None or d < 1 for d in dims[1:]):
            raise RefusalError(f"input {info.name!r} has the shape {dims}: expected a batch and axes of known length")
        shape = tuple(int(d) for d in dims[1:] if d is not None)
        if np.prod(shape, dtype=np.float64) > MAX_ELEMENTS:
            raise RefusalError(f"input {info.name!r} of shape {shape}: more than {MAX_ELEMENTS} elements")
        self.batch = max(self.batch, dims[0] or 1)
        stored = self._input_type(info.name, int(kind.elem_type), annotation, shape)
        self.builder.inputs.append({"name": stored.name, "shape": list(shape), "type": format_type(stored.type)})
        index = np.arange(stored.size).reshape(1, *shape)
        step = Linear.of(Fraction(2) ** -stored.type.fraction, 0, index.ndim)
        return Value(stored, index, (step,), self.uses.get(info.name, 0) <= 1, not stored.is_raw)

    def _input_type(self, name: str, element: int, annotation: str | None, shape: tuple[int, ...]) -> Stored:
        unique = self.builder.unique(name)
        if element in INTEGER_INPUTS:
            width, is_signed = INTEGER_INPUTS[element]
            chosen = FixedType(width, width, is_signed, "RND_CONV", "SAT")
            return Stored(unique, shape, chosen, [chosen.minimum], [chosen.maximum])
        if element not in FLOATS:
            raise RefusalError(
                f"input {name!r} has the element type {element}: expected floats or integers up to 32 bits"
            )
        known = qonnx.integer_annotation(annotation) if annotation else None
        if known is None:
            open_type = FixedType(1, 1)  # chosen at its first quantizer
            return Stored(unique, shape, open_type, [0], [0], is_raw=True)
        chosen = known
        low = -chosen.maximum if chosen.overflow == "SAT_SYM" else chosen.minimum
        return Stored(unique, shape, chosen, [low], [chosen.maximum])

    def _lower(self, node: Any, label: str) -> None:
        domain = "" if node.domain == "ai.onnx" else node.domain
        table = operators.STANDARD if domain == "" else operators.QONNX if domain in qonnx.DOMAINS else {}
        if node.op_type not in table:
            reason = operators.REASONS.get(
                node.op_type, f"operator {node.op_type} of domain {domain or 'ai.onnx'!r} is not supported"
            )
            raise RefusalError(reason)
        inputs: list[Value | Const | None] = []
        for name in node.input:
            if name and name not in self.tensors:
                raise RefusalError(f"input {name!r} is not defined before it")
            inputs.append(self.tensors[name] if name else None)
        self.builder.node = label
        call = operators.Call(
            self.builder, node.op_type, inputs, {a.name: self._attribute(a) for a in node.attribute},
            len([name for name in node.output if name]), self.opsets.get(domain, 0), self.batch,
        )  # fmt: skip
        results = table[node.op_type](call)
        for name, result in zip(node.output, results if isinstance(results, list) else [results], strict=False):
            if name:
                self._define(name, self._counted(name, result))

    def _counted(self, name: str, result: Value | Const) -> Value | Const:
        if isinstance(result, Value) and self.uses.get(name, 0) > 1:
            return replace(result, single_use=False)
        return result

    def _attribute(self, attribute: Any) -> Any:
        kinds = self.onnx.AttributeProto
        if attribute.type == kinds.TENSOR:
            return self._array(attribute.t)
        if attribute.type in (kinds.GRAPH, kinds.GRAPHS, kinds.SPARSE_TENSOR, kinds.SPARSE_TENSORS):
            raise RefusalError(f"attribute {attribute.name!r}: graphs and sparse tensors are not supported")
        if attribute.ref_attr_name:
            raise RefusalError(f"attribute {attribute.name!r} refers to a function's")
        return self.onnx.helper.get_attribute_value(attribute)

    def _output(self, info: Any) -> str | dict[str, Any]:
        value = self.tensors.get(info.name)
        if not isinstance(value, Value):
            raise RefusalError("does not depend on the event" if value is not None else "is not defined by any node")
        if not value.quantized:
            raise RefusalError("no quantizer before it: it is a float")
        value = self.builder.in_onnx_order(self.builder.without_clamp(absorb_bias(value)))
        if value.index.ndim == 1:
            raise RefusalError("has no axis beside the batch")
        linear = value.linear
        (scale, offset), stored = doc_order(self.builder, value, (linear.a, linear.b))
        if any(not SCALES[0] <= s <= SCALES[1] for s in scale):
            raise RefusalError(f"a scale of {float(min(scale)):g}: expected 1e-30 to 1e30")
        if len(scale) == 1 and not any(offset) and scale[0] == Fraction(2) ** -stored.type.fraction:
            return stored.name
        stored = elementwise.without_point(self.builder, stored)
        output: dict[str, Any] = {"name": stored.name, "scale": _number(scale)}
        if any(offset):
            output |= _constant(scale, offset)
        return output

    def _needed(self, outputs: list[str | dict[str, Any]]) -> list[dict[str, Any]]:
        """The layers that some output depends on."""
        wanted = {o if isinstance(o, str) else o["name"] for o in outputs}
        kept = []
        for layer in reversed(self.builder.layers):
            if layer["name"] in wanted:
                wanted.update(layer["inputs"])
                kept.append(layer)
        return kept[::-1]


def _number(values: list[Fraction]) -> float | list[float]:
    return float(values[0]) if len(values) == 1 else [float(v) for v in values]


def _constant(scale: list[Fraction], offset: list[Fraction]) -> dict[str, Any]:
    """A zero point where one whole number says it, else an offset."""
    n = max(len(scale), len(offset))
    scale, offset = (x * n if len(x) == 1 else x for x in (scale, offset))
    zeros = {-b / a for a, b in zip(scale, offset, strict=True)}
    zero = next(iter(zeros))
    if len(zeros) == 1 and zero.denominator == 1 and abs(zero) < 1 << 53:
        return {"zero_point": int(zero)}
    return {"offset": _number(offset) if len(set(offset)) > 1 else float(offset[0])}
