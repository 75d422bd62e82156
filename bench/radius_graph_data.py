"""Points to search for neighbours in: a uniform cube, and what an embedding network makes of the hits of tracks."""

from __future__ import annotations

import numpy as np

from rheinfall.event import Float32

SEED = 20240607


def uniform_points(n: int, dimension: int) -> Float32:
    """In the unit cube: the same density everywhere, so nothing but the cube's edge to prune by."""
    return np.random.default_rng([SEED, dimension]).uniform(size=(n, dimension)).astype(np.float32)


def embedded_points(n: int, dimension: int) -> Float32:
    """Hits of tracks, ten each, through a random network of two layers, in random order.

    A track is four parameters, uniform in [-1, 1]; a hit adds its place along the track, uniform in [-0.25, 0.25]. The
    layers are 5 -> 64 -> `dimension`, tanh between, weights normal with a deviation of 2 / sqrt(5) and 1 / sqrt(64);
    then normal noise of 0.005. So points lie in clusters near a surface of five dimensions.
    """
    rng = np.random.default_rng([SEED, dimension, 1])
    tracks = np.repeat(rng.uniform(-1, 1, (-(-n // 10), 4)), 10, axis=0)[:n]
    place = rng.uniform(-0.25, 0.25, (n, 1))
    hidden = np.tanh(np.hstack([tracks, place]) @ rng.normal(0, 2 / np.sqrt(5), (5, 64)))
    points = hidden @ rng.normal(0, 1 / np.sqrt(64), (64, dimension)) + rng.normal(0, 0.005, (n, dimension))
    return rng.permutation(points).astype(np.float32)


POINTS = {"uniform": uniform_points, "embedding": embedded_points}


def radius_of(points: Float32, neighbours: int) -> float:
    """The radius at which 256 sampled points have so many neighbours on the average."""
    sample = np.random.default_rng(SEED).choice(len(points), 256, replace=False)
    wanted = 256 * (neighbours + 1)  # each finds itself too
    nearest = np.empty(0)
    for p in points[sample].astype(np.float64):
        distances = ((points - p) ** 2).sum(axis=1)
        nearest = np.concatenate([nearest, np.partition(distances, min(wanted, len(points) - 1))[:wanted]])
    return float(np.sqrt(np.partition(nearest, wanted - 1)[wanted - 1]))
