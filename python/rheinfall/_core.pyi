"""Compiled core of rheinfall"""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def build_info() -> dict:
    """
    How the core was built: version, cuda (bool), isa (of this machine), compiler.
    """

def set_num_threads(n: int) -> None:
    """
    Set how many threads the stages may use; by default the cores that this process may run on.

    No result depends on it.
    """

def get_num_threads() -> int:
    """How many threads the stages may use."""

def radius_graph(points: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], r: float, max_neighbours: int | None, loop: bool, directed: bool) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(2, None))], Annotated[NDArray[numpy.int64], dict(shape=(None,))]]:
    """
    Edges between neighbours; see rheinfall.radius_graph.

    Returns (edge_index, number of edges out of each point before any cap).
    """

class TrackBuildingPlan:
    """A track building method and its thresholds."""

    def __init__(self, method: str) -> None:
        """The method with its default thresholds."""

    @property
    def score_cut(self) -> float: ...

    @score_cut.setter
    def score_cut(self, arg: float, /) -> None: ...

    @property
    def sure(self) -> float: ...

    @sure.setter
    def sure(self, arg: float, /) -> None: ...

    @property
    def walk_min(self) -> float: ...

    @walk_min.setter
    def walk_min(self, arg: float, /) -> None: ...

    @property
    def walk_add(self) -> float: ...

    @walk_add.setter
    def walk_add(self, arg: float, /) -> None: ...

    @property
    def min_length(self) -> int: ...

    @min_length.setter
    def min_length(self, arg: int, /) -> None: ...

    @property
    def orient(self) -> bool: ...

    @orient.setter
    def orient(self, arg: bool, /) -> None: ...

    @property
    def break_cycles(self) -> bool: ...

    @break_cycles.setter
    def break_cycles(self, arg: bool, /) -> None: ...

def build_tracks(plan: TrackBuildingPlan, edge_index: Annotated[NDArray[numpy.int64], dict(shape=(2, None), order='C', device='cpu', writable=False)], scores: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], n_nodes: int, x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, y: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, z: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.int64], dict(shape=(None,))], str]:
    """
    Build tracks from scored edges; see rheinfall.build_tracks.

    Returns (offsets, hits, labels, status). With status "cycle" and no tracks, hits lists the hits on cycles.
    """
