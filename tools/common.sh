# Read by the other scripts here: where the project and its environment are, and how to get system packages.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
JOBS=$(nproc 2>/dev/null || echo 2)
cd "$ROOT"

# Installs Debian packages where that is allowed, else names them and the one line to type.
install_packages() {
    local sudo=none
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo=sudo
    fi
    if [ "$sudo" = none ] || ! command -v apt-get >/dev/null; then
        echo "Missing system packages (Debian and Ubuntu call them: $*). Install them, then try again:" >&2
        echo "    sudo apt-get install -y $*" >&2
        return 1
    fi
    echo "Installing $*"
    $sudo apt-get -qq update && DEBIAN_FRONTEND=noninteractive $sudo apt-get -qq install -y "$@" >/dev/null
}

# True if the C++ compiler finds a header.
has_header() {
    echo "#include <$1>" | ${CXX:-c++} -std=c++20 -x c++ -fsyntax-only - 2>/dev/null
}
