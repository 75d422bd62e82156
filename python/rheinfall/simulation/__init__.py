"""Simulated events: the embedded generator, and Fatras of ACTS through the `[acts]` extra."""

from __future__ import annotations

from rheinfall.simulation.detector import Detector, build_detector, demo_detector
from rheinfall.simulation.fatras import fatras
from rheinfall.simulation.generator import simulate

__all__ = ["Detector", "build_detector", "demo_detector", "fatras", "simulate"]
