"""Generated headers give the bits of the reference: every operation, gcc and clang, several in one process."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emit_documents import Documents
from rheinfall.quantized.emit import WRITERS, emit_cpp
from rheinfall.quantized.emit_test import random_events
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import parse
from rheinfall.reference import quantized as reference

N_EVENTS = 40
ROUNDS = int(os.environ.get("RHEINFALL_EMIT_ROUNDS", "3"))  # documents per operation; a long run takes more
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror"]
OPERATIONS = sorted(WRITERS)
Json = dict[str, Any]


def compiler(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    return found


def draw_documents() -> dict[str, Json]:
    """Documents by name: each operation in narrow types, and in types up to 64 bits where C++ can hold them."""
    drawn: dict[str, Json] = {}
    for position, op in enumerate(OPERATIONS):
        source = Documents(1000 + position)
        for k in range(ROUNDS):
            drawn[f"{op}_{k}"] = source.document(op)
        drawn[f"{op}_wide"] = source.document(op, most=40)
        drawn[f"{op}_widest"] = source.document(op, most=64)
    return drawn


def unsigned(document: Json) -> bool:
    """Whether outputs need std::uint64_t."""
    results = {layer["name"]: parse(layer["result"]) for layer in document["layers"]}
    results |= {declared["name"]: parse(declared["type"]) for declared in document["inputs"]}
    return any(results[name].maximum >= 1 << 63 for name in document["outputs"])


def emit_all(documents: dict[str, Json], folder: Path) -> dict[str, Json]:
    """Write each header, and one source that runs them all; those that no 128 bits hold are left out."""
    written, functions = {}, []
    for name, document in documents.items():
        try:
            emit_cpp(document, folder, name)
        except ModelError:
            assert name.endswith(("wide", "widest")), name
            continue
        out = "std::uint64_t" if unsigned(document) else "std::int64_t"
        in_ = (
            "std::uint64_t" if any(parse(x["type"]).maximum >= 1 << 63 for x in document["inputs"]) else "std::int64_t"
        )
        written[name] = document
        functions.append(
            f'extern "C" int run_{name}(const {in_}* in, {out}* out) {{ return {name}::run(in, out) ? 1 : 0; }}\n'
            f'extern "C" int real_{name}(const double* in, double* out) {{ return {name}::run_real(in, out) ? 1 : 0; }}'
        )
    includes = "\n".join(f'#include "{name}.hpp"' for name in written)
    (folder / "all.cpp").write_text(includes + "\n" + "\n".join(functions) + "\n")
    return written


def compile_library(name: str, folder: Path, *flags: str) -> ctypes.CDLL:
    library = folder / f"{name}.so"
    command = [compiler(name), "-std=c++17", "-shared", "-fPIC", *WARNINGS, *flags, "all.cpp", "-o", str(library)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return ctypes.CDLL(str(library))


def run_events(function: Any, events: Any, n_out: int, in_type: Any, out_type: Any) -> tuple[Any, list[int]]:
    out = np.zeros((len(events), n_out), dtype=out_type)
    status = []
    for event, row in zip(np.array(events, dtype=object), out, strict=True):
        x = np.array(event.tolist(), dtype=in_type)
        status.append(function(x.ctypes.data_as(ctypes.c_void_p), row.ctypes.data_as(ctypes.c_void_p)))
    return out, status


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Json]]:
    folder = tmp_path_factory.mktemp("emit")
    return folder, emit_all(draw_documents(), folder)


@pytest.fixture(scope="module")
def expected(emitted: tuple[Path, dict[str, Json]]) -> dict[str, tuple[Any, Any]]:
    """Events and the reference's outputs, by document."""
    result = {}
    for name, document in emitted[1].items():
        events = random_events(document, N_EVENTS)
        result[name] = (events, reference.run(document, events))
    return result


@pytest.mark.parametrize("name", ["g++", "clang++"])
def test_every_operation_gives_the_bits_of_the_reference(
    name: str, emitted: tuple[Path, dict[str, Json]], expected: dict[str, tuple[Any, Any]]
) -> None:
    folder, documents = emitted
    # One compiler with the vectoriser, the other with the sanitizer: undefined behaviour ends the process.
    flags = ["-O3"] if name == "g++" else ["-O1", "-fsanitize=undefined", "-fsanitize-trap=undefined"]
    library = compile_library(name, folder, *flags)
    wrong = []
    for document_name, document in documents.items():
        events, bits = expected[document_name]
        in_type = np.uint64 if any(parse(x["type"]).maximum >= 1 << 63 for x in document["inputs"]) else np.int64
        out_type = np.uint64 if unsigned(document) else np.int64
        function = getattr(library, f"run_{document_name}")
        try:
            out, status = run_events(function, events, bits.shape[1], in_type, out_type)
        except OverflowError:  # an unsigned 64-bit input beside a signed one: no C++ type holds both
            continue
        if out.tolist() != bits.tolist() or set(status) != {1}:
            wrong.append(document_name)
    assert not wrong, wrong
    assert len(documents) >= ROUNDS * len(OPERATIONS)
