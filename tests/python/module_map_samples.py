"""What the tests of module maps share: events, conventions and the smallest map."""

from __future__ import annotations

import numpy as np

import rheinfall as rf
from rheinfall import _core

BENDS = ("angle", "slope_difference")


def simulated_events():
    return list(rf.simulation.simulate(8, pile_up=1, seed=4))


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def tiny_map():
    modules = np.array([[1, 2, 3], [1, 2, 4]], np.uint64) << np.uint64(8)
    limits = np.tile(np.float32([-1, 2]), (2, 10, 1))
    return rf.ModuleMap(_core.ModuleMap.from_triplets(modules, np.array([5, 1], np.uint64), limits, "angle"))
