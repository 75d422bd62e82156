"""Print what pyproject.toml asks for: the build system's packages, the library's, and those of the extras named."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def main() -> None:
    """Write one requirement per line."""
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    project = settings["project"]
    lists = [settings["build-system"]["requires"], project["dependencies"]]
    lists += [project["optional-dependencies"][extra] for extra in sys.argv[1].split(",")]
    print("\n".join(requirement for requirements in lists for requirement in requirements))


if __name__ == "__main__":
    main()
