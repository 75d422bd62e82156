"""`rheinfall train`: train an edge classifier on the graphs of a module map, and write both as a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rheinfall.cli.errors import CommandError, guard, reading, writing
from rheinfall.cli.events import expand_events
from rheinfall.cli.exit_codes import ExitCode
from rheinfall.cli.module_map import load_map
from rheinfall.cli.options import Events, Json, Quiet, Threads, use_threads
from rheinfall.cli.output import Output, make_table


@guard
def train(
    events: Events,
    module_map: Annotated[Path, typer.Option(help="Module map of the detector (.rfmap).")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write.")],
    chi2_max: Annotated[
        float, typer.Option(min=0, help="Prune edges whose triplet chi² is larger on both sides; 0: none are.")
    ] = 25.0,
    min_pt: Annotated[
        float, typer.Option(min=0, help="True edges of particles below do not count in training [GeV].")
    ] = 0.0,
    hidden: Annotated[int, typer.Option(min=1, help="Width of node and edge states.")] = 16,
    iterations: Annotated[int, typer.Option(min=1, help="Message-passing steps.")] = 4,
    recurrent: Annotated[bool, typer.Option(help="All message-passing steps share their weights.")] = False,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time to train, if --steps is not given.")] = 6.0,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps to train: repeatable, unlike --minutes.")] = None,
    min_length: Annotated[
        int | None, typer.Option(min=1, help="Tracks of fewer hits are dropped; default: the best of 3, 5, 7.")
    ] = None,
    max_unmatched: Annotated[
        float, typer.Option(min=0, max=1, help="Unmatched tracks that the thresholds may let through.")
    ] = 0.003,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint of an interrupted run.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, order and reflections.")] = 1,
    threads: Threads = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train an edge classifier on events with truth and write a bundle (extra [train]).

    The last two events are kept back; the thresholds of track building are chosen on them. Graphs and checkpoint stay
    beside the bundle, in OUT-training, where --resume finds them.
    """
    from rheinfall import training
    from rheinfall._extras import require

    require("torch", "train")
    require("onnx", "train")
    use_threads(threads)
    output = Output(quiet, as_json)
    settings = training.TrainingConfig(
        hidden=hidden,
        iterations=iterations,
        recurrent=recurrent,
        minutes=minutes,
        steps=steps,
        seed=seed,
        threads=threads or 1,
    )
    work = out.with_name(out.name + "-training")
    prefixes, known_map = expand_events(events), load_map(module_map)
    if not resume:
        write_graphs(prefixes, known_map, work / "graphs", output, chi2_max or None, min_pt)
    with writing(work):
        result = training.train(work / "graphs", work, settings, resume=resume, log=output.say_plain)
    provenance = describe_inputs(result, prefixes, module_map, min_pt)
    lengths = (3, 5, 7) if min_length is None else (min_length,)
    kept_back = prefixes[-settings.n_validation :]
    finder = choose_thresholds(known_map, result.path, kept_back, chi2_max or None, lengths, max_unmatched)
    finder.provenance = {**provenance, "thresholds_chosen_on": [prefix.name for prefix in kept_back]}
    with writing(out):
        finder.save(out)
    _report(output, out, result, finder)


def write_graphs(
    prefixes: Sequence[Path], module_map: Any, folder: Path, output: Output, chi2_max: float | None, min_pt: float
) -> None:
    """Make one training graph per event, as the finder will see it."""
    from rheinfall import io, training
    from rheinfall.training.event_graphs import make_graph

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.npz"):
            old.unlink()
    for number, prefix in enumerate(output.track(prefixes, "Building graphs")):
        with reading(prefix):
            event = io.read_event(prefix)
        if event.truth is None:
            raise CommandError(f"{prefix}: no truth, which training needs", ExitCode.BAD_INPUT)
        graph = make_graph(event, module_map, chi2_max, min_pt=min_pt)
        with writing(folder):
            training.save_graph(folder / f"{number:06d}-{event.name}.npz", graph)


def describe_inputs(result: Any, prefixes: Sequence[Path], module_map: Path, min_pt: float) -> dict[str, Any]:
    """Provenance of the bundle: what went in, the settings, the figures."""
    return {
        **result.provenance,
        "events": [prefix.name for prefix in prefixes],
        "module_map": {"name": module_map.name, "sha256": hashlib.sha256(module_map.read_bytes()).hexdigest()},
        "min_pt": min_pt,
        "figures": result.figures,
        "seconds": round(result.seconds, 1),
    }


def choose_thresholds(
    module_map: Any,
    network: Path,
    kept_back: Sequence[Path],
    chi2_max: float | None,
    lengths: Sequence[int],
    max_unmatched: float,
) -> Any:
    """The finder with the most efficient thresholds that let few enough unmatched tracks through."""
    from rheinfall import EdgeClassifier, TrackFinder, io
    from rheinfall.tracking.bundle import Thresholds
    from rheinfall.training import best_trial, scan_thresholds

    finder = TrackFinder(module_map, EdgeClassifier.load(network), Thresholds(chi2_max=chi2_max))
    trials = scan_thresholds(finder, (io.read_event(prefix) for prefix in kept_back), min_lengths=lengths)
    finder.thresholds = best_trial(trials, max_unmatched).thresholds
    return finder


def _report(output: Output, folder: Path, result: Any, finder: Any) -> None:
    rows = [
        ("parameters", f"{result.n_parameters:,}"),
        ("steps", f"{result.steps:,}"),
        ("seconds", f"{result.seconds:.0f}"),
        *((f"validation {name}", f"{value:.4f}") for name, value in result.figures.items() if isinstance(value, float)),
    ]
    thresholds = {name: value for name, value in asdict(finder.thresholds).items() if value is not None}
    rows += [(name.replace("_", " "), str(value)) for name, value in thresholds.items()]
    output.say(make_table(f"bundle {folder}", ("", ""), rows))
    facts = {"n_parameters": result.n_parameters, "steps": result.steps, "seconds": result.seconds}
    output.document({"bundle": str(folder), **facts, "figures": result.figures, "thresholds": thresholds})
