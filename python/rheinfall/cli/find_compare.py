"""`rheinfall find --compare`: another finder, or a file of its tracks, on the same events."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rheinfall.cli.errors import CommandError, reading
from rheinfall.cli.events import PLACEHOLDER, name_output
from rheinfall.cli.exit_codes import ExitCode
from rheinfall.cli.find_report import Found, describe_comparison, percent
from rheinfall.cli.output import Output, make_table


@dataclass
class Compared:
    """Both finders on one event; `ms` of the other one, None where its tracks come from a file."""

    comparison: Any
    fitted: dict[str, Any]
    ms: float | None


class Other:
    """The finder to compare with.

    Args:
        text: what --compare says: a bundle, a file of tracks, or a folder of such files.
        first: name of the finder that it is compared with.
        n_events: number of events.
    """

    def __init__(self, text: str, first: str, n_events: int) -> None:
        from rheinfall.io import TRACK_SUFFIXES

        self.path, self.n_events = Path(text), n_events
        is_folder = self.path.is_dir() and not (self.path / "bundle.json").exists()
        self.is_file = text.endswith(TRACK_SUFFIXES) or PLACEHOLDER in text or is_folder
        self.finder: Any = None if self.is_file else _load(text)
        self.is_warm = False
        name = self.path.name or text
        self.names = (first, name if name != first else f"{name} (compared)")
        if any(set(n) & set(",\n\r") for n in self.names):
            message = f"--compare: expected finders without commas and line breaks in their names, got {self.names}"
            raise CommandError(message, ExitCode.USAGE)

    def file_of(self, event: str) -> Path | None:
        """The file with the tracks of one event; None for a bundle."""
        from rheinfall.io import TRACK_SUFFIXES

        if not self.is_file:
            return None
        if not self.path.is_dir():
            return name_output(self.path, event, "", self.n_events, "--compare")
        files = [self.path / f"{event}-tracks{suffix}" for suffix in TRACK_SUFFIXES]
        return next((file for file in files if file.exists()), files[0])

    def warm_up(self, finder: Any, hits: Any) -> None:
        """Run both once before the first event is timed: the first call of a process loads code and memory."""
        if self.finder is not None and not self.is_warm:
            finder(hits)
            self.finder(hits)
        self.is_warm = True

    def compare(self, found: Found, finder: Any, rule: str) -> Compared:
        """Compare both on the event of `found`, by the selection of its match."""
        from rheinfall.io import read_tracks
        from rheinfall.metrics import compare_tracks

        event = found.event
        if found.match is None:
            raise CommandError(f"{found.name}: --compare needs events with truth", ExitCode.BAD_INPUT)
        start = time.perf_counter()
        file = self.file_of(found.name)
        if file is None:
            tracks = self.finder(event.hits)
        else:
            with reading(file):
                tracks = read_tracks(file, event.hits)
        ms = None if file is not None else 1e3 * (time.perf_counter() - start)
        selection = asdict(found.match.selection)
        comparison = compare_tracks(
            found.tracks, tracks, event.truth, rule, names=self.names, hits=event.hits, **selection
        )
        parameters = (self.finder or finder).fit(event.hits, tracks)
        return Compared(comparison, {"pt": parameters.pt, "eta": parameters.eta}, ms)


def _load(text: str) -> Any:
    from rheinfall import TrackFinder

    with reading(text):
        return TrackFinder.load(text)


def report_comparison(out: Output, found: Sequence[Found]) -> None:
    """Print both finders side by side, over all events."""
    if len({item.match.selection for item in found}) != 1:
        out.warn("--compare: no sum over events, since some have truth for a part of the hits and others for all")
        return
    total = describe_comparison([item.other.comparison for item in found])
    sides = total["first"], total["second"]
    rows = [
        ("tracks", *(f"{side['n_tracks']:,}" for side in sides)),
        ("the other has as well", *(f"{side['n_tracks'] - side['n_alone']:,}" for side in sides)),
        ("the other lacks", *(f"{side['n_alone']:,}" for side in sides)),
        ("fakes among these", *(f"{side['n_alone_fake']:,}" for side in sides)),
        ("particles found", *(f"{side['efficiency']['passed']:,}" for side in sides)),
        ("by it alone", *(f"{side['n_particles_alone']:,}" for side in sides)),
    ]
    for rate in ("efficiency", "fake_rate", "duplicate_rate", "unmatched_rate"):
        values = (side[rate]["value"] for side in sides)
        rows.append((rate.replace("_", " "), *map(percent, values)))
    ms = [item.other.ms for item in found if item.other.ms is not None]
    if ms:
        rows.append(("ms, median", f"{np.median([item.total_ms for item in found]):.1f}", f"{np.median(ms):.1f}"))
    both, neither = total["n_particles_both"], total["n_particles_neither"]
    out.say("")
    out.say(make_table("two finders", ("", *total["names"]), rows))
    out.say(
        f"{total['n_identical']:,} tracks agree hit by hit; particles found by both {both:,}, by neither {neither:,}"
    )
