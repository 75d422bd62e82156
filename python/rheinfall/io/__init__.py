"""Events in, tracks out: TrackML files, and other formats through the extra [io]."""

from __future__ import annotations

from rheinfall.io.detectors import Detectors, read_detectors
from rheinfall.io.errors import EventFileError
from rheinfall.io.reading import PRIMARY_RADIUS, iter_events, read_event

__all__ = ["PRIMARY_RADIUS", "Detectors", "EventFileError", "iter_events", "read_detectors", "read_event"]
