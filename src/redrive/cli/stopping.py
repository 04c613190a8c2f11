"""Receive the signals that end a worker on a thread of their own, so that a body that blocks the event loop cannot delay them.

1.  The kernel's delivery is noted by the interpreter's own C handler, which writes to a socket (`signal.set_wakeup_fd`)
    whatever the main thread is doing; the thread reads it.
2.  The first signal has the worker stop, on the loop. The second ends the process at once.
3.  Where the worker has not stopped long after its grace, because its loop is blocked, the process ends as well.

Nothing stored is lost either way. No thread can receive a signal while C code holds the GIL: it is handled as soon as that code
returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
import threading
from types import TracebackType
from typing import Any, Final, Self

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_LATE: Final = 20.0
"""Seconds after the grace at which a worker counts as stuck."""


class StopSignals:
    """Sets *told* on the running loop at the first signal. Use it around a worker, in the main thread."""

    def __init__(self, told: asyncio.Event, grace: float) -> None:
        self._told = told
        self._grace = grace
        self._loop = asyncio.get_running_loop()
        self._heard, self._tells = socket.socketpair()
        self._before: dict[signal.Signals, Any] = {}
        self._fd_before = -1
        self._thread = threading.Thread(target=self._listen, name="redrive-signals", daemon=True)

    def __enter__(self) -> Self:
        self._tells.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._tells.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            self._before[number] = signal.signal(number, _noted)
        self._thread.start()
        return self

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._fd_before)
        self._tells.close()  # the thread reads the end of it
        self._thread.join(1.0)
        self._heard.close()

    def _listen(self) -> None:
        first: int | None = None
        while True:
            ready, _, _ = select.select([self._heard], [], [], None if first is None else self._grace + _LATE)
            if not ready and first is not None:
                say("redrive: the worker does not stop, its event loop is blocked: ending at once")
                os._exit(128 + first)
            numbers = self._heard.recv(64)
            if not numbers:
                return
            for number in numbers:
                if number not in SIGNALS:
                    continue
                if first is not None:
                    os._exit(128 + number)
                first = number
                self._loop.call_soon_threadsafe(self._told.set)
                say("redrive: finishing what is under way; once more to end at once")


def _noted(number: int, frame: object) -> None:
    """An empty handler, without which the interpreter would not write the signal to the socket."""


def say(text: str) -> None:
    """Print *text* on stderr. A closed stderr is ignored: the worker runs, and stops, without it."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


async def end_what_is_left(code: int) -> None:
    """Cancel the tasks that the worker left behind; end the process with *code* if one of them does not end.

    `asyncio.run` would wait for such a task for ever.
    """
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if not left:
        return
    _, deaf = await asyncio.wait(left, timeout=1.0)
    if deaf:
        say(f"redrive: {len(deaf)} tasks do not end when they are told to: {', '.join(sorted(map(repr, deaf)))}")
        sys.stdout.flush()
        os._exit(code)
