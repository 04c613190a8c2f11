"""A host made of lists: one execution, the facts that it was told, and the requests that it made.

1.  `tell` gives the machine one fact, and keeps its rows and requests. Nothing is carried out.
2. Requests that a store would answer at once (send a signal, start a child) are answered at once: Ok, or the error that *refuse*
gives.
3. `restart` forgets the machine and replays the rows, through JSON, as after a crash.
4.  A run that ends with ContinueAs is followed by its next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import attrs

from redrive.codec import JsonCodec, from_json, to_json
from redrive.status import CANCELLED, COMPLETED, FAILED
from redrive.step_context import StepContext
from redrive.testing.unyielded import Watching, unyielded, warn
from redrive_interpreter import (
    AbandonStep,
    Answered,
    Asked,
    AttributeSet,
    CancelExecution,
    ChildFinished,
    ClearTimer,
    DeadlinePassed,
    Err,
    Failure,
    Invocation,
    KeepAside,
    Key,
    Machine,
    Ok,
    Publish,
    Retrying,
    RunStep,
    SetTimer,
    Started,
    StartExecution,
    StepInterrupted,
    StepTimeout,
    TimerFired,
    dump_row,
    load_row,
    replay,
    step_results,
)
from redrive_interpreter.keys import DEADLINE

if TYPE_CHECKING:
    from redrive_interpreter import Codec, Command, Fact, Finished, Request, Row, Workflow

_RUNS: Final = UUID("7b0d0b5e-3a0e-5c3b-9a52-6f3f6c1d2a11")


@attrs.define
class Kept:
    """Everything stored of an execution, from which a host can continue as after a crash."""

    workflows: list[Workflow[..., Any]]
    runs: list[list[Row]]
    now: datetime
    sent: list[Request]
    cancelled: frozenset[str]
    never: frozenset[str]
    edited: frozenset[int] = frozenset()


class Host:
    """One execution of *invocation*; *now* is its clock. *refuse* may give an error for a request to the store, *make* makes the
    machines."""

    def __init__(
        self,
        codec: JsonCodec,
        refuse: Callable[[Command[Any]], BaseException | None] = lambda command: None,
        make: Callable[[Workflow[..., Any], Codec], Machine[Any]] = Watching,
    ) -> None:
        self.codec = codec
        self.now: datetime
        self.runs: list[list[Row]] = []
        self.workflows: list[Workflow[..., Any]] = []
        self.machine: Machine[Any]
        self.performs: dict[Key, RunStep] = {}
        self.emitted: list[tuple[str, Any]] = []
        self.sent: list[Request] = []
        self.cancelled: set[str] = set()
        self.never: set[str] = set()
        """Children that were told to cancel while they waited for their next attempt, which never begins now (E3)."""
        self.edited: set[int] = set()
        """The places in `runs` of histories that an edited one has replaced."""
        self.heartbeats: dict[Key, Any] = {}
        self._refuse, self._make = refuse, make

    def start(self, invocation: Invocation[Any], *, id: str, now: datetime, timeout: timedelta | None) -> None:
        self.now = now
        workflow = invocation.workflow
        limit = timeout if timeout is not None else workflow.timeout
        deadline = None if limit is None else now + limit
        data = self.codec.dump_call(workflow.signature, invocation.args, invocation.kwargs, workflow.name)
        self._begin(workflow, Started(id=id, run=uuid5(_RUNS, id), at=now, input=data, workflow=workflow.name, deadline=deadline))

    def _begin(self, workflow: Workflow[..., Any], started: Started) -> None:
        self.runs.append([])
        self.workflows.append(workflow)
        self.performs = {}
        self.machine = self._make(workflow, self.codec)
        self.tell(started)

    @property
    def rows(self) -> list[Row]:
        """The history of the run at hand."""
        return self.runs[-1]

    @property
    def standing_runs(self) -> list[list[Row]]:
        """The histories of all runs but those that an edited one has replaced."""
        return [run for at, run in enumerate(self.runs) if at not in self.edited]

    @property
    def verdict(self) -> Finished | None:
        return self.machine.finished

    @property
    def pending(self) -> dict[Key, Command[Any]]:
        """The commands asked now, by key, oldest first."""
        return {} if self.verdict is not None else {key: wait.command for key, wait in self.machine.pending.items()}

    # ── facts ───────────────────────────────────────────────────────────────────────────────────
    def tell(self, fact: Fact) -> None:
        requests = self.machine.receive(fact)
        if isinstance(fact, (Answered, Retrying)):  # a step that was cut in the meantime gets no further attempt
            self.performs.pop(fact.key, None)
        self.rows.extend(self.machine.take())
        for request in requests:
            self._see(request)
        verdict = self.verdict
        if verdict is not None:
            if verdict.status in (COMPLETED, "continued"):  # a failed run may not have reached the yields of what it built
                warn(unyielded(self.machine))
            if verdict.status == "continued":
                self._continue()
            return
        self.settle_store()

    def settle_store(self) -> None:
        """Answer what the store answers at once: child starts, signals to others."""
        for key, wait in self.machine.pending.items():
            if wait.ended_by == "store":
                error = self._refuse(wait.command)
                outcome = Ok(None) if error is None else Err(Failure(type(error).__name__, str(error)))
                self.tell(Answered(key, outcome, at=self.now))
                return

    def _continue(self) -> None:
        ended = self.machine
        assert ended.continues is not None
        assert ended.started is not None
        started = ended.next_run(run=uuid5(uuid5(_RUNS, ended.started.id), str(len(self.runs))), at=self.now)
        ended.close()
        self._begin(ended.continues.workflow, started)

    def _see(self, request: Request) -> None:
        match request:
            case RunStep(key=key):
                self.performs[key] = request
            case AbandonStep(key=key):
                self.performs.pop(key, None)
            case Publish():
                payload = self.codec.load(request.payload, request.type, f"event {request.event}")
                self.emitted.append((request.event, payload))
            case CancelExecution():
                if self.begins(request.id) is not None:
                    self.never.add(request.id)
                self.cancelled.add(request.id)
                self.sent.append(request)
            case SetTimer() | ClearTimer() | KeepAside():
                pass  # the machine keeps the timers, and the driver of this host reads them
            case _:
                self.sent.append(request)

    def context(self, perform: RunStep) -> StepContext:
        """The context of the body of *perform*."""
        info, spec = self.machine.info, perform.step.spec
        limits = [info.deadline, None if spec.timeout is None else self.now + spec.timeout]
        deadline = min((limit for limit in limits if limit is not None), default=None)
        told, run = self.heartbeats.get(perform.key), perform.run or info.run
        return StepContext(info.id, run, perform.key, perform.attempt, deadline, spec.key, told)

    def attempt_ended(self, perform: RunStep, outcome: Ok[Any] | Err, *, final: bool = False) -> None:
        """End an attempt with *outcome*. Its Retry decides whether another one comes, unless it is *final*."""
        if isinstance(outcome, Ok):
            spec = perform.step.spec
            # The test gave the value: one that its type does not take is an error of the test, and raised there.
            data = self.codec.dump(outcome.value, spec.result_type, f"step {spec.id}", "result")
            self.tell(Answered(perform.key, Ok(data), at=self.now))
            return
        error, in_doubt = outcome.error, isinstance(outcome.error, (StepTimeout, StepInterrupted))
        run = self.machine.info.run
        fact = step_results.failed(perform, error, run=run, codec=self.codec, now=self.now, final=final, in_doubt=in_doubt)
        self.tell(_without_traceback(fact))

    def begins(self, id: str) -> datetime | None:
        """The time at which the next attempt of the child *id* begins; None if no attempt is to come."""
        start = next((request for request in reversed(self.sent) if isinstance(request, StartExecution) and request.id == id), None)
        if start is None or start.again is None or start.again.due <= self.now or id in self.cancelled:
            return None
        return start.again.due if self.machine.is_open_child(id) else None

    @property
    def next_begin(self) -> datetime | None:
        """The time at which the next attempt of a child begins. No timer fires then."""
        return min((begin for child in self.machine.open_children if (begin := self.begins(child.id)) is not None), default=None)

    def child_ended(self, id: str, outcome: Ok[Any] | Err, typed: Any, status: str = "") -> None:
        """The child *id* ended, once its attempt had begun; *typed* knows the type of its result and the errors it declares."""
        if status != CANCELLED:
            self.now = self.begins(id) or self.now
        told: Ok[Any] | Err
        if isinstance(outcome, Ok):
            told = Ok(self.codec.dump(outcome.value, typed.result_type, f"the result of child {id}"))
        else:
            told = Err(attrs.evolve(self.codec.dump_error(outcome.error, typed.raises), traceback=""))
        status = status or (COMPLETED if isinstance(told, Ok) else FAILED)
        self.tell(ChildFinished(id=id, status=status, outcome=told, at=self.now))

    # ── time ────────────────────────────────────────────────────────────────────────────────────
    @property
    def ready(self) -> list[RunStep]:
        """The attempts whose time has come."""
        return [perform for perform in self.performs.values() if perform.due is None or perform.due <= self.now]

    @property
    def next_due(self) -> datetime | None:
        """When the next timer fires or the next attempt may begin."""
        dues = [perform.due for perform in self.performs.values() if perform.due is not None and perform.due > self.now]
        return min([*self.machine.timers.values(), *dues], default=None)

    def next_moment(self) -> None:
        """Move the clock to `next_due`, and fire the first timer that is due then."""
        due = self.next_due
        assert due is not None
        self.now = max(self.now, due)
        fired = [key for moment, key in sorted((moment, key) for key, moment in self.machine.timers.items()) if moment <= self.now]
        if fired:
            self.tell(DeadlinePassed(at=self.now) if fired[0] == DEADLINE else TimerFired(fired[0], at=self.now))

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens without an event from outside."""
        return self.verdict is not None or not (self.performs or self.machine.timers or self.machine.has_open_children)

    # ── crashes ─────────────────────────────────────────────────────────────────────────────────
    @property
    def kept(self) -> Kept:
        runs, cancelled, never = [list(run) for run in self.runs], frozenset(self.cancelled), frozenset(self.never)
        return Kept(list(self.workflows), runs, self.now, list(self.sent), cancelled, never, frozenset(self.edited))

    def restart(self) -> None:
        """Forget the machine and replay it from its history. Raises `Diverged` if the code does something else."""
        history = [load_row(row) for row in from_json(to_json([dump_row(row) for row in self.rows]))]
        self.machine.close()
        self._resume(self.machine.workflow, history)

    def _resume(self, workflow: Workflow[..., Any], history: list[Row]) -> None:
        replayed = replay(workflow, history, self.codec, make=self._make)
        self.machine = replayed.machine
        self.runs[-1] = history + replayed.rows
        self.performs = {request.key: request for request in replayed.requests if isinstance(request, RunStep)}

    def adopt(self, rows: list[Row], back: Sequence[Fact]) -> None:
        """Continue from *rows*, an edited history, as the next number of the execution, and take the facts *back* again."""
        self.machine.close()
        workflow = self.workflows[-1]
        replayed = replay(workflow, rows, self.codec, make=self._make)
        self.machine = replayed.machine
        self.edited.add(len(self.runs) - 1)
        self.runs.append([*rows, *replayed.rows])
        self.workflows.append(workflow)
        self.performs = {}
        new = {row.key for row in replayed.rows if isinstance(row, Asked)}
        for request in replayed.requests:
            if isinstance(request, RunStep) or getattr(request, "key", None) in new:
                self._see(request)
        for fact in back:
            self.tell(attrs.evolve(fact, at=self.now))
        if self.verdict is None:
            self.settle_store()
        elif self.verdict.status == "continued" and not back:
            self._continue()

    def resume(self, kept: Kept) -> None:
        """Continue from *kept*."""
        self.now = kept.now
        self.sent, self.cancelled, self.never = list(kept.sent), set(kept.cancelled), set(kept.never)
        self.workflows, self.edited = list(kept.workflows), set(kept.edited)
        self.runs = [list(run) for run in kept.runs]
        self._resume(self.workflows[-1], self.runs[-1])


def _without_traceback(fact: Answered | Retrying) -> Answered | Retrying:
    """*fact* without the lines of the test that raised the error: a history reads the same wherever it was made."""
    if isinstance(fact, Retrying):
        return attrs.evolve(fact, failure=attrs.evolve(fact.failure, traceback=""))
    if isinstance(fact.outcome, Err):
        return attrs.evolve(fact, outcome=Err(attrs.evolve(fact.outcome.error, traceback="")))
    return fact


def attributes_of(runs: list[list[Row]]) -> Mapping[str, Any]:
    """The attributes as they were last set, as stored."""
    return {row.name: row.value for run in runs for row in run if isinstance(row, AttributeSet)}
