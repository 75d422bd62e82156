"""`rheinfall module-map inspect`: what a map holds, how well training covered each layer, and what is thin."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rheinfall.cli.output import Output, make_table

BLOCKS_PER_DECADE = 4


def describe_map(module_map: Any, path: Path) -> dict[str, Any]:
    """What the map says of itself, and the size of its file."""
    facts = {key: getattr(module_map, key) for key in ("n_modules", "n_doublets", "n_triplets", "convention")}
    facts["format_version"] = module_map.core.file_format_version
    facts["statistics"] = module_map.statistics is not None
    return {"file": str(path), **facts, "bytes": path.stat().st_size}


def report(output: Output, module_map: Any, path: Path) -> None:
    """The map's facts as a table, and as the document."""
    facts = describe_map(module_map, path)
    output.say(fact_table(facts))
    output.document(facts)


def fact_table(facts: dict[str, Any]) -> Any:
    """The facts for people."""
    rows = [(key.replace("n_", "").replace("_", " "), _show(value)) for key, value in facts.items() if key != "file"]
    return make_table(facts["file"], ("", ""), rows)


def report_coverage(output: Output, module_map: Any, path: Path, module_id: Any, thin: float) -> Any:
    """Facts, coverage by layer with a bar each, and what is thin; returns the coverage."""
    from rheinfall.tracking.module_map_coverage import measure_coverage

    facts, coverage = describe_map(module_map, path), measure_coverage(module_map, module_id)
    lines = coverage.thin(thin)
    output.say(fact_table(facts))
    output.say(coverage_table(coverage))
    for line in lines or [f"nothing is thin: at most {thin:.1%} of each layer's triples on {coverage.rare_triplets}"]:
        output.say(f"thin: {line}" if lines else line)
    layers = [asdict(layer) for layer in coverage.layers]
    known = {"min_occurrence": coverage.min_occurrence, "rare_share": coverage.rare_share}
    output.document({**facts, "coverage": {**known, "layers": layers, "thin": lines}})
    return coverage


def coverage_table(coverage: Any) -> Any:
    """One line for each layer; the bar grows by four blocks for each tenth of rare triples."""
    columns = ("volume/layer", f"triples not on {coverage.rare_triplets}", "rare", "median seen", "modules", "missing")
    rows = [
        (
            layer.name,
            draw_bar(layer.rare_share),
            _percent(layer.rare_share),
            f"{layer.median_occurrence:.0f}",
            f"{layer.n_modules:,}",
            "–" if layer.n_missing is None else f"{layer.n_missing:,}",
            f"{layer.n_doublets:,}",
            f"{layer.n_triplets:,}",
        )
        for layer in coverage.layers
    ]
    return make_table("", (*columns, "doublets", "triplets"), rows, left=2)


def draw_bar(rare_share: float) -> str:
    """Four blocks for each factor of ten that the rare share lies below one, at most 16."""
    if math.isnan(rare_share):
        return ""
    decades = 4.0 if rare_share <= 1e-4 else -math.log10(rare_share)
    return "█" * round(BLOCKS_PER_DECADE * decades)


def plot_coverage(coverage: Any, path: Path) -> None:
    """The rare share and the median occurrence by layer (extra [plots]); the format follows the file's name."""
    from rheinfall._extras import require

    require("matplotlib", "plots").use("Agg")
    import matplotlib.pyplot as plt

    names = [layer.name for layer in coverage.layers]
    figure, axes = plt.subplots(2, 1, figsize=(11, 6), sharex=True, constrained_layout=True)
    axes[0].bar(names, [layer.rare_share for layer in coverage.layers], log=True)
    axes[0].set_ylabel(f"share of triples on\n{coverage.rare_triplets}")
    axes[1].bar(names, [layer.median_occurrence for layer in coverage.layers], log=True)
    axes[1].set_ylabel("median occurrence\nof a triplet")
    axes[1].set_xlabel("volume/layer")
    axes[1].tick_params(axis="x", rotation=90)
    for axis in axes:
        axis.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.2%}"


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
