#!/usr/bin/env bash
# On a machine with a GPU: runs the C++ tests; compares with the CPU, then times from device memory: graphs of events and
# of 271,663 points in 12 dimensions, tracks of scored graphs, the chain from hits to tracks, quantized networks (10^7
# events); runs the GPU tests once more under compute-sanitizer; writes figures and environment to a JSON file. Has 9
# minutes; what does not fit is named.
# The programs and their inputs are those that `make gpu-pack` left in .gpu-pack/; without its programs it builds the
# preset cuda (nvcc, GoogleTest; no Python), without its inputs the radius graph and the networks alone are timed.
#   bench/gpu.sh [OUT.json]
#   bench/gpu.sh --without-gpu OUT.json    the same steps where there is no GPU: what needs one says that it is skipped
# NOT YET RUN ON A GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
dry=0
[ "${1:-}" = --without-gpu ] && dry=1 && shift
out=${1:-bench/results/gpu.json}
limit=540
start=$SECONDS
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
steps=()

# Runs a command within what is left of the limit and notes its exit status and seconds.
step() {
    local name=$1 begin=$SECONDS left=$((limit - (SECONDS - start))) status
    shift
    if [ "$left" -lt 10 ]; then
        status=-1
    else
        timeout "$left" "$@" >"$logs/$name.log" 2>&1
        status=$?
    fi
    steps+=("{\"step\": \"$name\", \"status\": $status, \"seconds\": $((SECONDS - begin))}")
    if [ $dry = 1 ] && [ $status = 3 ]; then  # of a program that needs a GPU
        echo "$name: skipped, $(tail -n 1 "$logs/$name.log")"
        return 0
    fi
    echo "$name: exit status $status, $((SECONDS - begin)) s"
    [ $status = 0 ] || tail -n 20 "$logs/$name.log" 2>/dev/null
    [ $dry = 0 ] || grep 'SKIPPED.*ms' "$logs/$name.log" | sort -u
    return $status
}

gpu=none
capability=90
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
    gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
elif [ $dry = 0 ]; then
    echo "gpu.sh: no GPU (nvidia-smi -L lists none); nothing was measured" >&2
    exit 3
fi
failed=0
origin="built here"
if [ -f .gpu-pack/rheinfall_tests.gz ]; then
    programs=$logs/programs
    mkdir "$programs"
    for packed in .gpu-pack/*.gz; do
        program=$programs/$(basename "$packed" .gz)
        gunzip -c "$packed" >"$program"
        chmod +x "$program"
    done
    origin="gpu-pack of $(cat .gpu-pack/commit)"
    step test $programs/rheinfall_tests || failed=1
else
    programs=build/cuda/tests/cpp
    json=()
    [ -d .gpu-pack/include ] && json=(-DRHEINFALL_JSON_INCLUDE_DIR="$PWD/.gpu-pack/include")
    step configure cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES="$capability" "${json[@]}" &&
        step build cmake --build --preset cuda -j "$(nproc)" &&
        step test ctest --preset cuda -j "$(nproc)" || failed=1
fi
tests=$programs/rheinfall_tests
on_gpu='*uda*:*evice*-*.Bodies*:*.ExactRoomFits*'  # not the bodies that run on the host
quantized=null
tracking=null
tracks=null
finder=null
mkdir "$logs/inputs"
for packed in .gpu-pack/inputs/*.gz; do [ -f "$packed" ] && gunzip -c "$packed" >"$logs/inputs/$(basename "$packed" .gz)"; done
events=()  # BUNDLE-NAME.hits and its map; likewise and the bundle
finders=()
for hits in "$logs"/inputs/*.hits; do
    [ -f "$hits" ] || continue
    bundle=$(basename "$hits")
    bundle=${bundle%%-*}
    events+=("$hits" "python/rheinfall/bundles/$bundle/module_map.rfmap")
    finders+=("$hits" "python/rheinfall/bundles/$bundle")
done
[ ${#events[@]} -gt 0 ] || echo "events: none in .gpu-pack/inputs, see make gpu-pack"
if [ $failed = 0 ]; then
    step tracking $programs/gpu_tracking "$logs/tracking.json" "${events[@]}" || failed=1
    [ -s "$logs/tracking.json" ] && tracking=$(cat "$logs/tracking.json") && cat "$logs/tracking.log"
    if [ -f "$logs/inputs/large.graph" ]; then
        step tracks $programs/gpu_tracks "$logs/tracks.json" "$logs"/inputs/*.graph || failed=1
        [ -s "$logs/tracks.json" ] && tracks=$(cat "$logs/tracks.json") && cat "$logs/tracks.log"
    else
        echo "tracks: skipped, no graphs in .gpu-pack/inputs, see make gpu-pack"
    fi
    step finder $programs/gpu_finder "$logs/finder.json" "${finders[@]}" || failed=1
    [ -s "$logs/finder.json" ] && finder=$(cat "$logs/finder.json") && cat "$logs/finder.log"
    step quantized $programs/gpu_quantized "$logs/quantized.json" || failed=1
    [ -s "$logs/quantized.json" ] && quantized=$(cat "$logs/quantized.json") && cat "$logs/quantized.log"
    for tool in memcheck racecheck; do
        [ "$gpu" != none ] || { echo "$tool: skipped, no GPU"; continue; }
        command -v compute-sanitizer >/dev/null || { echo "$tool: skipped, no compute-sanitizer"; continue; }
        step "$tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$tests" --gtest_filter="$on_gpu" || failed=1
    done
    step times "$tests" --gtest_filter="$on_gpu" --gtest_repeat=9 || failed=1
fi
mkdir -p "$(dirname "$out")"
cat >"$out" <<JSON
{
 "schema": 1,
 "environment": {"gpu": "$gpu", "programs": "$origin", "nvcc": "$(nvcc --version 2>/dev/null | tail -n 1)", "commit": "$(git rev-parse HEAD 2>/dev/null)"},
 "quantized": $quantized,
 "tracking": $tracking,
 "tracks": $tracks,
 "finder": $finder,
 "steps": [$(IFS=,; echo "${steps[*]}")]
}
JSON
echo "$out"
exit $failed
