#!/usr/bin/env bash
# Fills .gpu-pack/ for a machine with a GPU: the C++ tests and the programs of bench/gpu.sh built with CUDA, what these
# time, a wheel with CUDA and the Python tests. There, beside the sources: bench/gpu.sh; pip install .gpu-pack/*.whl;
# pytest .gpu-pack/python. At most 64 MiB.
set -euo pipefail
. "$(dirname "$0")/common.sh"
export PATH="$VENV/bin:$PATH" CMAKE_BUILD_PARALLEL_LEVEL=$JOBS

rm -rf .gpu-pack && mkdir .gpu-pack
mkdir -p build/cuda && cmake --preset cuda >build/cuda/configure.log
cmake --build --preset cuda -- --quiet
cp build/cuda/tests/cpp/{rheinfall_tests,gpu_quantized,gpu_tracking,gpu_tracks} .gpu-pack/
strip .gpu-pack/{rheinfall_tests,gpu_quantized,gpu_tracking,gpu_tracks}
git rev-parse HEAD >.gpu-pack/commit
python -m pip wheel -qq --no-deps --no-build-isolation -C cmake.define.RHEINFALL_CUDA=ON \
    -C cmake.define.CMAKE_CUDA_ARCHITECTURES=90 -w .gpu-pack .
cp -r tests/python pyproject.toml .gpu-pack/
rm -rf build/cuda/wheel && python -m zipfile -e .gpu-pack/*.whl build/cuda/wheel
PYTHONPATH=build/cuda/wheel python bench/gpu_inputs.py .gpu-pack/inputs
# Headers of the build, for a machine that has a compiler but no network: -DRHEINFALL_JSON_INCLUDE_DIR=.gpu-pack/include.
mkdir .gpu-pack/include
json=$(sed -nE 's/^-- JSON: //p' build/cuda/configure.log)
cp -r "$json/nlohmann" .gpu-pack/include/
size=$(du -sm .gpu-pack | cut -f1)
echo ".gpu-pack: $size MiB"
[ "$size" -le 64 ] || { echo "gpu_pack.sh: expected at most 64 MiB in .gpu-pack, got $size" >&2; exit 1; }
