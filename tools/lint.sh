#!/usr/bin/env bash
# Style and types, nothing is changed: ruff, clang-format, mypy.
set -euo pipefail
. "$(dirname "$0")/common.sh"
export PATH="$VENV/bin:$PATH"

ruff check .
ruff format --check .
git ls-files -z -- '*.cpp' '*.hpp' '*.h' '*.cu' '*.cuh' | xargs -0 clang-format --dry-run -Werror
mypy
