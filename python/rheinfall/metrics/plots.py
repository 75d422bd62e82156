"""Efficiencies and rates with their intervals as plots in mplhep's style (extra [plots]).

Figures are made without pyplot: nothing pops up, no backend is chosen, and the settings of the caller stay.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rheinfall._extras import require
from rheinfall.metrics.binning import BinnedEfficiency
from rheinfall.metrics.particles import check_variable
from rheinfall.metrics.tracks import TrackMatches

DEFAULT_BINS: dict[str, Sequence[float]] = {
    "pt": (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 10, 14, 20, 50, 100),
    "eta": tuple(np.linspace(-4, 4, 17)),
    "phi": tuple(np.linspace(-np.pi, np.pi, 17)),
    "radius": (0, 1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000),
}
"""Borders of the bins of each variable where the caller names none."""

LABELS = {
    "pt": r"$p_T$ [GeV]",
    "eta": r"$\eta$",
    "phi": r"$\phi$ [rad]",
    "radius": "production radius [mm]",
}
MARKERS = "os^vD*Pp"


def bins_of(variable: str, min_pt: float | None = None) -> list[float]:
    """Borders of the bins in which `variable` is drawn by default; in pT they begin at a `min_pt` above 0.

    Raises:
        ValueError: another variable than pt, eta, phi, radius.
    """
    check_variable(variable)
    borders = list(DEFAULT_BINS[variable])
    if variable == "pt" and min_pt:
        above = [border for border in borders if border > min_pt]
        borders = [min_pt, *(above or [2 * min_pt])]
    return borders


def bin_efficiencies(
    finders: Mapping[str, TrackMatches], variable: str, edges: Any = None
) -> dict[str, BinnedEfficiency]:
    """The efficiency of each finder in bins of a particle's variable.

    Args:
        finders: by name, judged under one rule and one selection.
        variable: pt, eta, phi or radius.
        edges: borders of the bins; None for `bins_of`.

    Raises:
        TypeError: anything else than TrackMatches.
        ValueError: different rules or selections, which are not to be compared, or none at all.
    """
    _check_values("finders", finders, TrackMatches, "combine makes one of several events")
    rules = {(m.rule, m.selection) for m in finders.values()}
    if len(rules) != 1:
        raise ValueError(f"finders: expected one or more judged under one rule and selection, got {len(rules)} of them")
    ((_, selection),) = rules
    borders = bins_of(variable, selection.min_pt) if edges is None else edges
    return {name: matches.binned(variable, borders) for name, matches in finders.items()}


def _check_values(name: str, values: Any, kind: type, hint: str) -> None:
    """Refuse what does not map names to `kind`."""
    expected = f"{name}: expected a dictionary from names to {kind.__name__} ({hint})"
    if not isinstance(values, Mapping):
        raise TypeError(f"{expected}, got {type(values).__name__}")
    for key, value in values.items():
        if not isinstance(key, str):
            raise TypeError(f"{expected}, got the name {key!r}")
        if not isinstance(value, kind):
            raise TypeError(f"{expected}, got {type(value).__name__} at {key!r}")


def plot_binned(
    curves: Mapping[str, BinnedEfficiency], ylabel: str, *, xlabel: str = "", title: str = "", axes: Any = None
) -> Any:
    """Draw fractions in bins, one marker per finder, with Clopper-Pearson intervals; empty bins stay empty.

    The legend names the intervals, and tells how many entries lie in no bin.

    Args:
        curves: by the name that the legend shows; all of one variable.
        ylabel: what the fraction is.
        xlabel: what is binned, where it is no variable of particles.
        title: above the axes.
        axes: matplotlib Axes to draw on; None for a figure of its own.

    Returns:
        The Axes, for `save_plot`.

    Raises:
        TypeError: anything else than BinnedEfficiency.
        ValueError: no curves, or of different variables.
        ImportError: without the extra [plots].
    """
    _check_values("curves", curves, BinnedEfficiency, "TrackMatches.binned makes one")
    variables = {curve.variable for curve in curves.values()}
    if len(variables) != 1:
        raise ValueError(f"curves: expected one or more of one variable, got {sorted(variables)}")
    (variable,) = variables
    mplhep = require("mplhep", "plots")
    from matplotlib.figure import Figure

    with plot_style():
        if axes is None:
            axes = Figure(figsize=(7.5, 5.5), layout="constrained").add_subplot()
        for i, (name, curve) in enumerate(curves.items()):
            value = curve.efficiency
            outside = f" ({curve.n_outside:,} outside)" if curve.n_outside else ""
            mplhep.histplot(
                value,
                curve.edges,
                yerr=np.array([value - curve.low, curve.high - value]),
                xerr=True,
                histtype="errorbar",
                ax=axes,
                label=name + outside,
                color=f"C{i}",
                marker=MARKERS[i % len(MARKERS)],
                markersize=5,
                fillstyle="full" if i % 2 == 0 else "none",
            )
        axes.set_xlabel(xlabel or LABELS.get(variable, variable))
        axes.set_ylabel(ylabel)
        if title:
            axes.set_title(title, fontsize=11, loc="left")
        if variable == "pt" and min(curve.edges[0] for curve in curves.values()) > 0:
            axes.set_xscale("log")
        elif variable == "radius":
            axes.set_xscale("symlog", linthresh=2)
        axes.grid(alpha=0.3)
        levels = " and ".join(f"{100 * level:.3g} %" for level in sorted({curve.level for curve in curves.values()}))
        axes.legend(fontsize=10, title=f"Clopper-Pearson, {levels}", title_fontsize=9)
    return axes


def plot_efficiency(finders: Mapping[str, TrackMatches], variable: str, edges: Any = None, *, axes: Any = None) -> Any:
    """Draw the efficiency of one or several finders in bins of a particle's pt, eta, phi or production radius.

    Primary particles come from the beam line: for the radius, match with `primary_only=False`, or reselect.

    Args:
        finders: by the name that the legend shows, judged under one rule and selection; see `combine` for events.
        variable, edges: as for `bin_efficiencies`.
        axes: as for `plot_binned`.

    Returns:
        The Axes.

    Raises:
        TypeError, ValueError, ImportError: as `bin_efficiencies` and `plot_binned`.
    """
    curves = bin_efficiencies(finders, variable, edges)
    matches = next(iter(finders.values()))
    return plot_binned(curves, f"efficiency ({matches.rule})", axes=axes, title=f"particles: {matches.selection}")


def save_plot(axes: Any, path: str | os.PathLike[str]) -> Path:
    """Write the figure of `axes`; the format follows the file's name.

    Returns:
        The file written.

    Raises:
        TypeError: no Axes of matplotlib.
        ImportError: without the extra [plots].
    """
    with plot_style():
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure

        if not isinstance(axes, Axes) or not isinstance(axes.figure, Figure):
            raise TypeError(f"axes: expected matplotlib Axes, as plot_efficiency returns, got {type(axes).__name__}")
        axes.figure.savefig(path, dpi=110)
    return Path(path)


def plot_style() -> Any:
    """A context with mplhep's style, smaller, for axes of one's own; fonts are chosen when a figure is written."""
    from matplotlib.style import context

    return context([require("mplhep", "plots").style.ROOT, {"font.size": 13}])
