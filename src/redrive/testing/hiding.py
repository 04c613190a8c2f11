"""Hide redrive's frames from the traceback of a failing test, unless redrive itself is at fault.

pytest hides a frame whose module has ``__tracebackhide__``, and asks it first if it can be called.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from redrive_interpreter.errors import RedriveError

_PACKAGES: Final = ("redrive", "redrive_interpreter", "redrive_pytest")


class WrongCall(TypeError):
    """A test calls the kit with something that it cannot take."""


def hidden(excinfo: Any) -> bool:
    """True if the error concerns the test and not redrive: a missed expectation, a wrong call, an error of the user's code."""
    if isinstance(excinfo.value, (AssertionError, RedriveError, Warning, WrongCall)):
        return True
    raised_in = excinfo.traceback[-1].frame.f_globals.get("__name__", "")
    return raised_in.partition(".")[0] not in _PACKAGES


def hide_frames() -> None:
    """Have pytest hide the frames of every module of redrive that is loaded by now."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _PACKAGES:
            vars(module).setdefault("__tracebackhide__", hidden)
