"""How good graphs and tracks are: every efficiency with the name of its rule."""

from __future__ import annotations

from rheinfall.metrics.binning import BinnedEfficiency
from rheinfall.metrics.comparison import ComponentReport, TrackComparison, compare_tracks, report_components
from rheinfall.metrics.edges import EdgeMatches, area_under_curve, find_true_edges, match_edges, perfect_scores
from rheinfall.metrics.events import combine
from rheinfall.metrics.intervals import ONE_SIGMA, clopper_pearson
from rheinfall.metrics.particles import ParticleTable, Selection, select_particles
from rheinfall.metrics.plots import bin_efficiencies, plot_binned, plot_efficiency, plot_style, save_plot
from rheinfall.metrics.score import trackml_score
from rheinfall.metrics.tracks import RULES, TrackHits, TrackMatches, match_tracks

__all__ = [
    "ONE_SIGMA",
    "RULES",
    "BinnedEfficiency",
    "ComponentReport",
    "EdgeMatches",
    "ParticleTable",
    "Selection",
    "TrackComparison",
    "TrackHits",
    "TrackMatches",
    "area_under_curve",
    "bin_efficiencies",
    "clopper_pearson",
    "combine",
    "compare_tracks",
    "find_true_edges",
    "match_edges",
    "match_tracks",
    "perfect_scores",
    "plot_binned",
    "plot_efficiency",
    "plot_style",
    "report_components",
    "save_plot",
    "select_particles",
    "trackml_score",
]
