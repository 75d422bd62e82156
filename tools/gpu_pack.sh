#!/usr/bin/env bash
# Fills .gpu-pack/ for a machine with a GPU and Python but no compiler: the C++ tests built with CUDA, a wheel with CUDA,
# and the Python tests. There: .gpu-pack/rheinfall_tests; pip install .gpu-pack/*.whl; pytest .gpu-pack/python.
set -euo pipefail
. "$(dirname "$0")/common.sh"
export PATH="$VENV/bin:$PATH" CMAKE_BUILD_PARALLEL_LEVEL=$JOBS

rm -rf .gpu-pack && mkdir .gpu-pack
cmake --preset cuda >/dev/null
cmake --build --preset cuda -- --quiet
cp build/cuda/tests/cpp/rheinfall_tests .gpu-pack/
python -m pip wheel -qq --no-deps --no-build-isolation -C cmake.define.RHEINFALL_CUDA=ON \
    -C cmake.define.CMAKE_CUDA_ARCHITECTURES=90 -w .gpu-pack .
cp -r tests/python pyproject.toml .gpu-pack/
du -sh .gpu-pack
