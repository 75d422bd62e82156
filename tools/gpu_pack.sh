#!/usr/bin/env bash
# For a machine with an H100, beside the sources: fills .gpu-pack/ with the C++ tests and the programs of bench/gpu.sh
# built with CUDA and with what these time, and .gpu-pack-python/ with a wheel with CUDA and the Python tests, of which
# there: pip install .gpu-pack-python/*.whl; pytest -m gpu .gpu-pack-python/python. At most 34 MiB each, so that one of
# them and the sources are less than 64.
set -euo pipefail
. "$(dirname "$0")/common.sh"
export PATH="$VENV/bin:$PATH" CMAKE_BUILD_PARALLEL_LEVEL=$JOBS

rm -rf .gpu-pack .gpu-pack-python && mkdir .gpu-pack .gpu-pack-python
mkdir -p build/cuda && cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES=90 >build/cuda/configure.log
cmake --build --preset cuda -- --quiet
for program in rheinfall_tests gpu_finder gpu_gnn gpu_quantized gpu_tracking gpu_tracks; do
    strip -o ".gpu-pack/$program" "build/cuda/tests/cpp/$program"
    gzip -9 ".gpu-pack/$program"
done
git rev-parse HEAD >.gpu-pack/commit
python -m pip wheel -qq --no-deps --no-build-isolation -C cmake.define.RHEINFALL_CUDA=ON \
    -C cmake.define.CMAKE_CUDA_ARCHITECTURES=90 -w .gpu-pack-python .
cp -r tests/python pyproject.toml .gpu-pack-python/
rm -rf build/cuda/wheel && python -m zipfile -e .gpu-pack-python/*.whl build/cuda/wheel
PYTHONPATH=build/cuda/wheel python bench/gpu_inputs.py .gpu-pack/inputs
# Headers of the build, for a machine that has a compiler but no network: -DRHEINFALL_JSON_INCLUDE_DIR=.gpu-pack/include.
mkdir .gpu-pack/include
json=$(sed -nE 's/^-- JSON: //p' build/cuda/configure.log)
cp -r "$json/nlohmann" .gpu-pack/include/
for pack in .gpu-pack .gpu-pack-python; do
    size=$(du -sm $pack | cut -f1)
    echo "$pack: $size MiB"
    [ "$size" -le 34 ] || { echo "gpu_pack.sh: expected at most 34 MiB in $pack, got $size" >&2; exit 1; }
done
