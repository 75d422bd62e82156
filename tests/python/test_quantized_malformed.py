"""Damaged model files: a few hundred here, tens of thousands with tools/malformed_campaign.py."""

from __future__ import annotations

import json
from pathlib import Path

from malformed.campaign import run_campaign
from malformed.mutate_json import JSON_MUTATIONS
from malformed.sample import Sample
from malformed.samples import SAMPLES

N_PER_CLASS = 2


def available() -> list[Sample]:
    samples = []
    for make in SAMPLES.values():
        try:
            samples.append(make())
        except ImportError:
            continue  # ONNX models are made with the package onnx
    return samples


def test_damaged_models_are_refused_by_name_or_still_load() -> None:
    samples = available()
    report = run_campaign(samples, N_PER_CLASS)
    counts = report.total()
    assert sum(counts.values()) == N_PER_CLASS * sum(len(sample.classes()) for sample in samples) > 300
    assert not report.failures, json.dumps(report.failures[:5], indent=1)
    assert counts["refused"] > sum(counts.values()) / 3, "the damage is too weak to test anything"


def test_each_format_is_damaged_in_ten_ways_or_more() -> None:
    for sample in available():
        if sample.name != "xgboost UBJ":  # binary: the seven ways of bytes; its content is xgboost JSON's
            assert len(sample.classes()) >= 10, sample.name


def test_the_damage_is_the_same_every_time(tmp_path: Path) -> None:
    sample = SAMPLES["own JSON"]()
    for mutation in JSON_MUTATIONS:
        first = sample.write(tmp_path / "a", mutation, 3).read_bytes()
        assert sample.write(tmp_path / "a", mutation, 3).read_bytes() == first


def test_a_crash_is_seen() -> None:
    """The machinery itself can fail: a worker that dies is a failure of its case, and the others go on."""
    sample = SAMPLES["own JSON"]()
    crashing = Sample("crash", sample.files, sample.entry, "crash in tests")
    report = run_campaign([crashing], 1, only=("truncated", "keys removed"))
    assert {failure["outcome"] for failure in report.failures} == {"crashed"}
    assert len(report.failures) == 2
