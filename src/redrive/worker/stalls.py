"""Names what holds up the event loop, or all threads: which body of which execution, and where it stands."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from itertools import islice
from types import FrameType
from typing import Final

from redrive.worker.attempt import Attempt

log: Final = logging.getLogger("redrive.worker")
_STACKS: Final = 8
"""Stacks in one entry at most."""
_OURS: Final = __name__.rpartition(".")[0]


def report_stall(worker: str, seconds: float, loop_thread: int, loop: asyncio.AbstractEventLoop) -> None:
    """The loop of *worker* has given no sign for so long."""
    frame = sys._current_frames().get(loop_thread)
    attempt = None if frame is None else _attempt_at(frame)
    if attempt is not None:
        culprit = f"the body of {_named(attempt)}"
    else:
        task = asyncio.current_task(loop)
        culprit = "something outside of any step" if task is None else f"a task outside of any step, {task!r},"
    log.warning(
        "worker %s: %s has held up the event loop for %.1f s; nothing else goes on meanwhile (a body that blocks belongs into "
        "a plain function, or asyncio.to_thread). It stands at\n%s",
        worker,
        culprit,
        seconds,
        "?" if frame is None else "".join(traceback.format_stack(frame)),
    )


def report_silence(worker: str, seconds: float, under_way: Iterable[object]) -> None:
    """No Python code ran for so long, and does again. The code that held the GIL stands where it gave it back, or has just ended:
    *under_way* are the attempts whose end is not known yet, and those that ended last."""
    mine = threading.get_ident()
    stands = {
        attempt: frame for thread, frame in sys._current_frames().items() if thread != mine and (attempt := _attempt_at(frame)) is not None
    }
    attempts = {*stands, *(attempt for attempt in under_way if isinstance(attempt, Attempt))}
    bodies = [_named(attempt) for attempt in attempts]
    stacks = [f"{_named(attempt)} stands at\n{''.join(traceback.format_stack(at))}" for attempt, at in islice(stands.items(), _STACKS)]
    log.warning(
        "worker %s: no thread of this process ran for %.1f s: C code held the GIL, or the process was stopped. Under way, or just over: %s",
        worker,
        seconds,
        "\n".join([" ".join(bodies) or "no step.", *stacks]),
    )


def _attempt_at(frame: FrameType) -> Attempt | None:
    """The attempt whose body runs there."""
    for at in _up(frame):
        if at.f_globals.get("__package__") == _OURS:
            attempt = at.f_locals.get("attempt")
            if isinstance(attempt, Attempt):
                return attempt
    return None


def _up(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _named(attempt: Attempt) -> str:
    return f"step {str(attempt.perform.key)!r} of execution {attempt.live.id!r}, attempt {attempt.number},"
