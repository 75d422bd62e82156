"""Whether to train a network with the rounding that bf16 brings: tracks of networks trained without and with it.

    python bench/bf16_training.py --work FOLDER --out bench/results/bf16_training.json

FOLDER is that of `rheinfall reproduce trackml`. The recipe's network is trained once more, all alike but that the
linear operations of edges see inputs and weights rounded to bf16, and gradients pass through the rounding as if it were
not there. It and the bundle's network, each in float32 and in bf16, with the bundle's thresholds, judged on the
held-out pions of `network_pareto.py`. Needs the extras [train] and [acts].
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from environment import describe_environment
from network_pareto import HELD_OUT, judge

import rheinfall as rf
from rheinfall.training import loop, network, trackml
from rheinfall.training.train import train

ROUNDED = ("edge_encoder", "edge", "gate", "decoder")  # names of parameters begin so: the linear operations of edges


def rounded(x: Any) -> Any:
    """To bf16, to nearest even; the gradient is that of x."""
    return x + (x.to(torch.bfloat16).to(torch.float32) - x).detach()


class RoundingTorch:
    """The module torch, but for products with the given weights, which round both factors."""

    def __init__(self, weights: list[Any]) -> None:
        self._weights = {id(w) for w in weights}

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def addmm(self, bias: Any, x: Any, weight: Any) -> Any:
        """As torch.addmm."""
        if id(weight) in self._weights:
            x, weight = rounded(x), rounded(weight)
        return torch.addmm(bias, x, weight)


def train_with_rounding(graphs: Path, out: Path) -> None:
    """The recipe's training with rounding; one that was interrupted goes on."""

    def edge_logits(parameters: dict[str, Any], *arguments: Any) -> Any:
        ends = (".source", ".target")  # what an edge takes of its nodes stays float32
        names = [n for n in parameters if n.split(".")[0] in ROUNDED and not n.endswith(ends)]
        with mock.patch.object(network, "torch", RoundingTorch([parameters[n] for n in names])):
            return network.edge_logits(parameters, *arguments)

    with mock.patch.object(loop, "edge_logits", edge_logits):
        train(graphs, out, trackml.CONFIG, resume=(out / "checkpoint.pt").exists())


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--detectors", type=Path, default=Path("../shared/data/trackml/detectors.csv.gz"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    folder = args.work / "bf16-training"
    if not (folder / "edge_classifier.onnx").exists():
        train_with_rounding(args.work / "graphs", folder)
    shipped = rf.TrackFinder.load("trackml")
    networks = {
        "trained in float32": shipped.edge_classifier,
        "trained with rounding": rf.EdgeClassifier.load(folder / "edge_classifier.onnx"),
    }
    finders = {
        f"{name}, run in {precision}": rf.TrackFinder(
            shipped.module_map,
            classifier.with_precision(precision),
            shipped.thresholds,
            triplet_model=shipped.triplet_model,
        )
        for name, classifier in networks.items()
        for precision in ("fp32", "bf16")
    }
    found = judge(finders, args)
    for name, rates in found.items():
        print(name, {key: round(r["value"], 5) for key, r in rates.items()})
    if args.out:
        training = json.loads((folder / "training.json").read_text())
        report = {
            "environment": describe_environment(),
            "events": HELD_OUT.to_dict(),
            "training": {key: training[key] for key in ("config", "seconds", "figures")},
            "rates": found,
        }
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
