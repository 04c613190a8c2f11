"""Moves: the next things that can happen to a run. Each tells the host one fact, and prints as a line of a `play` test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from redrive.testing import labels, operator_acts
from redrive.testing.sources import command_source, signal_source, value_source
from redrive.testing.trace import name_of_key
from redrive_interpreter import CancelRequested, Err, Key, Ok, Signalled, Step, StepInterrupted, StepTimeout, WaitSignal

if TYPE_CHECKING:
    from redrive.testing.host import Host
    from redrive_interpreter import Source


@attrs.frozen
class Attempt:
    """An attempt of the step at *key* ends with *outcome*."""

    key: Key
    outcome: Ok[Any] | Err

    def apply(self, host: Host) -> None:
        host.attempt_ended(host.performs[self.key], self.outcome)

    def line(self, host: Host) -> str:
        step = host.performs[self.key].step
        command = command_source(step, self.key, host)
        final = ", final=False" if step.spec.retry else ""
        if isinstance(self.outcome, Ok):
            return f"run.answer({command}, {value_source(self.outcome.value)})"
        if isinstance(self.outcome.error, (StepTimeout, StepInterrupted)):
            return f"run.time_out({command}{final})"
        return f"run.fail({command}, {value_source(self.outcome.error)}{final})"

    @property
    def label(self) -> str:
        return f"{name_of_key(self.key)} {_came_to(self.outcome)}"

    @property
    def brief(self) -> str:
        return labels.attempt(self.key, _briefly(self.outcome))


@attrs.frozen
class ChildEnds:
    """The child *id* of *typed*, a workflow, ends."""

    id: str
    outcome: Ok[Any] | Err
    typed: Any = attrs.field(eq=False)
    status: str = ""

    def apply(self, host: Host) -> None:
        host.child_ended(self.id, self.outcome, self.typed, self.status)

    def line(self, host: Host) -> str:
        if isinstance(self.outcome, Ok):
            return f"run.end_child({self.id!r}, {value_source(self.outcome.value)})"
        return f"run.end_child({self.id!r}, error={value_source(self.outcome.error)})"

    @property
    def label(self) -> str:
        return f"child {self.typed.name} {_came_to(self.outcome)}"

    @property
    def brief(self) -> str:
        return f"child {self.typed.name} {_briefly(self.outcome)}"


@attrs.frozen
class Arrive:
    """A signal arrives."""

    signal: Source[Any]
    payload: Any = attrs.field(eq=False)

    def apply(self, host: Host) -> None:
        data = host.codec.dump(self.payload, self.signal.type, f"signal {self.signal.name}")
        host.tell(Signalled(self.signal.name, data, at=host.now, sent_at=host.now, path=self.signal.path))

    def line(self, host: Host) -> str:
        payload = "" if self.signal.type is None else f", {value_source(self.payload)}"
        return f"run.signal({signal_source(self.signal, host)}{payload})"

    @property
    def label(self) -> str:
        return f"signal {self.signal.name}"

    @property
    def brief(self) -> str:
        return f"signal {labels.signal_name(self.signal)}"


@attrs.frozen
class Tick:
    """The next timer fires, or the next attempt may begin; *what* is due after *span*."""

    what: str
    span: timedelta = attrs.field(eq=False)
    brief: str = attrs.field(default="", eq=False)

    def apply(self, host: Host) -> None:
        host.next_moment()

    def line(self, host: Host) -> str:
        return f"run.tick()  # {self.label}"

    @property
    def label(self) -> str:
        return f"{self.what} is due" + (f" after {self.span}" if self.span else "")


@attrs.frozen
class CancelRun:
    """A cancel is requested."""

    def apply(self, host: Host) -> None:
        host.tell(CancelRequested(reason="explored", at=host.now))

    def line(self, host: Host) -> str:
        return "run.cancel('explored')"

    @property
    def label(self) -> str:
        return "cancel"

    brief = label


@attrs.frozen
class RetryRun:
    """An operator retries the failed run: from its failure, or all of it where more was done since."""

    def apply(self, host: Host) -> None:
        operator_acts.retry_somehow(host)

    def line(self, host: Host) -> str:
        since = operator_acts.first_step(host)
        return f"run.retry()  # or, where that is refused, run.retry({since!r})"

    @property
    def label(self) -> str:
        return "retry"

    brief = label


Move: TypeAlias = Attempt | ChildEnds | Arrive | Tick | CancelRun | RetryRun
Choose: TypeAlias = Callable[["Host"], list[Move]]


def tick(host: Host) -> Tick | None:
    """The passing of time until something is due."""
    due = host.next_due
    if due is None:
        return None
    timers = sorted((moment, key) for key, moment in host.machine.timers.items() if moment <= due)
    key = timers[0][1] if timers else next(key for key, perform in host.performs.items() if perform.due == due)
    return Tick(_due_thing(key, host), max(due - host.now, timedelta(0)), labels.due(key, host.pending.get(key)))


def _due_thing(key: Key, host: Host) -> str:
    command = host.pending.get(key)
    if isinstance(command, Step):
        return f"the next attempt of {name_of_key(key)}"
    if isinstance(command, WaitSignal):
        return f"the timeout of {command.signal.name}"
    return "the deadline" if command is None else f"{key.rpartition('/')[2].removeprefix('__')}"


def _came_to(outcome: Ok[Any] | Err) -> str:
    if isinstance(outcome, Ok):
        return "done" if outcome.value is None else f"= {value_source(outcome.value)}"
    if isinstance(outcome.error, StepTimeout):
        return "times out"
    return "is interrupted" if isinstance(outcome.error, StepInterrupted) else f"fails: {value_source(outcome.error)}"


def _briefly(outcome: Ok[Any] | Err) -> str:
    """The outcome of a step as a label; values only of the kinds that workflows branch on."""
    return labels.given(outcome.value) if isinstance(outcome, Ok) else labels.failed(type(outcome.error).__name__)
