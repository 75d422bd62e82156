from __future__ import annotations

import itertools

import numpy as np
import pytest

from rheinfall.event import Event, decode_module_id
from rheinfall.simulation import build_detector, demo_detector, simulate
from rheinfall.simulation.detector import BarrelLayer, DiscLayer
from rheinfall.simulation.helix import (
    FIELD_TO_CURVATURE,
    Helices,
    arc_length_to_cylinder,
    arc_length_to_upright_plane,
)
from rheinfall.simulation.particles import draw_pt, survival


def one(**settings: object) -> Event:
    return next(simulate(1, **settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def full_event() -> Event:
    return one(pile_up=200, seed=7)


def points(event: Event) -> np.ndarray:
    return np.stack([event.hits.x, event.hits.y, event.hits.z], axis=1).astype(np.float64)


def columns(event: Event) -> tuple[np.ndarray, ...]:
    hits, truth = event.hits, event.truth
    assert truth is not None
    assert truth.particles is not None
    particles = (getattr(truth.particles, name) for name in truth.particles.__dataclass_fields__)
    return (hits.x, hits.y, hits.z, hits.module_id, hits.hit_id, truth.particle_id, truth.known, *particles)


def same(a: Event, b: Event) -> bool:
    return a.name == b.name and all(x.tobytes() == y.tobytes() for x, y in zip(columns(a), columns(b), strict=True))


def fitted_pt(x: np.ndarray, y: np.ndarray, field: float) -> float:
    """pT [GeV] of the circle through (x, y) [mm]: Kasa's fit, written independently of the generator's helices."""
    scale = np.hypot(x, y).max()
    u, v = x / scale, y / scale
    solution, *_ = np.linalg.lstsq(np.stack([u, v, np.ones_like(u)], axis=1), u**2 + v**2, rcond=None)
    radius = np.sqrt(solution[2] + (solution[0] ** 2 + solution[1] ** 2) / 4.0) * scale
    return float(0.299792458 * field * radius / 1000.0)


# Detector


def test_module_table_is_consistent() -> None:
    detector = demo_detector()
    m = detector.modules
    assert len(np.unique(m.module_id)) == len(m)
    assert 1000 < len(m) < 5000
    volume, layer, module = decode_module_id(m.module_id)
    assert np.array_equal(volume, m.volume)
    assert np.array_equal(layer, m.layer)
    assert module.min() == 1
    frames = np.stack([m.u, m.v, m.normal], axis=1)
    np.testing.assert_allclose(frames @ frames.transpose(0, 2, 1), np.broadcast_to(np.eye(3), frames.shape), atol=1e-12)
    assert {(v, y) for v, y in zip(volume, layer, strict=True)} == {
        *((2, i) for i in range(1, 9)),
        *((v, i) for v in (1, 3) for i in range(1, 7)),
    }


def test_end_caps_mirror_each_other() -> None:
    m = demo_detector().modules
    plus, minus = m.centre[m.volume == 3], m.centre[m.volume == 1]
    np.testing.assert_array_equal(plus * [1, 1, -1], minus)


def test_modules_of_one_layer_cover_it_without_gaps() -> None:
    """Straight radial lines through the middle barrel layers, where stagger plays no role, always meet a module."""
    detector = demo_detector()
    rng = np.random.default_rng(0)
    m = detector.modules
    for number, layer in enumerate(detector.barrel, 1):
        phi = rng.uniform(-np.pi, np.pi, 2000)
        z = rng.uniform(-layer.half_length, layer.half_length, 2000)
        rows = np.flatnonzero((m.volume == 2) & (m.layer == number))
        # Distance of the plane along the ray, then local coordinates: every ray against every module.
        direction = np.stack([np.cos(phi), np.sin(phi)], axis=1)
        cos = direction @ m.normal[rows, :2].T
        radius = np.hypot(*m.centre[rows, :2].T)
        u = radius * np.where(cos > 0, direction @ m.u[rows, :2].T / np.where(cos > 0, cos, 1.0), np.inf)
        v = z[:, None] - m.centre[rows, 2]
        n_modules = np.sum((np.abs(u) <= m.half_u_max[rows]) & (np.abs(v) <= m.half_v[rows]), axis=1)
        assert n_modules.min() >= 1
        assert 0.01 < np.mean(n_modules > 1) < 0.2


def test_detector_refuses_what_it_cannot_tile() -> None:
    layer = BarrelLayer(radius=30.0, half_length=100.0, n_phi=13, n_rows=2, pitch_u=0.05, pitch_v=0.1, x0=0.01)
    disc = DiscLayer(z=90.0, edges=(30.0, 60.0), n_phi=(8,), pitch_u=(0.05,), pitch_v=(0.1,), x0=0.01)
    with pytest.raises(ValueError, match=r"n_phi: expected an even number.*got 13"):
        build_detector((layer,), ())
    with pytest.raises(ValueError, match=r"discs: expected every disc beyond the barrel's end at 105.*got z = 90"):
        build_detector((BarrelLayer(**{**vars(layer), "n_phi": 12}),), (disc,))


def test_rows_of_inverts_module_id_and_names_the_unknown() -> None:
    m = demo_detector().modules
    rows = np.array([5, 0, len(m) - 1, 5])
    np.testing.assert_array_equal(m.rows_of(m.module_id[rows]), rows)
    with pytest.raises(ValueError, match="module_id: 3 at index 1"):
        m.rows_of(np.array([m.module_id[0], 3], dtype=np.uint64))


# Helices


def random_helices(n: int, seed: int) -> Helices:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-15, 15, (2, n))
    pt = np.exp(rng.uniform(np.log(0.05), np.log(1e4), n))
    phi, cot, charge = rng.uniform(-np.pi, np.pi, n), rng.normal(0, 2, n), rng.choice([-1.0, 1.0], n)
    return Helices(xy[0], xy[1], rng.normal(0, 50, n), phi, cot, pt, charge, np.zeros(n))


def test_helix_positions_solve_the_equation_of_motion() -> None:
    """Against small steps of the Lorentz force (midpoint rule)."""
    h, field, length, n_steps = random_helices(50, 1), 2.0, 300.0, 20_000
    x, y, phi = h.x.copy(), h.y.copy(), h.phi.copy()
    step = length / n_steps
    for _ in range(n_steps):
        middle = phi - 0.5 * step * FIELD_TO_CURVATURE * field * h.charge / h.pt
        x, y = x + step * np.cos(middle), y + step * np.sin(middle)
        phi = phi - step * FIELD_TO_CURVATURE * field * h.charge / h.pt
    end = h.positions(np.full(50, length), field)
    np.testing.assert_allclose(end, np.stack([x, y, h.z + h.cot * length], axis=1), atol=1e-5)


@pytest.mark.parametrize("radius", [30.0, 260.0, 680.0])
def test_cylinder_crossing_lies_on_it_and_is_the_first(radius: float) -> None:
    h, field = random_helices(3000, 2), 2.0
    s = arc_length_to_cylinder(h, radius, field)
    end = h.positions(np.where(np.isfinite(s), s, 0.0), field)
    reached = np.isfinite(s)
    np.testing.assert_allclose(np.hypot(end[reached, 0], end[reached, 1]), radius, atol=1e-7)
    half_turn = np.pi / np.abs(h.omega(field))
    for fraction in np.linspace(0.0, 0.999, 40):
        before = h.positions(fraction * np.where(reached, s, half_turn), field)
        assert np.all(np.hypot(before[:, 0], before[:, 1]) < radius)
    assert 0.1 < reached.mean() <= 1.0


def test_plane_crossing_lies_on_it() -> None:
    h, field = random_helices(3000, 3), 2.0
    azimuth = h.phi + np.random.default_rng(4).uniform(-1.0, 1.0, 3000)
    s = arc_length_to_upright_plane(h, azimuth, np.full(3000, 100.0), field)
    reached = np.isfinite(s)
    assert 0.5 < reached.mean() < 1.0
    end = h.positions(np.where(reached, s, 0.0), field)
    distance = end[:, 0] * np.cos(azimuth) + end[:, 1] * np.sin(azimuth)
    np.testing.assert_allclose(distance[reached], 100.0, atol=1e-7)


# Events


def test_hits_lie_on_their_modules(full_event: Event) -> None:
    m = demo_detector().modules
    rows = m.rows_of(full_event.hits.module_id)
    u, v, w = m.to_local(rows, points(full_event))
    # float32 coordinates of up to 1550 mm are rounded by up to 6e-5 mm.
    assert np.abs(w).max() < 2e-4
    assert np.all(np.abs(v) <= m.half_v[rows] + 2e-4)
    assert np.all(np.abs(u) <= m.half_width(rows, v) + 2e-4)


def test_truth_is_exact(full_event: Event) -> None:
    truth = full_event.truth
    assert truth is not None
    assert truth.particles is not None
    assert truth.known.all()
    listed = truth.particles.particle_id
    assert len(np.unique(listed)) == len(listed)
    assert 0 not in listed
    assert np.isin(truth.particle_id[truth.particle_id != 0], listed).all()
    assert np.array_equal(full_event.hits.hit_id, np.arange(1, len(full_event.hits) + 1))
    assert np.all(np.diff(full_event.hits.module_id.astype(np.int64)) >= 0)


def test_hits_follow_the_true_helix() -> None:
    """Without material, each hit is on the circle of its particle's true momentum and vertex, within the pitch."""
    event = one(pile_up=20, seed=3, scattering=False, energy_loss=False, noise_fraction=0.0)
    assert event.truth is not None
    assert event.truth.particles is not None
    p, m = event.truth.particles, demo_detector().modules
    i = event.truth.particle_id.astype(np.int64) - 1
    curvature = -p.charge[i] * FIELD_TO_CURVATURE * 2.0 / p.pt[i].astype(np.float64)
    centre = np.stack([p.vx[i] - np.sin(p.phi[i]) / curvature, p.vy[i] + np.cos(p.phi[i]) / curvature], axis=1)
    xyz = points(event)
    miss = np.hypot(*(xyz[:, :2] - centre).T) - 1.0 / np.abs(curvature)
    barrel = (m.volume == 2)[m.rows_of(event.hits.module_id)]
    sigma = m.pitch_u[m.rows_of(event.hits.module_id)] / np.sqrt(12)
    # A hit moves along the sensor; across the track it moves less. float32 momenta blur stiff tracks' circles.
    soft = barrel & (p.pt[i] < 5.0)
    assert soft.sum() > 3000
    assert np.abs(miss[soft] / sigma[soft]).max() < 6.0
    assert 0.8 < np.std(miss[soft] / sigma[soft]) < 1.05


def test_fitted_circle_gives_pt() -> None:
    event = one(signal=300, signal_pt=(5.0, 20.0), max_eta=1.0, seed=5, noise_fraction=0.0)
    assert event.truth is not None
    assert event.truth.particles is not None
    p, ratios = event.truth.particles, []
    for particle in range(300):
        mine = event.truth.particle_id == particle + 1
        if mine.sum() >= 7:
            ratios.append(fitted_pt(event.hits.x[mine], event.hits.y[mine], 2.0) / p.pt[particle])
    assert len(ratios) > 250
    # Scattering in 12 % X0 over 0.68 m of 2 T and 20 um strips: 2 % at 5 GeV, more at 20 GeV.
    assert abs(np.median(ratios) - 1.0) < 0.005
    assert np.percentile(np.abs(np.array(ratios) - 1.0), 68) < 0.03


def test_scattering_widens_tracks_as_highland_says() -> None:
    """Bend angle kicks of one layer: the first hit predicts the second only within theta0 times the lever arm."""
    quiet, loud = (
        one(
            signal=4000,
            signal_pt=(1.0, 1.001),
            max_eta=0.3,
            seed=9,
            scattering=s,
            energy_loss=False,
            noise_fraction=0.0,
        )
        for s in (False, True)
    )

    def spread(event: Event) -> float:
        assert event.truth is not None
        layer = demo_detector().modules.layer[demo_detector().modules.rows_of(event.hits.module_id)]
        phi = np.arctan2(event.hits.y, event.hits.x).astype(np.float64)
        kinks = []
        for particle in range(1, 4001):
            mine = event.truth.particle_id == particle
            first, second = (phi[mine & (layer == n)] for n in (1, 2))
            if len(first) == 1 and len(second) == 1:
                kinks.append((second[0] - first[0] + np.pi) % (2 * np.pi) - np.pi)
        # Both charges: fold them on one another.
        return float(np.std(np.abs(kinks)))

    # theta0 = 13.6 MeV / (0.99 * 1 GeV) * sqrt(0.015) * (1 + 0.038 ln 0.015) = 1.41 mrad; the kick at 32 mm moves
    # phi at 72 mm by (40 / 72) of it.
    measured = np.sqrt(spread(loud) ** 2 - spread(quiet) ** 2)
    assert measured == pytest.approx(1.41e-3 * 40.0 / 72.0, rel=0.1)


def test_same_seed_same_bits_and_other_seed_other_event() -> None:
    a, b, other = (list(simulate(2, pile_up=5, seed=s)) for s in (11, 11, 12))
    assert all(same(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a[0].hits.x, other[0].hits.x)
    assert not np.array_equal(a[0].hits.x, a[1].hits.x)


def test_event_does_not_depend_on_the_sample_around_it() -> None:
    long = list(simulate(4, pile_up=3, seed=2))
    assert [e.name for e in long] == [f"event{i:09d}" for i in range(4)]
    assert same(long[2], next(itertools.islice(simulate(3, pile_up=3, seed=2), 2, None)))
    assert same(long[2], one(pile_up=3, seed=2, first_event=2))


def within(count: int, n: int, probability: float) -> bool:
    return abs(count - n * probability) < 5.0 * np.sqrt(n * probability * (1.0 - probability))


def test_inefficiency_and_noise_have_the_asked_rates() -> None:
    event = one(pile_up=100, seed=4, inefficiency=0.0, noise_fraction=0.1)
    assert event.truth is not None
    n_noise = int(np.sum(event.truth.particle_id == 0))
    assert within(n_noise, len(event.hits), 0.1)
    # The same random numbers carry the same particles through the detector: only the loss differs.
    full = one(pile_up=100, seed=4, inefficiency=0.0, noise_fraction=0.0)
    lossy = one(pile_up=100, seed=4, inefficiency=0.07, noise_fraction=0.0)
    assert within(len(full.hits) - len(lossy.hits), len(full.hits), 0.07)
    assert len(one(pile_up=1, inefficiency=1.0).hits) == 0


def test_noise_is_uniform_over_the_modules() -> None:
    event = one(pile_up=200, seed=6, noise_fraction=0.5)
    assert event.truth is not None
    m = demo_detector().modules
    noise = event.truth.particle_id == 0
    rows = m.rows_of(event.hits.module_id[noise])
    expected = noise.sum() * m.area / m.area.sum()
    chi2 = np.sum((np.bincount(rows, minlength=len(m)) - expected) ** 2 / expected)
    assert abs(chi2 - len(m)) < 6.0 * np.sqrt(2.0 * len(m))
    _, v, _ = m.to_local(rows, points(event)[noise])
    ratio = m.half_u_min[rows] / m.half_u_max[rows]
    # Mean of v / half_v over a trapezoid is (1 - ratio) / (3 (1 + ratio)).
    pull = v / m.half_v[rows] - (1.0 - ratio) / (3.0 * (1.0 + ratio))
    assert abs(pull.mean()) < 5.0 * pull.std() / np.sqrt(len(pull))


def test_two_hundred_interactions_make_a_full_event(full_event: Event) -> None:
    assert 80_000 < len(full_event.hits) < 130_000


def test_tracks_in_overlaps_hit_neighbouring_modules(full_event: Event) -> None:
    assert full_event.truth is not None
    m = demo_detector().modules
    signal = full_event.truth.particle_id != 0
    rows = m.rows_of(full_event.hits.module_id[signal])
    key = np.stack([full_event.truth.particle_id[signal].astype(np.int64), m.volume[rows], m.layer[rows]])
    _, inverse, count = np.unique(key, axis=1, return_inverse=True, return_counts=True)
    assert 0.03 < np.mean(count[np.ravel(inverse)] > 1) < 0.20
    assert count.max() <= 4
    pair = np.stack([key[0], rows])
    assert np.unique(pair, axis=1).shape == pair.shape  # never two hits on one module


def test_stiff_tracks_cross_enough_layers_everywhere(full_event: Event) -> None:
    event = one(signal=3000, signal_pt=(2.0, 10.0), seed=8, inefficiency=0.0, noise_fraction=0.0, vertex_sigma_z=0.0)
    assert event.truth is not None
    m = demo_detector().modules
    rows = m.rows_of(event.hits.module_id)
    key = np.stack([event.truth.particle_id.astype(np.int64), m.volume[rows] * 16 + m.layer[rows]])
    n_layers = np.bincount(np.unique(key, axis=1)[0], minlength=3001)[1:3001]
    assert np.mean(n_layers >= 7) > 0.97


def test_no_pile_up_is_the_hard_interaction_alone() -> None:
    event = one(pile_up=0, seed=1, displaced_rate=0.0)
    assert event.truth is not None
    p = event.truth.particles
    assert p is not None
    assert p.primary.all()
    assert len(np.unique(np.stack([p.vx, p.vy, p.vz]), axis=1).T) == 1
    assert np.sum(p.pt > 1.0) >= 10
    assert np.all(p.pt[:10] > 0.999)


def test_decays_are_displaced_and_conserve_the_kaon() -> None:
    event = one(pile_up=100, seed=1, displaced_rate=0.2, min_pt=0.05)
    assert event.truth is not None
    p = event.truth.particles
    assert p is not None
    late = ~p.primary
    assert 0.05 < late.mean() < 0.4
    assert np.median(p.radius[late]) > 10.0
    assert np.all(p.radius[~late] < 0.1)
    # Pions from one point have the mass of a K0S.
    _, inverse, count = np.unique(
        np.stack([p.vx, p.vy, p.vz])[:, late], axis=1, return_inverse=True, return_counts=True
    )
    inverse = np.ravel(inverse)
    momenta = np.stack([p.px, p.py, p.pz])[:, late].astype(np.float64)
    total, energy = np.zeros((3, len(count))), np.zeros(len(count))
    for axis in range(3):
        np.add.at(total[axis], inverse, momenta[axis])
    np.add.at(energy, inverse, np.sqrt(np.sum(momenta**2, axis=0) + 0.13957039**2))
    pairs = count == 2
    assert pairs.sum() > 100
    mass = np.sqrt(energy**2 - np.sum(total**2, axis=0))[pairs]
    np.testing.assert_allclose(mass, 0.497611, atol=1e-4)


def test_spectrum_is_the_one_described() -> None:
    pt = np.sort(draw_pt(np.random.default_rng(0), 100_000, 0.15))
    assert pt[0] >= 0.15
    above = survival(pt) / survival(np.array(0.15))
    kolmogorov = np.abs(above - (1.0 - np.arange(len(pt)) / len(pt))).max()
    assert kolmogorov < 2.0 / np.sqrt(len(pt))


def test_beam_spot_moves_the_vertices() -> None:
    event = one(pile_up=200, seed=1, beam_spot=(1.0, -2.0, 30.0), displaced_rate=0.0)
    assert event.truth is not None
    p = event.truth.particles
    assert p is not None
    assert np.abs(p.vx - 1.0).max() < 0.1
    assert np.abs(p.vy + 2.0).max() < 0.1
    z = np.unique(p.vz)
    assert z.mean() == pytest.approx(30.0, abs=5 * 55 / np.sqrt(len(z)))
    assert 45.0 < z.std() < 65.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_events": -1}, "n_events: expected a number >= 0, got -1"),
        ({"seed": -1}, "seed: expected a number >= 0, got -1"),
        ({"pile_up": -2}, "pile_up: expected a number >= 0, got -2"),
        ({"min_pt": 0.0}, "min_pt: expected 0.05 GeV <= min_pt"),
        ({"noise_fraction": 1.0}, r"noise_fraction: expected a fraction in \[0, 1\), got 1.0"),
        ({"inefficiency": float("nan")}, "inefficiency: expected a probability in"),
        ({"signal_pt": (2.0, 1.0)}, "signal_pt: expected 0.05 GeV <= low < high"),
    ],
)
def test_settings_out_of_range_are_refused_at_the_call(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(**{"n_events": 1, **settings})  # type: ignore[arg-type]
