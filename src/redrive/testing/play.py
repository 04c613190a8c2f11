"""`play`: a fake interpreter for unit tests. A test is a function call; nothing listens, sleeps or stores.

The run is the real kernel with the real codec. Steps are answered by the test, time moves when the test says
so, and what the outside would do (deliver an event, start a child) is noted for the test to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar
from uuid import UUID, uuid5

from redrive.codec import JsonCodec, from_json, to_json
from redrive.testing.script import Script, Unexpected
from redrive_interpreter import (
    Answered,
    CancelExecution,
    CancelRequested,
    ChildFinished,
    Command,
    DeadlinePassed,
    Err,
    Invocation,
    Key,
    Machine,
    Noted,
    Ok,
    Publish,
    RunChild,
    SendTo,
    Signalled,
    Started,
    StartExecution,
    Step,
    StepTimeout,
    TimerFired,
    WaitChild,
    WaitSignal,
    dump_row,
    load_row,
    replay,
)
from redrive_interpreter.facts import DEADLINE
from redrive_interpreter.failures import workflow_error
from redrive_interpreter.waits import AnswerWait

if TYPE_CHECKING:
    from redrive_interpreter import Fact, Request, Row, Source, Verdict

R = TypeVar("R")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_RUNS: Final = UUID("7b0d0b5e-3a0e-5c3b-9a52-6f3f6c1d2a11")


class Run(Generic[R]):
    """One run of a workflow under test.

    *now* is the virtual clock. With stubs (*answers*, *signals*) the run drives itself: it answers steps, delivers
    signals, and when only timers are left moves the clock to the earliest. Without, the test says everything.
    """

    def __init__(
        self,
        invocation: Invocation[R],
        *,
        answers: Mapping[Any, object] | None = None,
        signals: Mapping[Any, object] | None = None,
        id: str = "test",
        now: datetime = BEGIN,
        timeout: timedelta | None = None,
        converter: Any = None,
    ) -> None:
        self.invocation = invocation
        self.now = now
        self._codec = JsonCodec(converter=converter)
        self._script = Script(answers or {}, signals or {})
        self._driven = answers is not None or signals is not None
        self._rows: list[Row] = []
        self._published: list[tuple[str, Any]] = []
        self._outgoing: list[Request] = []
        self._machine: Machine[R] = Machine(invocation.workflow, self._codec)
        workflow = invocation.workflow
        limit = timeout if timeout is not None else workflow.timeout
        self._feed(
            Started(
                id=id,
                run=uuid5(_RUNS, id),
                at=now,
                args=invocation.args,
                kwargs=dict(invocation.kwargs),
                workflow=workflow.name,
                deadline=None if limit is None else now + limit,
            )
        )

    # ── what the test says ──────────────────────────────────────────────────────────────────────
    def answer(self, command: Command[T], value: T) -> None:
        """*command*, which must be what the workflow asks now, comes to *value*."""
        key, pending = self._asked_now(command)
        if isinstance(pending, WaitSignal):
            self.signal(pending.signal, value)
        elif isinstance(pending, (RunChild, WaitChild)):
            self._child_ended(pending, key, Ok(value))
        else:
            self._feed(Answered(key, Ok(self._encoded(pending, value)), at=self.now))

    def fail(self, command: Command[Any], error: BaseException) -> None:
        """*command*, which must be what the workflow asks now, fails for good with *error*."""
        key, pending = self._asked_now(command)
        if isinstance(pending, (RunChild, WaitChild)):
            self._child_ended(pending, key, Err(error))
        elif isinstance(pending, Step):
            failure = self._codec.dump_error(error, pending.spec.raises)
            self._feed(Answered(key, Err(failure), at=self.now, in_doubt=isinstance(error, StepTimeout)))
        else:
            raise Unexpected(f"{pending!r} cannot fail: only steps and children do", self._story())

    def signal(self, signal: Source[T], payload: T = None) -> None:  # type: ignore[assignment]
        """*signal* arrives now."""
        declared = self.invocation.workflow.signals
        if declared is not None and signal.base not in {known.base for known in declared}:
            raise Unexpected(f"{self.invocation.workflow.name!r} does not declare the signal {signal.name!r}", self._story())
        data = self._codec.dump(payload, signal.type, f"signal {signal.name}")
        self._feed(Signalled(signal.name, data, at=self.now, sent_at=self.now))

    def advance(self, span: timedelta | float | None = None, **units: float) -> None:
        """Move the clock by *span* (seconds, a timedelta, or ``days=30``); timers fire in the order in which they are due."""
        step = timedelta(**units) if span is None else span if isinstance(span, timedelta) else timedelta(seconds=span)
        if step < timedelta(0):
            raise ValueError("time does not go back")
        self._until(self.now + step)

    def cancel(self, reason: str = "") -> None:
        """Someone asks for the execution to be cancelled."""
        self._feed(CancelRequested(reason=reason, at=self.now))

    def restart(self) -> None:
        """Forget the machine and re-drive it from the history, as after a crash. Raises `Diverged` if that differs."""
        self._machine.close()
        history = [load_row(row) for row in from_json(to_json([dump_row(row) for row in self._rows]))]
        replayed = replay(self.invocation.workflow, history, self._codec)
        self._machine = replayed.machine
        self._rows += replayed.rows

    def close(self) -> None:
        """Put the run away."""
        self._machine.close()

    # ── what the test sees ──────────────────────────────────────────────────────────────────────
    @property
    def asked(self) -> list[Command[Any]]:
        """What the workflow asks now, oldest first."""
        pending = self._pending()
        return list(pending.values())

    @property
    def emitted(self) -> list[tuple[str, Any]]:
        """The events emitted so far: (name, payload)."""
        return list(self._published)

    @property
    def sent(self) -> list[Request]:
        """Signals, starts and cancels that went to other executions."""
        return list(self._outgoing)

    @property
    def notes(self) -> list[str]:
        """The texts of the notes so far."""
        return [row.text for row in self._rows if isinstance(row, Noted)]

    @property
    def undone(self) -> tuple[Key, ...]:
        """The keys undone so far, in the order of undoing."""
        return self._machine.undone

    @property
    def history(self) -> list[Row]:
        """The rows so far."""
        return list(self._rows)

    @property
    def verdict(self) -> Verdict:
        return self._machine.verdict

    @property
    def result(self) -> R:
        """What the workflow returned. Raises its error if it failed, an AssertionError if it is not over."""
        outcome = self._ended()
        if isinstance(outcome, Ok):
            value: R = self._codec.load(outcome.value, self.invocation.workflow.result_type, "result")
            return value
        raise self._raised(outcome)

    @property
    def error(self) -> BaseException | None:
        """The error the workflow ended with; None if it returned. An AssertionError if it is not over."""
        outcome = self._ended()
        return None if isinstance(outcome, Ok) else self._raised(outcome)

    # ── how it goes on ──────────────────────────────────────────────────────────────────────────
    def _feed(self, fact: Fact) -> None:
        requests = self._machine.receive(fact)
        self._rows += self._machine.take()
        for request in requests:
            self._see(request)
        for key, wait in list(self._machine.pending.items()):
            if isinstance(wait, AnswerWait):  # the store's word, which a test has nothing to say about
                self._feed(Answered(key, Ok(None), at=self.now))
                return
        if self._driven:
            self._go_on()

    def _go_on(self) -> None:
        for key, command in self._pending().items():
            if isinstance(command, (Step, RunChild, WaitChild)):
                found = self._script.outcome(command)
                if found is None:
                    raise Unexpected(f"nothing answers {command!r}; say answers={{{self._script.stub(command)}}}", self._story())
                if isinstance(found, Err):
                    self.fail(self._pending()[key], found.error)
                elif isinstance(command, Step):
                    self._feed(Answered(key, Ok(self._encoded(command, found.value)), at=self.now))
                else:
                    self._child_ended(command, key, found)
                return
        for command in self._pending().values():
            if isinstance(command, WaitSignal) and self._script.has(command.signal):
                self.signal(command.signal, self._script.take(command.signal))
                return
        due = self._machine.next_due
        if due is not None and self._machine.verdict_ is None:
            self._until(due)

    def _see(self, request: Request) -> None:
        if isinstance(request, Publish):
            payload = self._codec.load(request.payload, request.type, f"event {request.event}")
            self._published.append((request.event, payload))
        elif isinstance(request, (SendTo, StartExecution, CancelExecution)):
            self._outgoing.append(request)

    def _until(self, end: datetime) -> None:
        while (due := self._machine.next_due) is not None and due <= end and self._machine.verdict_ is None:
            self.now = max(self.now, due)
            key = min((moment, key) for key, moment in self._machine.timers.items())[1]
            self._feed(DeadlinePassed(at=self.now) if key == DEADLINE else TimerFired(key, at=self.now))
        self.now = max(self.now, end)

    def _child_ended(self, command: RunChild[Any] | WaitChild[Any], key: Key, outcome: Ok[Any] | Err) -> None:
        wait = self._machine.pending[key]
        child = getattr(wait, "child", "")
        typed = command.ref if isinstance(command, WaitChild) else command.invocation.workflow
        told: Ok[Any] | Err
        if isinstance(outcome, Ok):
            told = Ok(self._codec.dump(outcome.value, typed.result_type, f"the result of child {child}"))
        else:
            told = Err(self._codec.dump_error(outcome.error, typed.raises))
        status = "completed" if isinstance(told, Ok) else "failed"
        self._feed(ChildFinished(id=child, status=status, outcome=told, at=self.now))

    def _encoded(self, command: Command[Any], value: object) -> Any:
        if not isinstance(command, Step):
            raise Unexpected(f"{command!r} takes no answer", self._story())
        return self._codec.dump(value, command.spec.result_type, f"step {command.step_id}")

    def _pending(self) -> dict[Key, Command[Any]]:
        if self._machine.verdict_ is not None:
            return {}
        return {key: wait.command for key, wait in self._machine.pending.items()}

    def _asked_now(self, command: Command[Any]) -> tuple[Key, Command[Any]]:
        for key, pending in self._pending().items():
            if pending == command:
                return key, pending
        raise Unexpected(f"expected  {command!r}", self._story())

    def _ended(self) -> Ok[Any] | Err:
        verdict = self._machine.verdict_
        if verdict is None:
            raise Unexpected("the workflow has not ended", self._story())
        return verdict.outcome

    def _raised(self, outcome: Err) -> BaseException:
        return workflow_error(self._codec, outcome.error, self.invocation.workflow.raises)

    def _story(self) -> str:
        return self._script.story(self._rows, self.asked, self._machine.where())


class Play(Protocol):
    """The type of the `play` fixture."""

    def __call__(
        self,
        invocation: Invocation[R],
        answers: Mapping[Any, object] | None = None,
        signals: Mapping[Any, object] | None = None,
        *,
        id: str = "test",
        now: datetime = BEGIN,
        timeout: timedelta | None = None,
        converter: Any = None,
    ) -> Run[R]: ...


def play(
    invocation: Invocation[R],
    answers: Mapping[Any, object] | None = None,
    signals: Mapping[Any, object] | None = None,
    *,
    id: str = "test",
    now: datetime = BEGIN,
    timeout: timedelta | None = None,
    converter: Any = None,
) -> Run[R]:
    """Run *invocation* on the fake interpreter, up to the first command that the test must answer.

    *answers* maps a step function, a workflow or a step id to a value, an exception, or a callable that is given the
    arguments; *signals* maps a signal to its payload, or a list of payloads. With either, the run drives itself.
    """
    return Run(invocation, answers=answers, signals=signals, id=id, now=now, timeout=timeout, converter=converter)
