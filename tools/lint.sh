#!/usr/bin/env bash
# Style and types, nothing is changed: ruff, clang-format, mypy.
set -euo pipefail
. "$(dirname "$0")/common.sh"
export PATH="$VENV/bin:$PATH"

status=0
ruff check . || status=1
ruff format --check . || status=1
# What other tools wrote, for tests to read, stays as it is.
git ls-files -z -- '*.cpp' '*.hpp' '*.h' '*.cu' '*.cuh' ':!tests/python/malformed/files' | xargs -0 clang-format --dry-run -Werror || status=1
mypy || status=1
exit $status
