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
from rheinfall.quantized.fixed_point import FixedType, parse
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


def output_types(document: Mapping[str, Any]) -> list[FixedType]:
    """The type of each element of the output."""
    shapes = {value["name"]: value["type"] for value in document["inputs"]}
    shapes |= {layer["name"]: layer["result"] for layer in document["layers"]}
    return [parse(shapes[name]) for name in document["outputs"]]


def compare(key: str, emulation: Emulation, folder: Path, n_events: int, by_model: bool = False) -> dict[str, Any]:
    """Build, emulate, import, run: a record with `status` "compared", or why there was nothing to compare.

    "hls4ml" means that hls4ml could not write, compile or run its own project; "refused" that the importer said no.
    """
    builder, backend = network_of(key)
    found: dict[str, Any] = {"network": key, "backend": backend, "io_type": builder.io_type, "layers": builder.kinds}
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
        x_stored, x_real = random_events(document, sum(key.encode()), n_events)
        emulated = emulation.run(program, x_real, network.n_outputs)
    except RuntimeError as error:
        return found | {"status": "hls4ml", "reason": f"build or run: {error}".replace(str(folder), "")[:300]}
    (type_,) = set(output_types(document))
    expected = (emulated * 2.0**type_.fraction).astype(np.int64)
    assert np.array_equal(expected * 2.0**-type_.fraction, emulated)
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
