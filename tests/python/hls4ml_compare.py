"""One network through hls4ml's emulation and through the importer: events, mismatches, and a hash of the outputs."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hls4ml_emulation import Emulation
from hls4ml_named import NAMED
from hls4ml_networks import Builder, quiet, random_network
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import parse
from rheinfall.quantized.hls4ml_model import read_model
from rheinfall.quantized.hls4ml_project import read_project
from rheinfall.quantized.network import Network
from rheinfall.reference.quantized import run as run_reference

N_REFERENCE = 8  # events that the slow definition repeats


def network_of(key: str) -> tuple[Builder, str]:
    """The builder and backend of "seed:17" or "named:cicada"."""
    kind, _, value = key.partition(":")
    if kind == "seed":
        return random_network(int(value))
    builder = Builder(len(value))
    NAMED[value](builder)
    return builder, "Vitis"


def random_events(document: Mapping[str, Any], seed: int, n_events: int) -> tuple[np.ndarray, np.ndarray]:
    """Stored integers and real values: half over the inputs' whole range, half of random size."""
    rng = np.random.default_rng(seed)
    stored, real = [], []
    for declared in document["inputs"]:
        type_, size = parse(declared["type"]), int(np.prod(declared["shape"]))
        x = rng.integers(type_.minimum, type_.maximum, (n_events, size), endpoint=True)
        half = n_events // 2
        x[:half] >>= rng.integers(0, type_.width, (half, 1))
        stored.append(x)
        real.append(x * 2.0**-type_.fraction)
    return np.concatenate(stored, axis=1), np.concatenate(real, axis=1)


def output_steps(document: Mapping[str, Any]) -> np.ndarray:
    """What a step of each element of the output is worth."""
    types = {layer["name"]: parse(layer["result"]) for layer in document["layers"]}
    nothing = [0] * sum(int(np.prod(declared["shape"])) for declared in document["inputs"])
    steps = []
    for name in document["outputs"]:
        size = run_reference({**document, "outputs": [name]}, nothing).size
        steps += [2.0 ** -types[name].fraction] * size
    return np.array(steps)


def compare(key: str, emulation: Emulation, folder: Path, n_events: int, by_model: bool = False) -> dict[str, Any]:
    """The record of a network by its key; see `compare_builder`."""
    builder, backend = network_of(key)
    return {"network": key} | compare_builder(
        builder, backend, emulation, folder, n_events, by_model, seed=sum(key.encode())
    )


def compare_builder(
    builder: Builder,
    backend: str,
    emulation: Emulation,
    folder: Path,
    n_events: int,
    by_model: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Build, emulate, import, run: a record with `status` "compared", or why there was nothing to compare.

    "hls4ml" means that hls4ml could not write, compile or run its own project; "refused" that the importer said no.
    """
    found: dict[str, Any] = {"backend": backend, "io_type": builder.io_type, "layers": builder.kinds}
    try:
        with quiet():
            model = builder.model(folder, backend=backend)
            model.write()
    except Exception as error:  # of any kind: hls4ml asserts and indexes
        return found | {"status": "hls4ml", "reason": f"write: {type(error).__name__}: {error}"[:200]}
    try:
        document = read_project(folder)
        network = Network(document)
    except ModelError as error:
        return found | {"status": "refused", "reason": str(error).replace(str(folder), "")[:300]}
    try:
        program = emulation.build(model, folder)
        x_stored, x_real = random_events(document, seed, n_events)
        emulated = emulation.run(program, x_real, network.n_outputs)
    except RuntimeError as error:
        return found | {"status": "hls4ml", "reason": f"build or run: {error}".replace(str(folder), "")[:300]}
    step = output_steps(document)
    expected = (emulated / step).astype(np.int64)
    assert np.array_equal(expected * step, emulated)
    ours = np.asarray(network.run_integers(x_stored)).astype(np.int64)
    defined = np.array(run_reference(document, x_stored[:N_REFERENCE]).tolist(), dtype=np.int64)
    found |= {
        "status": "compared",
        "events": n_events,
        "mismatches": int((ours != expected).any(axis=1).sum()),
        "reference_mismatches": int((defined != expected[:N_REFERENCE]).any(axis=1).sum()),
        "sha256": hashlib.sha256(expected.tobytes()).hexdigest(),
        "distinct_outputs": len(np.unique(expected)),
    }
    if by_model:
        with quiet():
            found["model_object_differs"] = read_model(model)["layers"] != document["layers"]
    shutil.rmtree(folder, ignore_errors=True)
    return found
