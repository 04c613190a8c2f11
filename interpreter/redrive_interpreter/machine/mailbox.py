"""Signals that arrived, and waits for them: first in, first out, decided by stored times.

A signal that cannot be decoded as the type of its wait is set aside, and the wait takes the next one (G6). The decision is a row,
so that replay does not depend on what today's types can decode.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive_interpreter.commands.messages import texts_of
from redrive_interpreter.errors import CodecError, SignalTimeout
from redrive_interpreter.history.requests import KeepAside
from redrive_interpreter.history.rows import SetAside, Signalled
from redrive_interpreter.machine.fibers import WAITING, Reply
from redrive_interpreter.source_names import stored_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive_interpreter.commands.messages import Source
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.run_state import RunState
    from redrive_interpreter.machine.signal_waits import SignalWait

SET_ASIDE: Final = object()


class Mailbox:
    """Signals taken up and not yet waited for, and waits not yet served, each by the texts of their names and oldest first.

    There may be a hundred thousand of each, so no operation searches them all. Signals are numbered in the order of their
    arrival.
    """

    __slots__ = ("_arrived", "_signals", "_unread", "_waits")

    def __init__(self) -> None:
        self._signals: dict[str, deque[tuple[int, Signalled]]] = {}
        self._waits: dict[str, dict[SignalWait, None]] = {}
        self._arrived = self._unread = 0

    @property
    def unread(self) -> int:
        return self._unread

    def left(self) -> tuple[Signalled, ...]:
        """The unread signals, oldest first, as the next run takes them over."""
        return tuple(signal for _, signal in sorted(chain(*self._signals.values()), key=itemgetter(0)))

    def carry(self, unread: Sequence[Signalled]) -> None:
        for signal in unread:
            self._keep(signal)

    def _keep(self, signal: Signalled) -> None:
        self._arrived += 1
        self._unread += 1
        self._signals.setdefault(_text(signal), deque()).append((self._arrived, signal))

    def _drop_oldest(self, text: str) -> None:
        self._unread -= 1
        signals = self._signals[text]
        signals.popleft()
        if not signals:
            del self._signals[text]

    def arrived(self, run: RunState, signal: Signalled) -> None:
        """Give *signal* to the oldest wait that was open when it was stored, or keep it. Set it aside if that wait cannot decode
        it."""
        wait = next((wait for wait in self._waits.get(_text(signal), ()) if _in_time(signal, wait.due)), None)
        if wait is None:
            self._keep(signal)
            return
        payload = _payload(run, wait.key, wait.command.signal, signal)
        if payload is SET_ASIDE:
            return
        self.forget(wait)
        run.settle(wait)
        run.clear_timer(wait.key)
        run.wake(wait.fiber, payload)

    def kept_since(self, run: RunState, key: Key, source: Source[Any], due: datetime | None) -> tuple[datetime, int] | None:
        """The stored time of the signal that would end a wait for *source* at once, and its place among all kept signals (0: the
        oldest);

        None if there is none. The command at *key* sets aside those before it that it cannot decode.
        """
        found = self._oldest(run, key, source, due, taking=False)
        if found is None:
            return None
        number, signal, _ = found
        first = min(signals[0][0] for signals in self._signals.values())
        return _stored_at(signal), number - first

    def take(self, run: RunState, wait: SignalWait) -> Reply:
        """Reply with the oldest kept signal for *wait*, or let its fiber wait."""
        found = self._oldest(run, wait.key, wait.command.signal, wait.due)
        if found is not None:
            self._drop_oldest(_text(found[1]))
            return found[2], None
        for text in wait.texts:
            self._waits.setdefault(text, {})[wait] = None
        run.wait(wait.fiber, wait)
        if wait.due is not None:
            run.set_timer(wait.key, wait.due)
        return WAITING

    def _oldest(
        self, run: RunState, key: Key, source: Source[Any], due: datetime | None, *, taking: bool = True
    ) -> tuple[int, Signalled, Any] | None:
        """The number, the row and the payload of the oldest signal that came in time and can be decoded; older ones are set
        aside."""
        texts = texts_of(source)
        while kept := [signals[0] for text in texts if (signals := self._signals.get(text))]:
            number, signal = kept[0] if len(kept) == 1 else min(kept, key=itemgetter(0))
            if not _in_time(signal, due):
                return None
            payload = _payload(run, key, source, signal, taking=taking)
            if payload is not SET_ASIDE:
                return number, signal, payload
            self._drop_oldest(_text(signal))
        return None

    def forget(self, wait: SignalWait) -> None:
        for text in wait.texts:
            waits = self._waits[text]
            del waits[wait]
            if not waits:
                del self._waits[text]

    def stop(self) -> None:
        """Drop all waits: the run is over."""
        self._waits.clear()

    def timed_out(self, run: RunState, wait: SignalWait) -> None:
        self.forget(wait)
        command: Any = wait.command
        if command.default is attrs.NOTHING:
            run.wake(wait.fiber, None, SignalTimeout(wait.name, command.timeout))
        else:
            run.wake(wait.fiber, command.default)


def _text(signal: Signalled) -> str:
    return stored_name(signal.name, signal.path)


def _stored_at(signal: Signalled) -> datetime:
    return signal.sent_at or signal.at


def _in_time(signal: Signalled, due: datetime | None) -> bool:
    return due is None or _stored_at(signal) <= due


def _payload(run: RunState, key: Key, source: Source[Any], signal: Signalled, *, taking: bool = True) -> Any:
    """The payload of *signal*, decoded as *source*'s type;

    `SET_ASIDE` where that fails (G6). A payload that does not fit is the sender's fault, perhaps one of another release, and no
    reason to stop. If the record says that it was decoded once, today's code must decode it too: a failure is `UndecodableValue`
    then.
    """
    where = f"signal {signal.name}"
    then = None if run.recorded is None else run.recorded.set_aside(key)
    if then is None:
        try:
            return run.codec.load(signal.payload, source.type, where)
        except CodecError as error:
            run.rows.append(SetAside(key=key, name=signal.name, error=str(error)))
            run.request(KeepAside(key, signal.name, signal.payload, _stored_at(signal), str(error), signal.path))
            return SET_ASIDE
    if then:
        return SET_ASIDE
    return run.scalar(signal.payload, source.type, where) if taking else None
