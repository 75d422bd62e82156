"""Random chains of operators on tensors of several axes against onnx's own reference."""

import numpy as np
import pytest

import rheinfall as rf

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")

from onnx import helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from test_gnn_operators import model_of  # noqa: E402

N_EDGES, WIDTH = 97, 12  # a number of edges that no number of columns can be taken for
REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceSumSquare", "ReduceLogSumExp")


class Chain:
    """Operators one after the other, with the shapes that their results have; the rows stand at `axis`.

    With `twice` there is a row for each edge and another with the opposite features.
    """

    def __init__(self, seed, twice=False):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants, self.name = [], {}, "edge_attr"
        self.n_rows, self.axis = N_EDGES * (1 + twice), 0
        self.shape = [self.n_rows, WIDTH]
        if twice:
            self.name = self.add("Concat", self.name, self.add("Neg", self.name), axis=0)

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def add(self, op, *inputs, n=1, **attributes):
        names = [f"t{len(self.nodes)}_{k}" for k in range(n)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"{op}_{len(self.nodes)}", **attributes))
        return names[int(self.rng.integers(n))]

    @property
    def others(self):
        return [k for k in range(len(self.shape)) if k != self.axis]

    def other(self):
        return int(self.rng.choice(self.others))

    def reshape(self):
        """Join two neighbouring axes of columns, or split one."""
        shape = list(self.shape)
        pairs = [k for k in range(len(shape) - 1) if self.axis not in (k, k + 1)]
        if pairs and (len(shape) > 3 or self.rng.integers(2)):
            k = int(self.rng.choice(pairs))
            shape[k : k + 2] = [shape[k] * shape[k + 1]]
            self.axis -= k < self.axis
        else:
            k = self.other()
            divisors = [d for d in range(1, shape[k] + 1) if shape[k] % d == 0]
            d = int(self.rng.choice(divisors))
            shape[k : k + 1] = [d, shape[k] // d]
            self.axis += k < self.axis
        self.shape = list(shape)
        shape[self.axis] = -1
        self.name = self.add("Reshape", self.name, self.constant(np.int64(shape)))

    def transpose(self):
        order = [int(k) for k in self.rng.permutation(len(self.shape))]
        self.name = self.add("Transpose", self.name, perm=order)
        self.shape, self.axis = [self.shape[k] for k in order], order.index(self.axis)

    def reduce(self):
        if len(self.others) < 2:
            return
        k, keep = self.other(), int(self.rng.integers(2))
        op = str(self.rng.choice(REDUCTIONS))
        axis = k - len(self.shape) if self.rng.integers(2) else k
        self.name = self.add(op, self.name, self.constant(np.int64([axis])), keepdims=keep)
        self.shape[k] = 1
        if not keep:
            del self.shape[k]
            self.axis -= k < self.axis

    def gather(self):
        k = self.other()
        index = self.rng.integers(-self.shape[k], self.shape[k], int(self.rng.integers(1, 5)))
        self.name = self.add("Gather", self.name, self.constant(index), axis=k)
        self.shape[k] = len(index)

    def slice(self):
        k = self.other()
        start, stop, step = [(0, 2**62, 1), (-1, -(2**62), -1), (0, 2**62, 2), (1, 3, 1)][self.rng.integers(4)]
        size = len(range(*slice(start, stop if step > 0 else None, step).indices(self.shape[k])))
        if size == 0:
            return
        self.name = self.add("Slice", self.name, *(self.constant(np.int64([v])) for v in (start, stop, k, step)))
        self.shape[k] = size

    def split(self):
        k = self.other()
        if self.shape[k] % 2:
            return
        self.name = self.add("Split", self.name, n=2, axis=k, num_outputs=2)
        self.shape[k] //= 2

    def concat(self):
        k = self.other()
        negative = self.add("Neg", self.name)
        self.name = self.add("Concat", self.name, negative, self.name, axis=k)
        self.shape[k] *= 3

    def constants_beside(self):
        own = [1 if k == self.axis or self.rng.integers(2) else d for k, d in enumerate(self.shape)]
        values = self.rng.uniform(0.5, 1.5, own).astype(np.float32)
        while values.ndim and values.shape[0] == 1 and self.rng.integers(2):
            values = values[0]
        self.name = self.add(str(self.rng.choice(["Add", "Mul", "Sub", "Div"])), self.name, self.constant(values))

    def beside_itself(self):
        """What one axis has in sum beside each of its numbers."""
        k = self.other()
        total = self.add("ReduceMean", self.name, self.constant(np.int64([k])), keepdims=1)
        pair = [self.name, total] if self.rng.integers(2) else [total, self.name]
        self.name = self.add(str(self.rng.choice(["Add", "Sub", "Max", "Min"])), *pair)

    def outer(self):
        k = self.other()
        if self.shape[k] > 4:
            return
        a, b = (self.add("Unsqueeze", self.name, self.constant(np.int64([k + i]))) for i in (0, 1))
        self.name = self.add("Mul", a, b)
        self.shape.insert(k, self.shape[k])
        self.axis += k < self.axis

    def softmax(self):
        op = str(self.rng.choice(["Softmax", "LogSoftmax"]))
        self.name = self.add(op, self.name, axis=self.other())

    def matmul(self):
        if self.axis == len(self.shape) - 1:
            return
        weight = self.rng.uniform(-1, 1, (self.shape[-1], int(self.rng.integers(1, 4)))).astype(np.float32)
        self.name = self.add("MatMul", self.name, self.constant(weight))
        self.shape[-1] = weight.shape[1]

    def norm(self):
        if self.axis != 0:
            return
        width = self.shape[-1]
        weights = [self.constant(self.rng.uniform(0.5, 1.5, width).astype(np.float32)) for _ in range(2)]
        self.name = self.add("LayerNormalization", self.name, *weights, axis=-1, epsilon=0.1)

    def centred(self):
        """What all rows have in the mean, or half of what they have in sum, taken from each."""
        if self.axis != 0 or len(self.shape) != 2:
            return
        op, keep = [("ReduceMean", 0), ("ReduceMean", 1), ("ReduceSum", 1)][self.rng.integers(3)]
        total = self.add(op, self.name, self.constant(np.int64([0])), keepdims=keep)
        if op == "ReduceSum":
            total = self.add("Mul", total, self.constant(np.float32(0.5 / self.n_rows)))
        self.name = self.add("Sub", self.name, total)

    def halves_joined(self):
        n = self.add("Shape", "edge_attr", end=1)
        zero, last = self.constant(np.int64([0])), self.constant(np.int64([2**62]))
        how = self.rng.integers(3)
        if how == 0:
            pair = [self.add("Slice", self.name, a, b, zero) for a, b in ((zero, n), (n, last))]
        elif how == 1:
            pair = [f"{self.add('Split', self.name, n=2, axis=0, num_outputs=2)[:-1]}{k}" for k in (0, 1)]
        else:
            both = self.add("Reshape", self.name, self.constant(np.int64([2, -1, 1])))
            pair = [self.add("Gather", both, self.constant(np.int64(k)), axis=0) for k in (0, 1)]
        self.nodes.append(
            helper.make_node("Sub", [pair[0], self.add("Mul", pair[1], self.constant(np.float32(0.3)))], ["out"])
        )

    def model(self, n_steps):
        steps = [self.reshape, self.reshape, self.transpose, self.reduce, self.gather, self.slice, self.split]
        steps += [self.concat, self.constants_beside, self.beside_itself, self.outer, self.softmax, self.matmul]
        steps += [self.centred]
        for _ in range(n_steps):
            if np.prod(self.shape) // self.n_rows > 100:
                self.reduce()
            else:
                steps[self.rng.integers(len(steps))]()
            self.norm() if self.rng.integers(8) == 0 else None
            self.name = self.add("Tanh", self.name)  # keeps what the next ones see within bounds
        self.name = self.add("Transpose", self.name, perm=[self.axis, *self.others])
        self.name = self.add("Flatten", self.name, axis=1)
        weight = self.rng.uniform(-1, 1, (int(np.prod(self.shape)) // self.n_rows, 1)).astype(np.float32)
        if self.n_rows == N_EDGES:
            self.nodes.append(helper.make_node("MatMul", [self.name, self.constant(weight)], ["out"]))
        else:
            self.name = self.add("MatMul", self.name, self.constant(weight))
            self.halves_joined()
        return model_of(self.nodes, self.constants, columns=WIDTH)


def test_one_column_beside_a_constant_of_several(tmp_path):
    """The result has the constant's columns, though one number stands for all."""
    nodes = [
        helper.make_node("Shape", ["edge_attr"], ["n"], end=1),
        helper.make_node("Concat", ["n", "three"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], value=onnx.numpy_helper.from_array(np.float32([2]))),
        helper.make_node("Add", ["edge_attr", "ones"], ["sum"]),
        helper.make_node("MatMul", ["sum", "w"], ["out"]),
    ]
    model = model_of(nodes, {"three": np.int64([3]), "w": np.float32([[1], [10], [100]])})
    onnx.save(model, tmp_path / "network.onnx")
    ours = rf.EdgeClassifier.load(tmp_path / "network.onnx", engine="fused", output="logits")
    values = np.float32([[1], [-3], [0.5]])
    logits = ours.logits(np.zeros((1, 1), np.float32), np.zeros((2, 3), np.int64), values)
    assert np.array_equal(logits, (values[:, 0] + 2) * 111)


@pytest.mark.parametrize("op, axes", [("ReduceSum", []), ("ReduceMean", None), ("ReduceSum", [0, 1]), ("ReduceL2", [])])
def test_a_reduction_without_axes_is_one_over_all(tmp_path, op, axes):
    inputs = ["edge_attr"] if axes is None else ["edge_attr", "axes"]
    nodes = [helper.make_node(op, inputs, ["all"], name="it"), helper.make_node("Sub", ["edge_attr", "all"], ["c"])]
    nodes.append(helper.make_node("MatMul", ["c", "w"], ["out"]))
    constants = {"w": np.float32([[1], [2]])} | ({} if axes is None else {"axes": np.int64(axes)})
    model = model_of(nodes, constants, columns=2)
    values = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    x, edges = np.zeros((1, 1), np.float32), np.zeros((2, 5), np.int64)
    expected = ReferenceEvaluator(model).run(None, {"x": x, "edge_index": edges, "edge_attr": values})[0][:, 0]
    onnx.save(model, tmp_path / "network.onnx")
    ours = rf.EdgeClassifier.load(tmp_path / "network.onnx", engine="fused", output="logits")
    np.testing.assert_allclose(ours.logits(x, edges, values), expected, rtol=1e-5, atol=1e-6)
    model.graph.node[0].attribute.append(helper.make_attribute("noop_with_empty_axes", 1))
    onnx.save(model, tmp_path / "network.onnx")
    if not axes:
        with pytest.raises(ValueError, match=r"node 'it' .*over no axes"):
            rf.EdgeClassifier.load(tmp_path / "network.onnx", engine="fused", output="logits")


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("seed", range(100))
def test_a_random_chain_is_that_of_onnx(tmp_path, seed, twice):
    chain = Chain(seed, twice)
    model = chain.model(3 + seed % 8)
    onnx.save(model, tmp_path / "network.onnx")
    values = chain.rng.normal(size=(N_EDGES, WIDTH)).astype(np.float32)
    nodes, edges = np.zeros((1, 1), np.float32), np.zeros((2, N_EDGES), np.int64)
    # In float64, by which both are judged.
    exact = helper.make_model(model.graph, opset_imports=model.opset_import)
    for tensor in exact.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float64), tensor.name))
    feed = {"x": nodes, "edge_index": edges, "edge_attr": values.astype(np.float64)}
    expected = ReferenceEvaluator(exact).run(None, feed)[0][:, 0]
    ours = rf.EdgeClassifier.load(tmp_path / "network.onnx", engine="fused", output="logits")
    # Each of some ten steps rounds numbers of about 1, a norm magnifies by at most 1 / sqrt(0.1).
    np.testing.assert_allclose(ours.logits(nodes, edges, values), expected, rtol=1e-5, atol=3e-5)
