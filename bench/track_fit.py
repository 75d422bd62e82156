"""The helix fit beside ACTS' combinatorial Kalman filter: resolutions and pulls on the same tracks, time per track.

    python bench/track_fit.py --events 2 --out bench/results/track_fit.json
    python bench/track_fit.py --time-only --out bench/results/track_fit.json     # with other jobs stopped

Fatras pions (10,000 per event, pT 0.5 to 20 GeV, |eta| < 3, 2 T), found by ACTS' own digitization, seeding and Kalman
filter with cleaned ambiguities. The helix is fitted to the very measurements of each such track, at their global
positions; ACTS' values are those of its filter at the perigee. Truth is the particle of most measurements; tracks with
a measurement of another particle are left out. Resolution: half the width of the central 68.3 %; pulls: the same of
(fit - truth) / error. Needs the extra [acts].
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from classical_chain import FAST, ClassicalChain
from environment import describe_environment

import rheinfall as rf
from rheinfall.simulation.fatras_engine import FatrasEngine
from rheinfall.simulation.fatras_particles import Gun
from rheinfall.training.trackml import FIT_MODEL, TRIPLET_MODEL

GEV_MM_T = 0.299792458e-3 * 2.0
ETA_BINS = ((0.0, 1.0), (1.0, 2.0), (2.0, 3.0))
PT_BINS = ((0.5, 1.0), (1.0, 2.0), (2.0, 5.0), (5.0, 20.0))
SEED = 9001
GUN = Gun(
    n_particles=10_000,
    pt_range=(0.5, 20.0),
    eta_max=3.0,
    spectrum="flat",
    vertex_sigma_xy=0.0125,
    vertex_sigma_z=55.0,
    species="pions",
    displaced_fraction=0.0,
    displaced_radius_max=300.0,
    secondary_fraction=0.0,
)


def shoot(number: int) -> tuple[Any, int]:
    """The particles of event `number` of `SEED`, and the seed of Fatras, as `simulation.fatras` has them."""
    sequence = np.random.SeedSequence([SEED, number])
    return GUN.shoot(np.random.default_rng(sequence)), int(sequence.generate_state(1)[0])


def measured_tracks(chain: ClassicalChain) -> tuple[rf.Tracks, rf.Hits, dict[str, Any]]:
    """Tracks on hits of their own at the measured positions, inside out, and ACTS' parameters at the perigee."""
    import acts

    context = acts.GeometryContext.dangerouslyDefaultConstruct()
    points, modules, lengths, values, errors = [], [], [], [], []
    for track in chain.fitted():
        states = [s for s in track.trackStatesReversed if s.hasCalibrated and s.calibratedSize == 2]
        direction = acts.Vector3(*track.direction)
        for state in reversed(states):
            u, v = state.effectiveCalibrated
            at = state.referenceSurface.localToGlobal(context, acts.Vector2(u, v), direction)
            points.append((at[0], at[1], at[2]))
            modules.append(state.referenceSurface.geometryId.value)
        lengths.append(len(states))
        p = np.array([track.parameters[i] for i in range(5)])
        c = np.array([[track.covariance[i, j] for j in range(5)] for i in range(5)])
        values.append(p)
        errors.append(c)
    xyz = np.array(points, np.float32).T
    hits = rf.Hits(*np.ascontiguousarray(xyz), np.array(modules, np.uint64), np.arange(len(points), dtype=np.uint64))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tracks = rf.Tracks(offsets, np.arange(len(points)), np.repeat(np.arange(len(lengths)), lengths))
    return tracks, hits, to_common(np.array(values), np.array(errors))


def to_common(values: Any, covariance: Any) -> dict[str, Any]:
    """ACTS' (d0, z0, phi, theta, q/p) and errors as ours: q/pT and cot(theta)."""
    d0, z0, phi, theta, q_over_p = values.T
    sine = np.sin(theta)
    # q/pT = (q/p) / sin(theta)
    jacobian = np.stack([-q_over_p * np.cos(theta) / sine**2, 1 / sine], axis=1)
    block = covariance[:, 3:5, 3:5]
    var_q = np.einsum("ni,nij,nj->n", jacobian, block, jacobian)
    var = np.einsum("nii->ni", covariance)
    return {
        **{"d0": d0, "z0": z0, "phi": phi, "cot_theta": 1 / np.tan(theta), "q_over_pt": q_over_p / sine},
        **{"sigma_d0": var[:, 0] ** 0.5, "sigma_z0": var[:, 1] ** 0.5, "sigma_phi": var[:, 2] ** 0.5},
        **{"sigma_cot_theta": var[:, 3] ** 0.5 / sine**2, "sigma_q_over_pt": var_q**0.5},
    }


def true_parameters(particles: Any, index: Any) -> dict[str, Any]:
    """Perigee parameters of the particles at `index`, by their helix from the vertex."""
    p, v = particles.momentum[index], particles.vertex[index]
    charge = particles.charge[index].astype(float)
    pt = np.hypot(p[:, 0], p[:, 1])
    k = -charge * GEV_MM_T / pt
    phi_v = np.arctan2(p[:, 1], p[:, 0])
    centre = v[:, :2] + np.stack([-np.sin(phi_v), np.cos(phi_v)], axis=1) / k[:, None]
    distance = np.hypot(centre[:, 0], centre[:, 1])
    phi = np.arctan2(-centre[:, 0] * np.sign(k), centre[:, 1] * np.sign(k))
    d0 = np.sign(k) * distance - 1 / k
    turn = (phi_v - phi + np.pi) % (2 * np.pi) - np.pi
    cot = p[:, 2] / pt
    return {"d0": d0, "z0": v[:, 2] - cot * turn / k, "phi": phi, "cot_theta": cot, "q_over_pt": charge / pt}


def half_width(values: Any) -> float:
    """Half the width of the central 68.3 %."""
    low, high = np.percentile(values, [15.865, 84.135])
    return float(high - low) / 2


def compare(fits: dict[str, dict[str, Any]], true: dict[str, Any], keep: Any) -> dict[str, Any]:
    """Resolution, width and median of the pulls of each fit in one bin."""
    out: dict[str, Any] = {"tracks": int(keep.sum())}
    for name, values in fits.items():
        rows = {}
        for key in ("q_over_pt", "phi", "cot_theta", "d0", "z0"):
            rest = (values[key] - true[key])[keep]
            if key == "phi":
                rest = (rest + np.pi) % (2 * np.pi) - np.pi
            pull = rest / values["sigma_" + key][keep]
            row = {
                "resolution": half_width(rest),
                "pull_width": half_width(pull),
                "pull_median": float(np.median(pull)),
            }
            if key == "q_over_pt":
                row["relative_pt_resolution"] = half_width(rest / true[key][keep])
            rows[key] = {k: float(f"{v:.4g}") for k, v in row.items()}
        out[name] = rows
    return out


def run_events(n_events: int) -> dict[str, Any]:
    """Quality by bins over all events."""
    chain = ClassicalChain(FatrasEngine("constant"), FAST)
    models = {"rheinfall": FIT_MODEL, "rheinfall, model of the bundle": TRIPLET_MODEL}
    fits: dict[str, list[dict[str, Any]]] = {name: [] for name in (*models, "acts")}
    truths, chi2_per_dof = [], []
    n_tracks = n_fitted = n_impure = 0
    for number in range(n_events):
        particles, seed = shoot(number)
        proto, of_measurement, _ = chain.find(particles, seed)
        tracks, hits, acts = measured_tracks(chain)
        if not np.array_equal(tracks.lengths, proto.lengths):
            raise RuntimeError("ACTS' tracks and its index lists differ in length")
        found = {name: rf.fit_tracks(tracks, hits, model) for name, model in models.items()}
        owner = of_measurement[proto.hits]
        first = owner[proto.offsets[:-1]]
        pure = np.minimum.reduceat(owner == np.repeat(first, proto.lengths), proto.offsets[:-1])
        fit = found["rheinfall"]
        keep = pure & fit.ok
        n_tracks, n_fitted = n_tracks + len(tracks), n_fitted + int(fit.ok.sum())
        n_impure += int((~pure).sum())
        for name, parameters in found.items():
            fits[name].append({key: getattr(parameters, key)[keep].astype(float) for key in acts})
        fits["acts"].append({key: value[keep] for key, value in acts.items()})
        truths.append(true_parameters(particles, first[keep]))
        chi2_per_dof.append(fit.chi2[keep] / fit.n_dof[keep])
    all_fits = {name: join(parts) for name, parts in fits.items()}
    true = join(truths)
    eta, pt = np.abs(np.arcsinh(true["cot_theta"])), 1 / np.abs(true["q_over_pt"])
    bins = {"all": compare(all_fits, true, pt > 0)}
    for low, high in ETA_BINS:
        bins[f"|eta| {low} to {high}"] = compare(all_fits, true, (eta >= low) & (eta < high))
    for low, high in PT_BINS:
        bins[f"pT {low} to {high} GeV"] = compare(all_fits, true, (pt >= low) & (pt < high))
    return {
        "events": n_events,
        "tracks": n_tracks,
        "fitted": n_fitted,
        "with a measurement of another particle, left out": n_impure,
        "median chi2 per degree of freedom": float(np.median(np.concatenate(chi2_per_dof))),
        "bins": bins,
    }


def join(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Arrays of several events one after the other."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def time_fit(repetitions: int = 50) -> dict[str, Any]:
    """CPU us per track of the core, one thread, on the true tracks of a simulated event."""
    from rheinfall import _core
    from rheinfall.simulation.generator import simulate
    from rheinfall.tracking.graph import contiguous_arrays

    event = next(iter(simulate(1, pile_up=200, seed=5)))
    order = np.lexsort((np.hypot(event.hits.x, np.hypot(event.hits.y, event.hits.z)), event.truth.particle_id))
    order = order[event.truth.particle_id[order] != 0]
    _, lengths = np.unique(event.truth.particle_id[order], return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    arguments = (*contiguous_arrays(event.hits), offsets, order.astype(np.int64), *FIT_MODEL.arguments())
    rf.set_num_threads(1)
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        _core.fit_tracks(*arguments)
        times.append(time.process_time() - start)
    n = len(lengths)
    return {
        "tracks": n,
        "hits per track": round(len(order) / n, 1),
        "us per track, median": round(1e6 * float(np.median(times)) / n, 3),
        "us per track, least": round(1e6 * min(times) / n, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=2)
    parser.add_argument("--time-only", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    if arguments.out and arguments.out.exists():
        result = json.loads(arguments.out.read_text())
    result["environment"] = describe_environment()
    if not arguments.time_only:
        result["quality"] = run_events(arguments.events)
    result["time"] = time_fit()
    text = json.dumps(result, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
