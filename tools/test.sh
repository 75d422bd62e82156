#!/usr/bin/env bash
# All of `make test`: sets up, checks and tests; ends with the totals and the reasons of skips. A stage that fails does
# not stop the others, but the exit status tells.
set -uo pipefail
. "$(dirname "$0")/common.sh"
export PATH="$VENV/bin:$PATH" CMAKE_BUILD_PARALLEL_LEVEL=$JOBS
unset PYTHONPATH
REPORTS=$ROOT/build/reports
rm -rf "$REPORTS" && mkdir -p "$REPORTS"
failed=() times=()

stage() {
    local name=$1 start=$SECONDS status
    shift
    printf '\n== %s\n' "$name"
    (set -e; "$@")
    status=$?
    times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
    printf -- '-- %s: %d s\n' "$name" $((SECONDS - start))
    [ $status = 0 ] || failed+=("$name")
    return $status
}

# Configures, builds and tests one preset.
test_preset() {
    cmake --preset "$1" >"$REPORTS/$1-configure.log" || { cat "$REPORTS/$1-configure.log"; return 1; }
    cmake --build --preset "$1" -- --quiet
    ctest --preset "$1" -j "$JOBS" --output-junit "$REPORTS/cpp-$1.xml" | grep -vE '^ *(Start +[0-9]+:|[0-9]+/[0-9]+ .* Passed )'
}

nvcc_release() { nvcc --version 2>/dev/null | sed -nE 's/.*release ([0-9]+).*/\1/p'; }

install_package() {
    local cuda=OFF
    if nvidia-smi -L >/dev/null 2>&1 && [ "$(nvcc_release || echo 0)" -ge 12 ]; then cuda=ON; fi
    echo "RHEINFALL_CUDA=$cuda"
    python -m pip install -qq --force-reinstall --no-deps --no-build-isolation -C cmake.define.RHEINFALL_CUDA=$cuda .
}

# The installed package, not the sources, which are in python/; tests that start processes are found from here.
test_python() {
    python -c 'import pathlib, rheinfall, sys; sys.exit(pathlib.Path(sys.prefix) not in pathlib.Path(rheinfall.__file__).parents)'
    timeout 30m python -m pytest -q --durations 8 --junitxml "$REPORTS/python.xml"
}

check_stub() {
    python -m nanobind.stubgen -m rheinfall._core -o "$REPORTS/_core.pyi"
    diff -u python/rheinfall/_core.pyi "$REPORTS/_core.pyi" || { echo "make stub, then commit"; return 1; }
}

test_consumer() {
    cmake --install build/release --prefix "$ROOT/build/prefix" >/dev/null
    cmake -S tests/consumer -B build/consumer -G Ninja -DCMAKE_PREFIX_PATH="$ROOT/build/prefix" >"$REPORTS/consumer.log" ||
        { cat "$REPORTS/consumer.log"; return 1; }
    cmake --build build/consumer
    ctest --test-dir build/consumer --output-on-failure --no-tests=error --output-junit "$REPORTS/cpp-consumer.xml"
}

if ! stage "environment: .venv, packages" tools/setup.sh; then
    echo "The environment could not be made."
    exit 1
fi
stage "lint: ruff, clang-format, mypy" tools/lint.sh
stage "C++ tests, benchmarks and examples built" test_preset release
[ ! -d tests/consumer ] || stage "consumer of the installed C++ package" test_consumer
stage "install the Python package" install_package &&
    stage "stub of _core is up to date" check_stub &&
    stage "Python tests on the installed package" test_python
stage "C++ tests with AddressSanitizer and UndefinedBehaviorSanitizer" test_preset asan
if [ "$(nvcc_release || echo 0)" -ge 12 ] 2>/dev/null; then
    stage "CUDA build and tests" test_preset cuda
else
    echo "CUDA build: skipped, no nvcc >= 12" | tee "$REPORTS/skipped-stages.txt"
fi
stage "clang-tidy" tools/tidy.sh

printf '\n== summary\n'
printf '%s\n' "${times[@]}"
python tools/summarize.py "$REPORTS" "${failed[@]}"
