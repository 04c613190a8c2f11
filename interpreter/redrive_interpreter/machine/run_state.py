"""The state of one run, and the verbs by which the nouns of the machine change it.

A handler (a command was yielded) or a fact's function works on a `RunState` alone. Rows gather in `rows` in the order in which
they must be stored; what the host must do, in `requests`. `ready` and `agenda` hold the fibers that the loop runs next.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from redrive_interpreter.errors import CodecError, InvalidDefinition, UndecodableValue, UnexpectedFact, WorkflowMisuse
from redrive_interpreter.history.requests import ClearTimer, SetTimer
from redrive_interpreter.history.rows import Asked
from redrive_interpreter.keys import DEADLINE
from redrive_interpreter.machine.branches import GroupWait
from redrive_interpreter.machine.family import Family
from redrive_interpreter.machine.fibers import WAITING
from redrive_interpreter.machine.mailbox import Mailbox
from redrive_interpreter.machine.nouns import HANDLERS, handler_of
from redrive_interpreter.machine.places import dispose, place_of_fiber
from redrive_interpreter.machine.saga import Saga

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Invocation, Workflow
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import AttributeSet, Ended, Fact, Noted, Row, Started
    from redrive_interpreter.history.verdicts import Finished
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.branches import Group
    from redrive_interpreter.machine.fibers import Fiber, Reply, Waiting
    from redrive_interpreter.machine.task_waits import TaskState
    from redrive_interpreter.machine.waits import Wait
    from redrive_interpreter.replay.recorded import RecordedTurn

BUGS: Final = (NameError, AttributeError, TypeError, ImportError, RecursionError, CodecError)
"""Errors of a workflow's own code that mean a bug, not an outcome of the business (C3)."""
NOTHING: Final[frozenset[Key]] = frozenset()
_NO_RUN: Final = UUID(int=0)
_BEFORE_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)


class RunState:
    """One run of *workflow*: its fibers, waits, timers and history, and what belongs to the nouns (saga, family, mailbox, tasks).

    *run_id* is the run in force: that of `Started`, or of the `Forked` row passed last. *recorded* is the turn that a replay is
    in, *fresh* whether the last `ask` wrote a new row, *counted* the length of the history, *unbegun* the steps that had not
    begun when the cancel at hand was taken.
    """

    __slots__ = (
        "_family", "_saga", "_settled", "agenda", "codec", "continues", "counted", "finished", "fresh", "mailbox", "now", "patches",
        "pending", "ready", "recorded", "requests", "root", "rows", "run_id", "started", "tasks", "thrown", "timers", "unbegun", "workflow",
    )  # fmt: skip
    counted: int

    def __init__(self, workflow: Workflow[..., Any], codec: Codec) -> None:
        self.workflow: Workflow[..., Any] = workflow
        self.codec: Codec = codec
        self.rows: list[Row] = []
        self.requests: list[Request] = []
        self.pending: dict[Key, Wait] = {}
        self.timers: dict[Key, datetime] = {}
        self.now: datetime = _BEFORE_TIME
        self.started: Started | None = None
        self.run_id: UUID = _NO_RUN
        self.root: Fiber | None = None
        self.recorded: RecordedTurn | None = None
        self.fresh: bool = True
        self._settled: set[Key] | None = None
        self.mailbox: Mailbox = Mailbox()
        self._saga: Saga | None = None
        self._family: Family | None = None
        self.tasks: dict[Key, TaskState] | None = None
        self.patches: dict[str, bool] | None = None
        self.thrown: list[BaseException] | None = None
        self.continues: Invocation[Any] | None = None
        self.unbegun: frozenset[Key] = NOTHING
        self.finished: Finished | None = None
        self.ready: list[Fiber] = []
        self.agenda: list[Fiber | Group] = []
        self.counted = 0

    # ── the nouns that most runs have none of: made when needed, for thousands of runs may wait in memory ──
    @property
    def saga(self) -> Saga:
        """The undos of the run."""
        if self._saga is None:
            self._saga = Saga()
        return self._saga

    @property
    def has_saga(self) -> bool:
        return self._saga is not None

    @property
    def family(self) -> Family:
        """The children of the execution."""
        if self._family is None:
            self._family = Family()
        return self._family

    @property
    def has_open_children(self) -> bool:
        return self._family is not None and bool(self._family.open)

    # ── history ─────────────────────────────────────────────────────────────────────────────────
    def took(self, fact: Fact) -> None:
        """Record *fact* as the beginning of the turn, and move the time forward to it."""
        if fact.at > self.now:
            self.now = fact.at
        self.counted += 1
        if self.recorded is None:
            self.rows.append(fact)
        elif self.recorded.forks:
            self.recorded.pass_forks(self)

    def ask(self, key: Key, kind: str, label: str = "", input: Any = None, undo: str | None = None, command: Any = None) -> Asked:
        """Record that a command was issued, or find it recorded; `fresh` says which. Raises `Diverged`."""
        self.counted += 1
        if self.recorded is not None:
            row = self.recorded.match(self, key, kind, label, input, undo, command)
            if row is not None:
                self.fresh = False
                return row
        self.fresh = True
        row = Asked(key, kind, label, input, undo)
        self.rows.append(row)
        return row

    def add_row(self, row: Noted | AttributeSet | Ended) -> None:
        """Add a row that replay does not compare: new ones only, not those of a turn that is stored already."""
        if self.recorded is None or self.recorded.beyond:
            self.rows.append(row)

    def request(self, request: Request) -> None:
        self.requests.append(request)

    # ── waits and timers ────────────────────────────────────────────────────────────────────────
    def wait(self, fiber: Fiber, wait: Wait) -> Waiting:
        """Let *fiber* wait for *wait*, and list it in `pending`."""
        fiber.wait = wait
        self.pending[wait.key] = wait
        return WAITING

    def waiting_for(self, key: Key, fact: Fact) -> Wait | None:
        """The wait that *fact* is about; None if it is over. Raises `UnexpectedFact` if there never was one."""
        wait = self.pending.get(key)
        if wait is None and not self.is_settled(key) and key != DEADLINE:
            raise UnexpectedFact(f"{type(fact).__name__} for {key!r}, which was never asked")
        return wait

    def settle(self, wait: Wait) -> None:
        """End *wait*. A later fact about its key changes nothing."""
        self.pending.pop(wait.key, None)
        if self._settled is None:
            self._settled = set()
        self._settled.add(wait.key)

    def is_settled(self, key: Key) -> bool:
        return self._settled is not None and key in self._settled

    def set_timer(self, key: Key, due: datetime) -> None:
        self.timers[key] = due
        self.requests.append(SetTimer(key, due))

    def clear_timer(self, key: Key) -> None:
        if self.timers.pop(key, None) is not None:
            self.requests.append(ClearTimer(key))

    # ── fibers ──────────────────────────────────────────────────────────────────────────────────
    def perform(self, fiber: Fiber, command: Any) -> Reply:
        """Run the handler of *command*."""
        try:
            return (HANDLERS.get(command.__class__) or handler_of(command))(self, fiber, command)
        except WorkflowMisuse as misuse:
            if misuse.place:
                raise
            raise WorkflowMisuse(misuse.problem, place_of_fiber(fiber)) from None
        except (CodecError, InvalidDefinition) as error:
            return None, error

    def wake(self, fiber: Fiber, value: Any, error: BaseException | None = None) -> None:
        """End the fiber's wait. A cancel that had to wait for it is thrown instead of the answer."""
        fiber.wait = None
        if fiber.cancel is not None and not fiber.thrown and not fiber.done:
            value, error = None, fiber.cancelled(fiber.cancel, error)
        fiber.value, fiber.error, fiber.streak = value, error, 0
        self.ready.append(fiber)

    def wake_next(self, fiber: Fiber, value: Any, error: BaseException | None = None) -> None:
        """`wake` by a branch that has ended: while branches are starting, the fiber runs before the next of them (P1).

        A wait for branches that end at once ends no endless loop.
        """
        streak = fiber.streak
        self.wake(fiber, value, error)
        fiber.streak = streak
        if self.agenda:
            self.agenda.append(self.ready.pop())

    def wake_shielded(self, fiber: Fiber, value: Any, error: BaseException | None = None) -> None:
        """`wake` at the end of a scope, where a cancel no longer changes how the scope ends."""
        fiber.wait = None
        fiber.value, fiber.error = value, error
        self.ready.append(fiber)

    def schedule(self, item: Fiber | Group) -> None:
        """Run *item* as soon as the running fiber waits, before anything that was scheduled earlier."""
        self.agenda.append(item)

    def cut(self, fiber: Fiber, cancel: tuple[str, CancelledBy]) -> None:
        """Throw `Cancelled` into *fiber* and the branches it waits for: now if their waits allow it, else when those end. Once."""
        todo = [fiber]
        while todo:  # no recursion: branches may be nested deeper than Python's stack
            fiber = todo.pop()
            if fiber.done or fiber.cancel is not None:
                continue
            fiber.cancel = cancel
            wait = fiber.wait
            if wait is None:
                if fiber in self.ready or fiber in self.agenda:
                    fiber.value, fiber.error = None, fiber.cancelled(cancel)
            elif type(wait) is GroupWait:
                todo += reversed(wait.group.cut())
            elif wait.cut(self, cancel):
                self.wake(fiber, None)

    def stop_everything(self) -> None:
        """End all waits and close all fibers, and tell running bodies to stop. The workflow's code is told nothing."""
        for wait in list(self.pending.values()):
            wait.abandon(self)
            self.settle(wait)
        for key in list(self.timers):
            self.clear_timer(key)
        self.mailbox.stop()
        if self._family is not None:
            self._family.stop()
        self.ready.clear()
        self.agenda.clear()
        dispose(self)

    # ── errors and values ───────────────────────────────────────────────────────────────────────
    def threw(self, error: BaseException) -> BaseException:
        """Remember that *error* came from outside, so that it does not count as a bug of the workflow."""
        if isinstance(error, BUGS):
            if self.thrown is None:
                self.thrown = []
            self.thrown.append(error)
        return error

    def is_bug(self, error: BaseException) -> bool:
        return isinstance(error, BUGS) and not any(error is known for known in self.thrown or ())

    def scalar(self, data: Any, type: Any, where: str) -> Any:
        """Decode a stored value, or raise `UndecodableValue`."""
        try:
            return self.codec.load(data, type, where)
        except CodecError as error:
            raise UndecodableValue(str(error)) from error
