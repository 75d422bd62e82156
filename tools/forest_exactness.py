"""Compare forests with those that made them, score by score: `python tools/forest_exactness.py`.

- conifer's compiled emulation, backend cpp: each set of types compiled once, random forests of 1 and 3 sums, `<` and
  `<=`, with and without a normalisation; backend xilinxhls, rolled and unrolled, compiled each; the shared forest.
- xgboost, LightGBM, ONNX Runtime (one thread): models trained on random data with missing values, raw margins.
- The definition in Python on random documents of every kind of type, order and depth, for every instruction set that
  this machine has and for batches of 1, 8, 64 and 1024.

A mismatch is a score whose bits differ. Counts go to bench/results/quantized_exactness.json, one section each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from exactness_record import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "python"))

import forest_models
import random_forests
from rheinfall.quantized import Forest, load_forest
from rheinfall.reference import forest as reference

SHARED = Path(os.environ.get("RHEINFALL_SHARED", ROOT.parent / "shared")) / "data/bdt/hls_latency_model.json.gz"
CPP_TYPES: tuple[dict[str, str], ...] = (
    {"Precision": "ap_fixed<18,8>"},
    {"Precision": "ap_fixed<12,6>"},
    {"Precision": "ap_fixed<11,6>"},
    {"InputPrecision": "ap_fixed<16,6,AP_RND,AP_SAT>", "ScorePrecision": "ap_fixed<14,4,AP_TRN,AP_SAT>"},
    {"InputPrecision": "ap_ufixed<14,5,AP_RND_CONV,AP_SAT_ZERO>", "ScorePrecision": "ap_fixed<20,6,AP_RND_INF>"},
    {"Precision": "float"},
    {"Precision": "double"},
)
HLS_TYPES: tuple[dict[str, Any], ...] = (
    {"Precision": "ap_fixed<18,8>", "Unroll": True},
    {"Precision": "ap_fixed<18,8>", "Unroll": False},
    {"InputPrecision": "ap_fixed<16,6>", "ThresholdPrecision": "ap_fixed<18,6>", "WeightPrecision": "ap_ufixed<2,2>",
     "ScorePrecision": "ap_fixed<12,3,AP_RND,AP_SAT>", "Unroll": True},
    {"InputPrecision": "ap_fixed<16,6>", "ScorePrecision": "ap_fixed<12,3,AP_RND,AP_SAT>", "Unroll": False},
)  # fmt: skip


class Count:
    """Scores compared, and how many differ."""

    def __init__(self) -> None:
        self.events = self.scores = self.mismatches = self.forests = 0
        self.digest = hashlib.sha256()
        self.seen: dict[str, Any] = {}

    def add(self, got: np.ndarray, want: np.ndarray) -> None:
        """One forest on some events; conifer hands its float32 scores over as float64."""
        got = np.ascontiguousarray(got).reshape(want.shape)
        if got.dtype == np.float32 and np.array_equal(want, want.astype(np.float32), equal_nan=True):
            want = want.astype(np.float32)
        want = np.ascontiguousarray(want)
        if got.dtype != want.dtype:
            raise TypeError(f"{got.dtype} against {want.dtype}")
        bits = f"u{want.itemsize}"
        self.mismatches += int((got.view(bits) != want.view(bits)).sum())
        self.events += len(want)
        self.scores += want.size
        self.digest.update(want.tobytes())

    def note_types(self, config: dict[str, Any]) -> None:
        """conifer's types of the forests so far, and how many scores differed up to here."""
        kept = {key: value for key, value in config.items() if key not in ("XilinxPart", "ClockPeriod")}
        self.seen["conifer"] = metadata.version("conifer")
        types = self.seen.setdefault("types", [])
        types.append({**kept, "events_so_far": self.events, "mismatches_so_far": self.mismatches})

    def record(self, campaign: str) -> None:
        """Print and keep."""
        section = {
            "events": self.events, "scores": self.scores, "forests": self.forests, "mismatches": self.mismatches,
            "sha256": self.digest.hexdigest(), **self.seen,
            "command": " ".join(["python tools/forest_exactness.py", *sys.argv[1:]]),
        }  # fmt: skip
        print(campaign, {k: v for k, v in section.items() if k not in ("sha256", "command")}, flush=True)
        record(campaign, section)


def conifer_cpp(count: Count, n_forests: int, n_events: int) -> None:
    """Backend cpp, and the shared forest in three types."""
    for types in CPP_TYPES:
        config = {"Backend": "cpp", **types}
        with tempfile.TemporaryDirectory() as name:
            folder, emulation = Path(name), None
            for seed in range(n_forests):
                ensemble = forest_models.conifer_ensemble(
                    seed, n_trees=(1, 10, 40, 100)[seed % 4], depth=3 + seed % 4,
                    n_classes=3 if seed % 5 == 2 else 2, norm=0.375 if seed % 5 == 3 else 1.0,
                )  # fmt: skip
                path = forest_models.save_conifer(ensemble, config, folder / f"{seed}.json")
                emulation = emulation or forest_models.Emulation(folder / "build", config, ensemble)
                x = forest_models.conifer_events(ensemble, n_events, seed)
                count.add(load_forest(path)(x), np.squeeze(emulation.scores(x, path)))
                count.forests += 1
            assert emulation is not None
            if SHARED.exists() and "Precision" in types:
                _shared_forest(count, emulation, config, folder, n_events)
        count.note_types(config)


def _shared_forest(count: Count, emulation: forest_models.Emulation, config: Any, folder: Path, n_events: int) -> None:
    import gzip

    ensemble = json.loads(gzip.decompress(SHARED.read_bytes()))
    path = forest_models.save_conifer(ensemble, config, folder / "shared.json")
    random = np.random.default_rng(1)
    values = [
        t for (tree,) in ensemble["trees"] for t, f in zip(tree["threshold"], tree["feature"], strict=True) if f >= 0
    ]
    x = random.choice(values, (n_events, 19)) + random.integers(-1, 2, (n_events, 19)) * 0.25
    want = np.squeeze(emulation.scores(x, path))
    count.add(load_forest(path)(x), want)
    count.add(load_forest(SHARED, precision=config["Precision"])(x), want)
    count.forests += 1


def conifer_hls(count: Count, n_events: int) -> None:
    """Backend xilinxhls: the firmware's sources, compiled for each forest."""
    for seed, types in enumerate(HLS_TYPES):
        config = {"Backend": "xilinxhls", "XilinxPart": "any", "ClockPeriod": 5, **types}
        ensemble = forest_models.conifer_ensemble(
            seed, n_trees=11 if types["Unroll"] else 9, depth=3, n_classes=3 if seed == 0 else 2
        )
        with tempfile.TemporaryDirectory() as name:
            emulation = forest_models.Emulation(Path(name) / "build", config, ensemble)
            x = forest_models.conifer_events(ensemble, n_events, seed)
            count.add(load_forest(emulation.path)(x), np.squeeze(emulation.scores(x)))
            count.forests += 1
        count.note_types(config)


def training_data(seed: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Float32 events with missing values, and labels."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(3000, 16)).astype(np.float32)
    target = x[:, :4].sum(1) + x[:, 5] * x[:, 6] + random.normal(size=len(x))
    x[random.random(x.shape) < 0.02] = np.nan
    return x, np.digitize(target, np.quantile(target, np.arange(1, n_classes) / n_classes))


def peers(counts: dict[str, Count], n_models: int, n_events: int) -> None:
    """xgboost, LightGBM and ONNX Runtime, each on models of its own."""
    for seed in range(n_models):
        n_classes = 3 if seed % 3 == 2 else 2
        x, y = training_data(seed, n_classes)
        test = training_data(1000 + seed, 2)[0][:n_events]
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, (path, want) in _peer_models(Path(folder), x, y, test, n_classes, seed):
                events = test if name != "onnxruntime" else np.nan_to_num(test)
                events = events.astype(np.float64) if name == "lightgbm" else events
                counts[name].add(load_forest(path)(events), want)
                counts[name].forests += 1


def _peer_models(folder: Path, x: Any, y: Any, test: Any, n_classes: int, seed: int) -> Iterator[tuple[str, Any]]:
    import lightgbm
    import onnx
    import onnxruntime
    import xgboost
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    parameters = {"objective": "multi:softprob" if n_classes == 3 else "binary:logistic", "max_depth": 3 + seed % 4,
                  "verbosity": 0, "nthread": 1, "seed": seed, "eta": 0.2}  # fmt: skip
    if n_classes == 3:
        parameters["num_class"] = 3
    booster = xgboost.train(parameters, xgboost.DMatrix(x, y), 60)
    path = folder / ("x.json" if seed % 2 else "x.ubj")
    booster.save_model(path)
    yield "xgboost", (path, booster.predict(xgboost.DMatrix(test), output_margin=True))
    parameters = {"objective": "multiclass" if n_classes == 3 else "binary", "num_leaves": 15 + 16 * (seed % 2),
                  "verbose": -1, "num_threads": 1, "seed": seed}  # fmt: skip
    if n_classes == 3:
        parameters["num_class"] = 3
    model = lightgbm.train(parameters, lightgbm.Dataset(x.astype(float), y), 60)
    path = folder / "l.txt"
    model.save_model(path)
    yield "lightgbm", (path, model.predict(test.astype(float), raw_score=True))
    maker = RandomForestClassifier if seed % 2 else GradientBoostingClassifier
    trees = maker(n_estimators=30, max_depth=3 + seed % 3, random_state=seed).fit(np.nan_to_num(x), y)
    converted = to_onnx(trees, np.nan_to_num(x[:1]), options={"zipmap": False})
    for attribute in (a for node in converted.graph.node for a in node.attribute if a.name == "post_transform"):
        attribute.s = b"NONE"
    path = folder / "o.onnx"
    onnx.save(converted, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    want = session.run(None, {session.get_inputs()[0].name: np.nan_to_num(test)})[-1]
    yield "onnxruntime", (path, want if n_classes == 3 else np.ascontiguousarray(want[:, -1]))


def definition(count: Count, n_forests: int, n_events: int) -> None:
    """Random documents on every instruction set and in batches of 1, 8, 64, 1024, against the definition in Python."""
    types = ["ap_fixed<18,8>", "ap_fixed<12,6>", "ap_fixed<11,6>", "ap_ufixed<10,5,RND,SAT>", "ap_fixed<32,12>",
             "ap_fixed<50,20>", "float32", "float64"]  # fmt: skip
    scores = ["ap_fixed<18,8>", "ap_fixed<12,6>", "ap_fixed<10,3,RND,SAT>", "ap_fixed<16,5,TRN,SAT_SYM>",
              "ap_ufixed<32,16>", "ap_fixed<60,30>", "float32", "float64"]  # fmt: skip
    isas = [isa for isa in ("exact", "portable", "avx2", "avx512") if _has(isa)]
    for seed in range(n_forests):
        random = np.random.default_rng(seed)
        document = random_forests.random_document(
            seed, n_trees=int(random.integers(1, 60)), depth=int(random.integers(1, 8)),
            n_features=int(random.choice([3, 8, 16, 20, 33, 64, 70])), n_classes=int(random.choice([1, 1, 1, 3])),
            input_type=types[random.integers(len(types))], score_type=scores[random.integers(len(scores))],
            comparison=["<", "<="][seed % 2], sum=["sequential", "sequential", "tree"][seed % 3],
            initial_added=["first", "last"][seed // 2 % 2], missing=bool(seed % 5 == 0),
        )  # fmt: skip
        x = random_forests.random_events(document, n_events, seed)
        if x.dtype.kind == "f":
            x[random.random(x.shape) < 0.02] = np.nan
        dtype = {"float32": np.float32, "float64": np.float64}.get(document["score"], np.int64)
        want = np.array(reference.run(document, x), dtype)
        for isa in isas:
            forest = Forest(document, isa=isa)
            for batch in (1, 8, 64, 1024):
                got = np.empty_like(want)
                for first in range(0, n_events, batch):
                    forest._core.run(x[first : first + batch], got[first : first + batch])
                count.add(got, want)
        count.forests += 1
    count.seen = {"isas": isas, "batches": [1, 8, 64, 1024]}


def _has(isa: str) -> bool:
    try:
        Forest(random_forests.random_document(0), isa=isa)
    except ValueError:
        return False
    return True


def main() -> None:
    """Run the campaigns; the exit status tells of mismatches."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--forests", type=int, default=12, help="random conifer forests per set of types")
    arguments.add_argument("--events", type=int, default=1000, help="per conifer forest")
    arguments.add_argument("--models", type=int, default=12, help="trained models of each peer")
    arguments.add_argument("--documents", type=int, default=200, help="random documents against the definition")
    arguments.add_argument("--only", nargs="*", default=["conifer_cpp", "conifer_hls", "peers", "definition"])
    options = arguments.parse_args()
    counts: dict[str, Count] = {}
    if "definition" in options.only:
        definition(counts.setdefault("forest_definition", Count()), options.documents, 1024)
    if "peers" in options.only:
        found = {name: Count() for name in ("xgboost", "lightgbm", "onnxruntime")}
        peers(found, options.models, 3000)
        counts.update({f"forest_{name}": count for name, count in found.items()})
    missing = forest_models.why_no_emulation()
    if missing and any(name.startswith("conifer") for name in options.only):
        print(f"conifer's emulation is left out: {missing}")
    elif not missing:
        if "conifer_cpp" in options.only:
            conifer_cpp(counts.setdefault("forest_conifer_cpp", Count()), options.forests, options.events)
        if "conifer_hls" in options.only:
            conifer_hls(counts.setdefault("forest_conifer_hls", Count()), options.events)
    for name, count in counts.items():
        count.record(name)
    sys.exit(any(count.mismatches for count in counts.values()))


if __name__ == "__main__":
    main()
