"""Bundles' descriptions: what is checked, and what the errors name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.event import Hits
from rheinfall.reference.float_math import arctan2
from rheinfall.tracking import bundle
from rheinfall.tracking.bundle import Thresholds
from rheinfall.tracking.graph import TripletModel
from rheinfall.tracking.hit_order import canonical_hit_order
from rheinfall.training import trackml

MODEL = TripletModel(
    {7: (0.02, 0.03, 0.1), 8: (0.03, 0.1, 0.2)},
    (1.0, 2.0, 3.0),
    field=1.9,
    field_spread=0.1,
    layer_x0=0.02,
    min_chi2_pt=5,
)


FIT = rf.FitModel({7: (0.02, 0.03, 0.1)}, (1.0, 2.0, 3.0), 1.9, {7: 0.02, 9: 0.5}, 0.01, (9, 10))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / bundle.MODULE_MAP).write_bytes(b"map")
    (tmp_path / bundle.EDGE_CLASSIFIER).write_bytes(b"network")
    thresholds = Thresholds(chi2_max=25.0, score_cut=0.05, sure=0.98, min_length=7)
    bundle.write_description(
        tmp_path, thresholds, {"triplet_model": MODEL, "fit_model": FIT}, {"output": "logits"}, {"seed": 1}
    )
    return tmp_path


def change(folder: Path, **values: Any) -> None:
    path = folder / bundle.DESCRIPTION
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def test_description_round_trip(folder):
    content = bundle.read_description(bundle.find_bundle(folder))
    assert bundle.read_thresholds(folder, content["thresholds"]) == Thresholds(
        chi2_max=25.0, score_cut=0.05, sure=0.98, min_length=7
    )
    assert bundle.read_triplet_model(folder, content["triplet_model"]) == MODEL
    assert bundle.read_fit_model(folder, content["fit_model"]) == FIT
    assert content["provenance"] == {"seed": 1}
    assert content["edge_classifier"] == {"output": "logits"}
    for name in (bundle.MODULE_MAP, bundle.EDGE_CLASSIFIER):
        assert bundle.checked_file(folder, content, name) == folder / name


def test_a_newer_format_is_refused_with_the_release_it_needs(folder):
    change(folder, format_version=bundle.FORMAT_VERSION + 1, needs_rheinfall="7.3.1")
    with pytest.raises(ValueError, match=rf"bundle\.json.*needs rheinfall >= 7\.3\.1, this is {rf.__version__}"):
        bundle.read_description(folder)
    change(folder, format_version=bundle.FORMAT_VERSION)
    with pytest.raises(ValueError, match=r"needs rheinfall >= 7\.3\.1"):
        bundle.read_description(folder)
    change(folder, needs_rheinfall="0.0.9")
    bundle.read_description(folder)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"format_version": ...}, "format_version: missing"),
        ({"format_version": "1"}, "format_version: expected int, got str"),
        ({"format_version": True}, "format_version: expected int, got bool"),
        ({"format_version": 0}, "format_version: expected 1 to"),
        ({"needs_rheinfall": "soon"}, "needs_rheinfall: expected a version"),
        ({"files": []}, "files: expected dict, got list"),
        ({"thresholds": ...}, "thresholds: missing"),
        ({"provenance": ...}, "provenance: missing"),
    ],
)
def test_bad_keys_are_named(folder, values, message):
    change(folder, **values)
    with pytest.raises(ValueError, match=rf"bundle\.json: {message}"):
        bundle.read_description(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", "nul"])
def test_what_is_not_json_is_refused(folder, text):
    (folder / bundle.DESCRIPTION).write_text(text)
    with pytest.raises(ValueError, match=r"bundle\.json: (not JSON|expected an object)"):
        bundle.read_description(folder)


def test_bad_thresholds_are_named(folder):
    with pytest.raises(ValueError, match=r"thresholds\.score: unknown; expected chi2_max, method, min_length"):
        bundle.read_thresholds(folder, {"score": 1})
    for values in ({"min_length": 7.5}, {"method": 3}, {"score_cut": "0.5"}, {"sure": True}):
        with pytest.raises(ValueError, match=f"thresholds.{next(iter(values))}: wrong type"):
            bundle.read_thresholds(folder, values)
    for values in (
        {"quadruplet_chi2_max": 12},
        *({"quadruplet_chi2_max": cut, "chi2_max": 25} for cut in (0, -1, 1e-50, 1e39)),
    ):
        with pytest.raises(
            ValueError, match=r"thresholds\.quadruplet_chi2_max: (says which|expected a float32 above 0)"
        ):
            bundle.read_thresholds(folder, values)


@pytest.mark.parametrize(
    "values", [{"resolution": 3}, {"resolution": {"a": [1, 1, 1]}}, {"resolution": {"7": [1]}}, {"field": None}]
)
def test_bad_triplet_model_is_named(folder, values):
    content = bundle.read_description(folder)["triplet_model"]
    with pytest.raises(ValueError, match="triplet_model: missing or wrong"):
        bundle.read_triplet_model(folder, {**content, **values})
    with pytest.raises(ValueError, match="triplet_model: missing or wrong: 'layer_x0'"):
        bundle.read_triplet_model(folder, {key: value for key, value in content.items() if key != "layer_x0"})
    with pytest.raises(ValueError, match="expected volumes 0 to 255"):
        bundle.read_triplet_model(folder, {**content, "resolution": {"256": [1, 1, 1]}})


def test_damaged_and_missing_files_are_named(folder):
    content = bundle.read_description(folder)
    (folder / bundle.MODULE_MAP).write_bytes(b"mop")
    with pytest.raises(ValueError, match=r"module_map\.rfmap: damaged: sha256 is [0-9a-f]{64}, .* says [0-9a-f]{64}"):
        bundle.checked_file(folder, content, bundle.MODULE_MAP)
    (folder / bundle.EDGE_CLASSIFIER).unlink()
    with pytest.raises(ValueError, match=r"edge_classifier\.onnx: missing from the bundle"):
        bundle.checked_file(folder, content, bundle.EDGE_CLASSIFIER)
    with pytest.raises(ValueError, match=r"files\.module_map\.rfmap\.sha256: missing"):
        bundle.checked_file(folder, {"files": {}}, bundle.MODULE_MAP)


def test_unknown_bundle_names_the_shipped_ones(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere: neither a shipped bundle \(.*\) nor a folder with bundle\.json"
    ):
        bundle.find_bundle("nowhere")
    with pytest.raises(FileNotFoundError, match="neither a shipped bundle"):
        bundle.find_bundle(tmp_path)


@pytest.mark.parametrize(
    "modules",
    [
        np.arange(40, dtype=np.uint64) << np.uint64(40),
        np.zeros(1, np.uint64),
        np.array([0, 1, 1 << 63, (1 << 64) - 1], np.uint64),
        np.random.default_rng(5).integers(0, 1 << 63, 300, dtype=np.uint64),
    ],
    ids=["one field", "one module", "ends", "all bits"],
)
def test_hit_order_is_that_of_lexsort(modules):
    rng = np.random.default_rng(4)
    n = 3000

    def column() -> Any:
        special = np.array([0, -0.0, 1, -1, np.inf, -np.inf, 1e-42], np.float32)
        return np.where(rng.random(n) < 0.7, rng.choice(special, n), rng.normal(size=n)).astype(np.float32)

    hits = Hits(column(), column(), column(), rng.choice(modules, n), np.arange(n, dtype=np.uint64))
    with np.errstate(invalid="ignore"):  # inf / inf
        phi = arctan2(hits.y, hits.x)
    np.testing.assert_array_equal(canonical_hit_order(hits), np.lexsort((hits.y, hits.x, phi, hits.z, hits.module_id)))
    shuffled = rng.permutation(n)
    turned = hits.take(shuffled)
    for field in ("x", "y", "z", "module_id"):
        np.testing.assert_array_equal(
            getattr(turned.take(canonical_hit_order(turned)), field),
            getattr(hits.take(canonical_hit_order(hits)), field),
        )


def test_hit_order_puts_nan_last_and_takes_no_hits():
    z = np.array([np.nan, 1, -np.nan, -1], np.float32)
    zero = np.zeros(4, np.float32)
    hits = Hits(zero, zero, z, np.zeros(4, np.uint64), np.arange(4, dtype=np.uint64))
    assert canonical_hit_order(hits).tolist() == [3, 1, 0, 2]
    assert canonical_hit_order(hits.take(slice(0, 0))).shape == (0,)


@pytest.mark.parametrize(
    "values", [{"layer_x0": {"256": 0.1}}, {"layer_x0": {"1": -1}}, {"discs": [300]}, {"field": "two"}, {"discs": None}]
)
def test_bad_fit_model_is_named(folder, values):
    content = bundle.read_description(folder)["fit_model"]
    with pytest.raises(ValueError, match="fit_model: missing or wrong"):
        bundle.read_fit_model(folder, {**content, **values})


def test_a_finder_fits_by_its_fit_model(tmp_path):
    finder = rf.TrackFinder.load("trackml")
    assert finder.fit_model == trackml.FIT_MODEL
    without = tmp_path / "without"
    shutil.copytree(bundle.SHIPPED / "trackml", without)
    change(without, fit_model=...)
    assert rf.TrackFinder.load(without).fit_model == rf.FitModel.from_triplet_model(finder.triplet_model)
    finder.save(tmp_path / "saved")
    assert rf.TrackFinder.load(tmp_path / "saved").fit_model == finder.fit_model
