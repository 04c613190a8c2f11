"""The `redrive` command: everything that a service can be asked, from a shell.

``demo worker start list show history result signal cancel``; exit codes are in `redrive.cli.cli_errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["main"]

_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give back its exit code."""
    try:
        from redrive.cli.program import main  # not before it is asked for: the parts above are useful without it

        return main(argv)
    except KeyboardInterrupt:  # while it was still being imported, or once more while it stopped
        return _INTERRUPTED
