"""Keep what a campaign of exactness tried: one section per campaign in bench/results/quantized_exactness.json.

`record` is called by the campaigns' scripts. A section holds at least `events`, `mismatches`, `sha256` (of the results
that were compared, so that a rerun can be told from a change) and `command`; several scripts may write at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "quantized_exactness.json"
NEEDED = ("events", "mismatches", "sha256", "command")


def record(campaign: str, section: Mapping[str, Any], path: Path = RESULTS) -> None:
    """Replace the section of `campaign`, keep the others; `date` and `commit` are added.

    Raises:
        ValueError: the section lacks one of events, mismatches, sha256, command.
    """
    missing = [key for key in NEEDED if key not in section]
    if missing:
        raise ValueError(f"campaign {campaign!r}: its section lacks {', '.join(missing)}")
    stamp = {"date": datetime.now(timezone.utc).strftime("%Y-%m-%d"), "commit": commit()}
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        sections = json.loads(path.read_text()) if path.exists() else {}
        sections[campaign] = {**section, **stamp}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(sections, indent=1, sort_keys=True) + "\n")
        partial.replace(path)
    finally:
        os.close(folder)  # which unlocks it


def commit() -> str:
    """The commit that is checked out, with + where the sources differ from it."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()
