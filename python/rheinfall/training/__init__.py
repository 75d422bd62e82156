"""Training of edge classifiers: graphs in a folder in, an ONNX file out. Needs the extra [train]."""

from __future__ import annotations

from rheinfall.training.config import MIRRORS, Mirror, TrainingConfig
from rheinfall.training.graph_files import TrainingGraph, label_edges, list_graphs, load_graph, save_graph
from rheinfall.training.thresholds import ThresholdTrial, best_trial, scan_thresholds
from rheinfall.training.train import TrainingResult, train

__all__ = [
    "MIRRORS",
    "Mirror",
    "ThresholdTrial",
    "TrainingConfig",
    "TrainingGraph",
    "TrainingResult",
    "best_trial",
    "label_edges",
    "list_graphs",
    "load_graph",
    "save_graph",
    "scan_thresholds",
    "train",
]
