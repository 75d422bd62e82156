"""Matches of several events as one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from rheinfall.metrics.particles import ParticleTable
from rheinfall.metrics.tracks import TrackMatches

SETTINGS = ("rule", "selection", "min_judged_hits", "has_hit_mask")
"""Fields of `TrackMatches` that say how it was made, and are the same in all that are combined."""


def combine(matches: Iterable[TrackMatches]) -> TrackMatches:
    """Matches of several events as one, to state rates over all of them.

    Tracks and particles follow each other event by event; a particle_id may then occur once per event.

    Raises:
        TypeError: anything but several `TrackMatches`.
        ValueError: no matches, or made with another rule, selection or `min_judged_hits`, or some with a `hit_mask`
            and some without.
    """
    if not isinstance(matches, Iterable):
        raise TypeError(f"matches: expected a sequence of TrackMatches, got {type(matches).__name__}")
    matches = list(matches)
    for match in matches:
        if not isinstance(match, TrackMatches):
            raise TypeError(f"matches: expected a sequence of TrackMatches, got {type(match).__name__} in it")
    if len({(m.rule, m.selection) for m in matches}) != 1:
        raise ValueError("matches: expected one or more of the same rule and selection")
    if len({(m.min_judged_hits, m.has_hit_mask) for m in matches}) != 1:
        raise ValueError("matches: expected the same min_judged_hits, and a hit_mask in all of them or in none")
    names = [f.name for f in fields(ParticleTable)]
    particles = ParticleTable(*(np.concatenate([getattr(m.particles, n) for m in matches]) for n in names))
    joined: dict[str, Any] = {name: getattr(matches[0], name) for name in SETTINGS}
    for name in (f.name for f in fields(TrackMatches) if f.name not in (*SETTINGS, "particles")):
        joined[name] = np.concatenate([getattr(m, name) for m in matches])
    return TrackMatches(particles=particles, **joined)
