"""Notices turns that take too long (D7): first a log entry with the stack, then the turn is broken off.

Turns run on the event loop, so one that never yields would stop everything else. A thread looks at the turn under
way; after `WARN_AFTER` it logs where the turn stands, and after `STOP_AFTER` it raises `TurnTooLong` in the loop's
thread, which ends the turn but not the loop: the execution is parked. A turn that hangs inside C code is logged, and
can be broken off only when it comes back to Python.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
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


class Watchdog:
    """Watches the turns of the thread that it is made in. Both calls around a turn must cost next to nothing."""

    def __init__(self, warn_after: float = WARN_AFTER, stop_after: float = STOP_AFTER) -> None:
        self._warn_after = warn_after
        self._stop_after = stop_after
        self._thread_id = threading.get_ident()
        self._lock = threading.Lock()
        self._turn = 0
        """The number of the turn under way; 0: none is."""
        self._turns = 0
        self._began = 0.0
        self._live: Live | None = None
        self._thrown = False
        self._closed = threading.Event()
        threading.Thread(target=self._look, name="redrive-watchdog", daemon=True).start()

    def enter(self, live: Live) -> None:
        """A turn of *live* begins; `leave` must follow."""
        self._live = live
        self._began = time.monotonic()
        self._turns = self._turn = self._turns + 1

    def leave(self, error: BaseException | None = None) -> None:
        """The turn is over. Raises `StuckTurn` if it was broken off."""
        with self._lock:  # after this, no TurnTooLong will be raised that is not on its way already
            self._turn = 0
        if self._thrown:
            self._thrown = False
            self._swallow(error)
            spent = time.monotonic() - self._began
            raise StuckTurn(f"a turn was broken off after {spent:.1f} s without a command: does the workflow loop or block?") from error

    def close(self) -> None:
        self._closed.set()

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
        warned = 0
        while not self._closed.wait(_LOOK_EVERY):
            turn, live, spent = self._turn, self._live, time.monotonic() - self._began
            if not turn or live is None or turn != self._turn:
                continue
            if spent > self._warn_after and warned != turn:
                warned = turn
                frame = sys._current_frames().get(self._thread_id)
                stack = "".join(traceback.format_stack(frame)) if frame is not None else "?"
                log.warning("execution %r: a turn takes more than %.1f s; it stands at\n%s", live.id, self._warn_after, stack)
            if spent > self._stop_after + (live.length * _PER_ROW if live.machine is None else 0):
                with self._lock:
                    if self._turn == turn:
                        import ctypes

                        self._thrown = True
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), ctypes.py_object(TurnTooLong))
