"""Tells errors that a signal's handler raised in the middle of a turn from those that a workflow raises by itself."""

from __future__ import annotations

import functools
import signal
import threading
from types import CodeType
from typing import Any


def is_interrupt(error: BaseException) -> bool:
    """Whether *error*, which was raised on this thread, is none of the workflow's: signals come to the main thread alone.

    `KeyboardInterrupt` counts as Ctrl-C. `SystemExit`, as handlers of SIGTERM raise it, counts where a handler is among
    the functions that it came through.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    return isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and _came_through_a_handler(error))


def _came_through_a_handler(error: BaseException) -> bool:
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code in handlers:
            return True
        at = at.tb_next
    return False


def _code_of(handler: Any) -> CodeType | None:
    while isinstance(handler, functools.partial):
        handler = handler.func
    for function in (handler, getattr(handler, "__func__", None), getattr(handler.__class__, "__call__", None)):  # noqa: B004
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            return code
    return None
