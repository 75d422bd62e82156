"""Options of the limits that a map draws from its statistics, shared by `build`, `merge` and `prune`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rheinfall.cli.errors import CommandError
from rheinfall.cli.exit_codes import ExitCode

_PANEL = "Limits"


def _option(words: str, least: int = 0) -> Any:
    return typer.Option(min=least, help=words, rich_help_panel=_PANEL)


MinOccurrence = Annotated[int | None, _option("Leave out triplets seen less often.", 1)]
Sigmas = Annotated[float | None, _option("Widen limits by so many shrunk rms / sqrt(occurrence).")]
SigmasDifferences = Annotated[float | None, _option("The same for diff_dzdr and the bend.")]
Core = Annotated[float | None, _option("Cut limits to mean ± so many shrunk rms.")]
Relative = Annotated[float | None, _option("Widen limits by this share of their range.")]
Absolute = Annotated[
    str | None,
    typer.Option(
        help="Widen limits by six numbers, with commas between: z0 [mm], dphi [rad], phi_slope [rad/mm], deta, "
        "diff_dzdr, bend.",
        rich_help_panel=_PANEL,
    ),
]
MaxPhiSlope = Annotated[
    float | None, _option("Cut limits of phi_slope to ± this [rad/mm]: 0.3e-3 / pT [GeV] in 2 T, and some more.")
]
KeepCycles = Annotated[
    bool, typer.Option("--keep-cycles", help="Keep triplets on doublets seen both ways.", rich_help_panel=_PANEL)
]


def gather_limits(
    min_occurrence: int | None,
    sigmas: float | None,
    sigmas_differences: float | None,
    core: float | None,
    relative: float | None,
    absolute: str | None,
    max_phi_slope: float | None,
    keep_cycles: bool,
) -> dict[str, Any]:
    """Keyword arguments of `ModuleMap.with_limits`: those that were given."""
    limits = {
        "min_occurrence": min_occurrence,
        "sigmas": sigmas,
        "sigmas_differences": sigmas_differences,
        "core": core,
        "relative": relative,
        "absolute": None if absolute is None else parse_margins(absolute),
        "max_phi_slope": max_phi_slope,
        "remove_two_cycles": False if keep_cycles else None,
    }
    return {name: value for name, value in limits.items() if value is not None}


def parse_margins(text: str) -> tuple[float, ...]:
    """Six numbers with commas between."""
    try:
        margins = tuple(float(word) for word in text.split(","))
    except ValueError:
        margins = ()
    if len(margins) != 6:
        raise CommandError(f"--absolute: expected six numbers with commas between, got {text!r}", ExitCode.USAGE)
    return margins
