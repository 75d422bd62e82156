"""Linear operations of edges in bf16: the bits of the definition on every instruction set, and what is refused."""

import pickle

import numpy as np
import pytest

import rheinfall as rf
from gnn_bf16_networks import EXTREME, edge_network, graph_of, random_rows
from rheinfall.gnn.fused import FusedNetwork, compile_network
from rheinfall.gnn.ir import Builder
from rheinfall.gnn.ir_file import to_bytes
from rheinfall.gnn.rewriting import optimise
from rheinfall.reference import bf16
from rheinfall.reference.gnn import evaluate


def isas():
    """Those of this machine; the instruction itself only where it has it."""
    found = {"portable": [], "avx2": ["avx2"], "avx512": ["avx2", "avx512"]}[rf.build_info()["isa"]]
    network = to_bytes(edge_network(0, 3, 4, 2))
    best = FusedNetwork(network, "test", precision="bf16")._compiled.isa
    return ["portable", *found, *(["avx512_bf16"] if best == "avx512_bf16" else [])]


def same_bits(a, b):
    numbers = ~np.isnan(a)
    if not np.array_equal(np.isnan(b), ~numbers):
        return False
    return np.array_equal(a[numbers].view(np.int32), b[numbers].view(np.int32))


def test_rounding_to_bf16_is_to_nearest_even():
    x = np.array([1.0, 1 + 2**-8, 1 + 2**-7 + 2**-8, 1 + 2**-8 + 2**-20, 3.4e38, -3.39e38, 2**-63, 2**-64], np.float32)
    expected = [1.0, 1.0, 1 + 2**-6, 1 + 2**-7, np.inf, -3.3895313892515355e38, 2.0**-63, 0.0]
    assert bf16.round_to_bf16(x, bf16.LEAST_INPUT).tolist() == expected
    assert np.isnan(bf16.round_to_bf16(np.float32([np.nan]), bf16.LEAST_INPUT))[0]


def test_an_added_product_is_rounded_once():
    from fractions import Fraction

    rng = np.random.default_rng(0)
    x, w = (bf16.round_to_bf16(random_rows(rng, (400, 1), 30), bf16.LEAST_INPUT)[:, 0] for _ in range(2))
    total = (-x * w * np.float32(1 + 2**-20)).astype(np.float32)
    total[::3] = random_rows(rng, (134, 1), 60)[:, 0]
    for t, a, b, got in zip(total, x, w, bf16.add_product(total, x, w), strict=True):
        exact = Fraction(float(t)) + Fraction(float(a)) * Fraction(float(b))
        near = [np.nextafter(got, np.float32(s)) for s in (-np.inf, np.inf)]
        assert all(abs(Fraction(float(got)) - exact) <= abs(Fraction(float(n)) - exact) for n in near)


@pytest.mark.parametrize("n_in, hidden, layers", [(1, 1, 1), (3, 5, 2), (7, 16, 3), (12, 67, 2), (4, 9, 4)])
@pytest.mark.parametrize("spread", [3, 60, EXTREME])
def test_every_instruction_set_gives_the_bits_of_the_definition(n_in, hidden, layers, spread):
    for seed in range(3):
        network = edge_network(seed, n_in, hidden, layers, spread)
        graph = graph_of(seed, n_in, 157, spread)
        with np.errstate(all="ignore"):
            expected = evaluate(network, *graph, dtype=np.float32, precision="bf16")
        for isa in isas():
            fused = FusedNetwork(to_bytes(network), "test", isa, "bf16")
            for threads in (1, 3):
                got = fused.run(*graph, scores=False, n_threads=threads)
                assert same_bits(got, expected), (isa, threads, seed)


def message_passing(seed, norm):
    """A network with norms, sums over edges, and an operation of nodes that only edges read."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)  # noqa: E731
    b = Builder()
    x, e = b.input("node", 5), b.input("edge", 3)
    for _ in range(2):
        width = b[x].width
        ends = [b.add("gather", x, end=end) for end in ("source", "target")]
        e = b.add("linear", *ends, e, weights={"weight": draw(2 * width + b[e].width, 21), "bias": draw(21)})
        e = b.add("tanh", b.add("layer_norm", e, epsilon=1e-5) if norm else e)
        x = b.add("linear", x, b.add("reduce", e, how="add", end="target"), weights={"weight": draw(width + 21, 11)})
        x = b.add("relu", x)
    return optimise(b.finish(b.add("linear", e, weights={"weight": draw(21, 1)})))


@pytest.mark.parametrize("seed", range(6))
def test_whole_networks_agree_over_instruction_sets_threads_and_order_and_stay_near_float32(seed):
    network = message_passing(seed, seed % 2 == 0)
    kinds = {o.kind for o in network.operations if o.op == "linear"}
    assert kinds == {"node", "edge"}  # the first operation's part of each node stays float32
    rng = np.random.default_rng(seed)
    edges = rng.integers(0, 90, (2, 1700))
    nodes, features = (rng.normal(size=(n, w)).astype(np.float32) for n, w in ((100, 5), (1700, 3)))
    data = to_bytes(network)
    single = FusedNetwork(data, "test").run(nodes, edges, features, scores=False)
    order = rng.permutation(edges.shape[1])
    first = None
    for isa in isas():
        fused = FusedNetwork(data, "test", isa, "bf16")
        for threads in (1, 2, 8):
            got = fused.run(nodes, edges, features, scores=False, n_threads=threads)
            first = got if first is None else first
            assert np.array_equal(got.view(np.int32), first.view(np.int32)), (isa, threads)
        shuffled = fused.run(nodes, np.ascontiguousarray(edges[:, order]), features[order], scores=False)
        assert np.array_equal(shuffled.view(np.int32), first[order].view(np.int32))
    # 8 bits of mantissa: some thousandths of the largest logit, and not the same.
    assert 0 < np.abs(first - single).max() < 0.03 * np.abs(single).max()
    # Only the linear operations differ from the definition, which rounds what else it computes otherwise.
    defined = evaluate(network, nodes, edges, features, precision="bf16")
    assert np.abs(first - defined).max() < 0.02 * np.abs(single).max()


def test_what_cannot_be_in_bf16_is_refused():
    b = Builder()
    x = b.input("node", 3)
    value = b.add("gather", b.add("relu", x), end="source")
    with pytest.raises(ValueError, match=r"test: precision bf16: expected linear operations of edges"):
        compile_network(to_bytes(b.finish(b.add("row_sum", value))), "test", "bf16")
    network = edge_network(0, 3, 4, 1)
    network.operations[network.output].weights["weight"][0, 0] = 3.4e38
    with pytest.raises(ValueError, match=r"precision bf16: operation .*expected weights up to 3.39e38"):
        compile_network(to_bytes(network), "test", "bf16")
    assert compile_network(to_bytes(network), "test", "fp32").precision == "fp32"
    with pytest.raises(ValueError, match="precision: expected fp32 or bf16; got fp8"):
        compile_network(to_bytes(network), "test", "fp8")


def test_the_classifier_takes_shows_and_keeps_the_precision(tmp_path):
    finder = rf.TrackFinder.load("trackml")
    single = finder.edge_classifier
    path = tmp_path / "network.onnx"
    single.save(path)
    classifier = rf.EdgeClassifier.load(path, **{**single.load_options, "precision": "bf16"})
    assert (single.precision, classifier.precision, classifier.load_options["precision"]) == ("fp32", "bf16", "bf16")
    assert classifier.info["precision"] == "bf16"
    assert classifier.with_precision("fp32").info == {**classifier.info, "precision": "fp32"}
    assert "precision bf16" in classifier.explain()
    assert "precision bf16" not in single.explain()
    rng = np.random.default_rng(0)
    edges = rng.integers(0, 50, (2, 300))
    nodes, features = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(300, 10)).astype(np.float32)
    scores = classifier(nodes, edges, features)
    assert not np.array_equal(scores, single(nodes, edges, features))
    for other in (pickle.loads(pickle.dumps(classifier)), single.with_precision("bf16")):
        assert other.precision == "bf16"
        assert np.array_equal(other(nodes, edges, features), scores)
    assert np.array_equal(classifier.with_precision("fp32")(nodes, edges, features), single(nodes, edges, features))
    with pytest.raises(ValueError, match="precision: 'bf16' needs the fused engine"):
        rf.EdgeClassifier.load(path, engine="onnxruntime", precision="bf16")
    with pytest.raises(ValueError, match="precision: expected 'fp32' or 'bf16', got 'half'"):
        single.with_precision("half")
