"""The command ``plait``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

ERROR = 2  # what the command exits with on an error; 1 is for findings of `check`


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: default: those that the process was started with.
    """
    try:
        from plait.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("plait: the command line needs typer: pip install 'plait[cli]'")

    from plait.errors import PlaitError

    try:
        app(args=arguments, prog_name="plait")
    except PlaitError as error:
        _stop(f"{error.what} Fix: {error.fix}" if error.fix else error.what)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        _stop(f"{named}{error.strerror or error}")


def _stop(line: str) -> None:
    print("plait:", *line.split(), file=sys.stderr)
    sys.exit(ERROR)
