"""What README and docs show runs as it stands, and their links lead somewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

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
    assert len(code) == 1
    exec(code[0], {})
    assert re.search(r"efficiency 0\.\d+, fakes 0\.\d+", capsys.readouterr().out)
    assert (tmp_path / "tracks.csv").read_text().startswith("hit_id,track_id\n")


def test_other_detectors() -> None:
    pytest.importorskip("onnxruntime")
    names: dict[str, object] = {}
    for code in snippets("docs/other_detectors.md"):
        exec(code, names)
    tracks = names["tracks"]
    assert len(tracks) > 100  # type: ignore[arg-type]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing
