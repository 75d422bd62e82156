"""Edge classification: a graph network gives each edge a score."""

from __future__ import annotations

from rheinfall.gnn.edge_classifier import EdgeClassifier

__all__ = ["EdgeClassifier"]
