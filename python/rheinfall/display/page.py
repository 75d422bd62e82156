"""Write the event display as one HTML file."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rheinfall.display.labels import match_event
from rheinfall.display.payload import count_classes, encode_array, gather_arrays
from rheinfall.event import Event
from rheinfall.metrics import Selection, TrackMatches
from rheinfall.metrics.tracks import check_tracks
from rheinfall.tracking.arguments import require_number
from rheinfall.tracking.track_fit import TrackParameters

Figure = tuple[str, str, str]


def write_display(
    path: str | Path,
    event: Event,
    tracks: Any,
    *,
    match: TrackMatches | None = None,
    title: str | None = None,
    detector: str | None = None,
    timings: Mapping[str, float] | None = None,
    min_pt: float = 1.0,
    parameters: TrackParameters | None = None,
) -> Path:
    """Write a self-contained HTML page with the hits and tracks of one event; it opens offline in any browser.

    Args:
        path: file to write.
        event: hits, and truth where there is some: it colours the tracks.
        tracks: `Tracks` of this event (`offsets`, `hits`).
        match: result of `rheinfall.metrics.match_tracks`; by default double majority where there is truth.
        title: heading; the event's name by default.
        detector: name of the detector, shown in the heading.
        timings: ms per stage, as `TrackFinder.timings`.
        min_pt: without `match`, particles above it [GeV] are those of the efficiency, and missed without a track.
        parameters: helix parameters of the tracks, from `fit_tracks`; shown where a track is followed.

    Returns:
        The path written.

    Raises:
        ImportError: plotly is not installed.
        TypeError: an argument of another type.
        ValueError: the tracks name hits that the event does not have, or match or parameters are of other tracks.
    """
    _check_arguments(event, tracks, match, parameters)
    _check_texts(title, detector, timings)
    Selection(min_pt)  # refuses what is no cut, also where a match makes it idle
    if match is None:
        match = match_event(event, tracks, min_pt)
    arrays = gather_arrays(event, tracks, match, parameters)
    # File names may hold bytes that are no text.
    heading = (title or event.name or "Event").encode("utf-8", "replace").decode()
    meta = {
        "title": heading,
        "detector": detector or "",
        "truth": _describe_truth(event),
        "rule": "" if match is None else match.rule,
        "selection": "" if match is None else str(match.selection),
        "n_hits": len(event.hits),
        "n_tracks": len(tracks.offsets) - 1,
        "counts": count_classes(arrays),
        "figures": _list_figures(match),
        "timings": [[name, float(ms)] for name, ms in (timings or {}).items()],
        "notes": list(event.notes),
    }
    payload = {"meta": meta, "arrays": {name: encode_array(array) for name, array in arrays.items()}}
    target = Path(path)
    target.write_text(_fill_page(heading, payload), encoding="utf-8")
    return target


def _check_arguments(event: Any, tracks: Any, match: Any, parameters: Any) -> None:
    if not isinstance(event, Event):
        raise TypeError(f"event: expected rheinfall.Event, got {type(event).__name__}")
    n_tracks = len(check_tracks(tracks, len(event.hits))[0]) - 1
    if match is not None and not isinstance(match, TrackMatches):
        raise TypeError(f"match: expected TrackMatches or None, got {type(match).__name__}")
    if match is not None and match.n_tracks != n_tracks:
        raise ValueError(f"match: expected that of {n_tracks} tracks, got {match.n_tracks}")
    if parameters is not None and not isinstance(parameters, TrackParameters):
        raise TypeError(f"parameters: expected TrackParameters or None, got {type(parameters).__name__}")
    if parameters is not None and len(parameters) != n_tracks:
        raise ValueError(f"parameters: expected those of {n_tracks} tracks, got {len(parameters)}")


def _check_texts(title: Any, detector: Any, timings: Any) -> None:
    for name, text in (("title", title), ("detector", detector)):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name}: expected a text or None, got {text!r}")
    if timings is not None and not isinstance(timings, Mapping):
        raise TypeError(f"timings: expected a dictionary of ms per stage or None, got {type(timings).__name__}")
    for stage, ms in (timings or {}).items():
        require_number(f"timings[{stage!r}]", ms)


def _describe_truth(event: Event) -> str:
    if event.truth is None or not event.truth.known.any():
        return "none"
    return "full" if event.truth.known.all() else "partial"


def _list_figures(match: TrackMatches | None) -> Sequence[Figure]:
    """(label, value, what it counts) of each rate."""
    if match is None:
        return []
    rows = (
        ("Efficiency", "efficiency", f"matched / selected particles ({match.selection})"),
        ("Fake rate", "fake_rate", "tracks in which no particle has > 50 % of the hits / tracks"),
        ("Duplicates", "duplicate_rate", "extra tracks of one particle / tracks with a majority"),
    )
    figures: list[Figure] = []
    for label, name, hint in rows:
        passed, total = match.counts[name]
        if total:
            figures.append((label, f"{100 * passed / total:.2f} %", f"{hint}: {passed} of {total}"))
    return figures


def _fill_page(heading: str, payload: Mapping[str, Any]) -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError("the event display needs plotly: pip install rheinfall[cli]") from error
    assets = resources.files("rheinfall.display") / "assets"
    page = (assets / "page.html").read_text(encoding="utf-8")
    # JSON inside <script>: a "<" in a name could end the element or hide its end.
    data = json.dumps(payload, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = {
        "title": html.escape(heading),
        "css": (assets / "page.css").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "data": data,
        "views": (assets / "views.js").read_text(encoding="utf-8"),
        "page": (assets / "page.js").read_text(encoding="utf-8"),
    }
    pieces = page.split("@@")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))
