"""Fixtures that several files share: events to build module maps from, and the maps under both conventions."""

from __future__ import annotations

import pytest

import rheinfall as rf
from module_map_samples import BENDS, simulated_events


@pytest.fixture(scope="module")
def events():
    return simulated_events()


@pytest.fixture(scope="module", params=BENDS)
def bend(request):
    return request.param


@pytest.fixture(scope="module")
def module_map(events, bend):
    return rf.ModuleMap.build(events, bend=bend)
