"""Files of graph networks, damaged in every way: an error that names file and field, or a network that runs."""

import json
import struct

import numpy as np
import pytest

from rheinfall import _core
from rheinfall.gnn.ir import Builder
from rheinfall.gnn.ir_file import to_bytes
from test_gnn_fused import CASES, FEATURES, network_of, random_graph, weights

HEADER = struct.Struct("<8sIIQQQQ")


def parse(data):
    return _core.EdgeClassifier.parse(bytes(data), "file", "best", "fp32")


def signed(data):
    """The file with the checksum of what follows its header."""
    header = list(HEADER.unpack(data[: HEADER.size]))
    header[5] = _core.checksum(bytes(data[HEADER.size :]))
    return HEADER.pack(*header) + bytes(data[HEADER.size :])


def rewritten(data, change):
    """The file with its document changed."""
    header = list(HEADER.unpack(data[: HEADER.size]))
    end = HEADER.size + header[3]
    document = json.loads(data[HEADER.size : end])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    header[3] = len(text)
    return signed(HEADER.pack(*header) + text + data[end:])


def some_file():
    """A network with an operation of nearly every kind."""
    b = Builder()
    x, e = b.input("node", FEATURES), b.input("edge", 3)
    far = b.add("gather", b.add("layer_norm", x, weights={"scale": weights(1, FEATURES)}, epsilon=1e-5), end="target")
    hidden = b.add("linear", far, e, weights={"weight": weights(2, FEATURES + 3, 6), "bias": weights(3, 6)})
    hidden = b.add("relu", b.add("batch_norm", hidden, weights={"shift": weights(4, 6)}, epsilon=1e-5))
    nodes = [b.add("reduce", hidden, how="max", end="target", initial=0.5), b.add("degree", end="source")]
    nodes = b.add("clip", b.add("concat", *nodes, b.add("event_mean", x)), low=-1.0, high=3.0)
    part = b.add("mul", b.add("slice", nodes, start=1, stop=4), b.add("row_mean", nodes))
    back = b.add(
        "affine", b.add("gather", b.add("elu", part, alpha=0.5), end="source"), weights={"scale": weights(6, 3)}
    )
    return to_bytes(b.finish(b.add("row_sum", b.add("tanh", b.add("add", back, e)))))


def test_a_file_cut_anywhere_is_refused_by_name():
    data = some_file()
    assert parse(data).run(*random_graph(1), True, 1)[1] == "ok"
    for n in range(len(data)):
        with pytest.raises(RuntimeError, match=r"^file: (header|json_bytes, n_floats): "):
            parse(data[:n])
    with pytest.raises(RuntimeError, match=r"^file: json_bytes, n_floats: "):
        parse(data + bytes(4))


def test_a_document_cut_anywhere_is_refused_by_name():
    data = some_file()
    header = list(HEADER.unpack(data[: HEADER.size]))
    text, rest = data[HEADER.size : HEADER.size + header[3]], data[HEADER.size + header[3] :]
    for n in range(len(text.rstrip())):
        header[3] = n + -n % 4
        with pytest.raises(RuntimeError, match=r"^file: "):
            parse(signed(HEADER.pack(*header) + text[:n] + b" " * (-n % 4) + rest))


@pytest.mark.parametrize("byte", range(48))
def test_a_header_with_any_bit_flipped_is_refused_by_field(byte):
    field = next(
        name
        for end, name in (
            *((8, "magic"), (12, "version"), (16, "bytes 12 to 15"), (32, "json_bytes, n_floats")),
            *((40, "checksum"), (48, "bytes 40 to 47")),
        )
        if byte < end
    )
    for bit in range(8):
        data = bytearray(some_file())
        data[byte] ^= 1 << bit
        with pytest.raises(RuntimeError, match=f"^file: {field}: "):
            parse(data)


def test_versions_that_there_are_not_are_told_from_later_ones():
    data = bytearray(some_file())
    for version, reason in ((0, "there is no such version"), (2, "needs a newer release")):
        data[8] = version
        with pytest.raises(RuntimeError, match=f"^file: version: expected 1, got {version}: .*{reason}"):
            parse(data)


def mutate(data, rng):
    """One to three bytes changed behind the header: digits for digits, or bits of the text and of the weights."""
    data = bytearray(data)
    end = HEADER.size + HEADER.unpack(data[: HEADER.size])[3]
    digits = [i for i in range(HEADER.size, end) if chr(data[i]).isdigit()]
    for _ in range(rng.integers(1, 4)):
        kind = rng.random()
        if kind < 0.5:
            data[rng.choice(digits)] = ord(rng.choice(list("0123456789")))
        elif kind < 0.75:
            data[rng.integers(HEADER.size, end)] ^= 1 << int(rng.integers(8))
        else:
            data[rng.integers(end, len(data))] ^= 1 << int(rng.integers(8))
    return signed(data)


def survive(data, n, seed):
    """How many of n mutants were networks that ran; the others are errors that name the file."""
    rng, ran = np.random.default_rng(seed), 0
    nodes, edges, features = random_graph(2, 20, 30)
    for _ in range(n):
        try:
            network = parse(mutate(data, rng))
        except RuntimeError as error:
            assert str(error).startswith("file: ")  # noqa: PT017
            # The field, or where in the text it is no JSON.
            assert str(error).count(":") >= 2 or "line" in str(error)  # noqa: PT017
            continue
        graph = (
            np.resize(nodes, (20, network.n_node_features)),
            edges,
            np.resize(features, (30, network.n_edge_features)),
        )
        assert network.run(*graph, True, 1)[1] in ("ok", "not_finite")
        ran += 1
    return ran


def test_mutants_with_a_right_checksum_are_refused_by_name_or_run():
    n = 4000
    ran = survive(some_file(), n, 0)
    assert n / 20 < ran < n * 19 / 20  # both happen


def test_weights_that_are_shared_beyond_the_files_number_are_refused():
    data = to_bytes(network_of(lambda b, x, e: CASES["linear"](b, x, e)))

    def again(document):
        operations = document["operations"]
        first = next(i for i, o in enumerate(operations) if o["op"] == "linear")
        operations.append({**operations[first], "name": "again"})

    with pytest.raises(
        RuntimeError, match=r"^file: operations\[5\].*weight: shares weights: expected .* at most the file's 126 floats"
    ):
        parse(rewritten(data, again))


def test_a_batch_norm_has_no_mean_to_leave_out():
    def centre(document):
        next(o for o in document["operations"] if o["op"] == "batch_norm")["centred"] = True

    with pytest.raises(RuntimeError, match=r"^file: operations\[\d+\].*centred"):
        parse(rewritten(some_file(), centre))


@pytest.mark.parametrize(
    "op, tensors",
    [
        ("affine", {"scale": (7,)}),
        ("affine", {"shift": (2,)}),
        ("layer_norm", {"scale": (2 * FEATURES,)}),
        ("batch_norm", {"shift": (4,)}),
        ("linear", {"weight": (FEATURES, 3), "bias": (4,)}),
    ],
)
def test_weights_that_do_not_fit_the_columns_are_refused_when_a_network_is_made(op, tensors):
    b = Builder()
    x = b.input("node", FEATURES)
    attributes = {"epsilon": 1e-5} if "norm" in op else {}
    with pytest.raises(ValueError, match=f"^{op}: expected 1 or [35] numbers as "):
        b.add(op, x, weights={k: np.ones(shape) for k, shape in tensors.items()}, **attributes)


def test_a_norm_wider_than_its_values_is_named_with_its_node(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
    from onnx import TensorProto, helper, numpy_helper

    from rheinfall import EdgeClassifier

    four = numpy_helper.from_array(np.ones(4, np.float32), "four")
    nodes = [
        helper.make_node("BatchNormalization", ["x", "four", "four", "four", "four"], ["y"], name="wide"),
        helper.make_node("Gather", ["edge_index", "zero"], ["source"], axis=0),
        helper.make_node("Gather", ["y", "source"], ["z"], axis=0),
        helper.make_node("ReduceSum", ["z", "one"], ["out"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("edge_index", TensorProto.INT64, [2, "e"]),
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["e"])],
        [
            four,
            numpy_helper.from_array(np.array(0, np.int64), "zero"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"model.onnx: .*node 'wide' \(BatchNormalization\): affine: expected 1 or 3 "):
        EdgeClassifier.load(tmp_path / "model.onnx", engine="fused")
