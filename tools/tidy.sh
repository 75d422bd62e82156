#!/usr/bin/env bash
# clang-tidy on the library's sources. With a git revision as argument: only on those changed since then.
set -euo pipefail
. "$(dirname "$0")/common.sh"
export PATH="$VENV/bin:$PATH"

cmake --preset tidy >/dev/null
if [ $# -gt 0 ]; then
    mapfile -t files < <(git diff --name-only --diff-filter=d "$1" -- 'cpp/src/*.cpp')
else
    # Not the kernels of the quantized domain, for each of which the analyzer takes minutes: their portable version runs
    # under the sanitizers.
    mapfile -t files < <(git ls-files -- 'cpp/src/*.cpp' ':!cpp/src/quantized/*kernels_*.cpp')
fi
[ ${#files[@]} = 0 ] && exit 0
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$JOBS" clang-tidy -p build/tidy --quiet --warnings-as-errors='*'
