"""Notices turns that take too long (D7): first a log entry with the stack, then the turn is broken off.

Turns run on the event loop, so one that never yields would stop everything else. A thread looks at the turn under
way; after `WARN_AFTER` it logs where the turn stands, and after `STOP_AFTER` it raises `TurnTooLong` in the loop's
thread, which ends the turn but not the loop: the execution is parked. A turn that hangs inside C code is logged, and
can be broken off only when it comes back to Python.
"""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Final

from redrive_interpreter.errors import HostError

if TYPE_CHECKING:
    from redrive.worker.live import Live

log: Final = logging.getLogger("redrive.worker")
WARN_AFTER: Final = 2.0
STOP_AFTER: Final = 5.0
_PER_ROW: Final = 0.001
"""A replay may take so many seconds a row more: a long history is no endless loop."""
_LOOK_EVERY: Final = 0.25


class TurnTooLong(BaseException):
    """Raised inside a turn that would not end."""


class StuckTurn(HostError):
    """The workflow computed for too long without yielding a command."""


class _Turn:
    __slots__ = ("began", "id", "stop_after", "thrown", "warned")

    def __init__(self, id: str, stop_after: float) -> None:
        self.id = id
        self.began = time.monotonic()
        self.stop_after = stop_after
        self.thrown = False
        self.warned = False


class Watchdog:
    """Watches the turns of the thread that it is made in."""

    def __init__(self, warn_after: float = WARN_AFTER, stop_after: float = STOP_AFTER) -> None:
        self._warn_after = warn_after
        self._stop_after = stop_after
        self._thread_id = threading.get_ident()
        self._lock = threading.Lock()
        self._turn: _Turn | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._look, name="redrive-watchdog", daemon=True).start()

    def watching(self, live: Live) -> Watchdog:
        """``with watchdog.watching(live): …`` around a turn. Raises `StuckTurn` at its end if it was broken off."""
        rows = live.length if live.machine is None else 0
        self._turn = _Turn(live.id, self._stop_after + rows * _PER_ROW)
        return self

    def close(self) -> None:
        self._closed.set()

    def __enter__(self) -> None:
        return

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        turn = self._turn
        with self._lock:  # after this, no TurnTooLong will be raised that is not on its way already
            self._turn = None
        if turn is not None and turn.thrown:
            self._swallow(error)
            spent = time.monotonic() - turn.began
            raise StuckTurn(f"a turn was broken off after {spent:.1f} s without a command: does the workflow loop or block?") from error

    @staticmethod
    def _swallow(error: BaseException | None) -> None:
        """If the exception has not arrived yet, let it arrive here."""
        if isinstance(error, TurnTooLong):
            return
        try:
            until = time.monotonic() + 0.2
            while time.monotonic() < until:
                pass
        except TurnTooLong:
            pass

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_EVERY):
            turn = self._turn
            if turn is None:
                continue
            spent = time.monotonic() - turn.began
            if spent > self._warn_after and not turn.warned:
                turn.warned = True
                frame = sys._current_frames().get(self._thread_id)
                stack = "".join(traceback.format_stack(frame)) if frame is not None else "?"
                log.warning("execution %r: a turn takes more than %.1f s; it stands at\n%s", turn.id, self._warn_after, stack)
            if spent > turn.stop_after:
                with self._lock:
                    if self._turn is turn:
                        turn.thrown = True
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), ctypes.py_object(TurnTooLong))
