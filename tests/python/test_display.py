from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rheinfall
from rheinfall.display import CLASSES, write_display
from rheinfall.display.labels import classify_tracks, match_event
from rheinfall.event import Event, Hits, Particles, Truth, encode_module_id
from rheinfall.metrics import RULES, match_tracks

pytest.importorskip("plotly")


def make_tracks(*tracks: list[int]) -> Any:
    lengths = [len(track) for track in tracks]
    members = np.array([hit for track in tracks for hit in track], np.int64)
    return SimpleNamespace(offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), hits=members)


def make_event(particle_id: list[int], known: list[bool] | None = None, *, name: str = "event") -> Event:
    n = len(particle_id)
    rng = np.random.default_rng(3)
    x, y, z = (rng.normal(0, 300, n).astype(np.float32) for _ in range(3))
    module_id = encode_module_id(np.full(n, 8), np.arange(n) % 7, np.arange(n) * 5)
    ids = np.array(sorted({p for p in particle_id if p}), np.uint64)
    ones = np.ones(len(ids), np.float32)
    particles = Particles(ids, 0 * ones, 0 * ones, 0 * ones, 3 * ones, 4 * ones, ones, ones, ones > 0)
    truth = Truth(np.array(particle_id, np.uint64), np.array(known or [True] * n, bool), particles)
    return Event(Hits(x, y, z, module_id, np.arange(n, dtype=np.uint64) * 2 + 11), truth, name)


def read_payload(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    text = re.search(r'<script id="event-data" type="application/json">(.*?)</script>', path.read_text(), re.S)
    assert text is not None
    payload = json.loads(text.group(1))
    arrays = {
        name: np.frombuffer(base64.b64decode(packed["bdata"]), "<" + packed["dtype"])
        for name, packed in payload["arrays"].items()
    }
    return payload["meta"], arrays


def classes_of(tracks: Any, event: Event) -> list[str]:
    match = match_event(event, tracks, min_pt=1.0)
    return [CLASSES[c] for c in classify_tracks(match, len(tracks.offsets) - 1)]


def test_classes_follow_double_majority() -> None:
    #        0  1  2  3  4  5  6  7  8  9 10
    event = make_event([5, 5, 5, 5, 5, 7, 7, 7, 7, 0, 0])
    assert classes_of(make_tracks([0, 1, 2]), event) == ["matched"]
    assert classes_of(make_tracks([0, 1]), event) == ["unmatched"]  # 2 of 5 hits: pure, yet not a majority
    assert classes_of(make_tracks([0, 1, 2, 5, 6, 7]), event) == ["fake"]  # exactly one half is no majority
    assert classes_of(make_tracks([5, 6]), event) == ["unmatched"]  # exactly one half of the particle
    assert classes_of(make_tracks([0, 1, 2, 9, 10]), event) == ["matched"]  # noise counts in the denominator
    assert classes_of(make_tracks([9, 10]), event) == ["fake"]
    assert classes_of(make_tracks([0, 1], [2, 3, 4]), event) == ["duplicate", "matched"]


def test_tracks_of_unknown_truth_are_not_judged() -> None:
    event = make_event([5, 5, 5, 9, 9, 9], [True] * 3 + [False] * 3)
    assert classes_of(make_tracks([3, 4, 5], [0, 1, 2, 3]), event) == ["unknown", "matched"]
    event.truth = None
    assert classes_of(make_tracks([0, 1, 2]), event) == ["unknown"]
    assert classes_of(make_tracks(), event) == []


def test_page_carries_what_the_hover_shows(tmp_path: Path) -> None:
    event = make_event([5, 5, 5, 7, 7, 7, 0, 9, 9, 9], [True] * 9 + [False])
    path = write_display(tmp_path / "e.html", event, make_tracks([2, 0, 1], [3, 4, 6]), timings={"graph": 1.5})
    meta, arrays = read_payload(path)
    np.testing.assert_array_equal(arrays["hit_x"], event.hits.x)
    np.testing.assert_array_equal(arrays["hit_z"], event.hits.z)
    np.testing.assert_array_equal(arrays["hit_id"], event.hits.hit_id)
    module = arrays["hit_module"]
    rebuilt = encode_module_id(*(arrays[f"module_{part}"][module] for part in ("volume", "layer", "number")))
    np.testing.assert_array_equal(rebuilt, event.hits.module_id)
    np.testing.assert_array_equal(arrays["particle_id"], [5, 7, 9])
    np.testing.assert_array_equal(arrays["hit_particle"], [0, 0, 0, 1, 1, 1, -1, 2, 2, -2])
    np.testing.assert_array_equal(arrays["track_offsets"], [0, 3, 6])
    np.testing.assert_array_equal(arrays["track_hits"], [2, 0, 1, 3, 4, 6])
    np.testing.assert_array_equal(arrays["track_majority"], [0, 1])
    np.testing.assert_array_equal(arrays["track_n_majority"], [3, 2])
    np.testing.assert_allclose(arrays["particle_pt"], 5)
    assert meta["truth"] == "partial"
    assert meta["timings"] == [["graph", 1.5]]
    assert meta["counts"]["matched"] == 2


def test_missed_particles_are_selected_and_unmatched(tmp_path: Path) -> None:
    event = make_event([5, 5, 5, 7, 7, 7, 9, 9, 9, 9, 4, 4])
    assert event.truth is not None
    assert event.truth.particles is not None
    event.truth.particles.primary[event.truth.particles.particle_id == 7] = False
    _, arrays = read_payload(write_display(tmp_path / "e.html", event, make_tracks([0, 1, 2]), min_pt=1.0))
    np.testing.assert_array_equal(arrays["particle_id"][arrays["particle_missed"] > 0], [9])  # 4 has two hits only
    _, arrays = read_payload(write_display(tmp_path / "e.html", event, make_tracks([0, 1, 2]), min_pt=5.0))
    assert arrays["particle_missed"].sum() == 0  # pT is 5 GeV: the cut is strict


def test_figures_come_from_the_match(tmp_path: Path) -> None:
    event, tracks = make_event([5, 5, 5, 7, 7, 7, 9, 9, 9]), make_tracks([0, 1, 2], [3, 4, 5, 6])
    assert event.truth is not None
    match = match_tracks(tracks, event.truth, "perfect")
    meta, _ = read_payload(write_display(tmp_path / "e.html", event, tracks, match=match))
    assert meta["rule"] == "perfect"
    expected = [["Efficiency", "33.33 %"], ["Fake rate", "0.00 %"], ["Duplicates", "0.00 %"]]
    assert [figure[:2] for figure in meta["figures"]] == expected
    assert (meta["counts"]["matched"], meta["counts"]["unmatched"], meta["counts"]["missed"]) == (1, 1, 2)


def test_page_loads_nothing_from_the_network(tmp_path: Path) -> None:
    page = write_display(tmp_path / "e.html", make_event([5, 5, 5]), make_tracks([0, 1, 2])).read_text()
    start = page.index("<script>")
    ours = page[:start] + page[page.index("</script>", start) :]  # without plotly.js, which names its home in comments
    assert not re.search(r"https?://|//[a-z0-9-]+\.[a-z]", ours)
    assert not re.search(r"<(script|link|img|iframe)[^>]*\s(src|href)=", page)
    # The policy makes the browser refuse whatever plotly.js could ask for.
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy.group(1).startswith("default-src 'none'")
    assert "http" not in policy.group(1)
    assert "*" not in policy.group(1)


def test_titles_cannot_break_the_page(tmp_path: Path) -> None:
    title = "</script><script>alert(1)</script> @@css@@"
    page = write_display(tmp_path / "e.html", make_event([5, 5, 5]), make_tracks([0, 1, 2]), title=title)
    assert read_payload(page)[0]["title"] == title
    assert "<script>alert" not in page.read_text()


def test_a_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    event = make_event([5, 5, 5], name="run\udcff")  # a file name in Latin-1, as Python has it
    assert "run?" in write_display(tmp_path / "e.html", event, make_tracks([0, 1, 2])).read_text()


def test_empty_event(tmp_path: Path) -> None:
    meta, arrays = read_payload(write_display(tmp_path / "e.html", make_event([]), make_tracks()))
    assert (meta["n_hits"], meta["n_tracks"], len(arrays["hit_x"])) == (0, 0, 0)


def test_tracks_of_another_event_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tracks.hits: expected indices from 0 to 2, got 0 to 3"):
        write_display(tmp_path / "e.html", make_event([5, 5, 5]), make_tracks([0, 1, 3]))


def test_full_event_stays_below_15_megabytes(tmp_path: Path) -> None:
    n_particles, n_each = 12_000, 10
    event = make_event([4503668346847232 + p for p in range(n_particles) for _ in range(n_each)])
    tracks = make_tracks(*(list(range(p * n_each, (p + 1) * n_each)) for p in range(n_particles)))
    assert write_display(tmp_path / "e.html", event, tracks).stat().st_size < 15e6


def test_page_carries_the_fit_of_each_track(tmp_path: Path) -> None:
    event = make_event([5, 5, 5, 7, 7, 7, 0])
    tracks = make_tracks([2, 0, 1], [3, 4])
    fit = rheinfall.fit_tracks(tracks, event.hits)
    _, arrays = read_payload(write_display(tmp_path / "e.html", event, tracks, parameters=fit))
    for name in ("pt", "eta", "phi", "d0", "z0", "chi2", "n_dof", "charge"):
        np.testing.assert_array_equal(arrays[f"track_{name}"], getattr(fit, name))
    assert np.isnan(arrays["track_pt"]).tolist() == [False, True]
    _, arrays = read_payload(write_display(tmp_path / "e.html", event, tracks))
    assert np.isnan(arrays["track_pt"]).all()
    with pytest.raises(ValueError, match="those of 1 tracks, got 2"):
        write_display(tmp_path / "e.html", event, make_tracks([0, 1, 2]), parameters=fit)


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node to run the page's functions")


@needs_node
def test_page_says_why_a_track_does_not_match(tmp_path: Path) -> None:
    full = make_event([5, 5, 5, 5, 5, 7, 7, 7, 7, 0, 0, 0, 9, 9, 9])
    cases = {
        (5, 6, 7, 8): "",
        (0, 1): "2 of its 2 known hits are of particle 5, which has 5; double majority asks for more than half of the",
        (0, 1, 5, 6): "no particle has more than half of its 4 known hits; the most are 2, of particle 5",
        (9, 10, 11): "its known hits are noise",
        (13, 14): "",
        (12,): "A duplicate: another track has more hits of particle 9",
    }
    _expect_reasons(tmp_path, full, cases)
    partial = make_event([5, 5, 5, 7], [True, True, True, False])
    _expect_reasons(
        tmp_path, partial, {(0, 1, 2): "", (3,): "Not judged: too few of its hits have known truth, 0 of 1."}
    )


def _expect_reasons(tmp_path: Path, event: Event, cases: dict[tuple[int, ...], str]) -> None:
    page = write_display(tmp_path / "e.html", event, make_tracks(*map(list, cases))).read_text()
    for dtype in re.findall(r'"dtype":"(\w+)"', page):
        assert f" {dtype}: " in page, dtype  # the page's own table of types has it
    source = re.search(r"/\*\* Why a track is not matched.*?\n}\n", page, re.S)
    assert source is not None
    meta, arrays = read_payload(tmp_path / "e.html")
    data = json.dumps({name: [str(v) if name == "particle_id" else float(v) for v in a] for name, a in arrays.items()})
    script = (
        f"const data = {data}, meta = {json.dumps(meta)}, CLASSES = {json.dumps(CLASSES)};"
        "const trackHits = (t) => data.track_hits.slice(data.track_offsets[t], data.track_offsets[t + 1]);"
        f"{source.group(0)} for (let t = 0; t < meta.n_tracks; t++) console.log(whyNot(t));"
    )
    told = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout.splitlines()
    for (hits, expected), text in zip(cases.items(), told, strict=True):
        assert (expected in text) if expected else text == "", (hits, text)


@needs_node
@pytest.mark.parametrize("rule", RULES)
def test_page_says_what_a_rule_asks_for(tmp_path: Path, rule: str) -> None:
    event = make_event([5, 5, 5, 5, 5, 5, 7, 7])
    tracks = make_tracks([0, 1, 6])  # two thirds of its hits, a third of the particle's
    match = match_tracks(tracks, event.truth, rule, min_pt=None, eta_max=None, primary_only=False)
    write_display(tmp_path / "e.html", event, tracks, match=match)
    told = run_page(tmp_path / "e.html", [0])[0]
    asked = {"lhc": "asks for more than 75 %", "perfect": "asks for all hits", "acts": "asks for at least half"}
    assert (asked.get(rule, "asks for more than half") in told) is (rule != "one_way")
    assert "undefined" not in told


@needs_node
def test_a_click_shows_a_track_and_a_missed_particle(tmp_path: Path) -> None:
    event = make_event([5, 5, 5, 5, 5, 7, 7, 7, 7, 0, 9, 9, 9])
    tracks = make_tracks([0, 1, 9], [5, 6, 7, 8])
    fit = rheinfall.fit_tracks(tracks, event.hits)
    write_display(tmp_path / "e.html", event, tracks, parameters=fit)
    unmatched, matched, missed, elsewhere = run_page(tmp_path / "e.html", [1, 6, 3, 11])
    for part in (
        "Track 0",
        "unmatched",
        "fit χ² / dof",
        "<td>13</td>",
        "noise",
        "not on track",
        "2 of its 3 known hits",
    ):
        assert part in unmatched, part
    assert "Track 1" in matched
    assert 'class="note"' not in matched
    assert "Particle 5" in missed
    assert "2 of its 5 hits are in track 0, 3 in none" in missed
    assert "Particle 9" in elsewhere
    assert "none of its hits is in a track" in elsewhere


def run_page(path: Path, clicks: list[int]) -> list[str]:
    """What the page shows at the side after a click on each hit, on its track or, if it has none, its missed particle.

    The page's own scripts, on a document of stand-ins and without Plotly.
    """
    text = path.read_text()
    payload, *scripts = re.findall(r"<script[^>]*>(.*?)</script>", text[text.index('<script id="event-data"') :], re.S)
    script = f"""
const made = {{}}, nothing = () => {{}};
const make = () => ({{ style: {{ setProperty: nothing }}, handlers: {{}}, append: nothing, setAttribute: nothing,
  addEventListener: nothing, on(kind, f) {{ this.handlers[kind] = f; }} }});
globalThis.document = {{ getElementById: (id) => (made[id] ??= make()), createElement: make, addEventListener: nothing,
  documentElement: {{ dataset: {{}} }} }};
made["event-data"] = {{ textContent: {json.dumps(payload)} }};
Object.assign(globalThis, {{ getComputedStyle: () => ({{ getPropertyValue: () => "black" }}), location: {{ hash: "" }},
  matchMedia: () => ({{ matches: true }}), Plotly: {{ react: async () => {{}} }} }});
const later = () => new Promise((done) => setTimeout(done, 5));
{"".join(scripts)}
(async () => {{
  await later();
  const shown = [];
  for (const hit of {clicks}) {{
    const layer = layers.findIndex((l) => (l.name === "missed") === hitTrack[hit] < 0 && l.index.includes(hit));
    const point = {{ curveNumber: layer, pointNumber: layers[layer].index.indexOf(hit) }};
    made.xy.handlers.plotly_click({{ points: [point] }});
    await later();
    shown.push(made.side.innerHTML);
  }}
  console.log(JSON.stringify(shown));
}})();
"""
    found = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    return [str(side) for side in json.loads(found.stdout)]
