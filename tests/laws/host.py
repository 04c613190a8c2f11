"""A host without a clock, a store or a thread: it answers what a machine asks, as a list of choices says.

It believes nothing: each request is checked against what was asked before, each undo against what was completed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import attrs
from hypothesis import settings
from hypothesis import strategies as st

from redrive_interpreter import (
    LIVE,
    AbandonStep,
    Answered,
    Asked,
    AttemptStarted,
    CancelExecution,
    CancelRequested,
    ChildFinished,
    ClearTimer,
    Codec,
    DeadlinePassed,
    DeliverSignal,
    Ended,
    Err,
    Fact,
    Failure,
    Finished,
    Invocation,
    Key,
    Machine,
    Ok,
    Publish,
    Request,
    Retrying,
    RollbackRetried,
    Row,
    RunStep,
    SetTimer,
    Signalled,
    Started,
    StartExecution,
    TimerFired,
)
from redrive_interpreter.history.requests import NextAttempt
from tests.interpreter.kit import picture
from tests.laws.programs import SIGNALS, WORKFLOWS, Business, Declined, Program, choices, families, names, programs, run_program

law = settings(max_examples=max(1, settings.default.max_examples // 2))
"""Of each law: half as many examples as of anything else, for each is a run or two."""
T0 = datetime(2027, 1, 1, tzinfo=UTC)
RUN = UUID("00000000-0000-4000-8000-000000000001")
DEADLINE = Key("__deadline")
MOST_FACTS = 120


@attrs.frozen
class Story:
    """What Hypothesis draws: a program, which workflow runs it, and what happens to it."""

    workflow: str
    program: Program
    choices: list[int]
    deadline: bool

    def live(self, codec: Codec = LIVE) -> list[Life]:
        """Run it to its end, or as far as the host goes."""
        host = Host(WORKFLOWS[self.workflow](self.program), self.choices, codec=codec, deadline=self.deadline)
        host.machine.close()
        return host.lives


_often = st.lists(st.integers(0, 60), min_size=15, max_size=60)
stories = st.one_of(
    st.builds(Story, names, programs, choices, st.booleans()),
    st.builds(Story, names, programs, choices, st.booleans()),
    st.builds(Story, names, families, _often, st.booleans()),
)


@attrs.define
class Turn:
    """One fact, and what the machine made of it."""

    fact: Fact
    rows: list[Row]
    requests: list[Request]
    picture: dict[str, Any]


@attrs.define
class Life:
    """One run from its start to where the schedule left it."""

    workflow: Any
    turns: list[Turn] = attrs.Factory(list)
    completed: list[Key] = attrs.Factory(list)
    committed: bool = False

    @property
    def rows(self) -> list[Row]:
        return [row for turn in self.turns for row in turn.rows]


class Host:
    """Runs *invocation* with the outcomes that *choices* pick, the first of which is always the plain one.

    *plain*: only the order of things is picked; every step succeeds, and nothing comes from outside.
    """

    def __init__(
        self, invocation: Invocation[Any], choices: Sequence[int], *, codec: Codec = LIVE, deadline: bool = False, plain: bool = False
    ) -> None:
        self.codec = codec
        self.plain = plain
        self.choices = list(choices)
        self.now = T0
        self.signals_left = 3
        self.cancels_left = 1
        self.retried = False
        self.lives: list[Life] = []
        self.children: dict[
            str, str
        ] = {}  # id → running, cancelling, ended, failed (and may be started again), waiting (for its next attempt)
        self.begin: dict[str, datetime] = {}
        self.attempts: set[UUID] = set()
        due = T0 + timedelta(seconds=4) if deadline else None
        data = codec.dump_call(invocation.workflow.signature, invocation.args, invocation.kwargs, "input")
        self._begin(invocation.workflow, Started(id="x-1", run=RUN, input=data, workflow=invocation.workflow.name, at=T0, deadline=due))
        self._live()

    def _begin(self, workflow: Any, started: Started) -> None:
        self.machine: Machine[Any] = Machine(workflow, self.codec)
        self.life = Life(workflow)
        self.lives.append(self.life)
        self.performs: dict[Key, RunStep] = {}
        self.dropped: dict[Key, RunStep] = {}
        self.performed: set[tuple[Key, int]] = set()
        self.questions: dict[Key, Request] = {}
        self.timers: set[Key] = set()
        self.asked: set[Key] = set()
        self.undoable: set[Key] = set()
        self.tell(started)

    def _live(self) -> None:
        for _ in range(MOST_FACTS):
            verdict = self.machine.verdict
            if isinstance(verdict, Finished):
                if verdict.status == "compensation_failed" and not self.retried and self._choose(2) == 0:
                    self.retried = True
                    self.tell(RollbackRetried(at=self.now))
                    continue
                if verdict.status != "continued":
                    return
                started = self.machine.next_run(run=uuid5(RUN, str(len(self.lives))), at=self.now)
                self._begin(run_program, started)
                continue
            moves = self._moves()
            if not moves:
                return
            moves[self._choose(len(moves))]()

    def _choose(self, n: int) -> int:
        return self.choices.pop(0) % n if self.choices and n else 0

    def tell(self, fact: Fact) -> None:
        machine = self.machine
        before = machine.verdict
        requests = machine.receive(fact)
        rows = machine.take()
        if rows and isinstance(fact, (TimerFired, DeadlinePassed)):
            self.timers.remove(getattr(fact, "key", DEADLINE))
        assert not rows or rows[0] == fact or isinstance(fact, Started), "the fact comes first"
        if isinstance(before, Finished) and not isinstance(fact, RollbackRetried):
            assert rows == [], f"{fact} left rows after the end: {rows}"
        self._check(fact, rows, requests)
        self.life.turns.append(Turn(fact, rows, requests, picture(machine)))

    # ── what is checked ─────────────────────────────────────────────────────────────────────────
    def _check(self, fact: Fact, rows: list[Row], requests: list[Request]) -> None:
        if rows and isinstance(fact, (Answered, Retrying)):
            self._check_answer(fact)
        for row in rows:
            if isinstance(row, Asked):
                assert row.key not in self.asked, f"asked twice: {row.key}"
                self.asked.add(row.key)
                if row.undo is not None:
                    self.undoable.add(row.key)
                self.life.committed |= row.kind == "commit"
        for request in requests:
            self._check_request(request)
        ended = isinstance(self.machine.verdict, Finished)
        if rows:
            assert isinstance(rows[-1], Ended) == ended, "a run that ends says so in its last row"
        if ended:
            assert not self.performs, f"the run ended, and {list(self.performs)} still run"
            assert not self.machine.timers

    def _check_answer(self, fact: Answered | Retrying) -> None:
        question = self.questions.pop(fact.key, None)
        perform = self.performs.pop(fact.key, None)
        assert question is not None or perform is not None, f"{fact} was taken, and nobody waited for it"
        if isinstance(fact, Answered) and isinstance(fact.outcome, Ok) and fact.key in self.undoable and question is None:
            self.life.completed.append(fact.key)

    def _check_request(self, request: Request) -> None:
        match request:
            case RunStep(key, attempt=attempt):
                assert key in self.asked
                assert (key, attempt) not in self.performed or self.retried, f"{key}, attempt {attempt}, is performed twice"
                self.performed.add((key, attempt))
                self.performs[key] = request
            case AbandonStep(key):
                assert key in self.performs, f"AbandonStep of {key}, which nobody performs"
                self.dropped[key] = self.performs.pop(key)
            case SetTimer(key):
                assert key in self.asked or key == DEADLINE
                self.timers.add(key)
            case ClearTimer(key):
                assert key in self.timers, f"ClearTimer of {key}, which is not set"
                self.timers.remove(key)
            case StartExecution(key, id, again=NextAttempt() as again):
                assert key in self.asked
                assert self.children[id] == "failed", f"{id} is started again, and it did not fail unasked"
                assert again.run not in self.attempts, f"attempt {again.attempt} of {id} is started twice"
                self.attempts.add(again.run)
                self.children[id], self.begin[id] = "waiting", again.due
            case DeliverSignal(key) | StartExecution(key):
                assert key in self.asked
                assert key not in self.questions
                self.questions[key] = request
            case CancelExecution(key, id, answer=answer):
                if answer:
                    self.questions[key] = request
                if self.children.get(id) in ("running", "waiting"):
                    self.children[id] = "cancelling"
            case Publish(key):
                assert key in self.asked

    # ── what can happen next ────────────────────────────────────────────────────────────────────
    def _moves(self) -> list[Callable[[], None]]:
        moves: list[Callable[[], None]] = []
        steps = [perform for perform in self.performs.values() if perform.due is None or perform.due <= self.now]
        for key, question in list(self.questions.items())[:2]:
            moves += self._answers_to(key, question)
        if steps:
            moves += [lambda p=perform: self._answer(p, Ok(self._result(p))) for perform in steps[:4]]
        moves += [lambda id=id: self._child_ends(id, "completed") for id in self._running]
        moves += [lambda id=id: self._child_ends(id, "cancelled") for id, state in self.children.items() if state == "cancelling"]
        if due := min([*filter(None, [self.machine.next_due]), *self._begin_later], default=None):
            moves.append(lambda: self._time_passes(due))
        if not moves:
            moves += [lambda n=n: self._signal(n) for n in self._waited_for]
        if not moves or self.plain:
            return moves
        # From here on: what need not happen.
        undos = [perform for perform in steps if perform.key.startswith("rollback:")]
        moves += [lambda p=perform: self._answer(p, Err(Failure("Boom", "it cannot be undone"))) for perform in undos]
        for perform in steps[:3]:
            moves += [
                lambda p=perform: self._answer(p, Err(Failure("Boom", "it failed"))),
                lambda p=perform: self._answer(p, Err(self.codec.dump_error(Declined("no"), p.step.spec.raises))),
                lambda p=perform: self._answer(p, Err(Failure("StepTimeout", "too long")), in_doubt=True),
                lambda p=perform: self._retry(p, in_doubt=False),
                lambda p=perform: self._retry(p, in_doubt=True),
            ]
            if perform.step.spec.at_most_once and not perform.interrupted:
                moves.append(lambda p=perform: self.tell(AttemptStarted(p.key, p.attempt, at=self.now)))
        if self.signals_left:
            moves += [lambda: self._signal(0), lambda: self._signal(1), lambda: self._signal(0, late=True)]
        if self.cancels_left:
            moves.append(self._cancel)
        failing = [*self._running, *(id for id, state in self.children.items() if state == "cancelling")]
        moves += [lambda id=id: self._child_ends(id, "failed") for id in failing]
        moves += [lambda id=id: self._child_ends(id, "failed", "Business") for id in failing]
        waiting = [id for id, state in self.children.items() if state == "waiting"]
        moves += [lambda id=id: self._child_ends(id, "failed", "ExecutionConflict") for id in waiting]
        moves += [lambda p=p: self.tell(Answered(p.key, Ok(1), at=self.now)) for p in list(self.dropped.values())[:1]]
        if self.life.completed:
            moves.append(lambda: self.tell(Answered(self.life.completed[0], Ok(7), at=self.now)))
        return moves

    def _result(self, perform: RunStep) -> int | None:
        return None if perform.step.step_id in ("undo", "release") else len(perform.key)

    def _answers_to(self, key: Key, question: Request) -> list[Callable[[], None]]:
        at = self.now
        if isinstance(question, StartExecution):
            id = question.id
            if id in self.children:
                return [lambda: self.tell(Answered(key, Err(Failure("ExecutionConflict", "taken")), at=at))]

            def started() -> None:
                self.children[id] = "running"
                self.tell(Answered(key, Ok(None), at=at))

            return [started, lambda: self.tell(Answered(key, Err(Failure("ExecutionConflict", "taken")), at=at))]
        if isinstance(question, DeliverSignal) and question.target == "gone":
            return [lambda: self.tell(Answered(key, Err(Failure("ExecutionNotFound", "gone")), at=at))]
        return [lambda: self.tell(Answered(key, Ok(None), at=at))]

    def _answer(self, perform: RunStep, outcome: Ok[Any] | Err, in_doubt: bool = False) -> None:
        self.tell(Answered(perform.key, outcome, at=self.now, in_doubt=in_doubt))

    def _retry(self, perform: RunStep, in_doubt: bool) -> None:
        due = self.now + timedelta(seconds=1)
        self.tell(Retrying(perform.key, perform.attempt, Failure("Boom", "again"), due, at=self.now, in_doubt=in_doubt))

    @property
    def _running(self) -> list[str]:
        """The children that may end by themselves."""
        begun = [id for id, state in self.children.items() if state == "waiting" and self.begin[id] <= self.now]
        return [*begun, *(id for id, state in self.children.items() if state == "running")]

    @property
    def _begin_later(self) -> list[datetime]:
        return [self.begin[id] for id, state in self.children.items() if state == "waiting" and self.begin[id] > self.now]

    def _child_ends(self, id: str, status: str, error: str = "Boom") -> None:
        unasked = status == "failed" and self.children[id] != "cancelling" and error == "Boom"
        self.children[id] = "failed" if unasked else "ended"
        outcome: Ok[Any] | Err = Ok(3) if status == "completed" else Err(Failure(error, "the child failed"))
        if error == "Business":
            outcome = Err(self.codec.dump_error(Business("the child failed"), [Business]))
        self.tell(ChildFinished(id=id, status=status, outcome=outcome, at=self.now))

    def _time_passes(self, due: datetime) -> None:
        self.now = max(self.now, due)
        for key, moment in sorted(self.machine.timers.items(), key=lambda item: item[1]):
            if moment <= self.now:
                self.tell(DeadlinePassed(at=self.now) if key == DEADLINE else TimerFired(key, at=self.now))
                return

    def _signal(self, n: int, late: bool = False) -> None:
        """*late*: stored now, taken up some time later."""
        self.signals_left = max(0, self.signals_left - 1)
        sent = self.now
        if late:
            self.now += timedelta(seconds=2)
        self.tell(Signalled(SIGNALS[n].name, n, at=self.now, sent_at=sent))

    def _cancel(self) -> None:
        self.cancels_left -= 1
        self.tell(CancelRequested(reason="enough", at=self.now))

    @property
    def _waited_for(self) -> list[int]:
        kinds = [wait.command for wait in self.machine.pending.values()]
        return [n for n, signal in enumerate(SIGNALS) if any(getattr(command, "signal", None) == signal for command in kinds)]
