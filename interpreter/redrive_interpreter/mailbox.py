"""Signals that came and waits for them: first in, first out, decided by stored times."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from redrive_interpreter.errors import SignalTimeout
from redrive_interpreter.fibers import WAITING, Reply
from redrive_interpreter.rows import Signalled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive_interpreter.machine import Machine
    from redrive_interpreter.waits import SignalWait


class Mailbox:
    """Signals taken up and not yet waited for, and waits not yet served, each oldest first."""

    __slots__ = ("_signals", "_waits")

    def __init__(self) -> None:
        self._signals: list[Signalled] = []
        self._waits: list[SignalWait] = []

    @property
    def unread(self) -> int:
        return len(self._signals)

    def left(self) -> tuple[Signalled, ...]:
        """What the next run takes over."""
        return tuple(self._signals)

    def carry(self, unread: Sequence[Signalled]) -> None:
        self._signals.extend(unread)

    def arrived(self, machine: Machine[Any], signal: Signalled) -> None:
        """Serve the oldest wait that was still open when *signal* was stored, or keep it."""
        for wait in self._waits:
            if wait.name == signal.name and _in_time(signal, wait.due):
                self._waits.remove(wait)
                machine.settle(wait)
                machine.clear_timer(wait.key)
                machine.wake(wait.fiber, _payload(machine, wait, signal))
                return
        self._signals.append(signal)

    def kept_since(self, name: str, due: datetime | None) -> tuple[datetime, int] | None:
        """When the signal was stored that would end a wait for *name* at once, and its place among all; None if there is none."""
        for at, signal in enumerate(self._signals):
            if signal.name == name:
                return (signal.sent_at or signal.at, at) if _in_time(signal, due) else None
        return None

    def take(self, machine: Machine[Any], wait: SignalWait) -> Reply:
        """The oldest kept signal for *wait*, or let it wait."""
        for at, signal in enumerate(self._signals):
            if signal.name == wait.name:
                if not _in_time(signal, wait.due):
                    break
                del self._signals[at]
                return _payload(machine, wait, signal), None
        self._waits.append(wait)
        machine.wait(wait.fiber, wait)
        if wait.due is not None:
            machine.set_timer(wait.key, wait.due)
        return WAITING

    def forget(self, wait: SignalWait) -> None:
        self._waits.remove(wait)

    def stop(self) -> None:
        """Nobody waits any more."""
        self._waits.clear()

    def timed_out(self, machine: Machine[Any], wait: SignalWait) -> None:
        self._waits.remove(wait)
        command: Any = wait.command
        if command.default is attrs.NOTHING:
            machine.wake(wait.fiber, None, SignalTimeout(wait.name, command.timeout))
        else:
            machine.wake(wait.fiber, command.default)


def _in_time(signal: Signalled, due: datetime | None) -> bool:
    return due is None or (signal.sent_at or signal.at) <= due


def _payload(machine: Machine[Any], wait: SignalWait, signal: Signalled) -> Any:
    command: Any = wait.command
    return machine.scalar(signal.payload, command.signal.type, f"signal {signal.name}")
