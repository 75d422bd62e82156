#!/usr/bin/env bash
# Makes the virtual environment .venv from the first Python >= 3.10 found; PYTHON names another one.
set -euo pipefail
. "$(dirname "$0")/common.sh"

find_python() {
    local name
    for name in ${PYTHON:-python3 python python3.14 python3.13 python3.12 python3.11 python3.10}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "No Python >= 3.10 found; name one: make PYTHON=/path/to/python ..." >&2
    return 1
}

if ! command -v "${CXX:-c++}" >/dev/null; then
    install_packages g++
fi
if [ ! -x "$VENV/bin/pip" ]; then
    python=$(find_python)
    # Debian ships venv and the headers apart from Python itself.
    needed=()
    "$python" -c 'import ensurepip, venv' 2>/dev/null || needed+=(python3-venv)
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -f "$include/Python.h" ] || needed+=(python3-dev)
    [ ${#needed[@]} = 0 ] || install_packages "${needed[@]}"
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv "$VENV"
    "$VENV/bin/python" -m pip install -qq --upgrade pip
fi
