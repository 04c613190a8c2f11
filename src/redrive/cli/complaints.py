"""What the command line says instead of a traceback, and the exit codes it ends with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

DONE: Final = 0
FAILED: Final = 1
"""The execution failed or was cancelled; the demo's verdict is bad; a store refused."""
REFUSED: Final = 2
"""What was asked for cannot be: a typo in an id, an unknown workflow, bad JSON, a missing file."""
LATE: Final = 3
"""`result --timeout` passed first."""
INTERRUPTED: Final = 130


class Complaint(Exception):
    """Ends a command with *problem* on stderr, *hint* below it and *code* as the exit code."""

    def __init__(self, problem: str, hint: str = "", code: int = REFUSED) -> None:
        super().__init__(problem, hint, code)
        self.problem, self.hint, self.code = problem, hint, code

    def __str__(self) -> str:
        return self.problem


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """A hint with the names closest to *word*, or else *otherwise*: by default all that there are."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return otherwise if otherwise is not None else f"there {'is' if len(names) == 1 else 'are'} {', '.join(names) or 'none'}"
