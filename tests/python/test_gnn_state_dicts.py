"""State dicts of ACORN's and Exa.TrkX's networks, compared with their modules in PyTorch in float64."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from rheinfall import EdgeClassifier, TrackFinder, _core
from rheinfall.simulation import simulate
from rheinfall.tracking.bundle import Thresholds

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from acorn_networks import InteractionGNN, InteractionGNN2, ResAGNN, made  # noqa: E402

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
NODES, EDGES = 40, 120


def graph(n_features, n_edge_features=0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(NODES, n_features)).astype(np.float32)
    edges = rng.integers(0, NODES - 5, (2, EDGES))  # some nodes have none
    return x, edges, rng.normal(size=(EDGES, n_edge_features)).astype(np.float32)


def described(architecture, sizes, mlp, **more):
    n_features, hidden, iterations = sizes
    return {
        **{"format": "rheinfall.gnn.state_dict", "architecture": architecture, "mlp": mlp},
        **{"node_features": n_features, "hidden": hidden, "n_graph_iters": iterations},
        **more,
    }


NORMS = {"none": [], "layer": ["layer"], "batch": ["batch"], "both": ["layer", "batch"]}
CASES = {}


def case(name, module, description):
    CASES[name] = module, description


def _mlp(layers, activation="ReLU", output=None, norm="none", output_norm="none", **flags):
    """The same in the words of make_mlp and of a description."""
    affine, stats, drop = (flags.get(name, False) for name in ("affine", "stats", "drop"))
    ours = {"layers": layers, "hidden_activation": activation, "output_activation": output}
    ours |= {"hidden_norms": NORMS[norm], "output_norms": NORMS[output_norm], "layer_norm_affine": affine}
    ours |= {"track_running_stats": stats, "hidden_dropout": drop, "input_dropout": drop}
    theirs = {"act": activation, "output": output, "norms": NORMS[norm], "output_norms": NORMS[output_norm]}
    return ours, {**theirs, "affine": affine, "stats": stats, "drop": drop, "layers": layers}


def _interaction(name, sizes, mlp, aggregation=("sum",), recurrent=(True, True), **options):
    ours, theirs = _mlp(**mlp)
    more = {"aggregation": list(aggregation), "node_net_recurrent": recurrent[0], "edge_net_recurrent": recurrent[1]}
    module = lambda: InteractionGNN(*sizes, aggregation=aggregation, recurrent=recurrent, **options, **theirs)  # noqa: E731
    case(name, module, described("InteractionGNN", sizes, ours, **more, **options))


def _interaction2(name, sizes, mlp, edges=0, recurrent=(False, False), final=(None, "none"), **options):
    ours, theirs = _mlp(**mlp)
    more = {"edge_features": edges, "node_net_recurrent": recurrent[0], "edge_net_recurrent": recurrent[1], **options}
    mlps = {"edge_output_transform": {"output_activation": final[0], "output_norms": NORMS[final[1]]}}
    last = {"final": final[0], "final_norms": NORMS[final[1]]}
    module = lambda: InteractionGNN2(*sizes, edges, recurrent=recurrent, **options, **last, **theirs)  # noqa: E731
    case(name, module, described("InteractionGNN2", sizes, ours, mlps=mlps, **more))


def _res(name, sizes, mlp, **options):
    ours, theirs = _mlp(**mlp)
    case(name, lambda: ResAGNN(*sizes, **options, **theirs), described("ResAGNN", sizes, ours, **options))


_interaction("acorn", (4, 16, 3), {"layers": 2, "norm": "layer"})
_interaction("acorn several", (3, 12, 2), {"layers": 3, "activation": "SiLU", "norm": "batch", "output": "Tanh"},
             aggregation=("sum", "mean", "max", "min"), recurrent=(False, False))  # fmt: skip
_interaction("acorn half recurrent", (3, 8, 3), {"layers": 1}, aggregation=("max",), recurrent=(True, False))
_interaction("acorn dropout", (3, 9, 2), {"layers": 3, "activation": "GELU", "norm": "both", "output": "GELU",
             "output_norm": "batch", "stats": True, "drop": True}, recurrent=(False, True))  # fmt: skip
_interaction("exatrkx residual", (3, 16, 4), {"layers": 2, "norm": "layer", "affine": True, "activation": "Tanh",
             "output": "Tanh", "output_norm": "layer"}, residual=True, messages="target")  # fmt: skip
_interaction("summed", (3, 8, 2), {"layers": 2}, aggregation=("mean", "sum"), messages="sum")
_interaction2("l2it", (12, 16, 3), {"layers": 3, "norm": "batch", "output": "ReLU", "output_norm": "batch"},
              edges=6, concat=True, in_out_diff_agg=True)  # fmt: skip
_interaction2("l2it plain", (4, 16, 2), {"layers": 2, "norm": "layer"}, recurrent=(True, True),
              concat=False, in_out_diff_agg=False)  # fmt: skip
_interaction2("l2it sigmoid", (4, 8, 2), {"layers": 2, "norm": "batch", "stats": True, "activation": "ELU"},
              recurrent=(False, True), final=("Sigmoid", "batch"), concat=True, in_out_diff_agg=False)  # fmt: skip
_interaction2("l2it one layer", (4, 8, 1), {"layers": 1, "activation": "LeakyReLU"}, concat=False,
              in_out_diff_agg=True, recurrent=(True, False))  # fmt: skip
_res("exatrkx", (3, 16, 4), {"layers": 3, "norm": "layer", "affine": True, "output": "ReLU", "output_norm": "layer"})
_res("heptrkx", (3, 8, 3), {"layers": 2, "norm": "layer", "affine": True, "activation": "Tanh", "output": "Tanh"},
     messages="separate", residual=False)  # fmt: skip


def write(folder, state, description, save=None):
    path, told = folder / "weights.pt", folder / "network.json"
    torch.save(state, path) if save is None else save(state, path)
    told.write_text(json.dumps(description))
    return path, told


@pytest.mark.parametrize("name", CASES)
def test_a_state_dict_scores_as_its_module(tmp_path, name):
    make, description = CASES[name]
    module = made(make, 7)
    x, edges, e = graph(description["node_features"], description.get("edge_features", 0))
    arrays = [x, edges] + ([e] if description.get("edge_features") else [])
    loaded = EdgeClassifier.load_state_dict(*write(tmp_path, module.state_dict(), description))
    assert loaded.engine == "fused"
    assert loaded.info["architecture"] == description["architecture"]
    with torch.inference_mode():
        single = module(*(torch.from_numpy(a) for a in arrays)).numpy()
        doubles = [a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays]
        exact = module.double()(*map(torch.from_numpy, doubles)).numpy()
    assert np.ptp(exact) > 1e-3
    scores = description.get("mlps", {}).get("edge_output_transform", {}).get("output_activation") == "Sigmoid"
    got = loaded(*arrays) if scores else loaded.logits(*arrays)
    # As near to float64 as PyTorch's own float32, give or take the order of sums.
    assert np.abs(got - exact).max() <= 4 * np.abs(single - exact).max() + 4e-6 * max(np.abs(exact).max(), 1)


def some(tmp_path, change=lambda d: None, state=None):
    """A small network of batch norms without stored statistics, its description changed."""
    make, description = CASES["l2it"]
    description = json.loads(json.dumps(description))
    change(description)
    state = state if state is not None else made(make, 1).state_dict()
    return write(tmp_path, state, description)


def test_keys_may_have_other_names(tmp_path):
    make, description = CASES["l2it"]
    module = made(make, 1)
    x, edges, e = graph(12, 6)
    expected = EdgeClassifier.load_state_dict(*some(tmp_path)).logits(x, edges, e)
    rename = {"node_encoder.": "net.nodes.in.", "edge_network.": "net.loop_edges."}
    state = {"epoch": 3, "state_dict": {}}
    for key, value in module.state_dict().items():
        new = next((key.replace(old, new, 1) for old, new in rename.items() if key.startswith(old)), f"net.{key}")
        state["state_dict"][new] = value
    state["state_dict"]["loss.weight"] = torch.zeros(2)
    told = {**description, "prefix": "net.", "under": ["state_dict"], "ignore": ["loss."]}
    told["keys"] = {"node_encoder": "nodes.in", "edge_network": "loop_edges.{i}"}
    got = EdgeClassifier.load_state_dict(*write(tmp_path, state, told)).logits(x, edges, e)
    np.testing.assert_array_equal(got, expected)


def test_the_published_network_from_its_tensors(tmp_path):
    """The Exa.TrkX network's tensors have the names of its state dict; with them it meets the file's own sums."""
    onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
    path = SHARED / "data/exatrkx/gnn.onnx"
    if not path.exists():
        pytest.skip(f"no {path}")
    model = onnx.load(path)
    state = {i.name: torch.from_numpy(onnx.numpy_helper.to_array(i).copy()) for i in model.graph.initializer}
    state = {k: v for k, v in state.items() if "network" in k}
    mlp, _ = _mlp(3, norm="layer", output="ReLU", output_norm="layer", affine=True)
    told = described("ResAGNN", (3, 64, 8), mlp)
    loaded = EdgeClassifier.load_state_dict(*write(tmp_path, state, told))
    golden = SHARED / "data/exatrkx/golden"
    read = lambda name: np.loadtxt(golden / f"{name}.csv", delimiter=",")  # noqa: E731
    edges = np.ascontiguousarray(read("applyfilter_output_EDGE_LIST_AFTER_FILTER").astype(np.int64))
    logits = loaded.logits(read("in_e").astype(np.float32), edges)
    assert np.abs(logits - read("gnn_output_OUTPUT__0")).max() < 5e-4


def at_top(**fields):
    return lambda description: description.update(fields)


def in_mlp(**fields):
    return lambda description: description["mlp"].update(fields)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d: d.pop("hidden"), r"network.json: hidden: expected an integer from 1 to 4096, got None"),
        (at_top(hidden=17), r"weights.pt: node_encoder.0.weight: expected .*\(17, 12\), got float32 \(16, 12\)"),
        (at_top(hidden=True), r"network.json: hidden: expected an integer"),
        (at_top(n_graph_iters=4), r"weights.pt: edge_network.3.0.weight: expected .*, got nothing of that key"),
        (at_top(n_graph_iters=2), r"weights.pt: \d+ tensors that the description has no place for .*network.2"),
        (at_top(n_graph_iters=10**9), r"network.json: n_graph_iters: expected an integer from 1 to 256"),
        (in_mlp(hidden_norms=["group"]), r"network.json: mlp.hidden_norms: expected a list of 'layer'"),
        (in_mlp(hidden_norms=["layer"]), r"weights.pt: \d+ tensors .*no place for .*node_encoder.1.weight"),
        (in_mlp(layers=65), r"network.json: mlp.layers: expected an integer from 1 to 64, got 65"),
        (lambda d: d["mlp"].pop("layers"), r"network.json: mlp.layers: expected an integer"),
        (in_mlp(hidden_activation=None), r"network.json: mlp.hidden_activation: expected 'ReLU'"),
        (in_mlp(batch_norm_epsilon=0), r"network.json: mlp.batch_norm_epsilon: expected a number between"),
        (in_mlp(layer_norm_epsilon=10**400), r"network.json: mlp.layer_norm_epsilon: expected a number between"),
        (in_mlp(track_running_stats=True), r"weights.pt: node_encoder.1.running_var: expected"),
        (in_mlp(dropout=True), r"network.json: mlp: unknown field 'dropout'"),
        (lambda d: d["mlps"].update(decoder={}), r"network.json: mlps: unknown field 'decoder': expected 'node_"),
        (lambda d: d["mlps"]["edge_output_transform"].update(output_activation="Tanh"), r"activation: expected null"),
        (at_top(undirected=True), r"network.json: the file: unknown field 'undirected'"),
        (lambda d: d.pop("concat"), r"network.json: concat: expected true or false, got None"),
        (at_top(architecture="GAT"), r"network.json: architecture: expected 'InteractionGNN', .*, got 'GAT'"),
        (at_top(format=[]), r"network.json: format: expected 'rheinfall.gnn.state_dict', got a list"),
        (at_top(keys={"edge_network": "e"}), r'network.json: keys.edge_network: expected "\{i\}" in it'),
        (at_top(under=["state_dict"]), r"weights.pt: under: no dictionary at 'state_dict'"),
        (at_top(ignore="loss"), r"network.json: ignore: expected a list of texts"),
        (at_top(edge_features=-1), r"network.json: edge_features: expected an integer from 0 to 4096"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_refused_by_file_and_field(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        EdgeClassifier.load_state_dict(*some(tmp_path, change))


def test_a_key_twice_in_a_description_is_refused(tmp_path):
    weights, told = some(tmp_path)
    told.write_text('{"hidden": 1024, ' + told.read_text().removeprefix("{"))
    with pytest.raises(ValueError, match=r"network.json: not a JSON file of distinct keys: key 'hidden' twice"):
        EdgeClassifier.load_state_dict(weights, told)


@pytest.mark.parametrize(
    "value, message",
    [
        (torch.zeros(16, 12, dtype=torch.float64), r"node_encoder.0.weight: expected .*, got float64 \(16, 12\)"),
        (torch.full((16, 12), torch.nan), r"weights.pt: node_encoder.0.weight: expected .* of finite numbers"),
        (torch.zeros(16, 13), r"node_encoder.0.weight: expected .* bfloat16 \(16, 12\), got float32 \(16, 13\)"),
        (torch.zeros(192), r"got float32 \(192,\)"),
    ],
)  # fmt: skip
def test_a_wrong_tensor_is_refused_by_file_and_key(tmp_path, value, message):
    state = made(CASES["l2it"][0], 1).state_dict()
    state["node_encoder.0.weight"] = value
    with pytest.raises(ValueError, match=message):
        EdgeClassifier.load_state_dict(*some(tmp_path, state=state))


def test_a_negative_variance_is_refused(tmp_path):
    make, description = CASES["l2it sigmoid"]
    state = make().state_dict()
    state["node_encoder.1.running_var"][0] = -1
    with pytest.raises(ValueError, match=r"weights.pt: node_encoder.1.running_var: expected no negative numbers"):
        EdgeClassifier.load_state_dict(*write(tmp_path, state, description))


def test_a_description_that_is_no_json_is_refused(tmp_path):
    path, told = some(tmp_path)
    for text in (b"", b"{", b"[" * 100_000, b"\xff", b"[]", b'"x"', b"null", b'{"hidden": 1' + b"0" * 10_000 + b"}"):
        told.write_bytes(text)
        with pytest.raises(ValueError, match=r"network.json: "):
            EdgeClassifier.load_state_dict(path, told)
    told.unlink()
    with pytest.raises(FileNotFoundError, match=r"network.json"):
        EdgeClassifier.load_state_dict(path, told)


def test_there_is_no_onnx_file_of_it(tmp_path):
    loaded = EdgeClassifier.load_state_dict(*some(tmp_path))
    assert not loaded.has_onnx
    with pytest.raises(ValueError, match=r"save: .*weights.pt is no ONNX file"):
        loaded.save(tmp_path / "network.onnx")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_lowered_file_loads_again_with_the_same_bits(tmp_path, precision):
    loaded = EdgeClassifier.load_state_dict(*some(tmp_path), precision)
    loaded.save_lowered(tmp_path / "network.rfgnn")
    again = EdgeClassifier.load_lowered(tmp_path / "network.rfgnn", **loaded.load_options)
    arrays = graph(12, 6)
    assert np.array_equal(loaded.logits(*arrays), again.logits(*arrays))
    assert np.array_equal(loaded(*arrays), pickle.loads(pickle.dumps(again))(*arrays))
    assert (again.precision, again.has_onnx, again.load_options) == (precision, False, loaded.load_options)
    as_scores = EdgeClassifier.load_lowered(tmp_path / "network.rfgnn", output="scores", precision=precision)
    assert np.array_equal(as_scores(*arrays), loaded.logits(*arrays))
    with pytest.raises(ValueError, match=r"output: expected 'logits' or 'scores', got 'auto'"):
        EdgeClassifier.load_lowered(tmp_path / "network.rfgnn", output="auto")
    with pytest.raises(ValueError, match=r"weights.pt: not a lowered network"):
        EdgeClassifier.load_lowered(tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"network.rfgnn: not an ONNX file.*EdgeClassifier.load_lowered reads it"):
        EdgeClassifier.load(tmp_path / "network.rfgnn")
    with pytest.raises(FileNotFoundError, match=r"missing.rfgnn"):
        EdgeClassifier.load_lowered(tmp_path / "missing.rfgnn")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_bundle_of_it_finds_the_same_tracks_in_python_and_in_cpp(tmp_path, precision):
    ours, theirs = _mlp(layers=2, norm="layer")
    module = made(lambda: InteractionGNN2(4, 8, 2, 10, recurrent=(False, False), concat=True, in_out_diff_agg=True,
                                          final=None, final_norms=[], **theirs), 5)  # fmt: skip
    sizes = {"edge_features": 10, "concat": True, "in_out_diff_agg": True}
    flags = {"node_net_recurrent": False, "edge_net_recurrent": False}
    files = write(tmp_path, module.state_dict(), described("InteractionGNN2", (4, 8, 2), ours, **sizes, **flags))
    finder = TrackFinder.load("demo")
    folder = tmp_path / "bundle"
    finder.save(folder)  # its ONNX file must not be left behind
    finder.edge_classifier = EdgeClassifier.load_state_dict(*files, precision)
    hits = next(iter(simulate(1, pile_up=2, seed=4))).hits
    cut = float(np.quantile(finder.score_edges(hits).scores, 0.6))  # it never learnt: its scores lie anywhere
    finder.thresholds = Thresholds(method="mutual_best", score_cut=cut, sure=1.0)
    finder.save(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["bundle.json", "edge_classifier.rfgnn", "module_map.rfmap"]
    expected, again = finder(hits), TrackFinder.load(folder)
    assert len(expected) > 3
    tracks = again(hits)
    assert np.array_equal(tracks.hits, expected.hits)
    assert np.array_equal(tracks.offsets, expected.offsets)
    n = len(hits)
    in_cpp = _core.TrackFinder.load_bundle(str(folder))
    offsets, found, _ = in_cpp.run(hits.x, hits.y, hits.z, hits.module_id, 200 * n + 1000, 40 * n + 1000, 1)
    assert np.array_equal(offsets, expected.offsets)
    assert np.array_equal(found, expected.hits)
    again.save(tmp_path / "twice")
    assert (tmp_path / "twice" / "bundle.json").read_bytes() == (folder / "bundle.json").read_bytes()
    (folder / "edge_classifier.rfgnn").write_bytes(b"")
    with pytest.raises(ValueError, match=r"edge_classifier.rfgnn: damaged"):
        TrackFinder.load(folder)


def test_the_command_line_lowers_it_and_lists_its_keys(tmp_path, capsys):
    pytest.importorskip("typer", reason="needs the extra [cli]")
    from rheinfall.cli import main

    run = lambda *words: main(["gnn", *map(str, words)])  # noqa: E731
    path, told = some(tmp_path)
    out = tmp_path / "network.rfgnn"
    assert run("lower", path, "--description", told, "--out", out) == 0
    EdgeClassifier.load_state_dict(path, told).save_lowered(tmp_path / "same.rfgnn")
    assert out.read_bytes() == (tmp_path / "same.rfgnn").read_bytes()
    assert run("tensors", path) == 0
    assert "node_encoder.0.weight  float32  (16, 12)" in capsys.readouterr().out
    assert run("lower", path, "--description", told, "--out", out, "--repair-scatter") == 2
    capsys.readouterr()
    assert run("lower", path, "--out", out) == 4
    assert "not an ONNX file but an archive" in (message := " ".join(capsys.readouterr().err.split()))
    assert "--description" in message
    nowhere = tmp_path / "none" / "x.rfgnn"
    assert run("lower", path, "--description", told, "--out", nowhere) == 6
    assert capsys.readouterr().err == f"rheinfall: {nowhere}: No such file or directory\n"
    told.write_text("{}")
    assert run("lower", path, "--description", told, "--out", out) == 4
    assert run("tensors", told) == 4


def test_a_wrong_argument_is_named(tmp_path):
    path, told = some(tmp_path)
    with pytest.raises(TypeError, match="description: expected the path of a file, got dict"):
        EdgeClassifier.load_state_dict(path, {})
    with pytest.raises(TypeError, match="path: expected the path of a file, got dict"):
        EdgeClassifier.load_state_dict({}, told)
    with pytest.raises(TypeError, match="path: expected the path of a file, got int"):
        EdgeClassifier.load(3)
    with pytest.raises(TypeError, match="path: expected the path of a file, got list"):
        EdgeClassifier.load_lowered([])


def test_tensors_in_place_of_an_onnx_file_are_told(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match=r"not an ONNX file.*safetensors; where it is a state dict.*load_state_dict"):
        EdgeClassifier.load(path)
