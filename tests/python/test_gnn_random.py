"""Random networks exported by PyTorch, on the fused engine and in PyTorch itself in float64."""

import warnings

import numpy as np
import pytest

from rheinfall import EdgeClassifier

torch = pytest.importorskip("torch", reason="needs the extra [train]")
onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")

from gnn_networks import Network, export  # noqa: E402


@pytest.mark.parametrize("seed", range(36))
def test_a_random_network_scores_as_in_pytorch(tmp_path, seed):
    rng = np.random.default_rng(seed)
    torch.set_num_threads(1)
    network = Network(seed, n_edge_features=4 if seed % 2 else None).eval()
    n_nodes, n_edges = 150, 400
    x = rng.normal(size=(n_nodes, 3)).astype(np.float32)
    edges = rng.integers(0, n_nodes, (2, n_edges))
    attributes = [rng.normal(size=(n_edges, 4)).astype(np.float32)] if seed % 2 else []
    tensors = tuple(torch.from_numpy(a) for a in (x, edges, *attributes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = export(network, tensors, 16 + seed % 2)
    onnx.save(model, tmp_path / "network.onnx")
    logits = EdgeClassifier.load(tmp_path / "network.onnx", engine="fused").logits(x, edges, *attributes)
    with torch.inference_mode():
        single = network(*tensors).numpy()
        exact = network.double()(*(t.double() if t.is_floating_point() else t for t in tensors)).numpy()
    # As near to float64 as PyTorch's own float32, give or take the order of sums.
    scale = 1e-6 * max(np.abs(exact).max(), 1)
    assert np.abs(logits - exact).max() <= 4 * np.abs(single - exact).max() + 4 * scale
