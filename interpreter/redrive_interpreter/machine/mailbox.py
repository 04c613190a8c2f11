"""Signals that came and waits for them: first in, first out, decided by stored times.

A signal that cannot be read as the type of the wait it is for is set aside, and the wait goes on with the next (G6). The
decision is a row, so that replay does not depend on what today's types can read.
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

    There may be a hundred thousand of each: none is looked through for one of them. Signals have numbers, in the order in which
    they came.
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
        """What the next run takes over."""
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
        """Serve the oldest wait that was still open when *signal* was stored, or keep it. That wait cannot read it: set it aside."""
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
        """When the signal was stored that would end a wait for *source* at once, and its place among all that are kept (0: the
        oldest); None if there is none.

        Those before it that cannot be read as its type are set aside by the command at *key*.
        """
        found = self._oldest(run, key, source, due, taking=False)
        if found is None:
            return None
        number, signal, _ = found
        first = min(signals[0][0] for signals in self._signals.values())
        return _stored_at(signal), number - first

    def take(self, run: RunState, wait: SignalWait) -> Reply:
        """The oldest kept signal for *wait*, or let it wait."""
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
        """The number, the signal and its payload of the oldest kept one in time that can be read; what comes before it is set aside."""
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
        """Nobody waits any more."""
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
    """What *signal* says, read as *source*'s type; `SET_ASIDE` where it cannot be (G6).

    Senders may be of another release, so what does not fit is theirs, and no reason to stop. But what was read once, as
    the record says, is the code's to read again: there it is `UndecodableValue`.
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
