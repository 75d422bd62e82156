"""`python -m rheinfall`: where an installed wheel keeps its C++ package, and else the command line."""

from __future__ import annotations

import sys
from pathlib import Path

DIRECTORIES = {"--cmake-dir": "lib/cmake/rheinfall", "--include-dir": "include"}


def main() -> int:
    """Answer --cmake-dir and --include-dir without any extra; hand the rest to `rheinfall.cli`."""
    if len(sys.argv) == 2 and sys.argv[1] in DIRECTORIES:
        folder = Path(__file__).resolve().parent / DIRECTORIES[sys.argv[1]]
        if not folder.is_dir():
            print(f"rheinfall: {folder} is missing: {sys.argv[1]} is for an installed package", file=sys.stderr)
            return 4
        print(folder)
        return 0
    from rheinfall.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
