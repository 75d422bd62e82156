"""The helix fit: exact helices, against one least-squares problem, statuses, and pulls of a toy detector."""

from __future__ import annotations

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.reference import track_fit as reference
from rheinfall.tracking.track_fit import FIELDS, FIT_STATUSES

GEV_PER_MM = 0.299792458e-3 * 2.0  # of TripletModel()'s field, 2 T
SIGMA = (0.05, 0.1, 0.1)  # and its resolution


def helix(pt, phi, eta, d0, z0, charge, s):
    """Points at arc lengths `s` from the point closest to the z axis, by the equation of motion."""
    k = -charge * GEV_PER_MM / pt
    x = -d0 * np.sin(phi) + (np.sin(phi + k * s) - np.sin(phi)) / k
    y = d0 * np.cos(phi) - (np.cos(phi + k * s) - np.cos(phi)) / k
    return np.stack([x, y, z0 + np.sinh(eta) * s])


def as_hits(points):
    x, y, z = (np.ascontiguousarray(axis, np.float32) for axis in points)
    return rf.Hits(x, y, z, np.zeros(len(x), np.uint64), np.arange(len(x), dtype=np.uint64))


def as_tracks(lengths, hits=None):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    hits = np.arange(offsets[-1]) if hits is None else np.asarray(hits, np.int64)
    return rf.Tracks(offsets, hits, np.full(int(offsets[-1]), -1, np.int64))


def fit(tracks, **model):
    """One track for each array of points (3, n)."""
    hits = as_hits(np.concatenate(tracks, axis=1) if tracks else np.empty((3, 0)))
    return rf.fit_tracks(as_tracks([t.shape[1] for t in tracks]), hits, rf.TripletModel(**model))


def random_helices(n, seed, least=3):
    rng = np.random.default_rng(seed)
    true = {
        "pt": rng.uniform(0.4, 20, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "eta": rng.uniform(-3, 3, n),
        "d0": rng.normal(0, 2, n),
        "z0": rng.normal(0, 60, n),
        "charge": rng.choice([-1.0, 1.0], n),
    }
    steps = [np.sort(rng.uniform(30, 1000, rng.integers(least, 14))) for _ in range(n)]
    points = [helix(*(true[name][i] for name in true), s) for i, s in enumerate(steps)]
    return true, points, rng


def test_recovers_exact_helices():
    true, points, _ = random_helices(2000, 1)
    found = fit(points)
    assert found.ok.all()
    assert np.array_equal(found.charge, true["charge"])
    # Hits are rounded to float32, at most 1e-3 of their resolution; so is what is made of them.
    to_axis = np.abs((found.phi - true["phi"] + np.pi) % (2 * np.pi) - np.pi)
    assert (to_axis < 2e-3 * found.sigma_phi + 1e-6).all()
    for name in ("d0", "z0"):
        assert (np.abs(getattr(found, name) - true[name]) < 2e-3 * getattr(found, f"sigma_{name}")).all()
    assert (np.abs(found.pt - true["pt"]) < 2e-3 * found.sigma_pt).all()
    assert (np.abs(found.cot_theta - np.sinh(true["eta"])) < 2e-3 * found.sigma_cot_theta).all()
    assert found.eta == pytest.approx(np.arcsinh(found.cot_theta.astype(float)), rel=1e-6)
    assert (found.chi2 < 1e-4).all()
    assert np.array_equal(found.n_dof, [2 * p.shape[1] - 5 for p in points])


def test_recovers_long_tracks_tightly():
    s = np.linspace(30, 1000, 12)
    for charge in (-1, 1):
        found = fit([helix(2.0, 0.7, 0.4, 0.5, 10.0, charge, s)])
        assert found.pt[0] == pytest.approx(2.0, rel=3e-6)
        assert found.phi[0] == pytest.approx(0.7, abs=1e-6)
        assert found.eta[0] == pytest.approx(0.4, abs=1e-6)
        assert found.d0[0] == pytest.approx(0.5, abs=1e-4)
        assert found.z0[0] == pytest.approx(10.0, abs=1e-4)
        assert found.charge[0] == charge


def assert_least_squares(points, sigma, layer_x0):
    """Every track has the reference's fit, each of whose values holds float32's rounding, 6e-8, and what the dense
    matrices of the reference lose."""
    hits = as_hits(np.concatenate(points, axis=1))
    model = rf.TripletModel(default_resolution=sigma, layer_x0=layer_x0)
    found = rf.fit_tracks(as_tracks([p.shape[1] for p in points]), hits, model)
    assert found.ok.all()
    for i, p in enumerate(points):
        x, y, z = p.astype(np.float32).astype(np.float64)
        resolution = np.tile(np.float32(sigma).astype(np.float64), (len(x), 1))
        expected = reference.fit_track(x, y, z, resolution, 2.0, float(np.float32(layer_x0)))
        assert_equals_reference(found, i, expected)


def assert_equals_reference(found, i, expected):
    """See `assert_least_squares`."""
    assert set(expected) == set(FIELDS)
    for name, value in expected.items():
        got = float(getattr(found, name)[i])
        tolerance = 1e-6 * abs(value) + 1e-4 * expected.get("sigma_" + name, 0.0)
        # an angle of float32 cosine and sine; chi2 of residuals that are rounded to 1e-12 mm in the reference
        tolerance += {"phi": 3e-7, "chi2": 1e-6}.get(name, 0.0)
        assert abs(got - value) <= tolerance, (name, i, got, value)


@pytest.mark.parametrize("seed", range(3))
def test_equals_least_squares_with_cylinders_and_discs(seed):
    _, points, rng = random_helices(60, 200 + seed)
    points.append(helix(2.0, 0.3, 0.05, 0.0, 1.0, 1, np.linspace(30, 900, 9)))  # crosses no disc
    points = [p + rng.normal(0, 1, p.shape) * np.array([[0.05], [0.05], [0.1]]) for p in points]
    volume = rng.integers(1, 5, sum(p.shape[1] for p in points))
    hits = as_hits(np.concatenate(points, axis=1))
    hits = rf.Hits(hits.x, hits.y, hits.z, volume.astype(np.uint64) << np.uint64(56), hits.hit_id)
    model = rf.FitModel({1: (0.02, 0.2, 0.1), 2: (0.1, 0.05, 0.3)}, SIGMA, 1.9, {1: 0.01, 3: 0.1}, 0.04, (2, 3))
    found = rf.fit_tracks(as_tracks([p.shape[1] for p in points]), hits, model)
    assert found.ok.all()
    sigma, thickness, is_disc, field = model.arguments()
    for i, of_hits in enumerate(np.split(volume, np.cumsum([p.shape[1] for p in points])[:-1])):
        x, y, z = points[i].astype(np.float32).astype(np.float64)
        layers = thickness[of_hits].astype(np.float64), is_disc[of_hits]
        expected = reference.fit_track(x, y, z, sigma[of_hits].astype(np.float64), float(np.float32(field)), *layers)
        assert_equals_reference(found, i, expected)


def test_a_fit_model_of_a_triplet_model_gives_the_same_bits():
    _, points, _ = random_helices(20, 7)
    hits, tracks = as_hits(np.concatenate(points, axis=1)), as_tracks([p.shape[1] for p in points])
    model = rf.TripletModel({0: (0.02, 0.2, 0.1)}, field=1.5, layer_x0=0.02)
    one, two = (rf.fit_tracks(tracks, hits, m) for m in (model, rf.FitModel.from_triplet_model(model)))
    for name, column in one.columns().items():
        assert np.array_equal(column, two.columns()[name])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"layer_x0": {256: 0.1}}, "layer_x0: expected volumes"),
        ({"layer_x0": {1: 0.0}}, r"layer_x0\[1\]"),
        ({"default_layer_x0": float("nan")}, "default_layer_x0"),
        ({"field": -2.0}, "field"),
        ({"discs": (-1,)}, "discs: expected volumes"),
        ({"resolution": {1: (0.1, 0.1, float("inf"))}}, r"resolution\[1\]"),
    ],
)
def test_a_wrong_fit_model_is_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        rf.FitModel(**arguments)


@pytest.mark.parametrize("layer_x0", [1e-6, 0.03, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_equals_least_squares(seed, layer_x0):
    _, points, rng = random_helices(60, 100 + seed)
    points = [p + rng.normal(0, 1, p.shape) * np.array([[0.05], [0.05], [0.1]]) for p in points]
    assert_least_squares(points, SIGMA, layer_x0)


@pytest.mark.parametrize(
    ("path", "sigma", "layer_x0", "pt"),
    [
        (np.linspace(30, 10_000, 10), 0.03, 0.03, 60.0),
        (np.linspace(30, 10_000, 10), 0.03, 1e-4, 60.0),
        (np.linspace(15, 2000, 10), 0.003, 0.03, 60.0),
        (np.linspace(15, 2000, 10), 0.003, 1e-6, 60.0),
        (np.array([15.0, 1000, 2000]), 0.003, 0.03, 60.0),
        (np.array([15.0, 1000, 2000]), 0.003, 1e-6, 60.0),
        (np.array([30.0, 31, 32]), 0.05, 0.03, 1.0),
        (np.linspace(30, 32, 6), 0.05, 0.03, 1.0),
        (np.array([30, 30.5, 500, 500.5, 1000]), 0.01, 0.03, 5.0),
        (np.linspace(30, 1000, 12), 0.0005, 0.3, 0.5),
    ],
    ids=[
        "10m",
        "10m-thin",
        "2m-fine",
        "2m-fine-thin",
        "3-fine",
        "3-fine-thin",
        "3-in-2mm",
        "2mm",
        "pairs",
        "scattered",
    ],
)
def test_equals_least_squares_on_tracks_of_any_length(path, sigma, layer_x0, pt):
    # The state's variances span up to 16 orders of magnitude: no start put in by hand fits all of these.
    rng = np.random.default_rng(12)
    points = [
        helix(pt, rng.uniform(-3, 3), rng.uniform(-1, 1), rng.normal(0, 0.1), rng.normal(0, 10), q, path)
        + rng.normal(0, sigma, (3, len(path)))
        for q in rng.choice([-1.0, 1.0], 150)
    ]
    assert_least_squares(points, (sigma,) * 3, layer_x0)


def test_pulls_of_a_toy_detector_are_normal():
    # Scattering and resolution as the fit assumes them: then its errors must be right, and chi2 too.
    n, n_layers = 2000, 10
    rng = np.random.default_rng(7)
    model = rf.TripletModel(default_resolution=(0.02, 0.05, 1e-6), layer_x0=0.02)
    tracks, true_q = [], rng.choice([-1.0, 1.0], n)
    for i in range(n):
        tracks.append(scattered_track(rng, 1.0, true_q[i], n_layers, model))
    hits = as_hits(np.concatenate(tracks, axis=1))
    found = rf.fit_tracks(as_tracks([n_layers] * n), hits, model)
    pulls = {
        "q_over_pt": (found.q_over_pt - true_q / 1.0) / found.sigma_q_over_pt,
        "phi": (found.phi - 0.3) / found.sigma_phi,
        "d0": found.d0 / found.sigma_d0,
        "cot_theta": (found.cot_theta - 0.5) / found.sigma_cot_theta,
        "z0": found.z0 / found.sigma_z0,
    }
    for name, pull in pulls.items():
        # of 2,000 values: the mean within 5 of its deviations, the width within 5 of its own and 2 % of linearisation
        assert abs(pull.mean()) < 5 / n**0.5, name
        assert abs(pull.std() - 1) < 5 / (2 * n) ** 0.5 + 0.02, name
    assert found.chi2.mean() == pytest.approx(2 * n_layers - 5, rel=0.03)


def scattered_track(rng, pt, charge, n_layers, model):
    """Hits 40 mm of path apart; at each the direction is kinked and the hit smeared, both Gaussian."""
    phi, cot, k = 0.3, 0.5, -charge * GEV_PER_MM / pt
    x, y, z, step, out = 0.0, 0.0, 0.0, 40.0, []
    kink = 0.0136 / pt * (model.layer_x0 * np.hypot(1, cot)) ** 0.5
    for _ in range(n_layers):
        x += (np.sin(phi + k * step) - np.sin(phi)) / k
        y -= (np.cos(phi + k * step) - np.cos(phi)) / k
        z, phi = z + cot * step, phi + k * step
        side, along = rng.normal(0, model.default_resolution[:2])
        angle = np.arctan2(y, x)
        out.append((x - side * np.sin(angle), y + side * np.cos(angle), z + along))
        phi, cot = phi + rng.normal(0, kink), cot + rng.normal(0, kink * np.hypot(1, cot))
    return np.array(out).T


def test_straight_lines():
    found = fit([np.array([[10.0, 20, 30, 40], [0, 0, 0, 0], [1, 2, 3, 4]])])
    assert found.ok[0]
    assert np.isinf(found.pt[0])
    assert (found.q_over_pt[0], found.charge[0], found.phi[0], found.d0[0]) == (0, 0, 0, 0)
    assert found.z0[0] == pytest.approx(0, abs=1e-5)
    assert found.cot_theta[0] == pytest.approx(0.1, rel=1e-6)
    # Any direction, beside the axis: exact but for the rounding of the hits
    rng = np.random.default_rng(3)
    for phi in rng.uniform(-np.pi, np.pi, 50):
        s, d0 = np.linspace(-20, 900, 9), rng.normal(0, 3)
        x, y = s * np.cos(phi) - d0 * np.sin(phi), s * np.sin(phi) + d0 * np.cos(phi)
        found = fit([np.stack([x, y, 5 + 2 * s])])
        assert found.pt[0] > 1e3
        assert found.d0[0] == pytest.approx(d0, abs=1e-3)
        assert found.z0[0] == pytest.approx(5, abs=1e-3)


@pytest.mark.parametrize("charge", [-1, 1])
def test_directions_across_pi(charge):
    s = np.linspace(30, 1000, 12)
    for phi in (np.pi, np.nextafter(np.float32(np.pi), np.float32(0)), -3.14159, 3.14159, np.pi / 2, -np.pi / 2, 0.0):
        found = fit([helix(1.0, phi, 0.0, 0.0, 0.0, charge, s)])
        assert -np.float32(np.pi) <= found.phi[0] <= np.float32(np.pi)
        assert abs((found.phi[0] - phi + np.pi) % (2 * np.pi) - np.pi) < 1e-6
        assert found.charge[0] == charge


def test_loops_of_more_than_a_quarter_turn():
    # radius 100 mm, a third of a turn
    found = fit([helix(0.06, 0.2, 0.5, 0.1, 3.0, 1, np.linspace(20, 210, 9))], layer_x0=1e-6)
    assert found.pt[0] == pytest.approx(0.06, rel=1e-5)
    assert (found.phi[0], found.d0[0], found.z0[0]) == pytest.approx((0.2, 0.1, 3.0), abs=1e-4)


def test_statuses():
    good = helix(1.0, 0.1, 0.2, 0.0, 0.0, 1, np.linspace(30, 300, 5))
    spoilt = good.copy()
    spoilt[2, 3] = np.nan
    infinite = good.copy()
    infinite[0, 0] = np.inf
    same_spot = np.repeat(good[:, :1], 5, axis=1)
    two_spots = good[:, [0, 0, 1, 1, 0]]
    upright = np.stack([np.full(4, 30.0), np.full(4, 40.0), np.arange(4.0)])
    tracks = [good, good[:, :2], good[:, :1], spoilt, infinite, same_spot, two_spots, upright, good[:, :3], good]
    found = fit(tracks)
    words = [FIT_STATUSES[i] for i in found.status]
    few, bad, none = "too_few_hits", "not_finite", "degenerate"
    assert words == ["ok", few, few, bad, bad, none, none, none, "ok", "ok"]
    for name in FIELDS:
        values = getattr(found, name)
        assert np.array_equal(np.isfinite(values), found.ok), name
        assert values[0] == values[-1]  # what lies between does not matter
    assert np.array_equal(found.n_dof, [5, 0, 0, 0, 0, 0, 0, 0, 1, 5])
    assert not found.charge[~found.ok].any()
    assert "10 tracks, 3 fitted" in repr(found)


def test_tracks_without_hits_and_events_without_tracks():
    assert len(fit([])) == 0
    hits = as_hits(np.ones((3, 4)))
    found = rf.fit_tracks(as_tracks([0, 0]), hits)
    assert found.status.tolist() == [1, 1]


def test_a_hit_twice_counts_twice():
    p = helix(1.0, 0.1, 0.2, 0.0, 0.0, 1, np.linspace(30, 300, 6)) + np.random.default_rng(0).normal(0, 0.05, (3, 6))
    once, twice = fit([p]), fit([np.repeat(p, 2, axis=1)], layer_x0=1e-9)
    assert twice.ok[0]
    assert twice.n_dof[0] == 19
    alone = fit([p], layer_x0=1e-9)
    assert twice.sigma_d0[0] == pytest.approx(alone.sigma_d0[0] / 2**0.5, rel=1e-3)
    assert twice.d0[0] == pytest.approx(alone.d0[0], abs=1e-4)
    assert once.sigma_d0[0] > alone.sigma_d0[0]


def test_the_same_bits_for_any_threads_and_in_any_company():
    _, points, rng = random_helices(1500, 5)
    hits = as_hits(np.concatenate(points, axis=1) + rng.normal(0, 0.05, (3, sum(p.shape[1] for p in points))))
    tracks = as_tracks([p.shape[1] for p in points])
    before = rf.get_num_threads()
    results = []
    for threads in (1, 2, 8):
        rf.set_num_threads(threads)
        results.append(rf.fit_tracks(tracks, hits))
    rf.set_num_threads(before)
    alone = rf.fit_tracks(tracks.select([1234]), hits)
    for name in FIELDS:
        bits = [getattr(r, name).view(np.uint32) for r in results]
        assert np.array_equal(bits[0], bits[1])
        assert np.array_equal(bits[0], bits[2])
        assert getattr(alone, name).view(np.uint32)[0] == bits[0][1234]


def test_bits_that_any_machine_must_give():
    found = fit([helix(1.0, 0.1, 0.2, 0.5, 3.0, 1, np.linspace(30, 300, 6)).round(3)])
    golden = ["0x1.fffb780000000p-1", "0x1.00085a0000000p-1", "0x1.3425900000000p-3", "0x1.8c40460000000p-14"]
    assert [getattr(found, name)[0].item().hex() for name in ("pt", "d0", "sigma_z0", "chi2")] == golden


def test_errors_name_what_is_wrong():
    hits = as_hits(np.ones((3, 4)))
    with pytest.raises(TypeError, match=r"hits: expected rheinfall\.Hits"):
        rf.fit_tracks(as_tracks([4]), np.ones(4))
    with pytest.raises(ValueError, match="from 0 to 3, got 0 to 4"):
        rf.fit_tracks(as_tracks([3], [0, 1, 4]), hits)
    with pytest.raises(ValueError, match="offsets"):
        rf.fit_tracks(rf.Tracks(np.array([0, 5]), np.arange(4), np.zeros(4, np.int64)), hits)


def test_absurd_coordinates_have_a_status():
    rng = np.random.default_rng(11)
    for scale in (1e-30, 1e-12, 1e6, 1e15, 1e30, 3e38):
        found = fit([rng.normal(0, 1, (3, 6)).clip(-1, 1) * scale for _ in range(20)])
        for name in FIELDS[:10]:
            assert np.array_equal(np.isfinite(getattr(found, name)), found.ok), (scale, name)
