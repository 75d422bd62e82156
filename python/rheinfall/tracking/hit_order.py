"""One order of the hits of an event, whatever order they come in."""

from __future__ import annotations

from rheinfall import _core
from rheinfall.event import Hits, Int64
from rheinfall.tracking.graph import contiguous_arrays


def canonical_hit_order(hits: Hits) -> Int64:
    """Indices int64 (n_hits,) that sort hits by (module_id, z, phi, x, y, index); NaN last, -0 as 0.

    Only hits that agree in all fields keep the order in which they came.
    """
    return _core.canonical_hit_order(*contiguous_arrays(hits))
