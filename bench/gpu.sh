#!/usr/bin/env bash
# On a machine with a GPU: runs the C++ tests; compares with the CPU, then times from device memory: graphs of events and
# of 271,663 points in 12 dimensions, tracks of scored graphs, graph networks in float32 and bf16 (beside PyTorch eager
# and compiled, in turns, if a python3 with PyTorch and CUDA is there), the chain from hits to tracks, quantized networks
# (10^7 events); runs the GPU tests once more under compute-sanitizer; writes figures and environment to a JSON file. Has
# 9 minutes; what does not fit is named. A step that fails says so, and the others go on without it.
# The programs and their inputs are those that `make gpu-pack` left in .gpu-pack/; without its programs it builds the
# preset cuda for the GPU that is there (nvcc, GoogleTest, headers of nlohmann/json; no Python), without its inputs the
# radius graph and the quantized networks alone are timed.
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
failed=()

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
    if [ $status = -1 ]; then
        failed+=("$name (no time left)")
    elif [ $status != 0 ]; then
        failed+=("$name")
        tail -n 20 "$logs/$name.log"
    fi
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
    step test $programs/rheinfall_tests
else
    programs=build/cuda/tests/cpp
    json=()
    [ -d .gpu-pack/include ] && json=(-DRHEINFALL_JSON_INCLUDE_DIR="$PWD/.gpu-pack/include")
    step configure cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES="$capability" "${json[@]}" &&
        step build cmake --build --preset cuda -j "$(nproc)" -- -k 0  # what can be built is
    step test $programs/rheinfall_tests
fi
tests=$programs/rheinfall_tests
on_gpu='*uda*:*evice*-*.Bodies*:*.ExactRoomFits*'  # not the bodies that run on the host
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
# Name, network and graph of each; nodes and edges of the generated one as event 21000 has them, for 10^6 edges.
size=370000x1000000
[ $dry = 0 ] || size=1850x5000
networks=()
twins=()  # and where gpu_gnn leaves the graph, and the network with the operations of its modules
trackml=python/rheinfall/bundles/trackml/edge_classifier.rfgnn
for case in "interaction2 $logs/inputs/interaction2.rfgnn $size" "exatrkx $logs/inputs/exatrkx.rfgnn $logs/inputs/real.graph" \
    "trackml $trackml $logs/inputs/real.graph"; do
    read -r name network graph <<<"$case"
    [ $dry = 0 ] || graph=$size
    if [ -f "$network" ] && { [ "$graph" = "$size" ] || [ -f "$graph" ]; }; then
        networks+=("$name" "$network" "$graph")
        twins+=("$logs/$name.case" "$logs/inputs/$name.plain.rfgnn" "$network" "$graph")
    else
        echo "gnn $name: skipped, its network or graph is not in .gpu-pack/inputs, see make gpu-pack"
    fi
done

declare -A figures
# Runs a program that writes figures to a JSON file, and keeps them; prints all that it says.
time_step() {
    local name=$1 program=$2
    shift 2
    step "$name" "$program" "$logs/$name.json" "$@"
    if [ -s "$logs/$name.json" ]; then
        figures[$name]=$(cat "$logs/$name.json")
        cat "$logs/$name.log"
    fi
}
[ ${#networks[@]} = 0 ] || time_step gnn $programs/gpu_gnn "$logs" "${networks[@]}"
if [ -f "$logs/inputs/large.graph" ]; then
    graphs=("$logs/inputs/large.graph")  # first, since it is the one that a figure is asked for
    for graph in "$logs"/inputs/*.graph; do [ "$graph" = "${graphs[0]}" ] || graphs+=("$graph"); done
    time_step tracks $programs/gpu_tracks "${graphs[@]}"
else
    echo "tracks: skipped, no graphs in .gpu-pack/inputs, see make gpu-pack"
fi
time_step finder $programs/gpu_finder "${finders[@]}"
time_step tracking $programs/gpu_tracking "${events[@]}"
if python3 -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)' 2>/dev/null; then
    [ ${#twins[@]} = 0 ] || time_step torch bench/gpu_gnn_torch.py --program $programs/gpu_gnn --seconds 180 "${twins[@]}"
elif [ $dry = 0 ]; then
    echo "torch: skipped, no python3 with PyTorch and CUDA"
else  # on the CPU, whose logits are compared, eager alone and without turns
    [ ${#twins[@]} = 0 ] || time_step torch bench/gpu_gnn_torch.py --device cpu --seconds 0 "${twins[@]}"
fi
time_step quantized $programs/gpu_quantized
for tool in memcheck racecheck; do
    [ "$gpu" != none ] || { echo "$tool: skipped, no GPU"; continue; }
    command -v compute-sanitizer >/dev/null || { echo "$tool: skipped, no compute-sanitizer"; continue; }
    sanitizer=(compute-sanitizer --tool "$tool" --error-exitcode 1)
    [ ! -f "$logs/inputs/interaction2.rfgnn" ] ||
        step "$tool of gnn" "${sanitizer[@]}" $programs/gpu_gnn "$logs/sanitized.json" "$logs" small "$logs/inputs/interaction2.rfgnn" 300x700
    step "$tool" "${sanitizer[@]}" "$tests" --gtest_filter="$on_gpu"
done
step times "$tests" --gtest_filter="$on_gpu" --gtest_repeat=9
mkdir -p "$(dirname "$out")"
cat >"$out" <<JSON
{
 "schema": 1,
 "environment": {"gpu": "$gpu", "programs": "$origin", "nvcc": "$(nvcc --version 2>/dev/null | tail -n 1)", "commit": "$(git rev-parse HEAD 2>/dev/null)"},
$(for name in gnn torch tracks finder tracking quantized; do echo " \"$name\": ${figures[$name]:-null},"; done)
 "steps": [$(IFS=,; echo "${steps[*]}")]
}
JSON
echo "$out"
[ ${#failed[@]} = 0 ] && exit 0
printf 'failed: %s\n' "${failed[@]}"
exit 1
