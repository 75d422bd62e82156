"""Hits of an event as ACTS' measurements, so that the classical chain finds tracks in the very hits that others get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import rheinfall as rf
from rheinfall.simulation.fatras_detector import read_modules
from rheinfall.simulation.fatras_engine import FatrasEngine

PIXELS, SHORT_STRIPS, LONG_STRIPS = (7, 8, 9), (12, 13, 14), (16, 17, 18)
# Pitch [mm] across and along.
PITCH = {**dict.fromkeys(PIXELS, (0.05, 0.05625)), **dict.fromkeys(SHORT_STRIPS, (0.08, 1.2))} | dict.fromkeys(
    LONG_STRIPS, (0.12, 10.8)
)


class MeasurementMaker:
    """Puts hits on the surfaces of the GenericDetector, with variances of pitch² / 12.

    Surfaces are matched to TrackML's modules by their centres, and a hit's two coordinates are those in ACTS' frame of
    the surface; what is left along the normal must be rounding.
    """

    tolerance = 0.01  # [mm]; TrackML writes positions to six digits, so to 0.005 mm at z of metres

    def __init__(self, engine: FatrasEngine, detectors: Path) -> None:
        import acts

        self._acts = acts
        surface_id, centre = engine.list_surfaces()
        module = read_modules(detectors).match_centres(surface_id, centre)
        order = np.argsort(module)
        self._module_id, self._surface_id, self._centre = module[order], surface_id[order], centre[order]
        axes = self._axes(engine)
        self._axes_of_module = np.array([axes[int(i)] for i in self._surface_id])

    def _axes(self, engine: FatrasEngine) -> dict[int, Any]:
        acts = self._acts
        context, along = acts.GeometryContext.dangerouslyDefaultConstruct(), acts.Vector3(0.0, 0.0, 1.0)
        axes: dict[int, Any] = {}

        def visit(surface: Any) -> None:
            points = [surface.localToGlobal(context, acts.Vector2(*uv), along) for uv in ((0, 0), (1, 0), (0, 1))]
            origin, u, v = (np.array([p[i] for i in range(3)]) for p in points)
            axes[surface.geometryId.value] = np.array([origin, u - origin, v - origin])

        engine.geometry.visitSurfaces(visit)
        return axes

    def make(self, hits: rf.Hits) -> tuple[Any, Any]:
        """ACTS' container of measurements, in the order of their surfaces, and the hit of each, int64 (n_hits,).

        Raises:
            ValueError: a hit lies on no module of this detector, or off its module's plane.
        """
        acts = self._acts
        row = np.minimum(np.searchsorted(self._module_id, hits.module_id), len(self._module_id) - 1)
        if not np.array_equal(self._module_id[row], hits.module_id):
            raise ValueError("module_id: a hit lies on a module that the GenericDetector lacks")
        origin, u_axis, v_axis = self._axes_of_module[row].transpose(1, 0, 2)
        offset = np.column_stack([hits.x, hits.y, hits.z]).astype(np.float64) - origin
        u, v, w = ((offset * axis).sum(axis=1) for axis in (u_axis, v_axis, np.cross(u_axis, v_axis)))
        if len(w) and np.abs(w).max() > self.tolerance:
            raise ValueError(f"hits: expected them on their modules, got one {np.abs(w).max():.3g} mm off")
        surface = self._surface_id[row]
        order = np.argsort(surface, kind="stable")
        container = acts.examples.MeasurementContainer()
        container.reserve(len(hits))
        variances = {volume: [a * a / 12, b * b / 12] for volume, (a, b) in PITCH.items()}
        columns = (surface[order].tolist(), u[order].tolist(), v[order].tolist())
        for identifier, first, second in zip(*columns, strict=True):
            geometry_id = acts.GeometryIdentifier(identifier)
            container.emplaceMeasurement(geometry_id, [0, 1], [first, second], variances[identifier >> 56])
        return container, order
