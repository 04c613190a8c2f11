"""Traffic: the ways that the executions of a store took through today's code.

1.  A history is replayed as a worker would; after each fact the box in which the run then stands is noted, and the arrow that
    led there. The labels are those of exploration (`labels`), so that the two can be laid over each other.
2.  An execution counts once in each box and on each arrow, however often it came by.
3. Exploration treats some waits as one moment, and so does this module: until a store has answered that a child was started or a
signal sent, and between two runs, no box is noted.
4. A history that does not fit today's code is not counted; its problem is (`misfits`), as by the deploy gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from redrive.codec import from_json
from redrive.gate import Group, Problem, check
from redrive.status import CANCELLED, COMPLETED
from redrive.stores.live_executions import Listed, LiveReader, reader_of
from redrive.testing import labels
from redrive.testing.cases import Looking
from redrive.testing.labels import BEGIN, Box, box_of, mark_of
from redrive_interpreter import (
    Answered,
    AttemptStarted,
    CancelRequested,
    ChildFinished,
    CodecError,
    DeadlinePassed,
    Err,
    ExecutionNotFound,
    RedriveError,
    Retrying,
    RunChild,
    Signalled,
    Started,
    Step,
    TimerFired,
    WaitChild,
    WaitSignal,
    load_row,
    replay,
)
from redrive_interpreter.commands.messages import texts_of
from redrive_interpreter.source_names import stored_name

if TYPE_CHECKING:
    from redrive.ports.store import Store
    from redrive_interpreter import Codec, Fact, Machine, Request, Workflow

Arrow: TypeAlias = tuple[Box, str, Box]


@attrs.frozen
class Trail:
    """The trail of one execution: the boxes it was in, the one it stands in (None: it has ended), and those where something
    failed for good."""

    boxes: frozenset[Box]
    arrows: frozenset[Arrow]
    here: Box | None
    failed: frozenset[Box]


@attrs.define
class Traffic:
    """The trails of the executions of one workflow. *misfits* are executions that do not fit today's code, by problem; *known*
    the names of the workflows in the store; *cut*: the store has more executions than were read."""

    trails: Counter[Trail] = attrs.field(factory=Counter[Trail])
    misfits: dict[str, Group] = attrs.field(factory=dict[str, Group])
    cancelled: bool = False
    cut: bool = False
    known: Sequence[str] = ()

    @property
    def counted(self) -> int:
        return sum(self.trails.values())

    @property
    def executions(self) -> int:
        return self.counted + sum(len(group.ids) for group in self.misfits.values())


async def traffic(
    workflow: Workflow[..., Any],
    store: Store | str,
    codec: Codec,
    *,
    limit: int | None = None,
    progress: Callable[[int], object] = lambda executions: None,
) -> Traffic:
    """The traffic of the newest *limit* executions of *workflow* in *store*, which is only read.

    *progress* is called with the number of executions read so far.
    """
    found = Traffic()
    reader = reader_of(store)
    await reader.open()
    try:
        found.known = await reader.workflows()
        async for page in reader.ever(workflow.name):
            for execution in page:
                if limit is not None and found.executions >= limit:
                    found.cut = True
                    return found
                await _add(found, workflow, execution, reader, codec)
                progress(found.executions)
    finally:
        await reader.close()
    return found


async def _add(found: Traffic, workflow: Workflow[..., Any], execution: Listed, reader: LiveReader, codec: Codec) -> None:
    follower = Follower(workflow, codec)
    for run in range(1, execution.runs + 1):
        try:
            stored = from_json(await reader.rows(execution, run))
        except ExecutionNotFound:
            continue  # purged since it was listed
        except CodecError as error:
            problem: Problem | None = Problem(standing="breaking", cause="unreadable history", detail=str(error), sign="damaged")
        else:
            problem = follower.follow(stored)
        if problem is not None:
            found.misfits.setdefault(problem.sign, Group(problem, execution.id)).ids.append(execution.id)
            return
    if follower.boxes:
        found.trails[follower.trail] += 1
        found.cancelled = found.cancelled or follower.cancelled


class Follower:
    """Follows one execution from run to run, as long as its runs are of *workflow* or continue one that was."""

    def __init__(self, workflow: Workflow[..., Any], codec: Codec) -> None:
        self._workflow = workflow
        self._codec = codec
        self._next: Workflow[..., Any] | None = None
        self.at: Box = BEGIN
        self._held: tuple[Box, str] | None = None
        self._cases: list[str] = []
        self._signals: dict[str, str] = {}
        self._ended = True
        self.boxes: set[Box] = set()
        self.arrows: set[Arrow] = set()
        self.failed: set[Box] = set()
        self.cancelled: bool = False

    @property
    def trail(self) -> Trail:
        here = None if self._ended else self.at
        return Trail(frozenset(self.boxes), frozenset(self.arrows), here, frozenset(self.failed))

    def follow(self, stored: Sequence[Mapping[str, Any]]) -> Problem | None:
        """Follow the next run. Gives back its problem if it does not fit the code."""
        name = stored[0].get("workflow", "") if stored else ""
        if self._next is None:  # the first run, or one that was started anew
            if name != self._workflow.name:
                return None
            self._held, self.at = (BEGIN, ""), BEGIN
            self.boxes.add(BEGIN)
        workflow, self._next = self._next or self._workflow, None
        self._ended = False
        try:
            rows = [load_row(row) for row in stored]
            replay(workflow, rows, self._codec, make=self._machine).machine.close()
        except (RedriveError, CodecError) as error:
            return check({name: workflow}, stored, self._codec) or _misfit(error)
        return None

    def _machine(self, workflow: Workflow[..., Any], codec: Codec) -> Machine[Any]:
        return _Followed(workflow, codec, self)

    def chosen(self, key: str, label: str) -> None:
        self._cases.append(labels.case_of(key, label))

    # ── one turn ────────────────────────────────────────────────────────────────────────────────
    def label(self, machine: Machine[Any], fact: Fact) -> str:
        """The label of the arrow for *fact*, which *machine* is about to take; empty where exploration has no arrow."""
        match fact:
            case Answered() | Retrying():
                wait = machine.pending.get(fact.key)
                return self._attempt(fact, wait.command) if wait is not None and isinstance(wait.command, Step) else ""
            case TimerFired():
                wait = machine.pending.get(fact.key)
                return labels.due(fact.key, None if wait is None else wait.command)
            case Signalled():
                return f"signal {self._signal(machine, fact)}"
            case CancelRequested():
                self.cancelled = True
                return "cancel"
            case DeadlinePassed():
                return "the deadline is due"
            case ChildFinished():
                return self._child(machine, fact)
            case Started() | AttemptStarted():
                return ""
            case _:
                return "the undos are tried again"

    def arrived(self, machine: Machine[Any], label: str) -> None:
        """Note the box after a turn whose arrow is *label*."""
        before, said = self._held or (self.at, label)
        said = labels.joined(said, self._cases)
        self._cases.clear()
        pending = {key: wait.command for key, wait in machine.pending.items()}
        verdict = machine.finished
        for command in pending.values():
            if isinstance(command, WaitSignal):
                self._signals.update(dict.fromkeys(texts_of(command.signal), labels.signal_name(command.signal)))
        if verdict is not None and verdict.status == "continued":
            assert machine.continues is not None
            self._held, self._next = (before, said), machine.continues.workflow
        elif verdict is None and any(wait.ended_by == "store" for wait in machine.pending.values()):
            self._held = before, said
        elif verdict is not None:
            outcome: Any = verdict.outcome
            self._go(before, said, box_of({}, mark_of(verdict.status, outcome.error.type if isinstance(outcome, Err) else None)))
            self._ended = True
        else:
            self._ended = False
            if (box := box_of(pending)) != before or said:
                self._go(before, said, box)

    def _go(self, before: Box, label: str, after: Box) -> None:
        self._held = None
        self.at = after
        self.boxes |= {before, after}
        self.arrows.add((before, label, after))

    def _attempt(self, fact: Answered | Retrying, step: Step[Any]) -> str:
        if isinstance(fact, Retrying):
            return labels.attempt(fact.key, labels.failed(fact.failure.type))
        if isinstance(fact.outcome, Err):
            self.failed.add(self.at)
            return labels.attempt(fact.key, labels.failed(fact.outcome.error.type))
        return labels.attempt(fact.key, labels.given(self._codec.load(fact.outcome.value, step.spec.result_type, step.spec.id)))

    def _child(self, machine: Machine[Any], fact: ChildFinished) -> str:
        child = next((child for child in machine.open_children if child.id == fact.id), None)
        name = "" if child is None else child.workflow
        outcome = fact.outcome
        if isinstance(outcome, Err):
            return f"child {name} {fact.status if fact.status == CANCELLED else labels.failed(outcome.error.type)}"
        value: Any = outcome.value if isinstance(outcome.value, bool) else None
        for wait in machine.pending.values():
            if isinstance(wait.command, (RunChild, WaitChild)) and getattr(wait, "child", "") == fact.id:
                of: Any = wait.command.ref if isinstance(wait.command, WaitChild) else wait.command.invocation.workflow
                value = self._codec.load(outcome.value, of.result_type, f"the result of child {fact.id}")
        return f"child {name} {labels.given(value)}"

    def _signal(self, machine: Machine[Any], fact: Signalled) -> str:
        name, text = fact.name, stored_name(fact.name, fact.path)
        if text in self._signals:
            return self._signals[text]
        declared = [signal.base for signal in machine.workflow.signals or () if name.startswith(f"{signal.base}:")]
        return f"{max(declared, key=len)}:…" if declared else name


class _Followed(Looking):
    """A machine that calls a `Follower` after each turn."""

    __slots__ = ("_follower",)

    def __init__(self, workflow: Workflow[..., Any], codec: Codec, follower: Follower) -> None:
        super().__init__(workflow, codec, lambda chosen: follower.chosen(chosen[0], chosen[1]))
        self._follower = follower

    def receive(self, fact: Fact) -> list[Request]:
        label, at = self._follower.label(self, fact), self._follower.at
        requests = super().receive(fact)
        if isinstance(fact, ChildFinished) and fact.status not in (COMPLETED, CANCELLED):
            again = self.is_open_child(fact.id)
            self._follower.failed |= set() if again else {at}
        self._follower.arrived(self, label)
        return requests


def _misfit(error: Exception) -> Problem:
    return Problem(standing="breaking", cause=type(error).__name__, detail=str(error), sign=type(error).__name__)
