"""Fatras events: geometry, numbering, physics of the gun, field, reproducibility."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from rheinfall.event import decode_module_id
from rheinfall.simulation.fatras import fatras
from rheinfall.simulation.fatras_detector import Modules, read_modules
from rheinfall.simulation.fatras_engine import FatrasEngine
from rheinfall.simulation.fatras_field import CENTRE_FIELD, COIL_LENGTH, COIL_RADIUS, make_field, solenoid_field
from rheinfall.simulation.fatras_particles import K0S, LAMBDA, MASS, PION, PROTON, Gun, decay_in_two, draw_flight

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
DETECTORS = SHARED / "data" / "trackml" / "detectors.csv.gz"
BARREL = (8, 13, 17)

# The file gives centres and rotations to 6 digits, so a position at 1 m is off by up to 5 µm and a module's corner by
# a little more; a hit on a wrongly matched module would be millimetres away.
GEOMETRY_TOLERANCE = 0.01


@pytest.fixture(scope="module")
def acts():
    return pytest.importorskip("acts", reason="no pyacts: pip install rheinfall[acts]")


@pytest.fixture(scope="module")
def modules() -> Modules:
    if not DETECTORS.exists():
        pytest.skip(f"{DETECTORS} is missing")
    return read_modules(DETECTORS)


@pytest.fixture(scope="module")
def sharp(acts, modules):
    return simulate(smearing="none", n_particles=1000, seed=3)[0]


@pytest.fixture(scope="module")
def smeared(acts, modules):
    return simulate(smearing="pitch", n_particles=1000, seed=3)[0]


def simulate(n_events=1, **options):
    options = {"n_particles": 200, "pt_range": (1.0, 20.0), **options}
    return list(fatras(n_events, detectors=DETECTORS, **options))


def get_local_positions(event, modules):
    row = modules.find(event.hits.module_id)
    position = np.column_stack([event.hits.x, event.hits.y, event.hits.z]).astype(np.float64)
    return row, modules.to_local(row, position)


@pytest.mark.parametrize("kind", ["sharp", "smeared"])
def test_hits_lie_on_their_modules(kind, modules, request):
    event = request.getfixturevalue(kind)
    row, local = get_local_positions(event, modules)
    assert np.abs(local[:, 2]).max() < GEOMETRY_TOLERANCE
    assert (np.abs(local[:, 1]) - modules.half_v[row]).max() < GEOMETRY_TOLERANCE
    assert (np.abs(local[:, 0]) - modules.half_u(row, local[:, 1])).max() < GEOMETRY_TOLERANCE
    volume, _, _ = decode_module_id(event.hits.module_id)
    assert set(np.unique(volume)) == {7, 8, 9, 12, 13, 14, 16, 17, 18}


def test_truth_and_hits_per_particle(sharp):
    counts = np.bincount(sharp.truth.particle_id.astype(np.int64), minlength=1001)
    assert counts[0] == 0
    assert 11.8 < counts[1:].mean() < 12.8  # 12.3 for flat pT of 0.5-20 GeV and |eta| < 3
    assert sharp.truth.known.all()
    assert np.array_equal(sharp.truth.particles.particle_id, np.arange(1, 1001))
    assert sharp.truth.particles.primary.all()
    assert set(np.unique(sharp.truth.particles.charge)) == {-1.0, 1.0}
    assert np.array_equal(sharp.hits.hit_id, np.arange(1, len(sharp.hits) + 1))
    assert (np.diff(sharp.hits.module_id.astype(np.int64)) >= 0).all()


def test_hits_follow_their_particle(sharp):
    # Innermost barrel layer, r of 3 cm: a helix of 1 GeV or more has turned by less than 0.01 rad there, and scattered
    # by milliradians in the beam pipe.
    volume, layer, _ = decode_module_id(sharp.hits.module_id)
    first = (volume == 8) & (layer == 2)
    particles, index = sharp.truth.particles, sharp.truth.particle_id[first].astype(np.int64) - 1
    turned = np.arctan2(sharp.hits.y[first], sharp.hits.x[first]) - particles.phi[index]
    turned = (turned + np.pi) % (2 * np.pi) - np.pi
    assert first.sum() > 500
    assert np.abs(turned).max() < 0.03
    # A positive charge in a field along +z turns clockwise.
    assert np.mean(np.sign(turned) == -particles.charge[index]) > 0.8


def test_smearing_is_uniform_over_a_cell(modules):
    rng = np.random.default_rng(1)
    row = rng.integers(0, len(modules), 200_000)
    position = modules.draw_points(rng, row)
    shift = modules.to_local(row, modules.smear(rng, row, position)) - modules.to_local(row, position)
    relative = shift[:, :2] / modules.pitch[row]
    # Reflection at an edge keeps a shift within a cell, to the 6 digits of the file's rotations.
    assert np.abs(relative[:, 1]).max() <= 0.5 + 1e-3
    assert np.abs(shift[:, 2]).max() < GEOMETRY_TOLERANCE
    assert relative[:, 1].mean() == pytest.approx(0.0, abs=0.005)
    assert relative[:, 0].std() == pytest.approx(12**-0.5, rel=0.02)
    assert relative[:, 1].std() == pytest.approx(12**-0.5, rel=0.05)  # long strips have 10 cells: reflections show


def test_points_are_uniform_over_a_trapezoid():
    one = np.ones(1)
    modules = Modules(
        np.array([256], np.uint64), np.zeros((1, 3)), np.eye(3)[None], one, 3 * one, 2 * one, one[:, None]
    )
    n = 100_000
    local = modules.draw_points(np.random.default_rng(0), np.zeros(n, dtype=np.int64))
    assert modules.area[0] == 16.0
    u, v = local[:, 0], local[:, 1]
    assert (np.abs(u) <= 2 + v / 2 + 1e-12).all()
    sigma = 0.5 / np.sqrt(n)
    assert np.mean(v < 0) == pytest.approx(6 / 16, abs=5 * sigma)  # half widths 1 to 2 below v = 0, 2 to 3 above
    assert np.mean(np.abs(u) < 1) == pytest.approx(8 / 16, abs=5 * sigma)


def test_barrel_numbers_are_the_same_and_endcaps_match_one_to_one(acts, modules):
    surface, centre = FatrasEngine("constant").list_surfaces()
    matched = modules.match_centres(surface, centre)
    assert len(surface) == len(modules) == 18728
    assert len(np.unique(matched)) == len(modules)
    volume, _, _ = decode_module_id(surface)
    barrel = np.isin(volume, BARREL)
    assert np.array_equal(matched[barrel], surface[barrel])
    assert (matched[~barrel] != surface[~barrel]).any()
    assert np.linalg.norm(modules.centre[modules.find(matched)] - centre, axis=1).max() < 0.005


def test_same_seed_same_events_and_each_event_on_its_own(acts, modules):
    options = {"seed": 5, "noise_fraction": 0.1, "displaced_fraction": 0.2}
    three, alone = simulate(3, **options), simulate(1, first_event=2, **options)[0]
    for name in ("x", "y", "z", "module_id", "hit_id"):
        assert getattr(three[2].hits, name).tobytes() == getattr(alone.hits, name).tobytes()
    assert np.array_equal(three[2].truth.particle_id, alone.truth.particle_id)
    assert np.array_equal(three[2].truth.particles.px, alone.truth.particles.px)
    assert three[2].name == alone.name != three[1].name
    other = simulate(1, **{**options, "seed": 6})[0]
    for event in (three[1], other):
        assert not np.array_equal(three[0].truth.particles.px, event.truth.particles.px)


def test_seed_reaches_fatras(acts, modules):
    gun = Gun(100, (1.0, 2.0), "flat", 2.0, 0.0, 0.0, "pions", 0.0, 300.0)
    particles = gun.shoot(np.random.default_rng(0))
    engine = FatrasEngine("constant")
    first, again, other = (engine.simulate(particles, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_displaced_particles(acts, modules):
    event = simulate(displaced_fraction=0.5, field="solenoid", n_particles=400)[0]
    particles = event.truth.particles
    displaced = ~particles.primary
    assert displaced.sum() == 200
    assert (particles.radius[displaced] > 0.1).mean() > 0.9
    assert particles.radius[displaced].max() < 301
    assert particles.radius[~displaced].max() < 0.1
    assert particles.charge[displaced].sum() == 0
    # Daughters fly outward from their vertex, save for the rare one emitted backwards.
    radius = np.hypot(event.hits.x, event.hits.y)
    vertex = particles.radius[event.truth.particle_id.astype(np.int64) - 1]
    assert (radius > vertex - 1.0).mean() > 0.99


@pytest.mark.parametrize("parent, masses", [(K0S, (PION, PION)), (LAMBDA, (PROTON, PION))])
def test_decays_conserve_energy(parent, masses):
    rng = np.random.default_rng(2)
    momentum = rng.normal(size=(1000, 3)) * 3
    mass = np.full(1000, parent[1])
    m = np.tile([MASS[number] for number in masses], (1000, 1))
    first = decay_in_two(rng, momentum, mass, m)
    second = momentum - first
    energy = np.sqrt((first**2).sum(1) + m[:, 0] ** 2) + np.sqrt((second**2).sum(1) + m[:, 1] ** 2)
    assert np.allclose(energy, np.sqrt((momentum**2).sum(1) + mass**2), rtol=1e-12)


def test_flights_are_exponential_up_to_the_cut():
    rng = np.random.default_rng(4)
    n = 200_000
    momentum = np.tile([1.0, 0.0, 0.0], (n, 1))
    flight = draw_flight(rng, momentum, np.full(n, 0.5), np.full(n, 20.0), 60.0)  # mean 40 mm
    length = np.linalg.norm(flight, axis=1)
    assert length.max() <= 60.0
    expected = 40.0 - 60.0 * np.exp(-1.5) / -np.expm1(-1.5)  # mean of the truncated exponential
    assert length.mean() == pytest.approx(expected, abs=5 * 18 / np.sqrt(n))


def test_secondaries():
    gun = Gun(10_000, (1.0, 10.0), "log_uniform", 3.0, 0.01, 55.0, "pions", 0.2, 250.0, 0.3)
    particles = gun.shoot(np.random.default_rng(0))
    radius = np.hypot(particles.vertex[:, 0], particles.vertex[:, 1])
    assert len(particles) == 10_000
    assert (~particles.primary).sum() == 5000
    assert radius[particles.primary].max() < 0.1
    secondary = np.arange(7000, 10_000)
    assert radius[secondary].max() < 250.1
    assert (radius[secondary] > 19.9).mean() > 0.9  # the rest stopped at the limit in z
    # They leave their parent's line, which comes from the beam, at angles that decays seldom reach.
    flight, momentum = particles.vertex[secondary, :2], particles.momentum[secondary, :2]
    cosine = np.sum(flight * momentum, axis=1) / (radius[secondary] * np.hypot(*momentum.T))
    assert 0.1 < np.mean(cosine < np.cos(0.3)) < 0.6


def test_log_uniform_spectrum():
    gun = Gun(50_000, (0.5, 10.0), "log_uniform", 4.0, 0.0, 100.0, "mixed", 0.0, 300.0)
    particles = gun.shoot(np.random.default_rng(0))
    pt = np.hypot(particles.momentum[:, 0], particles.momentum[:, 1])
    assert pt.min() >= 0.5
    assert pt.max() <= 10.0
    assert np.mean(pt < np.sqrt(0.5 * 10.0)) == pytest.approx(0.5, abs=2.5 / np.sqrt(len(pt)))
    assert particles.vertex[:, 2].std() == pytest.approx(100.0, rel=0.02)
    assert (particles.charge[particles.pdg == 11] == -1).all()
    assert (particles.charge[particles.pdg == -211] == -1).all()
    assert set(np.abs(particles.pdg)) == {211, 321, 2212, 11, 13}


def test_noise(acts, modules):
    clean, noisy = (simulate(noise_fraction=f, n_particles=500)[0] for f in (0.0, 0.2))
    noise = noisy.truth.particle_id == 0
    assert noise.sum() == round(0.2 * len(clean.hits))
    assert len(noisy.hits) - noise.sum() == len(clean.hits)
    assert noisy.truth.known.all()
    row, local = get_local_positions(noisy, modules)
    assert (np.abs(local[:, 0]) - modules.half_u(row, local[:, 1])).max() < GEOMETRY_TOLERANCE
    pixels = np.isin(decode_module_id(noisy.hits.module_id)[0], (7, 8, 9))
    assert pixels[noise].mean() == pytest.approx(pixels[~noise].mean(), abs=0.08)  # 5 standard deviations


def test_solenoid_on_the_axis():
    z = np.array([0.0, 500.0, 1500.0, 3000.0])
    radial, axial = solenoid_field(np.zeros(4), z)

    def closed_form(height):  # any textbook: the axis of a finite solenoid
        low, high = height - COIL_LENGTH / 2, height + COIL_LENGTH / 2
        return high / np.hypot(high, COIL_RADIUS) - low / np.hypot(low, COIL_RADIUS)

    assert np.allclose(radial, 0.0, atol=1e-14)
    assert np.allclose(axial, CENTRE_FIELD * closed_form(z) / closed_form(0.0), rtol=1e-12)
    assert 1.8 <= axial[2] <= 1.9


def test_solenoid_obeys_maxwell():
    rng = np.random.default_rng(0)
    r, z, h = rng.uniform(50, 1050, 50), rng.uniform(-3000, 3000, 50), 0.5
    up, down, fore, aft = (solenoid_field(*at) for at in ((r + h, z), (r - h, z), (r, z + h), (r, z - h)))
    divergence = ((r + h) * up[0] - (r - h) * down[0]) / (2 * h * r) + (fore[1] - aft[1]) / (2 * h)
    curl = (fore[0] - aft[0]) / (2 * h) - (up[1] - down[1]) / (2 * h)
    # Gradients are about 1e-3 T/mm near the coil's ends; central differences err by h² times a third derivative, there
    # of 1e-8 T/mm³.
    assert np.abs(divergence).max() < 2e-8
    assert np.abs(curl).max() < 2e-8


def test_map_in_acts_returns_the_formula(acts):
    field = make_field(acts, "solenoid")
    cache = field.makeCache(acts.MagneticFieldContext())
    rng = np.random.default_rng(1)
    radius, phi, z = rng.uniform(0, 1028, 100), rng.uniform(-np.pi, np.pi, 100), rng.uniform(-3000, 3000, 100)
    radius[0], z[0] = 50.0, -1500.0  # where ACTS' own solenoid went wrong
    radial, axial = solenoid_field(radius, z)
    for i in range(len(z)):
        at = acts.Vector3(radius[i] * np.cos(phi[i]), radius[i] * np.sin(phi[i]), z[i])
        got = np.array(list(field.getField(at, cache))) / acts.UnitConstants.T
        want = (radial[i] * np.cos(phi[i]), radial[i] * np.sin(phi[i]), axial[i])
        assert np.allclose(got, want, rtol=0, atol=1e-3)  # linear interpolation, worst near the coil's ends


def test_constant_field_in_acts(acts):
    field = make_field(acts, "constant")
    got = field.getField(acts.Vector3(100.0, 0.0, 2000.0), field.makeCache(acts.MagneticFieldContext()))
    assert np.allclose(np.array(list(got)) / acts.UnitConstants.T, (0.0, 0.0, 2.0))


@pytest.mark.parametrize(
    "option, value",
    [
        ("pt_range", (2.0, 1.0)),
        ("spectrum", "gauss"),
        ("species", "quarks"),
        ("field", "toroid"),
        ("smearing", "gauss"),
        ("displaced_fraction", 1.5),
        ("secondary_fraction", float("nan")),
        ("noise_fraction", -0.1),
        ("vertex_sigma_z", float("nan")),
        ("seed", -1),
        ("n_particles", -1),
    ],
)
def test_bad_options_name_themselves(acts, modules, option, value):
    with pytest.raises(ValueError, match=f"^{option}: expected"):
        fatras(1, detectors=DETECTORS, **{option: value})


def test_missing_pyacts_is_one_clear_error(modules, monkeypatch):
    monkeypatch.setitem(sys.modules, "acts", None)
    with pytest.raises(ImportError, match=r"needs pyacts: pip install rheinfall\[acts\]"):
        fatras(1, detectors=DETECTORS)


def test_no_particles(acts, modules):
    event = simulate(n_particles=0)[0]
    assert len(event.hits) == 0
    assert len(event.truth.particles) == 0


def test_bad_detectors_files(acts, modules, tmp_path):
    text = gzip.decompress(DETECTORS.read_bytes()).decode().splitlines()
    path = tmp_path / "detectors.csv"
    path.write_text("\n".join([text[0].replace("pitch_u", "pitch"), *text[1:]]))
    with pytest.raises(ValueError, match=r"detectors.csv: line 1: column 'pitch_u' is missing"):
        read_modules(path)
    path.write_text("\n".join(text[:100]))
    with pytest.raises(ValueError, match=r"detectors: expected .* modules in volume"):
        fatras(1, detectors=path)
    path.write_text("\n".join([*text, text[1]]))
    with pytest.raises(ValueError, match="listed twice"):
        read_modules(path)
    path.write_text("\n".join([text[0], text[1].replace("-65.7965", "x")]))
    with pytest.raises(ValueError, match="expected numbers"):
        read_modules(path)
