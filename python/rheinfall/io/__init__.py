"""Events in, tracks out: TrackML files, and other formats through the extra [io]."""

from __future__ import annotations

from rheinfall.io.columnar import from_awkward, read_root, to_awkward
from rheinfall.io.detectors import Detectors, read_detectors
from rheinfall.io.errors import EventFileError
from rheinfall.io.reading import PRIMARY_RADIUS, iter_events, read_event
from rheinfall.io.track_files import TRACK_SUFFIXES, read_tracks
from rheinfall.io.writing import write_comparison, write_event, write_parameters, write_tracks

__all__ = [
    "PRIMARY_RADIUS",
    "TRACK_SUFFIXES",
    "Detectors",
    "EventFileError",
    "from_awkward",
    "iter_events",
    "read_detectors",
    "read_event",
    "read_root",
    "read_tracks",
    "to_awkward",
    "write_comparison",
    "write_event",
    "write_parameters",
    "write_tracks",
]
