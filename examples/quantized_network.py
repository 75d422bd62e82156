"""A quantized network from its document to the firmware's bits: python examples/quantized_network.py [FOLDER]"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import rheinfall as rf
from rheinfall.quantized import Network


def tensor(kind: str, values: np.ndarray) -> dict[str, object]:
    return {"type": kind, "shape": list(values.shape), "data": values.reshape(-1).tolist()}


def autoencoder(n_in: int = 57, n_hidden: int = 16, n_latent: int = 8) -> dict[str, object]:
    """A trigger's anomaly score: an encoder's latent values, squared and summed. Real ones come from files."""
    rng = np.random.default_rng(1)
    layers: list[dict[str, object]] = [
        {"name": "fc1", "op": "dense", "inputs": ["x"], "result": "ap_fixed<20,10>", "accum": "ap_fixed<20,10>",
         "weight": tensor("ap_fixed<6,1>", rng.integers(-32, 32, (n_in, n_hidden))),
         "bias": tensor("ap_fixed<6,1>", rng.integers(-32, 32, n_hidden))},
        {"name": "relu1", "op": "relu", "inputs": ["fc1"], "result": "ap_ufixed<10,6,RND_CONV,SAT>"},
        {"name": "mu", "op": "dense", "inputs": ["relu1"], "result": "ap_fixed<14,8>", "accum": "ap_fixed<20,10>",
         "weight": tensor("ap_fixed<6,1>", rng.integers(-32, 32, (n_hidden, n_latent)))},
        {"name": "score", "op": "sum_of_squares", "inputs": ["mu"], "result": "ap_ufixed<18,14>",
         "accum": "ap_ufixed<18,14>"},
    ]  # fmt: skip
    inputs = [{"name": "x", "shape": [n_in], "type": "ap_fixed<8,5,RND_CONV,SAT>"}]
    head = {"format": "rheinfall.quantized", "version": 1, "name": "anomaly_score"}
    return {**head, "inputs": inputs, "layers": layers, "outputs": ["score"]}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    Network(autoencoder()).save(folder / "anomaly_score.json")

    net = rf.quantized.load(folder / "anomaly_score.json")  # also: an hls4ml project's folder, QONNX, QDQ
    print(net.inspect())

    x = np.random.default_rng(2).normal(0, 3, (10_000, net.n_inputs)).astype(np.float32)
    scores = net(x)  # real values in, real values out
    print("\nhighest score:", scores.max(), "of event", scores.argmax())
    assert np.array_equal(net(x[7]), scores[7])  # one event: the same bits

    stored = np.clip(np.rint(x * 8), -128, 127).astype(np.int16)  # what the firmware sees: q of q / 2^3
    assert np.array_equal(net.run_integers(stored), scores * 16)  # and what it gives: q of q / 2^4
    np.save(folder / "events.npy", stored)

    event, score = np.zeros(net.n_inputs, np.float32), np.zeros(1, np.float32)
    run = net.bind(event, score)  # an event loop: buffers once, then a bare call
    for row in x[:100]:
        event[:] = row
        run()
    assert score[0] == scores[99, 0]

    print("C++ header:", net.emit_cpp(folder))


if __name__ == "__main__":
    main()
