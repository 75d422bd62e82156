"""Graph construction by fixed-radius neighbours, as after a learned embedding."""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np

from rheinfall import _core
from rheinfall._device_arrays import on_cuda
from rheinfall.event import Float32, Int64
from rheinfall.tracking.arguments import require_array
from rheinfall.tracking.device import radius_graph_on_device


@overload
def radius_graph(
    points: Float32,
    r: float,
    max_neighbours: int | None = None,
    loop: bool = False,
    directed: bool = True,
    return_counts: Literal[False] = False,
) -> Int64: ...


@overload
def radius_graph(
    points: Float32,
    r: float,
    max_neighbours: int | None = None,
    loop: bool = False,
    directed: bool = True,
    *,
    return_counts: Literal[True],
) -> tuple[Int64, Int64]: ...


@overload
def radius_graph(
    points: Any,
    r: float,
    max_neighbours: int | None = None,
    loop: bool = False,
    directed: bool = True,
    return_counts: bool = False,
) -> Any: ...


def radius_graph(
    points: Any,
    r: float,
    max_neighbours: int | None = None,
    loop: bool = False,
    directed: bool = True,
    return_counts: bool = False,
) -> Any:
    """Edges between points within distance `r`.

    Exact: two points are neighbours if the float64 squared distance of their float32 coordinates, summed in index
    order, is <= float64(r)**2.

    Args:
        points: float32 (n, D), C-contiguous, D from 1 to 32, finite; NumPy's, or on a CUDA device PyTorch's or CuPy's,
            where the result then lies, too (there a cap or counts want `directed`).
        r: radius, inclusive, >= 0.
        max_neighbours: of each source keep the nearest so many targets, ties to the smaller index; None for no cap.
        loop: a point is its own neighbour too.
        directed: both directions of each edge; if False each pair once, source < target (source = target for loops);
            after a cap, a pair stays if it was kept in one direction at least.
        return_counts: return (edge_index, counts) with the number of neighbours of each point before any cap, in either
            direction, int64 (n,); a cap truncated the points where `counts > max_neighbours`.

    Returns:
        edge_index, int64 (2, n_edges), sorted by (source, target), without duplicates.

    Raises:
        TypeError, ValueError: wrong dtype, layout or value; a point that is not finite is named.
        RuntimeError: points on a device, and CUDA is missing.
    """
    if max_neighbours is not None and max_neighbours < 1:
        raise ValueError(f"max_neighbours: expected at least 1, got {max_neighbours}")
    if on_cuda(points):
        return radius_graph_on_device(points, r, max_neighbours, loop, directed, return_counts)
    _check(points)
    both_directions = directed or max_neighbours is not None
    edge_index, counts = _core.radius_graph(points, r, max_neighbours, loop, both_directions)
    if both_directions and not directed:
        edge_index = _merge_directions(edge_index, len(points))
    if not return_counts:
        return edge_index
    if not both_directions:  # what was counted are pairs: a pair counts at both its ends, a loop once
        ends = np.bincount(edge_index[1][edge_index[0] != edge_index[1]], minlength=len(points))
        counts = counts + ends.astype(np.int64)
    return edge_index, counts


@overload
def knn_graph(points: Float32, k: int) -> Int64: ...


@overload
def knn_graph(points: Any, k: int) -> Any: ...


def knn_graph(points: Any, k: int) -> Any:
    """Edges from each point to its `k` nearest others (all of them where there are fewer), ties to the smaller index.

    Distances as in `radius_graph`. Returns edge_index, int64 (2, n_edges): source = the point, target = its neighbour,
    sorted by (source, target).
    """
    if k < 1:
        raise ValueError(f"k: expected at least 1, got {k}")
    return radius_graph(points, math.inf, max_neighbours=k)


def _check(points: Float32) -> None:
    require_array("points", points, np.float32, 2)
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        i = int(np.argmin(finite))
        raise ValueError(f"points: expected finite coordinates, point {i} is {points[i].tolist()}")


def _merge_directions(edge_index: Int64, n_points: int) -> Int64:
    low, high = np.minimum(*edge_index), np.maximum(*edge_index)
    pairs = np.unique(low * n_points + high)
    return np.stack([pairs // max(n_points, 1), pairs % max(n_points, 1)])
