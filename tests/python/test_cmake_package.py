"""The CMake package inside the installed wheel builds the program that README shows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rheinfall as rf
from rheinfall.tracking import bundle

ROOT = Path(__file__).parents[2]

# What README leaves to the host: an event, the tracks' memory, and threads.
MAIN = """
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

template <class T> static std::vector<T> read(const char* path, std::size_t n) {
    std::vector<T> values(n);
    std::FILE* file = std::fopen(path, "rb");
    if (file == nullptr || std::fread(values.data(), sizeof(T), n, file) != n) std::abort();
    std::fclose(file);
    return values;
}

int main(int, char** argv) {
    const std::size_t n = std::strtoull(argv[1], nullptr, 10);
    const auto x = read<float>("x", n), y = read<float>("y", n), z = read<float>("z", n);
    const auto module_id = read<std::uint64_t>("module_id", n);
    std::vector<std::int64_t> offsets(n + 1), hits(n);
    const rheinfall::ParallelFor parallel_for;
    BODY
    std::printf("%zu tracks, %zu hits, %s\\n", result.n_tracks, result.n_track_hits,
                rheinfall::to_string(result.status));
}
"""


def of_readme(language: str) -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## In a C++ program")[1]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[0]


def package_folder() -> str:
    """What `python -m rheinfall --cmake-dir` prints."""
    if not (Path(rf.__file__).parent / "lib" / "cmake").is_dir():
        pytest.skip(f"{Path(rf.__file__).parent} is no installed wheel: no CMake package in it")
    command = [sys.executable, "-m", "rheinfall", "--cmake-dir"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write_project(folder: Path) -> None:
    project = ["cmake_minimum_required(VERSION 3.24)", "project(my_trigger LANGUAGES CXX)"]
    lines = [*project, "add_executable(my_trigger main.cpp)", of_readme("cmake")]
    (folder / "CMakeLists.txt").write_text("\n".join(lines))
    include, body = of_readme("cpp").split("\n", 1)
    (folder / "main.cpp").write_text(include + "\n" + MAIN.replace("BODY", body))


def test_the_program_of_the_readme_builds_on_the_installed_wheel(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("no cmake")
    package = package_folder()
    write_project(tmp_path)
    (tmp_path / "my-bundle").symlink_to(bundle.SHIPPED / "demo")
    hits = next(iter(rf.simulation.simulate(1, pile_up=5, seed=99))).hits
    for name in ("x", "y", "z", "module_id"):
        np.ascontiguousarray(getattr(hits, name)).tofile(tmp_path / name)
    for command in (
        ["cmake", "-S", ".", "-B", "b", f"-DCMAKE_PREFIX_PATH={package}"],
        ["cmake", "--build", "b"],
        ["b/my_trigger", str(len(hits))],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    tracks = rf.TrackFinder.load("demo")(hits)
    assert len(tracks) > 10
    assert done.stdout == f"{len(tracks)} tracks, {len(tracks.hits)} hits, {tracks.status}\n"
