"""Forests of other packages: conifer's random ensembles and its compiled emulation, models that peers train."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

N_FEATURES = 8


def conifer_ensemble(
    seed: int, *, n_trees: int = 20, depth: int = 4, n_classes: int = 2, spread: float = 2.0, **fields: Any
) -> dict[str, Any]:
    """What conifer's converters give: random trees, some not full, thresholds and values that no grid holds."""
    random = np.random.default_rng(seed)
    n_sums = 1 if n_classes == 2 else n_classes
    return {
        "n_classes": n_classes,
        "n_features": N_FEATURES,
        "n_trees": n_trees,
        "max_depth": depth,
        "init_predict": random.normal(size=n_sums).tolist(),
        "norm": 1.0,
        "library": "random",
        "splitting_convention": "<=" if seed % 2 else "<",
        "trees": [[_conifer_tree(random, depth, spread) for _ in range(n_sums)] for _ in range(n_trees)],
        **fields,
    }


def _conifer_tree(random: np.random.Generator, depth: int, spread: float) -> dict[str, Any]:
    tree: dict[str, list[Any]] = {
        key: [] for key in ("feature", "threshold", "value", "children_left", "children_right", "weight")
    }

    def grow(levels: int) -> int:
        node = len(tree["feature"])
        split = levels > 0 and random.random() < 0.9
        feature = int(random.integers(N_FEATURES)) if split else -2
        tree["feature"].append(feature)
        tree["threshold"].append(float(random.normal() * spread) if split else -2.0)
        tree["value"].append(float(random.normal() * 0.4))
        tree["children_left"].append(-1)
        tree["children_right"].append(-1)
        tree["weight"].append([int(f == feature) for f in range(N_FEATURES)])
        if split:
            tree["children_left"][node] = grow(levels - 1)
            tree["children_right"][node] = grow(levels - 1)
        return node

    grow(depth)
    return tree


def conifer_events(ensemble: dict[str, Any], n: int, seed: int) -> np.ndarray:
    """Events in float64, some on a threshold, some beyond the range of narrow types."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, N_FEATURES)) * 3
    cuts = [t for row in ensemble["trees"] for tree in row for t in tree["threshold"]]
    on = random.random(x.shape) < 0.2
    x[on] = random.choice(cuts, on.sum())
    far = random.random(x.shape) < 0.01
    x[far] *= 60
    return x


class Emulation:
    """conifer's own C++ for one backend and set of types; `scores` computes with it.

    A folder in which backend cpp was compiled for these types is not compiled again.
    """

    def __init__(self, folder: Path, config: dict[str, Any], ensemble: dict[str, Any]) -> None:
        from conifer.model import make_model

        self.folder = folder
        config = {"OutputDir": str(folder), "ProjectName": "prj", **config}
        model = make_model(json.loads(json.dumps(ensemble)), config)
        compiled = sorted(folder.glob("conifer_bridge_*.so")) if config["Backend"] == "cpp" else []
        self.path = folder / "prj.json"
        if compiled:
            save_conifer(ensemble, config, self.path)
            model.bridge = _load(compiled[-1]).BDT(str(self.path))
        else:
            with _headers():
                model.compile()
        self.model = model
        self._bdt = type(model.bridge) if config["Backend"] == "cpp" else None

    def scores(self, x: np.ndarray, path: Path | None = None) -> np.ndarray:
        """(n, sums) as float64; with `path`, those of another model of the same types (backend cpp)."""
        bridge = self.model.bridge if path is None or self._bdt is None else self._bdt(str(path))
        return np.array([bridge.decision_function(row.tolist()) for row in x])


def save_conifer(ensemble: dict[str, Any], config: dict[str, Any], path: Path) -> Path:
    """A model's JSON as conifer saves it."""
    config = {"output_dir": ".", "project_name": "prj", "backend": config["Backend"], **config}
    path.write_text(json.dumps({**ensemble, "config": config, "metadata": []}))
    return path


def why_no_emulation() -> str | None:
    """Why conifer's emulation cannot be compiled here; None if it can."""
    for name in ("conifer", "hls4ml", "pybind11", "nlohmann_json"):
        if importlib.util.find_spec(name) is None:
            return f"the package {name} is not installed"
    return None if shutil.which("g++") else "there is no g++"


def _load(library: Path) -> Any:
    spec = importlib.util.spec_from_file_location(library.stem, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _headers:  # noqa: N801  a context manager
    """Lets conifer find the vendor's types (hls4ml brings them) and nlohmann's JSON, which its wheel lacks."""

    def __enter__(self) -> None:
        self.before = dict(os.environ)
        os.environ["XILINX_AP_INCLUDE"] = str(_folder("hls4ml") / "templates/vivado/ap_types")
        os.environ["CPATH"] = str(_folder("nlohmann_json") / "include")

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self.before)


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
