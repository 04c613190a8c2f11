"""One run under test: the methods by which a test drives it, and the properties that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from redrive.converters import codec_for
from redrive.testing import operator_acts
from redrive.testing.attributes import Attributes
from redrive.testing.call_checks import as_error, check_command, check_invocation, check_mapping, keys_there_are
from redrive.testing.failure_report import Unexpected, failure_report, near_miss
from redrive.testing.host import Host, Kept, attributes_of
from redrive.testing.invariants import Checked, check
from redrive.testing.purity_check import assert_pure
from redrive.testing.run_view import View
from redrive.testing.stub_driver import Driver
from redrive.testing.stubs import Stubs, timed_out, typed_of
from redrive.testing.trace import trace
from redrive_interpreter import (
    CancelRequested,
    ChildRef,
    Command,
    Err,
    Invocation,
    Key,
    Noted,
    Ok,
    RunChild,
    SetAside,
    StartChild,
    Step,
    WaitChild,
    WaitSignal,
)
from redrive_interpreter.history.rebuilt_errors import workflow_error
from redrive_interpreter.history.rows import Started

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.operating.change_report import Change
    from redrive_interpreter import Event, Request, Row, RunStep, Signal, Source, Verdict, Workflow
    from redrive_interpreter.commands.messages import Payload

R = TypeVar("R")
T = TypeVar("T")

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
MOST_ATTEMPTS: Final = 1_000
"""Attempts of a child that fails for good, after which it counts as retried for ever."""


class Run(Generic[R]):
    """One run of a workflow under test; `play` makes it."""

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
        skip_time: bool = True,
        check_purity: bool = False,
    ) -> None:
        check_invocation(invocation, "play")
        check_mapping(answers, "answers", "{charge: 'ch_1'}")
        check_mapping(signals, "signals", "{approved: 'Ada'}")
        self.invocation = invocation
        self._check_purity = check_purity
        self._codec = codec_for(invocation.workflow, converter)
        self._stubs = Stubs(answers or {}, signals or {})
        self._host = Host(self._codec, self._stubs.refuse)
        self._driver = Driver(self._host, self._stubs, driven=answers is not None or signals is not None, skip_time=skip_time)
        self._host.start(invocation, id=id, now=now, timeout=timeout)
        self._go_on()

    @classmethod
    def _of(cls, invocation: Invocation[R], codec: JsonCodec, stubs: Stubs, *, driven: bool, skip_time: bool) -> Run[R]:
        """A run whose host has still to be told its history."""
        run: Run[R] = object.__new__(cls)
        run.invocation, run._check_purity, run._codec, run._stubs = invocation, False, codec, stubs
        run._host = Host(codec, stubs.refuse)
        run._driver = Driver(run._host, stubs, driven=driven, skip_time=skip_time)
        return run

    @classmethod
    def recorded(
        cls,
        workflow: Workflow[..., R],
        rows: Sequence[Row],
        answers: Mapping[Any, object] | None = None,
        signals: Mapping[Any, object] | None = None,
        *,
        converter: Any = None,
        skip_time: bool = True,
    ) -> Run[R]:
        """A run of *workflow* that goes on from the recorded *rows*: those of a file, or of a service. Raises `Diverged`."""
        codec = codec_for(workflow, converter)
        started = rows[0]
        assert isinstance(started, Started), "a history begins with its started row"
        args, kwargs = codec.load_call(workflow.signature, started.input, workflow.name)
        driven = answers is not None or signals is not None
        run = cls._of(workflow(*args, **kwargs), codec, Stubs(answers or {}, signals or {}), driven=driven, skip_time=skip_time)
        now = max(getattr(row, "at", started.at) for row in rows)
        run._host.resume(Kept([workflow], [list(rows)], now, [], frozenset(), frozenset()))
        run._go_on()
        return run

    # ── what the test says ──────────────────────────────────────────────────────────────────────
    def answer(self, command: Command[T] | str, value: Payload[T]) -> None:
        """Answer *command* (or its key), which must be asked now, with *value*. A step that waits for its next attempt begins it
        first."""
        key, pending = self._asked_now(command, "answer")
        if isinstance(pending, WaitSignal):
            self._driver.signal(pending.signal, value)
            self._go_on()
        elif isinstance(pending, (RunChild, WaitChild)):
            self._child_ends(key, pending, Ok(value))
            self._go_on()
        elif isinstance(pending, Step):
            self._host.attempt_ended(self._attempt(key), Ok(value))
            self._go_on()
        else:
            raise Unexpected(f"{pending!r} takes no answer", self._story())

    def fail(self, command: Command[Any] | str, error: BaseException, *, final: bool = True) -> None:
        """Fail *command*, which must be asked now, with *error*, for good; a child fails in all its attempts.

        With *final* False one attempt failed, and its Retry says what comes next.
        """
        error = as_error(error, "fail")
        key, pending = self._asked_now(command, "fail")
        if isinstance(pending, (RunChild, WaitChild)):
            attempts = 1
            while self._child_ends(key, pending, Err(error)) and final:
                attempts += 1
                if attempts > MOST_ATTEMPTS:
                    raise Unexpected(f"{pending!r} is tried again after {MOST_ATTEMPTS:,} attempts; say final=False", self._story())
        elif isinstance(pending, Step):
            self._host.attempt_ended(self._attempt(key), Err(error), final=final)
        else:
            raise Unexpected(f"{pending!r} cannot fail: only steps and children do", self._story())
        self._go_on()

    def time_out(self, command: Command[Any] | str, *, final: bool = True) -> None:
        """Let *command* time out.

        A step fails with `StepTimeout` (at most once: `StepInterrupted`), in doubt, *final* as in `fail`; for a wait the
        clock moves on to its timeout.
        """
        key, pending = self._asked_now(command, "time_out")
        if isinstance(pending, Step):
            perform = self._attempt(key)
            late = timed_out(key, perform.attempt, at_most_once=pending.spec.at_most_once)
            self.fail(key, late, final=final)
            return
        due = self._host.machine.timers.get(key)
        if due is None:
            raise Unexpected(f"{pending!r} has no timeout", self._story())
        while key in self._host.machine.timers and self._host.verdict is None:
            self._host.next_moment()
        self._go_on()

    def end_child(self, child: ChildRef[Any] | StartChild[Any] | str, value: object = None, *, error: BaseException | None = None) -> None:
        """End a child that was started: with *value*, with *error*, or, if that is a `Cancelled`, as cancelled."""
        self._driver.end_child(child, Ok(value) if error is None else Err(as_error(error, "end_child")))
        self._go_on()

    @overload
    def signal(self, signal: Signal[None] | Event[None]) -> None: ...
    @overload
    def signal(self, signal: Signal[T] | Event[T], payload: Payload[T]) -> None: ...
    @overload
    def signal(self, signal: str, payload: object = None) -> None: ...
    def signal(self, signal: Source[Any] | str, payload: Any = None) -> None:
        """Deliver *signal* now; a name alone means a signal with an untyped payload."""
        self._driver.signal(signal, payload)
        self._go_on()

    def advance(self, span: timedelta | float | None = None, **units: float) -> None:
        """Move the clock by *span* (seconds, a timedelta, or ``days=30``); timers fire in the order in which they are due."""
        step = timedelta(**units) if span is None else span if isinstance(span, timedelta) else timedelta(seconds=span)
        if step < timedelta(0):
            raise ValueError("time does not go back")
        self._driver.until(self.now + step)
        self._go_on()

    def tick(self) -> None:
        """Move the clock to the next timer and fire that one alone, or to the time of the next attempt."""
        if self._host.next_due is None:
            raise Unexpected("nothing is due, now or later", self._story())
        self._host.next_moment()
        self._go_on()

    def check(self, *invariants: Checked) -> None:
        """Raises `InvariantBroken` if the run so far breaks one of *invariants*, the same ones that `explore` takes."""
        check(View.of(self._host.standing_runs, self._host.is_final, self._host.workflows[-1]), invariants)

    def check_purity(self) -> None:
        """Drive the run so far again with another clock, luck, environment and order of sets. Raises `Impure` if that shows."""
        for workflow, rows in self.histories():
            assert_pure(workflow, rows, self._codec)

    def cancel(self, reason: str = "") -> None:
        """Ask for the execution to be cancelled."""
        self._host.tell(CancelRequested(reason=reason, at=self.now))
        self._go_on()

    # ── what an operator would do ───────────────────────────────────────────────────────────────
    def retry(self, since: str | None = None) -> Change:
        """Go on as ``operator.retry`` would: from before the failure, or anew from the command *since*. Raises `OperationRefused`."""
        change = operator_acts.retry(self._host, since)
        self._go_on()
        return change

    @overload
    def edit(self, step: Step[T], result: T, /, *, since: str | None = None) -> Change: ...
    @overload
    def edit(self, step: str, result: object, /, *, since: str | None = None) -> Change: ...
    @overload
    def edit(self, step: Step[Any] | str, /, *, error: Exception, since: str | None = None) -> Change: ...
    def edit(self, step: Any, result: Any = None, /, *, error: Exception | None = None, since: str | None = None) -> Change:
        """Give a step, or the key of one, another outcome, as ``operator.edit_step`` would. Raises `OperationRefused`."""
        change = operator_acts.answer(self._host, step, result, error, since)
        self._go_on()
        return change

    def fork(self, before: str | int, *, id: str = "copy") -> Run[R]:
        """A copy of the run that goes on from *before* a command (its key), or a row (its number), as ``operator.fork`` would.

        The copy has the answers and signals of this run that are left. Raises `OperationRefused`.
        """
        driver = self._driver
        copy = self._of(self.invocation, self._codec, self._stubs, driven=driver.driven, skip_time=driver.skip_time)
        copy._host.resume(self._host.kept)
        operator_acts.fork(copy._host, before, id)
        copy._go_on()
        return copy

    def restart(self) -> None:
        """Forget the machine and re-drive it from the history, as after a crash. Raises `Diverged` if that differs."""
        self._host.restart()

    def close(self) -> None:
        """Close the run."""
        self._host.machine.close()

    # ── what the test sees ──────────────────────────────────────────────────────────────────────
    @property
    def now(self) -> datetime:
        """The virtual clock."""
        return self._host.now

    @property
    def asked(self) -> list[Command[Any]]:
        """The commands that the workflow asks now, oldest first."""
        return list(self._host.pending.values())

    @property
    def emitted(self) -> list[tuple[str, Any]]:
        """The events emitted so far: (name, payload)."""
        return list(self._host.emitted)

    @property
    def set_aside(self) -> list[tuple[str, str]]:
        """The signals that the workflow could not decode: (name, error)."""
        return [(row.name, row.error) for run in self._host.runs for row in run if isinstance(row, SetAside)]

    @property
    def sent(self) -> list[Request]:
        """Signals, starts and cancels that went to other executions."""
        return list(self._host.sent)

    @property
    def notes(self) -> list[str]:
        """The texts of the notes so far."""
        return [row.text for run in self._host.runs for row in run if isinstance(row, Noted)]

    @property
    def attributes(self) -> Attributes:
        """The attributes as they were last set, by `Attribute` (typed) or by name (as stored)."""
        return Attributes(attributes_of(self._host.runs), self._codec)

    @property
    def undone(self) -> tuple[Key, ...]:
        """The keys undone so far, in the order of undoing."""
        return self._host.machine.undone

    @property
    def in_doubt(self) -> tuple[Key, ...]:
        """Steps that may have taken effect, and that nothing will undo."""
        return self._host.machine.in_doubt

    @property
    def history(self) -> list[Row]:
        """The rows of the current run; ContinueAs begins a new one."""
        return list(self._host.rows)

    @property
    def runs(self) -> list[list[Row]]:
        """The histories of all runs, oldest first."""
        return [list(run) for run in self._host.runs]

    def histories(self) -> list[tuple[Workflow[..., Any], list[Row]]]:
        """The rows of each run with the workflow that made them."""
        return list(zip(self._host.workflows, self.runs, strict=True))

    @property
    def verdict(self) -> Verdict:
        return self._host.machine.verdict

    @property
    def result(self) -> R:
        """The value that the workflow returned. Raises its error if it failed, an AssertionError if it is not over."""
        outcome = self._ended()
        if isinstance(outcome, Ok):
            value: R = self._codec.load(outcome.value, self._host.machine.workflow.result_type, "result")
            return value
        raise self._raised(outcome)

    @property
    def error(self) -> BaseException | None:
        """The error the workflow ended with; None if it returned. An AssertionError if it is not over."""
        outcome = self._ended()
        return None if isinstance(outcome, Ok) else self._raised(outcome)

    def trace(self) -> str:
        """The rows in words, one line each: the same text for the same run, for snapshot tests."""
        return "\n".join(line for run in self._host.runs for line in trace(run))

    # ── how it goes on ──────────────────────────────────────────────────────────────────────────
    def _go_on(self) -> None:
        self._driver.go_on()
        if self._check_purity and self._host.verdict is not None:
            self._check_purity = False
            self.check_purity()

    def _child_ends(self, key: Key, command: RunChild[Any] | WaitChild[Any], outcome: Ok[Any] | Err) -> bool:
        """End an attempt of the child that the command at *key* waits for; True if another is to come."""
        id = self._driver.child_of(key)
        if not self._driver.reach(id):
            raise Unexpected(f"{key} was cut before its next attempt", self._story())
        self._host.child_ended(id, outcome, typed_of(command))
        return self._host.verdict is None and self._host.machine.is_open_child(id)

    def _attempt(self, key: Key) -> RunStep:
        """The attempt of the step at *key*, once its time has come."""
        due = self._host.performs[key].due
        if due is not None and due > self.now:
            self._driver.until(due)
        if key not in self._host.performs:
            raise Unexpected(f"{key} was cut before its next attempt", self._story())
        return self._host.performs[key]

    def _asked_now(self, command: Command[Any] | str, verb: str) -> tuple[Key, Command[Any]]:
        check_command(command, verb)
        pending = self._host.pending
        for key, asked in pending.items():
            if key == command if isinstance(command, str) else asked == command:
                return key, asked
        if isinstance(command, str):
            raise Unexpected(f"expected  {command!r}, a key\n{keys_there_are(list(pending), pending.__getitem__)}", self._story())
        hint = near_miss(command, list(pending.values()))
        raise Unexpected(f"expected  {command!r}" + (f"\n{hint}" if hint else ""), self._story())

    def _ended(self) -> Ok[Any] | Err:
        verdict = self._host.verdict
        if verdict is None:
            raise Unexpected("the workflow has not ended", self._story())
        return verdict.outcome

    def _raised(self, outcome: Err) -> BaseException:
        return workflow_error(self._codec, outcome.error, self._host.machine.workflow.raises)

    def _story(self) -> str:
        return failure_report(self._host)
