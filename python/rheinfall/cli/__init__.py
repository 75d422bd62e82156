"""The command `rheinfall` (extra `[cli]`: typer, rich, plotly). Nothing of the extra is imported before `main` runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rheinfall.cli.exit_codes import ExitCode

__all__ = ["ExitCode", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is returned, see `docs/cli.md`."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        print(f"rheinfall: the command line needs {error.name}: pip install 'rheinfall[cli]'", file=sys.stderr)
        return ExitCode.MISSING_EXTRA
    from rheinfall.cli.app import run_app

    return run_app(argv)
