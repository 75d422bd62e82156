"""hls4ml's own C++ emulation of a project: one small program per project, built with g++ and fed with doubles."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# All templates but the generated file: the same text in every project, so it is parsed once.
_COMMON = """
#include <cstdint>
#include <iostream>
#include <fstream>
#include <sstream>
#include <vector>
#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"
"""
_MAIN = """
#include "{project}_bridge.cpp"
#include "firmware/{project}.cpp"
#include <unistd.h>
int main() {{
    std::vector<double> x({n_in}), y({n_out});
    while (fread(x.data(), sizeof(double), {n_in}, stdin) == {n_in}) {{
        {project}_double({arguments});
        fwrite(y.data(), sizeof(double), {n_out}, stdout);
    }}
    fflush(stdout);
    _exit(0); // hls::stream complains in its destructors
}}
"""


def missing() -> str | None:
    """Why there can be no emulation here, None if there can."""
    if importlib.util.find_spec("hls4ml") is None:
        return "hls4ml is not installed"
    return None if shutil.which("g++") else "g++ is not installed"


class Emulation:
    """Compiles projects into `folder`; headers that all share are precompiled there, once per backend."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flags = ["-O1", "-w", "-std=c++17", "-fno-gnu-unique"]

    def _common(self, backend: str, types: Path) -> Path:
        header = self.folder / f"common_{backend}" / "common.h"
        if not header.exists():
            header.parent.mkdir(parents=True, exist_ok=True)
            utils = types.parent / "nnet_utils"
            shutil.copytree(types, header.parent / "ap_types")
            shutil.copytree(utils, header.parent / "nnet_utils")
            names = [f"nnet_{name}.h" for name in _SHARED if (utils / f"nnet_{name}.h").exists()]
            text = _COMMON + "".join(f'#include "nnet_utils/{name}"\n' for name in names)
            header.write_text(text)
            include = [f"-I{header.parent}", f"-I{header.parent / 'ap_types'}"]
            _run(["g++", *self.flags, *include, "-x", "c++-header", str(header)], header.parent)
        return header

    def build(self, model: Any, project: Path) -> Path:
        """The program of a model that has been written to `project`."""
        name, backend = model.config.get_project_name(), model.config.backend.name
        inputs, outputs = model.get_input_variables(), model.get_output_variables()
        pointers = []
        for vector, variables in (("x", inputs), ("y", outputs)):
            start = 0
            for variable in variables:
                pointers.append(f"{vector}.data() + {start}")
                start += int(np.prod(variable.shape))
        n_in, n_out = (sum(int(np.prod(v.shape)) for v in variables) for variables in (inputs, outputs))
        main = project / "emulation.cpp"
        main.write_text(_MAIN.format(project=name, n_in=n_in, n_out=n_out, arguments=", ".join(pointers)))
        header = self._common(backend, project / "firmware" / "ap_types")
        program = project / "emulation"
        weights = project / "firmware" / "weights"
        _run(
            ["g++", *self.flags, f"-I{header.parent}", f"-I{header.parent / 'ap_types'}", "-include", str(header),
             f'-DWEIGHTS_DIR="{weights}"', "emulation.cpp", "-o", str(program)],
            project,
        )  # fmt: skip
        return program

    @staticmethod
    def run(program: Path, x: npt.NDArray[np.float64], n_outputs: int) -> npt.NDArray[np.float64]:
        """The outputs (n_events, n_outputs) of events (n_events, n_inputs)."""
        done = subprocess.run([str(program)], input=np.ascontiguousarray(x).tobytes(), capture_output=True, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"emulation ended with {done.returncode}: {done.stderr.decode()[-500:]}")
        if len(done.stdout) != 8 * len(x) * n_outputs:
            raise RuntimeError(f"emulation wrote {len(done.stdout)} bytes, among them {done.stdout[-200:]!r}")
        return np.frombuffer(done.stdout, dtype=np.float64).reshape(len(x), n_outputs)


_SHARED = (
    "common", "helpers", "mult", "types", "stream", "function_stubs", "activation", "activation_stream", "dense",
    "dense_compressed", "dense_stream", "batchnorm", "batchnorm_stream", "conv1d", "conv1d_stream", "conv2d",
    "conv2d_stream", "pooling", "pooling_stream",
    "merge", "merge_stream", "padding", "padding_stream", "cropping", "cropping_stream", "image", "image_stream",
    "transpose", "transpose_stream",
)  # fmt: skip


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} ... failed in {folder}:\n{done.stderr[-3000:]}")
