"""The driver of a run with stubs: attempts first, then children, then signals, and time when nothing else is left."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from redrive.status import CANCELLED
from redrive.testing.failure_report import Unexpected, failure_report
from redrive.testing.stubs import subject_of
from redrive_interpreter import Cancelled, ChildRef, Err, RunChild, Signalled, StartExecution, WaitChild, WaitSignal
from redrive_interpreter.commands.messages import sent_as

if TYPE_CHECKING:
    from redrive.testing.host import Host
    from redrive.testing.stubs import Stubs
    from redrive_interpreter import Command, Key, Ok, RunStep, Source, StartChild

MOST_TURNS: Final = 100_000
"""Turns of a run that drives itself, after which it counts as endless."""


class Driver:
    """Advances *host*: by *stubs* if it is *driven*, through time by itself if *skip_time* allows."""

    def __init__(self, host: Host, stubs: Stubs, *, driven: bool, skip_time: bool) -> None:
        self._host = host
        self._stubs = stubs
        self.driven = driven
        self.skip_time = skip_time

    def go_on(self) -> None:
        """Advance as far as the stubs reach. Raises `Unexpected` at a step that no stub answers."""
        if not self.driven:
            return
        for _ in range(MOST_TURNS):
            if self._host.verdict is not None or not self._move():
                return
        raise self._unexpected(f"no end in sight after {MOST_TURNS:,} turns")

    def until(self, end: datetime) -> None:
        """Move the clock to *end*, and fire the timers that are due before."""
        host = self._host
        while host.verdict is None and (due := _earlier(host.next_due, host.next_begin)) is not None and due <= end:
            if due == host.next_due:
                host.next_moment()
            else:
                host.now = due
            self.go_on()
        host.now = max(host.now, end)

    def signal(self, signal: Source[Any] | str, payload: object) -> None:
        """Deliver *signal* now, if the workflow declares it and has not ended."""
        host = self._host
        signal = sent_as(signal)
        declared = host.machine.workflow.signals
        if declared is not None and signal.base not in {known.base for known in declared}:
            raise self._unexpected(f"{host.machine.workflow.name!r} does not declare the signal {signal.name!r}")
        if host.verdict is not None:
            raise self._unexpected(f"the signal {signal.name!r} comes too late")
        data = host.codec.dump(payload, signal.type, f"signal {signal.name}")
        host.tell(Signalled(signal.name, data, at=host.now, sent_at=host.now, path=signal.path))

    def child_of(self, key: Key) -> str:
        """The id of the child that the command at *key* waits for."""
        return str(getattr(self._host.machine.pending[key], "child", ""))

    def reach(self, id: str) -> bool:
        """Let time pass until the attempt that the child *id* waits for begins; True if it does."""
        begins = self._host.begins(id)
        if begins is None:
            return True
        self.until(begins)
        return self._host.machine.is_open_child(id) and id not in self._host.cancelled

    def end_child(self, child: ChildRef[Any] | StartChild[Any] | str, outcome: Ok[Any] | Err) -> None:
        """End a running child; an error that is a `Cancelled` means that it was cancelled."""
        host = self._host
        starts = self._starts()
        if isinstance(child, ChildRef):
            id = child.id
        elif isinstance(child, str):
            id = child
        else:
            id = next((id for id, command in starts.items() if command == child and host.machine.is_open_child(id)), repr(child))
        cancelled = isinstance(outcome, Err) and isinstance(outcome.error, Cancelled)
        if id not in starts or not host.machine.is_open_child(id) or not (cancelled or self.reach(id)):
            raise self._unexpected(f"no child {id} is running")
        self._end_child(id, outcome)

    def _end_child(self, id: str, outcome: Ok[Any] | Err) -> None:
        status = CANCELLED if isinstance(outcome, Err) and isinstance(outcome.error, Cancelled) else ""
        self._host.child_ended(id, outcome, self._starts()[id].invocation.workflow, status)

    def _starts(self) -> dict[str, Any]:
        """The commands that started the children, by id."""
        return {request.id: request.command for request in self._host.sent if isinstance(request, StartExecution)}

    def _move(self) -> bool:
        """Make the next move; False if the test has to make it."""
        host = self._host
        if ready := host.ready:
            self._attempt(ready[0])
            return True
        for key, command in host.pending.items():
            if isinstance(command, (RunChild, WaitChild)) and self._may_end(self.child_of(key)):
                self._child(self.child_of(key), command)
                return True
            if isinstance(command, WaitSignal) and self._stubs.has_signal(command.signal):
                self.signal(command.signal, self._stubs.take_signal(command.signal))
                return True
        if host.machine.awaits_children:
            self._end_child(host.machine.open_children[0].id, Err(Cancelled("the parent has ended", "parent")))
            return True
        if self.skip_time and host.next_due is not None:
            host.next_moment()
            return True
        return False

    def _may_end(self, id: str) -> bool:
        """Whether the child runs, or time may pass until its next attempt does, without a timer before that."""
        host = self._host
        begins = host.begins(id)
        return begins is None or (self.skip_time and (host.next_due is None or begins <= host.next_due))

    def _attempt(self, perform: RunStep) -> None:
        outcome = self._stubs.step(perform, self._host)
        if outcome is None:
            raise self._unanswered(perform.step)
        self._host.attempt_ended(perform, outcome)

    def _child(self, id: str, command: RunChild[Any] | WaitChild[Any]) -> None:
        outcome = Err(Cancelled("", "parent")) if id in self._host.cancelled else self._stubs.child(command)
        if outcome is None:
            raise self._unanswered(command)
        self._end_child(id, outcome)

    def _unanswered(self, command: Command[Any]) -> Unexpected:
        return self._unexpected(f"nothing answers {command!r}; say answers={{{subject_of(command)!r}: …}}")

    def _unexpected(self, problem: str) -> Unexpected:
        return Unexpected(problem, failure_report(self._host))


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)
