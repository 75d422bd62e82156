"""The track builder that merges by falling score unless layers are shared, against its slow definition."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.reference import track_building as reference


def hits_on(layers, rng=None):
    """One hit a layer outward; `module_id` holds the layer where a TrackML or ACTS id has volume and layer."""
    n = len(layers)
    x = np.arange(1, n + 1, dtype=np.float32) if rng is None else rng.choice([1.0, 2.0, 3.0], n).astype(np.float32)
    modules = np.array(layers, np.uint64) << np.uint64(36) | np.arange(n).astype(np.uint64) << np.uint64(8)
    return SimpleNamespace(x=x, y=np.zeros(n, np.float32), z=np.zeros(n, np.float32), module_id=modules)


def build(edges, scores, hits, **options):
    edge_index = np.ascontiguousarray(np.array(edges, np.int64).reshape(-1, 2).T)
    tracks = rf.build_tracks(edge_index, np.array(scores, np.float32), "layer_merge", hits=hits, **options)
    return [track.tolist() for track in tracks]


@pytest.mark.parametrize("block", range(10))
def test_equals_its_definition(block):
    for seed in range(100 * block, 100 * block + 100):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 15))
        edges = [(int(a), int(b)) for a, b in rng.integers(0, n, (int(rng.integers(0, 31)), 2))]
        grid = [-0.0, 0.0, 0.125, 0.25, 0.5, 0.625, 0.75, 0.875, 1.0]  # ties abound
        scores = rng.choice(grid if seed % 2 else grid[3:6], len(edges)).astype(np.float32)
        layers = rng.choice([0, 1, 2, 3, 65, 2**27], n) if seed % 3 else rng.permutation(n)
        hits = hits_on(layers, rng)
        options = {
            "score_cut": -1.0 if seed % 5 == 0 else 0.25,
            "sure": (0.75, 2.0, 0.875)[seed % 3],
            "weak": float(rng.choice([-1.0, 0.5, 0.625, 0.875, 1.0])),
            "shared_layers": int(rng.integers(0, 3)),
            "min_length": int(rng.integers(1, 4)),
        }
        expected = reference.build_tracks(
            edges, scores, n, "layer_merge", distance=hits.x.astype(np.float64) ** 2, layer=layers, **options
        )
        assert build(edges, scores, hits, **options) == expected
        order = rng.permutation(len(edges))
        assert build([edges[i] for i in order], scores[order], hits, **options) == expected


def test_differs_from_the_other_methods_where_it_should():
    # two tracks over layers 0 to 3, joined by a false edge that is the best out of its source and into its target
    edges = [(0, 2), (2, 4), (4, 6), (1, 3), (3, 5), (5, 7), (6, 7)]
    scores = [0.9, 0.9, 0.9, 0.9, 0.9, 0.6, 0.7]
    hits = hits_on([0, 0, 1, 1, 2, 2, 3, 4])
    assert build(edges, scores, hits) == [[0, 2, 4, 6, 7], [1, 3, 5]]
    assert build(edges, scores, hits, shared_layers=3) == [[0, 1, 2, 3, 4, 5, 6, 7]]
    edge_index = np.ascontiguousarray(np.array(edges, np.int64).T)
    joined = rf.build_tracks(edge_index, np.array(scores, np.float32), "components", hits=hits)
    assert [t.tolist() for t in joined] == [[0, 1, 2, 3, 4, 5, 6, 7]]


def test_a_second_hit_on_a_layer_stays_where_modules_overlap():
    edges = [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert build(edges, [0.9, 0.8, 0.9, 0.8], hits_on([0, 1, 1, 2])) == [[0, 1, 2, 3]]
    assert build(edges, [0.9, 0.8, 0.9, 0.8], hits_on([0, 1, 1, 2]), shared_layers=0) == [[0, 1, 3]]


def test_a_sure_edge_merges_whatever_the_layers():
    edges = [(0, 2), (2, 4), (1, 3), (3, 5), (4, 5)]
    hits = hits_on([0, 0, 1, 1, 2, 2])
    scores = [0.9, 0.9, 0.9, 0.9, 0.8]
    assert build(edges, scores, hits) == [[0, 2, 4], [1, 3, 5]]
    assert build(edges, scores, hits, sure=0.8) == [[0, 2, 4], [1, 3, 5]]  # strict, as float32
    assert build(edges, scores, hits, sure=0.75) == [[0, 1, 2, 3, 4, 5]]


def test_a_weak_edge_lengthens_a_track_and_starts_none():
    hits = hits_on([0, 1, 2, 3, 4])
    edges = [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert build(edges, [0.9, 0.9, 0.3, 0.2], hits) == [[0, 1, 2, 3, 4]]
    assert build(edges, [0.2, 0.3, 0.9, 0.9], hits) == [[0, 1, 2, 3, 4]]
    assert build(edges, [0.3, 0.2, 0.9, 0.9], hits) == [[1, 2, 3, 4]]  # what was refused stays so
    assert build(edges, [0.9, 0.3, 0.3, 0.9], hits) == []  # two layers are not enough
    assert build(edges, [0.9, 0.3, 0.3, 0.9], hits, weak=0.25) == [[0, 1, 2, 3, 4]]
    assert build(edges, [0.3] * 4, hits, weak=0.1) == build(edges, [0.9] * 4, hits) == [[0, 1, 2, 3, 4]]
    assert build(edges, [0.5] * 4, hits) == []  # strict, as float32
    assert build(edges, [0.3] * 4, hits, sure=0.25) == [[0, 1, 2, 3, 4]]  # sure before weak


def test_hits_on_one_layer_count_once_for_a_weak_edge():
    hits = hits_on([0, 0, 1, 2])
    assert build([(0, 2), (1, 2), (2, 3)], [0.9, 0.9, 0.3], hits) == [[0, 1, 2]]
    assert build([(0, 2), (1, 2), (2, 3)], [0.9, 0.9, 0.3], hits, weak=0.25) == [[0, 1, 2, 3]]


def test_layers_beyond_64_share_their_bits_by_rank():
    layers = [*range(64), 64, 65, 0, 1]  # the hits on 64 and 65 have the bits of 0 and 1
    hits = hits_on(layers)
    edges = [(0, 1), (1, 2), (64, 65), (65, 3), (2, 3)]
    scores = [0.9, 0.9, 0.9, 0.9, 0.5]
    assert build(edges, scores, hits) == [[0, 1, 2], [3, 64, 65]]
    assert build(edges, scores, hits_on([*range(64), 62, 63, 0, 1])) == [[0, 1, 2, 3, 64, 65]]


def test_hits_without_modules_are_refused():
    hits = SimpleNamespace(x=np.ones(2, np.float32), y=np.ones(2, np.float32), z=np.ones(2, np.float32))
    with pytest.raises(ValueError, match="layer_merge: hits with x, y, z and module_id"):
        build([(0, 1)], [0.9], hits)
    hits.module_id = np.zeros(3, np.uint64)
    with pytest.raises(ValueError, match=r"layer_merge: hits.module_id: expected 2 values, got 3"):
        build([(0, 1)], [0.9], hits)


def test_a_hit_at_an_unknown_place_is_in_no_track():
    hits = hits_on([0, 1, 2, 3])
    hits.x[1] = np.nan
    edge_index = np.array([[0, 1, 2], [1, 2, 3]], np.int64)
    tracks = rf.build_tracks(edge_index, np.ones(3, np.float32), "layer_merge", hits=hits, min_length=2)
    assert tracks.status == "not_finite"
    assert [t.tolist() for t in tracks] == [[2, 3]]


def test_threads_do_not_change_the_tracks():
    rng = np.random.default_rng(1)
    n = 40_000
    source = rng.integers(0, n - 50, 100_000)
    edge_index = np.stack([source, source + rng.integers(1, 50, len(source))])
    scores = rng.random(len(source)).astype(np.float32)
    hits = hits_on(np.arange(n) % 48, rng)
    before = rf.get_num_threads()
    found = []
    for threads in (1, 2, 8):
        rf.set_num_threads(threads)
        found.append(rf.build_tracks(edge_index, scores, "layer_merge", hits=hits))
    rf.set_num_threads(before)
    for tracks in found[1:]:
        np.testing.assert_array_equal(tracks.hits, found[0].hits)
        np.testing.assert_array_equal(tracks.offsets, found[0].offsets)
