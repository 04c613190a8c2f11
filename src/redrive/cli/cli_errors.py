"""Errors of the command line, printed instead of a traceback, and its exit codes, which are the same for all commands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from redrive import CodecError, DefinitionError, ExecutionFinished, ExecutionNotFound, OperationRefused
from redrive.errors import UndeclaredSignal

DONE: Final = 0
FAILED: Final = 1
"""Exit code of a failure: the execution failed or was cancelled, the id belongs to another call, the store refused, `replay` or
`lint` found something."""
REFUSED: Final = 2
"""Exit code of a wrong call: a typo, an unknown id, workflow or signal, a value of another type, an execution that has ended, a
missing file, an app that cannot be loaded."""
LATE: Final = 3
"""Exit code of `result` whose ``--timeout`` has passed."""
INTERRUPTED: Final = 130

_REFUSED: Final = (DefinitionError, CodecError, UndeclaredSignal, ExecutionNotFound, ExecutionFinished, OperationRefused)


def code_of(error: BaseException) -> int:
    """The exit code for an *error* that a command did not handle."""
    return REFUSED if isinstance(error, _REFUSED) else FAILED


class CommandError(Exception):
    """Ends a command with *problem* on stderr, *hint* below it and *code* as the exit code."""

    problem: str
    hint: str
    code: int

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
