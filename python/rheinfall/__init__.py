"""Fast, exact, deployable ML inference for collider triggers."""

from __future__ import annotations

from rheinfall import io, metrics, quantized, simulation
from rheinfall._core import build_info, get_num_threads, set_num_threads
from rheinfall.event import Event, Hits, Particles, Truth, decode_module_id, encode_module_id
from rheinfall.gnn import EdgeClassifier
from rheinfall.tracking.compatibility import build_tracks_like
from rheinfall.tracking.device import DeviceGraph, DeviceHits
from rheinfall.tracking.device_finder import DeviceTrackFinder, DeviceTracks
from rheinfall.tracking.fit_model import FitModel
from rheinfall.tracking.graph import Graph, TripletModel, build_graph
from rheinfall.tracking.module_map import ModuleMap
from rheinfall.tracking.radius_graph import knn_graph, radius_graph
from rheinfall.tracking.track_building import build_tracks
from rheinfall.tracking.track_finder import TrackFinder
from rheinfall.tracking.track_fit import TrackParameters, fit_tracks
from rheinfall.tracking.tracks import Tracks

__version__: str = build_info()["version"]

__all__ = [
    "DeviceGraph",
    "DeviceHits",
    "DeviceTrackFinder",
    "DeviceTracks",
    "EdgeClassifier",
    "Event",
    "FitModel",
    "Graph",
    "Hits",
    "ModuleMap",
    "Particles",
    "TrackFinder",
    "TrackParameters",
    "Tracks",
    "TripletModel",
    "Truth",
    "__version__",
    "build_graph",
    "build_info",
    "build_tracks",
    "build_tracks_like",
    "decode_module_id",
    "encode_module_id",
    "fit_tracks",
    "get_num_threads",
    "io",
    "knn_graph",
    "metrics",
    "quantized",
    "radius_graph",
    "set_num_threads",
    "simulation",
]
