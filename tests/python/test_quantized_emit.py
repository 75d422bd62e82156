"""Generated headers give the bits of the reference: every operation, gcc and clang, several in one process."""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emit_documents import Documents
from random_networks import random_document, trigger_document
from rheinfall.quantized.emit import WRITERS, emit_cpp
from rheinfall.quantized.emit_test import random_events
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType, parse
from rheinfall.reference import quantized as reference

N_EVENTS = 40
ROUNDS = int(os.environ.get("RHEINFALL_EMIT_ROUNDS", "2"))  # documents per operation; a long run takes more
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror"]
OPERATIONS = sorted(WRITERS)
Json = dict[str, Any]


def compiler(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    return found


def draw_documents() -> dict[str, Json]:
    """Documents by name: each operation in narrow types and in types up to 64 bits, and networks of several layers."""
    drawn: dict[str, Json] = {}
    for position, op in enumerate(OPERATIONS):
        source = Documents(1000 + position)
        for k in range(ROUNDS):
            drawn[f"{op}_{k}"] = source.document(op)
        drawn[f"{op}_wide"] = source.document(op, most=40)
        drawn[f"{op}_widest"] = source.document(op, most=64)
    for k in range(4 * ROUNDS):
        drawn[f"any_{k}"], drawn[f"trigger_{k}"] = random_document(k), trigger_document(k)
    return drawn


def output_types(document: Json) -> list[FixedType]:
    types = {
        named["name"]: parse(named.get("result") or named["type"]) for named in document["inputs"] + document["layers"]
    }
    return [types[output if isinstance(output, str) else output["name"]] for output in document["outputs"]]


def integer_type(types: list[FixedType]) -> str | None:
    """The C++ integer that holds all of these types; None if none does."""
    if not any(fixed.maximum >= 1 << 63 for fixed in types):
        return "std::int64_t"
    return None if any(fixed.is_signed for fixed in types) else "std::uint64_t"


def boundary(document: Json) -> tuple[str | None, str | None]:
    """The C++ integers of inputs and outputs."""
    return integer_type([parse(x["type"]) for x in document["inputs"]]), integer_type(output_types(document))


def emit_all(documents: dict[str, Json], folder: Path) -> dict[str, Json]:
    """Write each header, and one source that runs them all; those that no 128 bits hold are left out."""
    written, functions = {}, []
    for name, document in documents.items():
        try:
            emit_cpp(document, folder, name)
        except ModelError:
            assert name.endswith(("wide", "widest")), name
            continue
        in_, out = boundary(document)
        if in_ is None or out is None:
            continue
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
        result[name] = (events, reference.run(document, np.array(events, dtype=object)))
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
        in_type, out_type = (np.dtype(str(c)[5:-2]) for c in boundary(document))
        out, status = run_events(getattr(library, f"run_{document_name}"), events, bits.shape[1], in_type, out_type)
        if out.tolist() != bits.tolist() or set(status) != {1}:
            wrong.append(document_name)
    assert not wrong, wrong
    assert len(documents) >= ROUNDS * len(OPERATIONS)


def test_real_numbers_are_converted_as_the_reference_does(emitted: tuple[Path, dict[str, Json]]) -> None:
    """Ties, denormals, huge numbers, infinity; each rounding and overflow occurs among the inputs' types."""
    folder, documents = emitted
    (folder / "real.cpp").write_text((folder / "all.cpp").read_text())
    library = compile_library("g++", folder, "-O1")
    generator = np.random.default_rng(5)
    for name in [n for n in documents if n.startswith(("quantize", "transpose", "shift", "relu"))]:
        document, n_in = documents[name], sum(math.prod(x["shape"]) for x in documents[name]["inputs"])
        steps = 2.0 ** -parse(document["inputs"][0]["type"]).fraction
        x = generator.integers(-40, 40, (20, n_in)) * steps / 4
        extremes = [
            0.0,
            -0.0,
            5e-324,
            -5e-324,
            1e300,
            -1e300,
            1.7e19,
            -9.3e18,
            steps / 2,
            -steps / 2,
            2.0**70,
            -(2.0**70),
        ]
        x.reshape(-1)[: len(extremes) * 5 : 5] = extremes
        bits = reference.run(document, reference.integers_of_reals(document, x))
        expected = bits.astype(np.float64) * 2.0 ** -parse(document["layers"][0]["result"]).fraction
        out, status = run_events(getattr(library, f"real_{name}"), x, expected.shape[1], np.float64, np.float64)
        assert out.tolist() == expected.tolist(), name
        assert set(status) == {1}


def scaled_document() -> Json:
    """An int8 network with scales, zero points and an offset at its boundary."""
    return {
        "format": "rheinfall.quantized",
        "version": 1,
        "name": "scaled",
        "inputs": [{"name": "x", "shape": [4], "type": "ap_int<8,TRN,SAT>", "scale": 0.0371, "zero_point": -3}],
        "layers": [{"name": "q", "op": "quantize", "inputs": ["x"], "result": "ap_int<9>"}],
        "outputs": [{"name": "q", "scale": [0.1, 0.2, 0.3, 0.7], "zero_point": 5, "offset": [0.1, 0.0, -1e-3, 7.0]}],
    }


def test_scales_zero_points_and_offsets(tmp_path: Path) -> None:
    """float32 division and half-even steps in; (q - zero_point)·scale + offset in doubles out, rounded twice."""
    document = scaled_document()
    emit_cpp(document, tmp_path)
    (tmp_path / "all.cpp").write_text(
        '#include "scaled.hpp"\n'
        'extern "C" int real(const double* x, double* y) { return scaled::run_real(x, y) ? 1 : 0; }\n'
    )
    library = compile_library("g++", tmp_path, "-O3", "-mfma" if os.uname().machine == "x86_64" else "-O3")
    x = np.random.default_rng(1).normal(0, 4, (500, 4))
    x[0] = [np.nan, np.inf, 1e30, -1e30]
    out, status = run_events(library.real, x, 4, np.float64, np.float64)
    q = np.array(reference.integers_of_reals(document, np.nan_to_num(x, posinf=0)), dtype=np.float64)
    q[0, :2] = -3  # not finite: as 0
    q[0, 2:] = [127, -128]
    output = document["outputs"][0]
    expected = (q - 5) * np.array(output["scale"]) + np.array(output["offset"])
    assert out.tolist() == expected.tolist()
    assert status == [0] + [1] * 499


def test_integers_outside_a_type_are_converted_and_reported(tmp_path: Path) -> None:
    documents = {}
    for mode in ("WRAP", "SAT", "SAT_ZERO", "SAT_SYM"):
        x = {"name": "x", "shape": [1], "type": f"ap_fixed<4,2,TRN,{mode}>"}
        layer = {"name": "y", "op": "quantize", "inputs": ["x"], "result": "ap_fixed<8,6>"}
        documents[mode.lower()] = {
            "format": "rheinfall.quantized", "version": 1, "inputs": [x], "layers": [layer], "outputs": ["y"],
        }  # fmt: skip
    emit_all(documents, tmp_path)
    library = compile_library("g++", tmp_path, "-O1")
    events = [[q] for q in (-(2**40), -9, -8, 7, 8, 2**40 + 3)]
    for mode, document in documents.items():
        out, status = run_events(getattr(library, f"run_{mode}"), events, 1, np.int64, np.int64)
        assert out.tolist() == reference.run(document, events).tolist()
        assert status == [0, 0, 1, 1, 0, 0], mode


def test_networks_with_the_same_names_do_not_mix(tmp_path: Path) -> None:
    """Two versions of one network, same layer names, in two libraries of one process (cmssw#44435)."""
    source, libraries, documents = Documents(3), [], []
    for version in range(2):
        document = source.document("dense")
        document["layers"][0].update(weight=source.tensor([document["inputs"][0]["shape"][0], 4], "ap_fixed<8,4>"))
        document["layers"][0].pop("bias", None)
        document["layers"][0].update(accum="ap_fixed<32,16>", result="ap_fixed<32,16>", order=[])
        folder = tmp_path / str(version)
        emit_cpp(document, folder, "net")
        arguments = "const std::int64_t* x, std::int64_t* y"
        (folder / "all.cpp").write_text(
            f'#include "net.hpp"\nextern "C" int run_{version}({arguments}) {{ return net::run(x, y) ? 1 : 0; }}\n'
        )
        compile_library("g++", folder, "-O0")
        libraries.append(ctypes.CDLL(str(folder / "g++.so"), mode=ctypes.RTLD_GLOBAL))
        documents.append(document)
    for version in (0, 1, 0):
        events = random_events(documents[version], 20)
        out, _ = run_events(getattr(libraries[version], f"run_{version}"), events, 4, np.int64, np.int64)
        assert out.tolist() == reference.run(documents[version], events).tolist()


def test_both_versions_in_one_program(tmp_path: Path) -> None:
    """Linked together from two sources; nothing but the two entry points is visible outside them."""
    source = Documents(4)
    for version in range(2):
        emit_cpp(source.document("affine"), tmp_path / str(version), "net")
        (tmp_path / f"{version}.cpp").write_text(
            f'#include "{version}/net.hpp"\n'
            f'extern "C" int run_{version}(const int* x, int* y) {{ return net::run(x, y) ? 1 : 0; }}\n'
        )
    command = [compiler("g++"), "-std=c++17", "-O1", "-shared", "-fPIC", "0.cpp", "1.cpp", "-o", "both.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    symbols = subprocess.run(
        [compiler("nm"), "-D", "--defined-only", "both.so"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert sorted(line.split()[-1] for line in symbols.stdout.splitlines() if "run" in line) == ["run_0", "run_1"]
    assert "net" not in symbols.stdout


def test_the_test_program_finds_a_wrong_bit(tmp_path: Path) -> None:
    document = Documents(5).document("dense")
    header = emit_cpp(document, tmp_path, "net", n_test_events=30)
    command = [compiler("g++"), "-std=c++17", *WARNINGS, "net_test.cpp", "-o", "net_test"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "net_test"], check=False, capture_output=True).returncode == 0
    header.write_text(header.read_text().replace("out0[i] = v0[i]", "out0[i] = v0[i] ^ 1"))
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "net_test"], check=False, capture_output=True).returncode == 1


def test_names(tmp_path: Path) -> None:
    document = Documents(6).document("relu")
    document["name"] = "1 tagger\n*/ system(); //\\"
    document["source"] = "a\\\n#error injected"
    document["layers"][0]["name"] = document["outputs"][0] = 'relu"; }\n#error injected\n??/'
    header = emit_cpp(document, tmp_path)
    assert header.name == "n1_tagger_system.hpp"
    (tmp_path / "all.cpp").write_text(
        f'#include "{header.name}"\nint main() {{ return n1_tagger_system::n_inputs == 0; }}\n'
    )
    compile_library("g++", tmp_path, "-trigraphs")
    for name in ("1x", "a b", "class", "_x", "a__b", ""):
        with pytest.raises(ValueError, match="expected a C"):
            emit_cpp(document, tmp_path, name)


def test_what_128_bits_cannot_hold_is_refused(tmp_path: Path) -> None:
    document = Documents(7).document("multiply")
    for declared in document["inputs"]:
        declared["type"] = "ap_fixed<64,32>"
    document["layers"][0].update(result="ap_fixed<64,32>", inputs=["x", "x"])
    emit_cpp(document, tmp_path, "fits")
    document["layers"].append({"name": "far", "op": "add", "inputs": ["x", "y"], "result": "ap_fixed<8,4>"})
    document["inputs"].append({"name": "y", "shape": [4], "type": "ap_fixed<64,-100>"})
    document["inputs"] = [x for k, x in enumerate(document["inputs"]) if k == 0 or x is document["inputs"][-1]]
    with pytest.raises(ModelError, match=r"layer 'far' \(op add\).*more than 128 bits"):
        emit_cpp(document, tmp_path, "far")


def test_headers_compile_as_device_code(tmp_path: Path) -> None:
    """nvcc, warnings as errors: `run` and `run_real` in a kernel; the same functions on the host give the same bits."""
    nvcc = compiler("nvcc")
    source = Documents(8)
    documents = {op: source.document(op) for op in ("dense", "softmax", "table", "pool")}
    emit_all(documents, tmp_path)
    parts, checks = [], []
    for name, document in documents.items():
        events = np.array(random_events(document, 200), dtype=object)
        expected = reference.run(document, events).reshape(-1)
        kernel = (
            f"__global__ void kernel_{name}(const int* x, long long* y, const double* a, double* b) {{\n"
            f"    if ({name}::run(x, y)) {name}::run_real(a, b);\n}}"
        )
        arrays = (
            f"const long long {kind}_{name}[] = {{{', '.join(f'{int(q)}LL' for q in values)}}};"
            for kind, values in (("in", events.reshape(-1)), ("expected", expected))
        )
        parts += [f'#include "{name}.hpp"', kernel, *arrays]
        checks.append(
            f"    for (int e = 0; e < {len(events)}; ++e) {{\n"
            f"        long long out[{name}::n_outputs];\n"
            f"        {name}::run(in_{name} + e * {name}::n_inputs, out);\n"
            f"        for (int i = 0; i < {name}::n_outputs; ++i)\n"
            f"            n_wrong += out[i] != expected_{name}[e * {name}::n_outputs + i];\n"
            "    }"
        )
    main = [
        "#include <cstdio>",
        "int main() {",
        "    int n_wrong = 0;",
        *checks,
        '    std::printf("%d", n_wrong);',
        "}",
    ]
    (tmp_path / "device.cu").write_text("\n".join(parts + main) + "\n")
    command = [nvcc, "-std=c++17", "-arch=sm_80", "-Werror", "all-warnings", "device.cu", "-o", "device"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert subprocess.run([tmp_path / "device"], capture_output=True, text=True, check=True).stdout == "0"
