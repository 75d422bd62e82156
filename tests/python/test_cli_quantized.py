from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rheinfall.cli import ExitCode, main

pytest.importorskip("typer")
pytest.importorskip("rich")

DOCUMENT = {
    "format": "rheinfall.quantized",
    "version": 1,
    "inputs": [{"name": "x", "shape": [2], "type": "ap_fixed<8,4,RND_CONV,SAT>"}],
    "layers": [
        {
            "name": "fc",
            "op": "dense",
            "inputs": ["x"],
            "result": "ap_fixed<12,8>",
            "accum": "ap_fixed<16,8>",
            "weight": {"type": "ap_fixed<4,2>", "shape": [2, 1], "data": [4, -2]},  # 1 and -0.5
        },
    ],
    "outputs": ["fc"],
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


def save(path: Path, values: Any, dtype: Any = np.float32) -> Path:
    np.save(path, np.array(values, dtype))
    return path


def test_run_takes_real_values(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, out = save(tmp_path / "x.npy", [[1.5, 1], [-2, 0.5]]), tmp_path / "y.npy"
    arguments = ["quantized", "run", str(model), "--input", str(x), "--out", str(out), "--json"]
    assert main(arguments) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["n_events"], document["n_outputs"], document["dtype"]) == (2, 1, "float32")
    assert document["first"] == [1.0]
    assert np.array_equal(np.load(out), np.array([[1.0], [-2.25]], np.float32))


def test_run_takes_stored_integers(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = save(tmp_path / "x.npy", [24, 16], np.int16)  # 1.5 and 1
    assert main(["quantized", "run", str(model), "--input", str(x), "--integers"]) == ExitCode.OK
    assert "event 0: 16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "dtype", "options", "reason"),
    [
        ([[1, np.nan]], np.float32, [], "the first at flat index 1"),
        ([1, 2, 3], np.float32, [], "expected shape"),
        ([1, 2], np.int32, [], "integers need --integers"),
        ([1, 2], np.float64, ["--integers"], "expected integers"),
        ([1, 300], np.int32, ["--integers"], "outside the input type"),
    ],
)
def test_run_refuses(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], values: Any, dtype: Any, options: Any, reason: str
) -> None:
    x = save(tmp_path / "x.npy", values, dtype)
    assert main(["quantized", "run", str(model), "--input", str(x), *options]) == ExitCode.BAD_INPUT
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert str(x) in error
    assert reason in error


def test_inspect_prints_layers(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantized", "inspect", str(model)]) == ExitCode.OK
    text = capsys.readouterr().out
    assert "fc" in text
    assert "ap_fixed<12,8>" in text
    assert main(["quantized", "inspect", str(model), "--json"]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in document["layers"]] == ["fc"]


def test_a_bad_model_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps({**DOCUMENT, "outputs": ["nobody"]}))
    assert main(["quantized", "inspect", str(path)]) == ExitCode.BAD_INPUT
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error
    assert "nobody" in error


@pytest.mark.parametrize("name", ["nothing.json", "nothing", "nothing.onnx"])
def test_a_missing_model_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["quantized", "inspect", str(tmp_path / name)]) == ExitCode.BAD_INPUT
    assert name in capfd.readouterr().err


def test_usage_errors(model: Path, tmp_path: Path) -> None:
    x = save(tmp_path / "x.npy", [1, 2])
    assert main(["quantized", "run", str(model), "--input", str(x), "--out", "y.txt"]) == ExitCode.USAGE
    assert main(["quantized", "run", str(model), "--input", str(x), "--isa", "mmx"]) == ExitCode.USAGE
    assert main(["quantized", "run", str(model)]) == ExitCode.USAGE


def test_emit_writes_a_header(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "headers"
    assert main(["quantized", "emit", str(model), "--out", str(folder), "--json"]) == ExitCode.OK
    files = json.loads(capsys.readouterr().out)["files"]
    assert files
    assert all(Path(file).is_file() for file in files)


def test_forests_are_told_from_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = Path(__file__).parent / "malformed" / "files"
    x, y = save(tmp_path / "x.npy", np.zeros((3, 4))), []
    for name in ("conifer.json", "xgboost.json", "xgboost.ubj", "lightgbm.txt", "lightgbm_dump.json"):
        assert main(["quantized", "inspect", str(files / name), "--json"]) == ExitCode.OK
        assert json.loads(capsys.readouterr().out)["n_trees"] == 3
        assert main(["quantized", "run", str(files / name), "--input", str(x), "--json"]) == ExitCode.OK
        document = json.loads(capsys.readouterr().out)
        y.append((document["n_events"], document["n_outputs"]))
    assert y == [(3, 1)] * 5
    assert main(["quantized", "emit", str(files / "conifer.json"), "--out", str(tmp_path)]) == ExitCode.USAGE
