"""The kernels of the device finder on the host, against the finder of the CPU, with the shipped bundles.

The C++ tests have the bodies of the kernels; here are the events: simulated ones, and one of TrackML.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import rheinfall as rf

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("RHEINFALL_SHARED", ROOT.parent / "shared"))
SMALL = SHARED / "data" / "trackml" / "small" / "event000000001"
TEST = "DeviceTrackFinder.BodiesGiveTheTracksOfTheCpuOnEventsOfFiles"


def write_hits(path: Path, hits: rf.Hits) -> None:
    """As bench/event_file.hpp reads them."""
    columns = (np.array([len(hits)], np.uint64), hits.module_id, hits.x, hits.y, hits.z)
    path.write_bytes(b"".join(np.ascontiguousarray(c).tobytes() for c in columns))


def run_bodies(folder: Path) -> str:
    """What the C++ test says of the events in a folder."""
    programs = [ROOT / "build" / preset / "tests" / "cpp" / "rheinfall_tests" for preset in ("dev", "release")]
    built = [p for p in programs if p.exists()]
    if not built:
        pytest.skip("build/dev/tests/cpp/rheinfall_tests is not built")
    done = subprocess.run(
        [str(built[0]), f"--gtest_filter={TEST}"],
        env={**os.environ, "RHEINFALL_EVENTS": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED  ] 1 test" in done.stdout
    assert "SKIPPED" not in done.stdout
    return done.stdout


def test_bodies_find_the_tracks_of_simulated_events(tmp_path: Path) -> None:
    for i, event in enumerate(rf.simulation.simulate(2, pile_up=20, seed=4)):
        write_hits(tmp_path / f"demo-{i}.hits", event.hits)
    assert run_bodies(tmp_path).count("demo-") == 2


def test_bodies_find_the_tracks_of_trackml(tmp_path: Path) -> None:
    try:
        hits = rf.io.read_event(SMALL).hits
    except FileNotFoundError as error:
        pytest.skip(f"needs the TrackML event of ../shared: {error}")
    write_hits(tmp_path / "trackml-small.hits", hits)
    assert "trackml-small" in run_bodies(tmp_path)
