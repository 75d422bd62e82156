"""Forests: the compiled walk against the definition, every type, order, class and kernel; files; errors."""

from __future__ import annotations

import copy
import gzip
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from random_forests import random_document, random_events
from rheinfall.quantized import Forest, ModelError, load_forest
from rheinfall.reference import forest as reference

TYPES = (
    ("ap_fixed<18,8>", "ap_fixed<18,8>"),
    ("ap_fixed<12,6>", "ap_fixed<12,6>"),
    ("ap_fixed<11,6>", "ap_fixed<16,7,RND,SAT>"),
    ("ap_ufixed<9,4>", "ap_fixed<12,6,TRN,SAT_SYM>"),
    ("ap_fixed<32,16>", "ap_fixed<32,16>"),
    ("ap_ufixed<32,16>", "ap_ufixed<20,10>"),
    ("ap_int<8>", "ap_fixed<40,20,TRN,SAT_ZERO>"),
    ("ap_fixed<64,32>", "ap_fixed<64,32>"),
    ("float32", "float32"),
    ("float64", "float64"),
    ("float32", "ap_fixed<18,8>"),
    ("ap_fixed<16,6>", "float32"),
)
ISAS = ("best", "portable", "avx2", "avx512", "exact")


def forests(document):
    """The forest on every instruction set that this machine has."""
    found = []
    for isa in ISAS:
        try:
            found.append(Forest(document, isa=isa))
        except ValueError as error:
            if not str(error).startswith("isa"):
                raise
    return found


def expected(document, x):
    dtype = {"float32": np.float32, "float64": np.float64}.get(document["score"], np.int64)
    return np.array(reference.run(document, x), dtype)


def computed(forest, x):
    """Scores of any forest as (n, classes): stored integers of a fixed score, whatever the input."""
    dtype = {"float32": np.float32, "float64": np.float64}.get(forest.document["score"], np.int64)
    out = np.empty((len(x), forest.n_classes), dtype)
    assert forest._core.run(x, out) == "ok"
    return out


def bits(a):
    return np.ascontiguousarray(a).view(f"u{a.dtype.itemsize}")


@pytest.mark.parametrize(("input_type", "score_type"), TYPES)
@pytest.mark.parametrize("comparison", ["<", "<="])
def test_every_type_gives_the_bits_of_the_definition(input_type, score_type, comparison):
    document = random_document(3, n_trees=37, input_type=input_type, score_type=score_type, comparison=comparison)
    x = random_events(document, 150, 4)
    want = expected(document, x)
    assert len(np.unique(want)) > 20
    for forest in forests(document):
        for n in (1, 2, 17, 150):
            np.testing.assert_array_equal(bits(computed(forest, x[:n])), bits(want[:n]), str(forest.info))


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 5, 6, 7, 9])
@pytest.mark.parametrize("n_features", [1, 16, 19, 33, 70])
def test_every_depth_and_number_of_features(depth, n_features):
    for types in (("ap_fixed<18,8>",) * 2, ("ap_fixed<10,5>",) * 2, ("float32",) * 2):
        document = random_document(
            depth, depth=depth, n_features=n_features, n_trees=20, n_classes=2, input_type=types[0], score_type=types[1]
        )
        x = random_events(document, 33, 5)
        want = expected(document, x)
        for forest in forests(document):
            np.testing.assert_array_equal(bits(computed(forest, x)), bits(want), str(forest.info))


@pytest.mark.parametrize("sum_order", ["sequential", "tree"])
@pytest.mark.parametrize("added", ["first", "last"])
@pytest.mark.parametrize("score_type", ["ap_fixed<8,4,RND,SAT>", "ap_fixed<8,4>", "float32", "float64"])
@pytest.mark.parametrize("n_trees", [0, 1, 2, 3, 29, 64])
def test_orders_of_the_sum(sum_order, added, score_type, n_trees):
    factor = 5 if score_type.startswith("ap") else 0.3125
    document = random_document(
        n_trees, n_trees=n_trees, n_classes=3, depth=3, score_type=score_type, sum=sum_order, initial_added=added,
        normalisation={"multiply": factor},
    )  # fmt: skip
    x = random_events(document, 40, 6)
    want = expected(document, x)
    for forest in forests(document):
        np.testing.assert_array_equal(bits(computed(forest, x)), bits(want), str(forest.info))


def test_missing_values_go_where_the_document_says():
    for kind in ("float32", "float64"):
        for missing in (True, False):
            document = random_document(8, n_trees=40, input_type=kind, score_type=kind, missing=missing)
            x = random_events(document, 200, 9)
            x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan
            x[5, 0], x[6, 1], x[7] = np.inf, -np.inf, -0.0
            want = expected(document, x)
            for forest in forests(document):
                np.testing.assert_array_equal(bits(computed(forest, x)), bits(want), str(forest.info))


@pytest.mark.parametrize(
    "name", ["ap_fixed<18,8>", "ap_fixed<11,6,RND,SAT>", "ap_ufixed<12,4,RND_CONV,SAT>", "ap_fixed<9,12,RND_ZERO>"]
)
def test_floats_are_converted_as_the_input_type_says(name):
    document = random_document(2, n_trees=30, input_type=name)
    random = np.random.default_rng(7)
    scale = float(2.0 ** (reference.parse(name).integer - 1))
    for dtype in (np.float32, np.float64):
        x = (random.normal(size=(120, 6)) * scale).astype(dtype)
        x[::3] = np.round(x[::3] * 32) / 32
        x[1, 0], x[2, 1], x[3, 2] = 1e30, -1e30, 1e-30
        want = expected(document, x)
        for forest in forests(document):
            np.testing.assert_array_equal(computed(forest, x), want, str(forest.info))
            y = forest(x)
            assert y.dtype == dtype
            np.testing.assert_array_equal(y, (want[:, 0] * 2.0**-10).astype(dtype))


def test_integers_of_every_width():
    document = random_document(11, n_trees=30, input_type="ap_fixed<8,4>")
    x = random_events(document, 60, 1)
    want = expected(document, x)
    for forest in forests(document):
        for dtype in (np.int8, np.int16, np.int32, np.int64):
            np.testing.assert_array_equal(forest.run_integers(x.astype(dtype)), want[:, 0])
        positive = np.abs(x) % 128
        for dtype in (np.uint8, np.uint16, np.uint32, np.uint64):
            np.testing.assert_array_equal(forest(positive.astype(dtype)), expected(document, positive)[:, 0])


def test_statuses_are_errors_in_python():
    document = random_document(1, n_trees=20)
    for forest in forests(document):
        for n in (1, 70):
            x = np.zeros((n, 6))
            x[n - 1, 5] = np.nan
            with pytest.raises(ValueError, match="NaN or infinite"):
                forest(x)
            with pytest.raises(ValueError, match="outside the input type"):
                forest.run_integers(np.full((n, 6), 131072))
            x[n - 1, 5] = -np.inf
            with pytest.raises(ValueError, match="NaN or infinite"):
                forest(x)
            # The values come out all the same, as the statuses say.
            out = np.empty((n, 1), np.int64)
            assert forest._core.run(x, out) == "not_finite"
            x[n - 1, 5] = 0
            np.testing.assert_array_equal(out, expected(document, x))
            wide = np.full((n, 6), 131072 + 7)
            assert forest._core.run(wide, out) == "out_of_range"
            np.testing.assert_array_equal(out, expected(document, wide))


def test_shapes_and_dtypes():
    forest = Forest(random_document(1, n_classes=3))
    assert forest(np.zeros((5, 6))).shape == (5, 3)
    assert forest(np.zeros(6)).shape == (3,)
    assert forest(np.zeros((0, 6))).shape == (0, 3)
    assert Forest(random_document(1))(np.zeros((5, 6))).shape == (5,)
    assert Forest(random_document(1))(np.zeros(6)).shape == ()
    x = np.random.default_rng(0).normal(size=(9, 12))
    with pytest.raises(ValueError, match="C-contiguous"):
        forest(x[:, ::2])
    for bad, error in (
        (np.zeros((5, 7)), ValueError), (np.zeros((1, 5, 6)), ValueError), ([0.0] * 6, TypeError),
        (np.zeros((5, 6), np.float16), TypeError), (np.zeros((5, 6), complex), TypeError),
        (np.zeros((5, 6), bool), TypeError), (np.zeros((5, 6), ">f8"), TypeError),
    ):  # fmt: skip
        with pytest.raises(error, match="x: expected"):
            forest(bad)
    with pytest.raises(TypeError, match="integers"):
        forest.run_integers(np.zeros((5, 6)))
    with pytest.raises(ValueError, match="isa: expected"):
        Forest(random_document(1), isa="mmx")


def test_saves_pickles_copies_and_serves_threads(tmp_path):
    document = random_document(5, n_trees=50)
    forest = Forest(document)
    x = random_events(document, 500, 2)
    want = forest.run_integers(x)
    for name in ("forest.json", "forest.json.gz"):
        forest.save(tmp_path / name)
        again = load_forest(tmp_path / name)
        assert again.document == document
        np.testing.assert_array_equal(again.run_integers(x), want)
    for other in (pickle.loads(pickle.dumps(forest)), copy.deepcopy(forest)):
        np.testing.assert_array_equal(other.run_integers(x), want)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: forest.run_integers(x), range(8)):
            np.testing.assert_array_equal(got, want)
    assert "ap_fixed<18,8>" in forest.inspect()
    assert "50 trees" in repr(forest)


BREAKS = {
    "version": lambda d: d.update(version=2),
    "format": lambda d: d.update(format="other"),
    "n_features": lambda d: d.update(n_features=0),
    "n_classes": lambda d: d.update(n_classes=-1),
    "input": lambda d: d.update(input="ap_fixed<65,8>"),
    "score": lambda d: d.update(score="ap_fixed<18,8,RND,WRAP_SM>"),
    "comparison": lambda d: d.update(comparison=">"),
    "initial": lambda d: d.update(initial=[]),
    "initial_added": lambda d: d.update(initial_added="never"),
    "sum": lambda d: d.pop("sum"),
    "normalisation": lambda d: d.update(normalisation={"divide": 3}),
    "extra": lambda d: d.update(extra=1),
    "tree 3: class": lambda d: d["trees"][3].update({"class": 1}),
    "tree 3: node 0: feature|tree 3: feature: node 0": lambda d: d["trees"][3]["feature"].__setitem__(0, 6),
    "tree 3: threshold: node 0": lambda d: d["trees"][3]["threshold"].__setitem__(0, 0.5),
    "tree 3: left: node 0": lambda d: d["trees"][3]["left"].__setitem__(0, 10**6),
    "tree 3: right: node 0: child 0 is reached twice": lambda d: d["trees"][3]["right"].__setitem__(0, 0),
    "tree 3: right": lambda d: d["trees"][3]["right"].__setitem__(0, -1),
    "tree 3: value: .* entries": lambda d: d["trees"][3]["value"].append(0),
    "tree 3: value": lambda d: d["trees"][3].update(value=[2**17] * len(d["trees"][3]["feature"])),
    "tree 3: missing_left": lambda d: d["trees"][3].update(missing_left=[2] * len(d["trees"][3]["feature"])),
    "trees": lambda d: d.update(trees=[3]),
}


@pytest.mark.parametrize("what", BREAKS)
def test_broken_documents_are_refused_by_name(what, tmp_path):
    document = random_document(4, full=1.0)
    BREAKS[what](document)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ModelError, match=f"(?s)broken.json.*({what})"):
        load_forest(path)


def test_broken_files_are_refused_by_name(tmp_path):
    path = tmp_path / "forest.json"
    Forest(random_document(4)).save(path)
    whole = path.read_bytes()
    packed = gzip.compress(whole)
    for data in (whole[: len(whole) // 2], b"", b"[]", b"{}", b"\x00\x01", packed[:50], b"{" * 10**5, b'{"a":NaN}'):
        path.write_bytes(data)
        with pytest.raises(ModelError, match=r"forest\.json: "):
            load_forest(path)
    with pytest.raises(FileNotFoundError):
        load_forest(tmp_path / "none.json")
