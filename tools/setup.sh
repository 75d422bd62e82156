#!/usr/bin/env bash
# Brings what building and testing need: .venv with the tools and the packages of the extras, and system packages.
set -euo pipefail
. "$(dirname "$0")/common.sh"
EXTRAS=test,lint,onnx,cli,io,acts,train,plots

tools/venv.sh

missing=()
has_header gtest/gtest.h || missing+=(libgtest-dev)
has_header benchmark/benchmark.h || missing+=(libbenchmark-dev)
has_header tbb/version.h || missing+=(libtbb-dev)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

# The packages of the extras without rheinfall itself, which is built later.
"$VENV/bin/python" -m pip install -qq "packaging" "tomli; python_version < '3.11'"
"$VENV/bin/python" tools/requirements.py "$EXTRAS" >"$VENV/requirements.txt"
"$VENV/bin/python" -m pip install -qq -r "$VENV/requirements.txt" "cmake>=3.24" ninja pybind11
