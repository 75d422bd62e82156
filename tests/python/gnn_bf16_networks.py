"""Networks and graphs of which every bit is defined: linear operations and relu on edges."""

import numpy as np

from rheinfall.gnn.ir import Builder

EXTREME = 250  # powers of two between which values lie: also beyond what bf16 or float32 holds
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-45, 2.0**-64, 3.4e38, 2.0**-63], np.float32)


def random_rows(rng, shape, spread):
    """Float32 values of either sign over so many powers of two."""
    exponents = rng.uniform(-spread / 2, spread / 2, shape)
    with np.errstate(over="ignore", under="ignore"):
        return (rng.choice([-1.0, 1.0], shape) * np.exp2(exponents)).astype(np.float32)


def edge_network(seed, n_in, hidden, layers, spread=3):
    rng = np.random.default_rng(seed)
    b = Builder()
    value = b.input("edge", n_in)
    b.input("node", 1)
    for k in range(layers):
        width = 1 if k + 1 == layers else hidden
        weights = {"weight": np.clip(random_rows(rng, (b[value].width, width), spread), -1e38, 1e38)}
        if rng.integers(2):
            weights["bias"] = np.clip(random_rows(rng, (width,), spread), -1e38, 1e38)
        value = b.add("linear", value, weights=weights)
        if k + 1 < layers:
            value = b.add("relu", value)
    return b.finish(value)


def graph_of(seed, n_in, n_edges, spread):
    rng = np.random.default_rng(seed + 1000)
    features = random_rows(rng, (n_edges, n_in), spread)
    if spread == EXTREME:
        places = rng.random(features.shape) < 0.05
        features[places] = rng.choice(SPECIAL, int(places.sum()))
    return np.zeros((10, 1), np.float32), rng.integers(0, 10, (2, n_edges)), features
