"""Event display: one HTML file that needs no network and no server (extra `[cli]`)."""

from __future__ import annotations

from rheinfall.display.labels import CLASSES, TrackLabels, label_tracks
from rheinfall.display.page import write_display

__all__ = ["CLASSES", "TrackLabels", "label_tracks", "write_display"]
