"""Fixed-radius neighbours against a comparison of all pairs, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rheinfall as rf
from rheinfall.reference import radius_graph as reference


@pytest.mark.parametrize("dimension", [1, 2, 3, 8, 12, 32])
@pytest.mark.parametrize("seed", range(12))
def test_equals_its_definition(dimension, seed):
    rng = np.random.default_rng([dimension, seed])
    n = int(rng.integers(1, 60))
    if seed % 2:  # a grid: many distances are equal, and many exactly r
        points, r = rng.integers(0, 4, (n, dimension)).astype(np.float32), float(rng.integers(0, 4))
    else:
        points, r = rng.normal(size=(n, dimension)).astype(np.float32), float(rng.uniform(0, 2) * dimension**0.5)
    for cap in (None, 1, 3, 100):
        for loop in (False, True):
            for directed in (True, False):
                edges, counts = rf.radius_graph(points, r, cap, loop, directed, return_counts=True)
                expected_edges, expected_counts = reference.radius_graph(points, r, cap, loop, directed)
                np.testing.assert_array_equal(edges, expected_edges)
                np.testing.assert_array_equal(counts, expected_counts)
                np.testing.assert_array_equal(edges, rf.radius_graph(points, r, cap, loop, directed))
                assert edges.dtype == counts.dtype == np.int64
                assert edges.flags.c_contiguous
    for k in (1, 4, 100):
        np.testing.assert_array_equal(rf.knn_graph(points, k), reference.radius_graph(points, np.inf, k)[0])


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=floats),
    st.floats(0, 1e38),
    st.sampled_from([None, 1, 2]),
)
def test_equals_its_definition_on_any_floats(points, r, cap):
    np.testing.assert_array_equal(rf.radius_graph(points, r, cap), reference.radius_graph(points, r, cap)[0])


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 32), st.integers(1, 150), st.integers(0, 2**32 - 1), st.sampled_from([None, 4]), st.booleans())
def test_the_order_of_the_points_does_not_matter(dimension, n, seed, cap, directed):
    """Duplicates abound, and so do pairs exactly at the radius."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 3, (n, dimension)).astype(np.float32)
    r = float(np.sqrt(rng.integers(0, dimension + 1)))
    if cap is not None:  # ties go to the smaller index, which depends on the order: so there are none
        points += rng.uniform(0, 0.1, points.shape).astype(np.float32)
    order = rng.permutation(n)
    edges, counts = rf.radius_graph(points, r, cap, directed=directed, return_counts=True)
    shuffled, shuffled_counts = rf.radius_graph(points[order], r, cap, directed=directed, return_counts=True)
    back = order[shuffled] if directed else np.sort(order[shuffled], axis=0)
    np.testing.assert_array_equal(back[:, np.lexsort(back[::-1])], edges)
    np.testing.assert_array_equal(shuffled_counts, counts[order])


def test_agrees_with_scipy_on_a_larger_cloud():
    spatial = pytest.importorskip("scipy.spatial")
    points = np.random.default_rng(0).uniform(size=(5000, 5)).astype(np.float32)
    pairs = spatial.cKDTree(points.astype(np.float64)).query_pairs(0.2, output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    np.testing.assert_array_equal(rf.radius_graph(points, 0.2, directed=False), pairs.T)


def test_threads_do_not_matter():
    points = np.random.default_rng(1).uniform(size=(4000, 3)).astype(np.float32)
    before = rf.get_num_threads()
    results = []
    try:
        for n_threads in (1, 2, 8):
            rf.set_num_threads(n_threads)
            results.append((rf.radius_graph(points, 0.1), rf.radius_graph(points, 0.2, 5), rf.knn_graph(points, 7)))
    finally:
        rf.set_num_threads(before)
    for result in results[1:]:
        for edges, first in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(edges, first)


# Numbers of leaves of 32 points: those that halving at multiples of 16 divides unevenly, and some that it does not.
LEAVES = (1, 2, 16, 17, 63, 64, 65, 66, 80, 128, 256, 257, 260, 263, 264, 273, 275, 289, 513, 529, 769, 1025)


@pytest.mark.parametrize("n_leaves", LEAVES)
def test_threads_do_not_matter_for_a_tree_of_any_balance(n_leaves):
    before = rf.get_num_threads()
    for n in (32 * n_leaves - 1, 32 * n_leaves, 32 * n_leaves + 1):
        points = np.random.default_rng(n).uniform(size=(n, 3)).astype(np.float32)
        try:
            one, two, eight = (
                (rf.set_num_threads(n_threads), rf.radius_graph(points, 0.7 * n ** (-1 / 3)))[1]
                for n_threads in (1, 2, 8)
            )
        finally:
            rf.set_num_threads(before)
        np.testing.assert_array_equal(two, one)
        np.testing.assert_array_equal(eight, one)


@pytest.mark.parametrize("k", [254, 255, 256, 257])
@pytest.mark.parametrize("loop", [False, True])
def test_more_neighbours_than_the_leaves_around_can_bound(k, loop):
    points = np.random.default_rng(k).uniform(size=(1500, 3)).astype(np.float32)
    distance2 = reference.squared_distances(points)
    if not loop:
        np.fill_diagonal(distance2, np.inf)
    nearest = np.sort(np.argsort(distance2, axis=1, kind="stable")[:, :k], axis=1)
    expected = np.stack([np.repeat(np.arange(len(points)), k), nearest.ravel()])
    np.testing.assert_array_equal(rf.radius_graph(points, np.inf, k, loop), expected)
    if not loop:
        np.testing.assert_array_equal(rf.knn_graph(points, k), expected)


def test_the_radius_is_inclusive_and_compared_in_float64():
    points = np.array([[0.0], [0.1]], dtype=np.float32)
    exact = float(points[1, 0])  # float32(0.1) is above 0.1
    assert rf.radius_graph(points, exact).tolist() == [[0, 1], [1, 0]]
    assert rf.radius_graph(points, 0.1).shape == (2, 0)


def test_the_cap_keeps_the_nearest_with_ties_to_the_smaller_index():
    points = np.array([[1.0], [-1.0], [0.0], [3.0]], dtype=np.float32)
    edges, counts = rf.radius_graph(points, 2.0, max_neighbours=1, return_counts=True)
    assert edges.tolist() == [[0, 1, 2, 3], [2, 2, 0, 0]]
    assert counts.tolist() == [3, 2, 2, 1]
    assert rf.radius_graph(points, 2.0, max_neighbours=1, directed=False).tolist() == [[0, 0, 1], [2, 3, 2]]


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_join(n):
    points = np.zeros((n, 3), dtype=np.float32)
    assert rf.radius_graph(points, 1.0).shape == (2, 0)
    assert rf.radius_graph(points, 1.0, 2, directed=False).shape == (2, 0)
    assert rf.radius_graph(points, 1.0, loop=True).tolist() == [[0] * n, [0] * n]
    assert rf.knn_graph(points, 3).shape == (2, 0)


GOOD = np.zeros((4, 2), np.float32)


@pytest.mark.parametrize(
    ("points", "options", "error", "message"),
    [
        (GOOD.astype(np.float64), {"r": 1.0}, TypeError, "points: .*float32.*got float64"),
        (GOOD[:, 0].copy(), {"r": 1.0}, ValueError, "points: expected a C-contiguous 2-D"),
        (np.asfortranarray(GOOD), {"r": 1.0}, ValueError, "points: .*strides"),
        (np.zeros((4, 33), np.float32), {"r": 1.0}, ValueError, "points: expected 1 to 32 dimensions, got 33"),
        (np.zeros((4, 0), np.float32), {"r": 1.0}, ValueError, "points: expected 1 to 32 dimensions, got 0"),
        (GOOD, {"r": -1.0}, ValueError, "r: expected a number >= 0"),
        (GOOD, {"r": float("nan")}, ValueError, "r: expected a number >= 0"),
        (GOOD, {"r": 1.0, "max_neighbours": 0}, ValueError, "max_neighbours: expected at least 1, got 0"),
        (np.array([[1, 2], [3, np.nan]], np.float32), {"r": 1.0}, ValueError, r"point 1 is \[3.0, nan\]"),
    ],
)
def test_wrong_calls(points, options, error, message):
    with pytest.raises(error, match=message):
        rf.radius_graph(points, **options)


def test_wrong_k():
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        rf.knn_graph(GOOD, 0)
