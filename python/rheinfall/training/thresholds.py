"""Try thresholds of track building on events with truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from rheinfall.event import Event
from rheinfall.metrics import TrackMatches, combine, match_tracks
from rheinfall.tracking.bundle import Thresholds


@dataclass(frozen=True)
class ThresholdTrial:
    """Thresholds and what they give on all events together.

    Attributes:
        thresholds: the settings.
        matches: efficiency, unmatched, fake and duplicate rate under the rule that was asked for.
    """

    thresholds: Thresholds
    matches: TrackMatches

    def __str__(self) -> str:
        m, t = self.matches, self.thresholds
        sure = "" if t.sure is None else f" sure {t.sure:g}"
        weak = "" if t.weak is None else f" weak {t.weak:g}"
        return (
            f"{t.method} cut {t.score_cut:g}{sure}{weak} length {t.min_length}: efficiency {m.efficiency:.4f} "
            f"unmatched {m.unmatched_rate:.4f} fakes {m.fake_rate:.4f} duplicates {m.duplicate_rate:.4f}"
        )


def scan_thresholds(
    finder: Any,
    events: Iterable[Event],
    *,
    score_cuts: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.5),
    sures: Sequence[float] = (0.9, 0.95, 0.98, 0.99),
    weaks: Sequence[float | None] = (None,),
    min_lengths: Sequence[int] = (3, 5, 7),
    methods: Sequence[str] = ("mutual_best",),
    rule: str = "double_majority",
    min_pt: float = 1.0,
) -> list[ThresholdTrial]:
    """All combinations of these thresholds, the most efficient first; each event is scored once.

    Args:
        finder: a `TrackFinder`; its `chi2_max` is kept.
        events: events with truth, streamed; none that will judge the finder later.
        score_cuts, sures, weaks, min_lengths, methods: what to try; `sures` with "mutual_best" and "layer_merge" alone,
            `weaks` with "layer_merge".
        rule, min_pt: as in `match_tracks`.

    Raises:
        ValueError: an event without truth, or no events.
    """
    grid = [
        replace(finder.thresholds, method=method, score_cut=cut, sure=sure, weak=weak, min_length=length)
        for method, cut, length in product(methods, score_cuts, min_lengths)
        for sure in (sures if method in ("mutual_best", "layer_merge") else (None,))
        for weak in (weaks if method == "layer_merge" else (None,))
    ]
    matches: list[list[TrackMatches]] = [[] for _ in grid]
    for event in events:
        if event.truth is None:
            raise ValueError(f"event {event.name!r}: no truth to judge thresholds by")
        scored = finder.score_edges(event.hits)
        for thresholds, found in zip(grid, matches, strict=True):
            tracks = finder.build(scored, thresholds)
            found.append(match_tracks(tracks, event.truth, rule, min_pt=min_pt, hits=event.hits))
    if not matches or not matches[0]:
        raise ValueError("events: expected at least one")
    trials = [ThresholdTrial(t, combine(found)) for t, found in zip(grid, matches, strict=True)]
    return sorted(trials, key=lambda trial: (-trial.matches.efficiency, trial.matches.unmatched_rate))


def best_trial(trials: Sequence[ThresholdTrial], max_unmatched: float = 0.003) -> ThresholdTrial:
    """The most efficient trial with at most this unmatched rate; the one with the lowest rate where none has."""
    allowed = [trial for trial in trials if trial.matches.unmatched_rate <= max_unmatched]
    return allowed[0] if allowed else min(trials, key=lambda trial: trial.matches.unmatched_rate)
