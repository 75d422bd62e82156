"""The Python class Network: shapes, dtypes, errors, files; its numbers are compared in test_quantized_reference.py."""

from __future__ import annotations

import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from random_networks import random_document, random_integers
from rheinfall.quantized import ModelError, Network
from rheinfall.quantized.document import document, tensor
from rheinfall.reference import quantized as reference


def dense(result: str = "ap_fixed<16,8>", input_type: str = "ap_fixed<8,4>", factor: int = 3) -> dict[str, Any]:
    return document(
        name="n",
        source="by hand",
        inputs=[{"name": "x", "shape": [2], "type": input_type}],
        layers=[
            {
                "name": "fc",
                "op": "dense",
                "inputs": ["x"],
                "result": result,
                "accum": "ap_fixed<24,16>",
                "weight": tensor("ap_int<4>", [[1, factor], [2, -1]]),
            }
        ],
        outputs=["fc"],
        traps=["a trap"],
    )


def test_floats_give_real_values_and_integers_stored_ones():
    net = Network(dense())
    y = net(np.array([[0.5, 1.0], [-8.0, 7.9375]]))
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, [[2.5, 0.5], [7.875, -31.9375]])
    assert net(np.zeros((3, 2), np.float32)).dtype == np.float32
    q = net(np.array([[8, 16]], np.int16))
    assert q.dtype == np.int64
    np.testing.assert_array_equal(q, [[640, 128]])
    np.testing.assert_array_equal(net.run_integers(np.array([8, 16])), [640, 128])


def test_one_event_and_no_event():
    net = Network(dense())
    assert net(np.zeros(2)).shape == (2,)
    assert net(np.zeros((0, 2))).shape == (0, 2)


def test_floats_keep_their_width_only_where_nothing_is_lost():
    assert Network(dense("ap_fixed<25,8>"))(np.zeros(2, np.float32)).dtype == np.float32
    assert Network(dense("ap_fixed<26,8>"))(np.zeros(2, np.float32)).dtype == np.float64


def test_images_come_flat_or_in_their_shape():
    image = {**dense(), "inputs": [{"name": "x", "shape": [3, 4, 2], "type": "ap_fixed<8,4>"}]}
    net = Network(image)
    x = np.arange(48).reshape(2, 3, 4, 2)
    expected = net(x)
    assert expected.shape == (2, 24)
    np.testing.assert_array_equal(net(x.reshape(2, 24)), expected)
    np.testing.assert_array_equal(net(x[1]), expected[1])


@pytest.mark.parametrize(
    "x, error, message",
    [
        (np.zeros((4, 3)), ValueError, r"\(n, 2\)"),
        (np.zeros((2, 4))[:, ::2], ValueError, "contiguous"),
        (np.zeros((4, 2), np.float16), TypeError, "float16"),
        (np.zeros((4, 2), bool), TypeError, "bool"),
        (np.zeros((4, 2), ">f8"), TypeError, "byte order"),
        ([[0.0, 1.0]], TypeError, "list"),
        (np.array([[np.nan, 1.0]]), ValueError, "NaN"),
        (np.array([[np.inf, 1.0]], np.float32), ValueError, "NaN"),
        (np.array([[128, 1]]), ValueError, "outside the input type"),
    ],
)
def test_what_is_refused(x: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        Network(dense())(x)


def test_run_integers_refuses_floats():
    with pytest.raises(TypeError, match="float64"):
        Network(dense()).run_integers(np.zeros((1, 2)))


def test_unsigned_64_bits_come_as_uint64():
    d = document(
        name="wide",
        source="",
        inputs=[{"name": "x", "shape": [1], "type": "ap_uint<64>"}],
        layers=[{"name": "y", "op": "quantize", "inputs": ["x"], "result": "ap_uint<64>"}],
        outputs=["y"],
    )
    y = Network(d)(np.array([[2**64 - 1]], np.uint64))
    assert y.dtype == np.uint64
    assert y.tolist() == [[2**64 - 1]]


def test_save_load_and_pickle_give_the_same_network(tmp_path: Path):
    net = Network(dense(), isa="exact")
    net.save(tmp_path / "net.json")
    loaded = rf.quantized.load(tmp_path / "net.json")
    copy = pickle.loads(pickle.dumps(net))
    assert loaded.document == copy.document == net.document == dense()
    assert copy.isa == "exact"
    x = np.arange(-16, 16).reshape(-1, 2)
    np.testing.assert_array_equal(loaded(x), net(x))
    np.testing.assert_array_equal(copy(x), net(x))


def test_errors_name_file_layer_and_field(tmp_path: Path):
    bad = dense()
    bad["layers"][0]["weight"]["data"][1] = 99
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(bad))
    with pytest.raises(ModelError, match=r"bad\.json: layer 'fc' \(dense\): weight: data\[1\]: .*-8 to 7.*99"):
        rf.quantized.load(path)
    with pytest.raises(ModelError, match="no UTF-8"):
        Network.from_json(b"\xff")
    with pytest.raises(ModelError, match="JSON"):
        Network({"format": float("nan")})
    with pytest.raises(ValueError, match="isa"):
        Network(dense(), isa="sse9")
    with pytest.raises(FileNotFoundError):
        rf.quantized.load(tmp_path / "missing.json")
    with pytest.raises(ModelError, match=r"\.onnx or a \.json"):
        rf.quantized.load(__file__)


def test_describe_tells_ranges_sizes_and_traps():
    about = Network(dense()).describe()
    layer = about["layers"][0]
    assert layer["op"] == "dense"
    assert layer["macs"] == 4
    assert layer["weights"] == 4
    assert layer["bits"] == 16
    # x in [-128, 127] of 4 fraction bits, weights (1, 2) and (3, -1); the result has 4 fraction bits more
    assert layer["range"] == (-511 * 16, 509 * 16)
    assert layer["accumulator"]["is_plain_sum"]
    assert about["traps"] == ["a trap"]
    assert about["inputs"] == [{"name": "x", "shape": (2,), "type": "ap_fixed<8,4>"}]


def test_threads_and_swaps_stay_bit_identical():
    """Networks with the same layer names, made and dropped while others run."""
    x = np.arange(-64, 64).reshape(-1, 2)
    expected = {factor: Network(dense(factor=factor), isa="exact")(x) for factor in (1, 2, 3)}
    failures: list[int] = []

    def swap(start: int) -> None:
        for i in range(300):
            factor = 1 + (start + i) % 3
            if not np.array_equal(Network(dense(factor=factor))(x), expected[factor]):
                failures.append(factor)

    threads = [threading.Thread(target=swap, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_large_batches_do_not_depend_on_the_number_of_threads():
    x = np.random.default_rng(1).integers(-128, 128, (10_000, 2))
    before = rf.get_num_threads()
    try:
        rf.set_num_threads(1)
        one = Network(dense())(x)
        rf.set_num_threads(3)
        np.testing.assert_array_equal(Network(dense())(x), one)
        x[9_999, 0] = 1000
        with pytest.raises(ValueError, match="outside"):
            Network(dense())(x)
    finally:
        rf.set_num_threads(before)


@pytest.mark.parametrize("seed", range(60))
def test_proven_ranges_hold_every_value(seed: int):
    d = random_document(seed)
    d["outputs"] = [layer["name"] for layer in d["layers"]]
    about = Network(d).describe()
    y = reference.run(d, random_integers(seed, d, 20))
    start = 0
    for layer in about["layers"]:
        size = int(np.prod(layer["shape"]))
        values = y[:, start : start + size]
        low, high = layer["range"]
        assert low <= values.min(), layer
        assert values.max() <= high, layer
        start += size


@pytest.mark.parametrize("isa", ["exact", "best"])
@pytest.mark.parametrize("seed", range(12))
def test_floats_come_in_as_the_reference_says(seed: int, isa: str):
    d = random_document(seed)
    net = Network({**d, "layers": [], "outputs": [d["inputs"][0]["name"]]}, isa=isa)
    rng = np.random.default_rng(seed)
    x = np.ldexp(rng.uniform(-1, 1, (40, net.n_inputs)), rng.integers(-80, 80, (40, net.n_inputs)))
    x = np.concatenate([x, np.ldexp(rng.integers(-99, 99, (40, net.n_inputs)), rng.integers(-20, 20, (40, 1)))])
    out = np.empty((len(x), net.n_outputs), net.output_dtype)
    for values in (x, x.astype(np.float32)):
        assert net._core.run(np.ascontiguousarray(values), out) == "ok"
        expected = reference.run(net.document, reference.integers_of_reals(net.document, values))
        np.testing.assert_array_equal(out.astype(object), expected)
