"""`rheinfall quantized`: inspect, run and emit quantized networks and forests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from rheinfall.cli.errors import CommandError, guard, reading, writing
from rheinfall.cli.exit_codes import EPILOG, ExitCode
from rheinfall.cli.options import Json, Quiet
from rheinfall.cli.output import Output, make_table

app = typer.Typer(help="Inspect, run and emit quantized networks and forests.", epilog=EPILOG, no_args_is_help=True)

ModelFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="hls4ml project (folder), .onnx (QONNX, QDQ, trees), network.json, forest of conifer, xgboost or LightGBM",
    ),
]
Wrapper = Annotated[
    Path | None, typer.Option(help="What surrounds an hls4ml project's network (.json): input scaling and score.")
]
Isa = Annotated[str, typer.Option(help="Kernels: best, portable, avx2, avx512, exact. The bits do not depend on it.")]

FOREST_SUFFIXES = (".txt", ".ubj", ".gz", ".model")
ROWS_SHOWN = 5


@app.command("inspect", epilog=EPILOG)
@guard
def inspect(
    path: ModelFile, wrapper: Wrapper = None, isa: Isa = "best", quiet: Quiet = False, as_json: Json = False
) -> None:
    """Tell layers, types, proven ranges, work, kernels chosen, and traps found."""
    output = Output(quiet, as_json)
    model = load_model(path, wrapper, isa)
    inspection = model.inspect()
    output.say_plain(str(inspection))
    facts = model.info if isinstance(inspection, str) else inspection.to_dict()  # a forest's is a text
    output.document({"file": str(path), **facts})


@app.command("run", epilog=EPILOG)
@guard
def run(
    path: ModelFile,
    input: Annotated[Path, typer.Option(help="Events to run on (.npy): shape (n, n_inputs), or one event.")],
    out: Annotated[Path | None, typer.Option(help="Write the results (.npy).")] = None,
    integers: Annotated[
        bool, typer.Option("--integers", help="Stored integers of the outermost types in and out, not real values.")
    ] = False,
    wrapper: Wrapper = None,
    isa: Isa = "best",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run on events from a file, bit for bit as the firmware does."""
    import numpy as np

    output = Output(quiet, as_json)
    if out is not None and out.suffix != ".npy":
        raise CommandError(f"--out {out}: expected a name that ends in .npy", ExitCode.USAGE)
    start = time.perf_counter()
    model = load_model(path, wrapper, isa)
    load_ms = 1e3 * (time.perf_counter() - start)
    x = read_events(input, integers)
    with reading(input):
        start = time.perf_counter()
        y = model.run_integers(x) if integers else model(x)
        run_ms = 1e3 * (time.perf_counter() - start)
    if out is not None:
        with writing(out):
            np.save(out, y)
    facts = _describe_run(path, input, out, x, y) | {"load_ms": load_ms, "run_ms": run_ms}
    _report_run(output, facts, y)


@app.command("emit", epilog=EPILOG)
@guard
def emit(
    path: ModelFile,
    out: Annotated[Path, typer.Option(help="Folder for the header; made where it is missing.")],
    wrapper: Wrapper = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a C++17 header without dependencies that gives the same bits."""
    output = Output(quiet, as_json)
    model = load_model(path, wrapper, "best")
    if not hasattr(model, "emit_cpp"):
        raise CommandError(f"{path}: a forest; emit writes networks", ExitCode.USAGE)
    with reading(path), writing(out):
        emitted = model.emit_cpp(out)
    files = [emitted] if isinstance(emitted, str | Path) else list(emitted or sorted(out.iterdir()))
    for file in files:
        output.say_plain(str(file))
    output.document({"file": str(path), "files": [str(file) for file in files]})


def load_model(path: Path, wrapper: Path | None, isa: str) -> Any:
    """The network or forest of a file; a bad one is a bad input."""
    import rheinfall.quantized as quantized

    expected = ("best", "portable", "avx2", "avx512", "exact")
    if isa not in expected:
        raise CommandError(f"--isa {isa}: expected one of {', '.join(expected)}", ExitCode.USAGE)
    with reading(path):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        if not holds_forest(path):
            return quantized.load(path, wrapper, isa=isa)
        if wrapper is not None:
            raise CommandError("--wrapper goes with an hls4ml project, and this is a forest", ExitCode.USAGE)
        return quantized.load_forest(path)


def holds_forest(path: Path) -> bool:
    """Whether a path is a forest's file rather than a network's; told by name and content."""
    if path.is_dir():
        return False
    if path.suffix == ".onnx":
        return b"TreeEnsemble" in path.read_bytes()
    if path.suffix == ".json":
        # Our networks name their format; conifer, xgboost and LightGBM have no such key.
        return b"rheinfall.quantized" not in path.read_bytes()
    return path.suffix in FOREST_SUFFIXES


def read_events(path: Path, integers: bool) -> Any:
    """The array of a .npy file, of the kind that was asked for."""
    import numpy as np

    with reading(path):
        x = np.load(path, allow_pickle=False)
        if not isinstance(x, np.ndarray):
            raise ValueError("expected one array (.npy), got an archive")
        kinds = "iu" if integers else "f"
        if x.dtype.kind not in kinds:
            wanted = "integers (--integers)" if integers else "float32 or float64 (integers need --integers)"
            raise ValueError(f"expected {wanted}, got {x.dtype}")
        if x.dtype == np.float16:
            x = x.astype(np.float32)  # exact
        return np.ascontiguousarray(x, x.dtype.newbyteorder("="))


def _describe_run(path: Path, source: Path, out: Path | None, x: Any, y: Any) -> dict[str, Any]:
    single = x.ndim == 1
    n = 1 if single else len(x)
    y = y.reshape(n, y.size // max(n, 1))  # a forest of one class gives no axis for it
    return {
        "file": str(path),
        "input": str(source),
        "out": None if out is None else str(out),
        "n_events": len(y),
        "n_outputs": y.shape[1],
        "dtype": str(y.dtype),
        "first": y[0].tolist() if len(y) else [],
    }


def _report_run(output: Output, facts: dict[str, Any], y: Any) -> None:
    rows = [(name.replace("_", " "), str(facts[name])) for name in ("n_events", "n_outputs", "dtype", "out")]
    rows += [(f"{name} ms", f"{facts[name + '_ms']:.3f}") for name in ("load", "run")]
    output.say(make_table(facts["file"], ("", ""), rows))
    if facts["out"] is None:
        for i, row in enumerate(y.reshape(facts["n_events"], facts["n_outputs"])[:ROWS_SHOWN]):
            output.say_plain(f"event {i}: " + " ".join(f"{value:g}" for value in row.tolist()))
    output.document(facts)
