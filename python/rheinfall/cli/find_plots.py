"""Plots of `rheinfall find --plots`: efficiency by particle, fakes, duplicates and unmatched by fitted track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rheinfall.cli.errors import CommandError, writing
from rheinfall.cli.exit_codes import ExitCode
from rheinfall.cli.find_report import Found, combine_matches
from rheinfall.cli.output import Output

EFFICIENCIES = ("pt", "eta", "radius")
TRACK_RATES = {
    "fake_rate": "fakes / tracks",
    "duplicate_rate": "duplicates / tracks with a majority",
    "unmatched_rate": "unmatched / tracks",
}
TRACK_LABELS = {"pt": "fitted $p_T$ [GeV]", "eta": r"fitted $\eta$"}


@dataclass
class Judged:
    """One finder's matches over all events, and what was fitted to its tracks."""

    match: Any
    fitted: Mapping[str, Any]


def check_folder(folder: Path) -> None:
    """Refuse before the first event what would fail after it; make the folder."""
    from rheinfall._extras import require

    require("mplhep", "plots")
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"--plots {folder}: expected a folder", ExitCode.BAD_OUTPUT)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def judged_finder(found: Sequence[Found]) -> Judged | None:
    """The matches of the events with truth as one; None without momenta to bin in."""
    match = combine_matches(found)
    if match is None or not match.selection.needs_kinematics:
        return None
    judged = [item for item in found if item.match is not None]
    return Judged(match, {name: np.concatenate([item.fitted[name] for item in judged]) for name in TRACK_LABELS})


def judged_other(found: Sequence[Found]) -> Judged | None:
    """The same of the finder that --compare names."""
    from rheinfall.metrics import combine

    matches = [item.other.comparison.second for item in found]
    if len({match.selection for match in matches}) != 1 or not matches[0].selection.needs_kinematics:
        return None
    fitted = {name: np.concatenate([item.other.fitted[name] for item in found]) for name in TRACK_LABELS}
    return Judged(combine(matches), fitted)


def write_plots(out: Output, folder: Path, finders: Mapping[str, Judged | None]) -> list[Path]:
    """Write one picture per variable, all finders in it; a warning and nothing where there is no truth to judge by."""
    from rheinfall.metrics import plot_binned, plot_efficiency, save_plot
    from rheinfall.metrics.plots import bins_of

    judged = {name: finder for name, finder in finders.items() if finder is not None}
    if not judged:
        out.warn("--plots: no plots, which need truth of one kind in all events, and momenta")
        return []
    axes: dict[str, Any] = {}
    for variable in EFFICIENCIES:
        # Primary particles come from the beam line, which leaves nothing to bin in radius.
        changes = {"primary_only": False} if variable == "radius" else {}
        matches = {name: finder.match.reselect(**changes) for name, finder in judged.items()}
        axes[f"efficiency_{variable}.png"] = plot_efficiency(matches, variable)
    for rate, ylabel in TRACK_RATES.items():
        for variable, label in TRACK_LABELS.items():
            curves = {
                name: finder.match.binned_tracks(rate, variable, finder.fitted[variable], bins_of(variable))
                for name, finder in judged.items()
            }
            axes[f"{rate}_{variable}.png"] = plot_binned(curves, ylabel, xlabel=label)
    for name, drawn in axes.items():
        with writing(folder / name):
            save_plot(drawn, folder / name)
    return [folder / name for name in axes]
