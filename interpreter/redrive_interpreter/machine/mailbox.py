"""Signals that came and waits for them: first in, first out, decided by stored times.

A signal that cannot be read as the type of the wait it is for is set aside, and the wait goes on with the next (G6). The
decision is a row, so that replay does not depend on what today's types can read.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive_interpreter.errors import CodecError, SignalTimeout
from redrive_interpreter.history.requests import KeepAside
from redrive_interpreter.history.rows import SetAside, Signalled
from redrive_interpreter.machine.fibers import WAITING, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive_interpreter.commands.messages import Source
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.machine import Machine
    from redrive_interpreter.machine.waits import SignalWait

SET_ASIDE: Final = object()


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
        """Serve the oldest wait that was still open when *signal* was stored, or keep it. That wait cannot read it: set it aside."""
        for wait in self._waits:
            if wait.name == signal.name and _in_time(signal, wait.due):
                payload = _payload(machine, wait.key, wait.command.signal, signal)
                if payload is SET_ASIDE:
                    return
                self._waits.remove(wait)
                machine.settle(wait)
                machine.clear_timer(wait.key)
                machine.wake(wait.fiber, payload)
                return
        self._signals.append(signal)

    def kept_since(self, machine: Machine[Any], key: Key, source: Source[Any], due: datetime | None) -> tuple[datetime, int] | None:
        """When the signal was stored that would end a wait for *source* at once, and its place among all; None if there is none.

        Those before it that cannot be read as its type are set aside by the command at *key*.
        """
        found = self._oldest(machine, key, source, due, taking=False)
        return None if found is None else (_stored_at(self._signals[found[0]]), found[0])

    def take(self, machine: Machine[Any], wait: SignalWait) -> Reply:
        """The oldest kept signal for *wait*, or let it wait."""
        found = self._oldest(machine, wait.key, wait.command.signal, wait.due)
        if found is not None:
            at, payload = found
            del self._signals[at]
            return payload, None
        self._waits.append(wait)
        machine.wait(wait.fiber, wait)
        if wait.due is not None:
            machine.set_timer(wait.key, wait.due)
        return WAITING

    def _oldest(
        self, machine: Machine[Any], key: Key, source: Source[Any], due: datetime | None, *, taking: bool = True
    ) -> tuple[int, Any] | None:
        """The place and payload of the oldest kept signal in time that can be read; what comes before it is set aside."""
        at = 0
        while at < len(self._signals):
            signal = self._signals[at]
            if signal.name != source.name:
                at += 1
                continue
            if not _in_time(signal, due):
                return None
            payload = _payload(machine, key, source, signal, taking=taking)
            if payload is not SET_ASIDE:
                return at, payload
            del self._signals[at]
        return None

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


def _stored_at(signal: Signalled) -> datetime:
    return signal.sent_at or signal.at


def _in_time(signal: Signalled, due: datetime | None) -> bool:
    return due is None or _stored_at(signal) <= due


def _payload(machine: Machine[Any], key: Key, source: Source[Any], signal: Signalled, *, taking: bool = True) -> Any:
    """What *signal* says, read as *source*'s type; `SET_ASIDE` where it cannot be (G6).

    Senders may be of another release, so what does not fit is theirs, and no reason to stop. But what was read once, as
    the record says, is the code's to read again: there it is `Unreadable`.
    """
    where = f"signal {signal.name}"
    then = None if machine.recorded is None else machine.recorded.set_aside(key)
    if then is None:
        try:
            return machine.codec.load(signal.payload, source.type, where)
        except CodecError as error:
            machine.rows.append(SetAside(key=key, name=signal.name, error=str(error)))
            machine.request(KeepAside(key, signal.name, signal.payload, _stored_at(signal), str(error)))
            return SET_ASIDE
    if then:
        return SET_ASIDE
    return machine.scalar(signal.payload, source.type, where) if taking else None
