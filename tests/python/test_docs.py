"""What README and docs show runs as it stands, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("RHEINFALL_SHARED", ROOT.parent / "shared"))
EVENT = SHARED / "data/trackml/event21000"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def snippets(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    if not EVENT.is_dir():
        pytest.skip(f"{EVENT} is missing")
    (tmp_path / "data").symlink_to(EVENT.resolve())
    monkeypatch.chdir(tmp_path)
    code = snippets("README.md")
    assert len(code) == 2  # the second: test_readme_quantized
    exec(code[0], {})
    row = re.search(r"^\| TrackML event 21000,.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    efficiency, fakes = (row[0].split("|")[column].split()[0] for column in (4, 6))
    assert f"efficiency {efficiency}, fakes {fakes}\n" in capsys.readouterr().out
    assert (tmp_path / "tracks.csv").read_text().startswith("hit_id,track_id\n")


def use_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a small hls4ml project and events, as the snippets expect them."""
    shutil.copytree(ROOT / "tests/python/malformed/files/hls4ml_project", tmp_path / "my_project")
    np.save(tmp_path / "events.npy", np.random.default_rng(1).normal(0, 2, (100, 4)).astype(np.float32))
    monkeypatch.chdir(tmp_path)


def test_readme_quantized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_project(tmp_path, monkeypatch)
    names: dict[str, Any] = {}
    exec(snippets("README.md")[1], names)
    assert names["y"].shape == (100, 2)


def test_quantized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    use_project(tmp_path, monkeypatch)
    names: dict[str, Any] = {}
    for code in snippets("docs/quantized.md"):
        exec(code, names)
    assert "ap_ufixed<8,4,RND_CONV,SAT>" in capsys.readouterr().out
    assert np.array_equal(names["result"], names["y"][-1])
    assert np.array_equal(names["q"] / 2.0 ** (16 - 8), names["y"])


def test_other_detectors() -> None:
    pytest.importorskip("onnxruntime")
    names: dict[str, object] = {}
    for code in snippets("docs/other_detectors.md"):
        exec(code, names)
    tracks = names["tracks"]
    assert len(tracks) > 100  # type: ignore[arg-type]


def test_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    names: dict[str, Any] = {}
    for code in snippets("docs/metrics.md"):
        exec(code, names)
    assert "rule double_majority; particles: primary, pT > 0.5 GeV" in capsys.readouterr().out
    assert names["curve"].n_total.sum() + names["curve"].n_outside == names["both"].n_selected > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing
