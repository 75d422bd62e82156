"""The picture of `module_map_quality.py`: efficiency against edges by rule, efficiency in bins, growth with density."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLOURS = {"all pT": "tab:red", "pT > 1 GeV": "tab:orange", "shipped": "black"}


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw what the report holds."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(19, 4.6), constrained_layout=True)
    draw_rules(axes[0], report)
    for axis, variable, label in ((axes[1], "pt", "$p_T$ [GeV]"), (axes[2], "eta", r"$\eta$")):
        draw_bins(axis, report["figures"]["pions"], variable)
        axis.set_xlabel(label)
    draw_density(axes[3], report["figures"]["density"])
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="lower right")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_rules(axis: Any, report: dict[str, Any]) -> None:
    """Event 21000 with every rule: open symbols before, full ones after pruning; stars for chosen rules."""
    for stage, fill in (("graph", "none"), ("chi2 < 50", "full")):
        rows = [t["events"]["event 21000"][stage] for t in report["rules"]["rules"].values()]
        x, y = ([row["edges"] / 1e3 for row in rows], [row["efficiency"]["all"] for row in rows])
        axis.plot(x, y, "o", color="tab:blue", fillstyle=fill, markersize=4, label=f"a rule, {stage}")
    for name, row in report["figures"]["event 21000"].items():
        graph = row["graph"]
        axis.plot(graph["edges"] / 1e3, graph["efficiency"]["all"], "*", color=COLOURS[name], markersize=11, label=name)
    axis.axvline(100, color="grey", linewidth=0.8)
    axis.axhline(0.975, color="grey", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_xlabel("edges of the whole event 21000 [thousand]")
    axis.set_ylabel("efficiency of pixel edges, $p_T$ > 1 GeV")


def draw_bins(axis: Any, pions: dict[str, Any], variable: str) -> None:
    """Edge efficiency of 10,000 pions in bins, before and after pruning."""
    for stage in ("graph", "chi2 < 25"):
        bins = pions[stage]["bins"][variable]
        centres = [(a + b) / 2 for a, b in zip(bins["edges"], bins["edges"][1:], strict=False)]
        widths = [(b - a) / 2 for a, b in zip(bins["edges"], bins["edges"][1:], strict=False)]
        axis.errorbar(centres, bins["efficiency"], xerr=widths, fmt="o", markersize=3, label=f"10,000 pions, {stage}")
    axis.set_ylim(0.96, 1.0005)
    axis.set_ylabel("edge efficiency")


def draw_density(axis: Any, density: dict[str, Any]) -> None:
    """Edges against the number of pions."""
    numbers = [int(n) / 1e3 for n in density]
    for stage in ("graph", "chi2 < 25"):
        axis.loglog(numbers, [d[stage]["edges"] / 1e3 for d in density.values()], "o-", label=f"edges, {stage}")
    axis.loglog(numbers, [d["hits"] / 1e3 for d in density.values()], "--", color="grey", label="hits")
    axis.set_xlabel("pions [thousand]")
    axis.set_ylabel("thousand")
