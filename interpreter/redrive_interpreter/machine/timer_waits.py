"""Timers: Sleep, and the fact that a timer was due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.sleep import Sleep
from redrive_interpreter.history.rows import TimerFired
from redrive_interpreter.machine.waits import EndedBy, Wait

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState


class TimerWait(Wait):
    """A wait for a time."""

    __slots__ = ()
    ended_by: ClassVar[EndedBy] = "timer"

    def fired(self, run: RunState, fact: TimerFired) -> None:
        run.settle(self)
        run.wake(self.fiber, None)

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        run.settle(self)
        run.clear_timer(self.key)
        return True


def due_at(run: RunState, until: datetime | None, after: timedelta | None) -> datetime | None:
    """The time at which a command's ``until`` or ``timeout`` is due; None for never."""
    return until if until is not None or after is None else run.now + after


def time_input(until: datetime | None, after: timedelta | None) -> dict[str, Any]:
    """The input of a row for a command's ``until`` or ``timeout``."""
    return {"seconds": seconds(after), "until": None if until is None else until.isoformat()}


def seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _sleep(run: RunState, fiber: Fiber, command: Sleep) -> Reply:
    key = fiber.scope.key_of(command)
    run.ask(key, kinds.SLEEP, "", time_input(command.until, command.duration), None, command)
    due = due_at(run, command.until, command.duration)
    assert due is not None
    if due <= run.now:
        return None, None
    run.set_timer(key, due)
    return run.wait(fiber, TimerWait(key, command, fiber))


def _fired(run: RunState, fact: TimerFired) -> None:
    wait = run.waiting_for(fact.key, fact)
    if fact.key not in run.timers or wait is None:
        return
    run.took(fact)
    run.now = max(run.now, run.timers.pop(fact.key))
    wait.fired(run, fact)


HANDLERS: Final[dict[Any, Any]] = {Sleep: _sleep}
FACTS: Final[dict[type, Any]] = {TimerFired: _fired}
