"""What module maps learn from: true triples of hits, and the symmetries of a detector."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import rheinfall as rf
from module_map_samples import simulated_events
from rheinfall import _core
from rheinfall.event import LAYER_SHIFT, Event, Hits, Particles, Truth, encode_module_id
from rheinfall.reference import graph_construction
from rheinfall.tracking.module_symmetry import find_symmetries
from rheinfall.tracking.true_triples import TripleSelection, find_true_triples

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).parents[3] / "shared"))


@pytest.fixture(scope="module")
def events():
    return simulated_events()


# True triples


def brute_force_triples(event, selection):
    truth, hits, found = event.truth, event.hits, []
    layer = hits.module_id >> np.uint64(LAYER_SHIFT)
    for i, pid in enumerate(truth.particles.particle_id):
        p = truth.particles
        own = np.flatnonzero((truth.particle_id == pid) & truth.known)
        wanted = p.pt[i] >= selection.min_pt and abs(p.eta[i]) <= selection.max_eta
        wanted = wanted and p.radius[i] <= selection.max_radius and len(own) >= selection.min_hits
        if not wanted or (selection.primary_only and not p.primary[i]):
            continue
        vertex = np.array([p.vx[i], p.vy[i], p.vz[i]], np.float64)
        position = np.stack([hits.x[own], hits.y[own], hits.z[own]], 1).astype(np.float64)
        path = own[np.argsort(((position - vertex) ** 2).sum(1), kind="stable")]
        kept = []
        for k, h in enumerate(path):
            if k == 0 or layer[h] != layer[path[k - 1]]:
                kept.append(int(h))
        found += [tuple(kept[k : k + 3]) for k in range(len(kept) - 2)]
    return found


SELECTIONS = (
    TripleSelection(),
    TripleSelection(min_pt=1.0, max_eta=1.5, min_hits=6),
    TripleSelection(min_pt=0.0, max_radius=1.0, primary_only=True),
)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_true_triples_are_those_of_brute_force(events, selection):
    for event in events[:4]:
        triples = find_true_triples(event, selection)
        assert triples.dtype == np.uint32
        assert sorted(map(tuple, triples.tolist())) == sorted(brute_force_triples(event, selection))
        assert len(triples) > 10


def small_event(layers, distance=None, known=True):
    n = len(layers)
    x = np.float32(10 * (1 + np.arange(n)) if distance is None else distance)
    zero, one = np.zeros(n, np.float32), np.ones(1, np.float32)
    hits = Hits(x, zero, zero, encode_module_id(8, layers, 1), np.arange(n, dtype=np.uint64))
    nought = np.zeros(1, np.float32)
    particles = Particles(np.array([7], np.uint64), nought, nought, nought, one, nought, nought, one, np.ones(1, bool))
    return Event(hits, Truth(np.full(n, 7, np.uint64), np.full(n, known), particles))


def test_of_two_hits_on_one_layer_the_second_is_dropped():
    triples = find_true_triples(small_event([2, 2, 4, 6, 6, 8]), TripleSelection())
    assert triples.tolist() == [[0, 2, 3], [2, 3, 5]]
    backwards = find_true_triples(small_event([2, 4, 6], distance=[30, 20, 10]), TripleSelection())
    assert backwards.tolist() == [[2, 1, 0]]


def test_unknown_truth_teaches_nothing():
    assert find_true_triples(small_event([2, 4, 6], known=False), TripleSelection()).shape == (0, 3)


def test_training_needs_truth(events):
    with pytest.raises(ValueError, match="needs truth"):
        rf.ModuleMap.build([Event(events[0].hits)])


def test_map_and_metric_agree_on_true_edges(events):
    """What a map learns are the true edges of the metric: they part only where a track comes back to a layer."""
    everything = TripleSelection(min_pt=0.0, max_eta=100.0, max_radius=1e9, min_hits=0)
    for event in events:
        expected = set(map(tuple, rf.metrics.find_true_edges(event.truth, event.hits).T.tolist()))
        triples = find_true_triples(event, everything)
        learnt = set(map(tuple, np.concatenate([triples[:, :2], triples[:, 1:]]).tolist()))
        layer = event.hits.module_id >> np.uint64(LAYER_SHIFT)
        returning = returning_particles(event, layer)
        pid = event.truth.particle_id
        alone = {e for e in expected - learnt if pid[e[0]] not in returning}
        assert {e for e in learnt if pid[e[0]] not in returning} <= expected
        # A particle with two kept hits has a true edge but no triple.
        assert all((pid[[a for e in expected for a in e]] == pid[e[0]]).sum() == 2 for e in alone)


def returning_particles(event, layer):
    """Particles that hit a layer, then another, then the first again, on their way out."""
    found = set()
    p = event.truth.particles
    for i, pid in enumerate(p.particle_id):
        own = np.flatnonzero(event.truth.particle_id == pid)
        d = (event.hits.x[own].astype(float) - p.vx[i]) ** 2 + (event.hits.y[own].astype(float) - p.vy[i]) ** 2
        d = d + (event.hits.z[own].astype(float) - p.vz[i]) ** 2
        sequence = layer[own[np.argsort(d, kind="stable")]]
        runs = sequence[np.append(True, sequence[1:] != sequence[:-1])] if len(sequence) else sequence
        if len(np.unique(runs)) < len(runs):
            found.add(pid)
    return found


# Symmetries


def demo_modules():
    modules = rf.simulation.demo_detector().modules
    return modules.module_id, np.asarray(modules.centre, np.float64)


def trackml_modules():
    path = SHARED / "data" / "trackml" / "detectors.csv.gz"
    if not path.exists():
        pytest.skip(f"needs {path}")
    modules = rf.io.read_detectors(path)
    return modules.module_id, np.asarray(modules.center, np.float64)


@pytest.mark.parametrize("modules", [demo_modules, trackml_modules])
def test_symmetries_map_modules_one_to_one(modules):
    module_id, centres = modules()
    symmetries = find_symmetries(module_id, centres)
    assert symmetries
    at = {int(m): i for i, m in enumerate(module_id)}
    for symmetry in symmetries:
        np.testing.assert_array_equal(np.sort(symmetry.images), np.sort(module_id))
        index = [at[int(m)] for m in symmetry.modules]
        image = [at[int(m)] for m in symmetry.images]
        moved = centres[index] * np.array(symmetry.signs)
        assert np.linalg.norm(moved - centres[image], axis=1).max() <= 3.5
        # Layers go to whole layers: what pools statistics by layer stays meaningful.
        layers = np.stack([symmetry.modules >> np.uint64(LAYER_SHIFT), symmetry.images >> np.uint64(LAYER_SHIFT)])
        assert len(np.unique(layers, axis=1).T) == len(np.unique(layers[0]))


def test_quantities_transform_as_the_signs_say(events):
    hits = events[0].hits
    symmetries = find_symmetries(*demo_modules())
    a, b, c = find_true_triples(events[0], TripleSelection()).T
    quantities = {}
    for symmetry in symmetries:
        moved = symmetry.apply(hits)
        np.testing.assert_array_equal(moved.x, symmetry.signs[0] * hits.x)
        p = graph_construction.space_points(moved.x, moved.y, moved.z, np.float64)
        quantities[symmetry.signs] = graph_construction.triple_quantities("angle", p[a], p[b], p[c])
    p = graph_construction.space_points(hits.x, hits.y, hits.z, np.float64)
    own = graph_construction.triple_quantities("angle", p[a], p[b], p[c])
    for (sx, sy, sz), moved in quantities.items():
        turn = sx * sy  # a rotation keeps angles, one reflection turns them
        signs = np.array([sz, turn, turn, sz] * 2 + [sz, turn])
        np.testing.assert_allclose(moved, own * signs, rtol=1e-9, atol=1e-9)


def test_each_symmetry_teaches_as_an_event_of_its_own(events):
    symmetries = find_symmetries(*demo_modules())
    taught = rf.ModuleMap.build(events[:2], symmetries=symmetries)
    images = [Event(s.apply(e.hits), e.truth, e.name) for e in events[:2] for s in symmetries]
    parts = [rf.ModuleMap.build(events[:2])]
    builder = _core.ModuleMapBuilder("angle")
    for event, image in zip([e for e in events[:2] for _ in symmetries], images, strict=True):
        h = image.hits
        builder.add(h.x, h.y, h.z, h.module_id, find_true_triples(event, TripleSelection()))
    builder.merge(parts[0].statistics)
    assert builder.to_bytes() == taught.statistics.to_bytes()


def test_a_foreign_module_has_no_image(events):
    symmetry = find_symmetries(*demo_modules())[0]
    hits = Hits(*(np.zeros(1, np.float32),) * 3, np.array([5], np.uint64), np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="module 5 is not part of the symmetry"):
        symmetry.apply(hits)


def test_a_lopsided_detector_has_no_symmetry():
    centres = np.array([[30.0, 0, 0], [0, 40.0, 10]])
    assert find_symmetries(np.array([1, 2], np.uint64), centres) == []
