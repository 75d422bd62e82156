#!/usr/bin/env bash
# Fuzzes the reader and the executors of networks with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer, on one
# core; needs clang. Seeds: tests/fuzz/corpus_network; what it finds goes to build/fuzz/corpus_network.
#   tools/fuzz.sh [SECONDS]
set -euo pipefail
. "$(dirname "$0")/common.sh"
export PATH="$VENV/bin:$PATH" CMAKE_BUILD_PARALLEL_LEVEL=$JOBS

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target fuzz_network -- --quiet
mkdir -p build/fuzz/corpus_network
build/fuzz/tests/fuzz/fuzz_network build/fuzz/corpus_network tests/fuzz/corpus_network -max_total_time="${1:-600}" \
    -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
