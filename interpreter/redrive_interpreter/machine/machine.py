"""The interpreter: facts in, requests out, the same for the past and the present.

Theory of operation

1.  A machine holds one run of one execution. `receive` takes one fact; the fibers it wakes run, in key order,
    each until it waits; then the machine is still again. That is a turn.
2.  Every command that matters to replay is *asked*: it gets its key and an `Asked` row. What it waits for is a
    `Wait` in `pending`; the fact that answers it ends the wait and wakes the fiber.
3.  Rows gather in `rows` in the order in which they must be stored: the fact, then what was done because of it.
    Requests may be carried out once those rows are stored.
4.  The machine reads no clock and draws no lots: `now` is the time of the fact, ids and random numbers come
    from the run and the key.
5.  In replay the same code runs; `ask` then finds its row in the recorded turn instead of writing one, and what
    differs is `Diverged`. There is no other difference (`replay/recorded.py`).
6.  A machine that has raised anything but `UnexpectedFact` is spent: close it and replay.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

from redrive_interpreter.errors import CodecError, InvalidDefinition, Misuse, UnexpectedFact, Unreadable
from redrive_interpreter.history import rows as r
from redrive_interpreter.history.requests import ClearTimer, Drop, Request, SetTimer
from redrive_interpreter.history.verdicts import Finished, Suspended, Verdict
from redrive_interpreter.keys import Key
from redrive_interpreter.live_codec import LIVE
from redrive_interpreter.machine.effects import HANDLERS, handler_of
from redrive_interpreter.machine.ending import finish, leave
from redrive_interpreter.machine.family import Family
from redrive_interpreter.machine.fibers import WAITING, Fiber, Reply, Waiting
from redrive_interpreter.machine.mailbox import Mailbox
from redrive_interpreter.machine.places import dispose, place_of, place_of_error, place_of_fiber, places
from redrive_interpreter.machine.runs import info_of, next_run
from redrive_interpreter.machine.saga import Saga
from redrive_interpreter.machine.taking import NOTHING, TAKE
from redrive_interpreter.machine.waits import GroupWait, StepWait, Wait

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Invocation, Workflow
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.machine.branches import Group
    from redrive_interpreter.machine.places import Place
    from redrive_interpreter.replay.recorded import RecordedTurn
    from redrive_interpreter.run_info import RunInfo

R_co = TypeVar("R_co", covariant=True)

ENDLESS: Final = 10_000
"""Commands in a row by one fiber, none of which waits, that make an endless loop (D7)."""
BUGS: Final = (NameError, AttributeError, TypeError, ImportError, RecursionError, CodecError)
"""Errors of a workflow's own code that are faults of the code, not of the business (C3)."""
_BEFORE_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
_NO_RUN: Final = UUID(int=0)


def _order(fiber: Fiber) -> tuple[int, ...]:
    return fiber.order


class Machine(Generic[R_co]):
    """One run of *workflow*, driven by facts.

    *codec* turns values into the data of rows; by default they stay as they are.
    """

    __slots__ = (
        "_agenda", "_closed", "_family", "_ready", "_requests", "_saga", "_settled", "codec", "continues", "counted",
        "fresh", "mailbox", "now", "patches", "pending", "recorded", "root", "rows", "run", "started", "tasks",
        "thrown", "timers", "unbegun", "verdict_", "workflow",
    )  # fmt: skip

    def __init__(self, workflow: Workflow[..., R_co], codec: Codec = LIVE) -> None:
        if workflow.fn is None:
            raise InvalidDefinition(f"workflow {workflow.name!r} is known by name only: its code is not here to be run")
        self.workflow = workflow
        self.codec = codec
        self.rows: list[r.Row] = []
        self.pending: dict[Key, Wait] = {}
        self.timers: dict[Key, datetime] = {}
        self.now = _BEFORE_TIME
        self.started: r.Started | None = None
        self.run = _NO_RUN
        self.root: Fiber | None = None
        self.recorded: RecordedTurn | None = None
        self.fresh = True
        self._settled: set[Key] | None = None
        self.mailbox = Mailbox()
        self._saga: Saga | None = None
        self._family: Family | None = None
        self.tasks: dict[Key, Any] | None = None
        self.patches: dict[str, bool] | None = None
        self.thrown: list[BaseException] | None = None
        self.continues: Invocation[Any] | None = None
        self.unbegun: frozenset[Key] = NOTHING
        self.verdict_: Finished | None = None
        self._requests: list[Request] = []
        self._ready: list[Fiber] = []
        self._agenda: list[Fiber | Group] = []
        self.counted = 0
        self._closed = False

    # ── what the host calls ─────────────────────────────────────────────────────────────────────
    def receive(self, fact: r.Fact) -> list[Request]:
        """Take one turn, and give back what the host is to do once the turn's `rows` are stored.

        A fact for what is settled already changes nothing and leaves no row. Raises `UnexpectedFact` (the
        machine is as it was), `Diverged` or `Unreadable` (it is spent).
        """
        take = TAKE.get(type(fact))
        if take is None or self.started is None or self._closed:
            self._check(fact)
        assert take is not None
        take(self, fact)
        if self._ready or self._agenda:
            try:
                self._run()
            except Misuse as misuse:
                finish(self, None, misuse, bug=True)
        if not self._requests:
            return []  # never the list that later turns fill
        requests, self._requests = self._requests, []
        return requests

    def hold(self, started: r.Started) -> list[Request]:
        """Take *started* and run nothing yet: a cancel, or the deadline, was there before the run began.

        That fact is to be received next, with `THE_RUN` among its ``unbegun``: then the workflow's code is never called.
        """
        take = TAKE[type(started)]
        take(self, started)
        requests, self._requests = self._requests, []
        return requests

    def take(self) -> list[r.Row]:
        """The rows made since the last call, oldest first."""
        taken, self.rows = self.rows, []
        return taken

    @property
    def verdict(self) -> Verdict:
        if self.verdict_ is not None:
            return self.verdict_
        return Suspended({key: wait.command for key, wait in self.pending.items()})

    @property
    def next_due(self) -> datetime | None:
        """When the next timer, retry or deadline is due; None: only a message can end the wait."""
        moments = list(self.timers.values())
        moments += [wait.due for wait in self.pending.values() if type(wait) is StepWait and wait.due is not None]
        return min(moments, default=None)

    @property
    def busy(self) -> bool:
        """Whether a body is to run now: a step that waits for no retry."""
        return any(type(wait) is StepWait and wait.due is None for wait in self.pending.values())

    @property
    def info(self) -> RunInfo:
        return info_of(self, self._begun())

    @property
    def undone(self) -> tuple[Key, ...]:
        """The keys undone so far, in the order of undoing."""
        return () if self._saga is None else tuple(self._saga.undone)

    @property
    def in_doubt(self) -> tuple[Key, ...]:
        """Steps that may have taken effect, whose outcome is not known, and that nothing will undo."""
        return () if self._saga is None else tuple(self._saga.doubtful)

    @property
    def unread(self) -> int:
        """Signals taken up and not waited for."""
        return self.mailbox.unread

    @property
    def saga(self) -> Saga:
        """The undos of the run. Made when needed, as `family` is: thousands of machines may wait in memory."""
        if self._saga is None:
            self._saga = Saga()
        return self._saga

    @property
    def family(self) -> Family:
        """The children of the execution."""
        if self._family is None:
            self._family = Family()
        return self._family

    @property
    def has_open_children(self) -> bool:
        return self._family is not None and bool(self._family.open)

    def where(self) -> list[Place]:
        """Where in the source each fiber stands, the root first."""
        return [] if self.root is None else places(self)

    def next_run(self, *, run: UUID, at: datetime) -> r.Started:
        """After ``Finished(status="continued")``: the first row of the run that ContinueAs began."""
        return next_run(self, self._begun(), run, at)

    def pending_requests(self) -> list[Request]:
        """Everything asked of the host that is still open, once more."""
        requests: list[Request] = [SetTimer(key, due) for key, due in self.timers.items()]
        for wait in self.pending.values():
            requests += wait.requests()
        return requests

    def close(self) -> None:
        """Dispose of the run: nothing is recorded, nothing stored is touched."""
        if not self._closed:
            self._closed = True
            dispose(self)

    # ── what effects call ───────────────────────────────────────────────────────────────────────
    def ask(self, key: Key, kind: str, label: str = "", input: Any = None, undo: str | None = None, command: Any = None) -> r.Asked:
        """Record that a command was issued, or find it recorded; `fresh` says which. Raises `Diverged`."""
        self.counted += 1
        if self.recorded is not None:
            row = self.recorded.match(self, key, kind, label, input, undo, command)
            if row is not None:
                self.fresh = False
                return row
        self.fresh = True
        row = r.Asked(key, kind, label, input, undo)
        self.rows.append(row)
        return row

    def add_row(self, row: r.Noted | r.AttributeSet | r.Ended) -> None:
        """Add a row that replay does not compare: new ones only, not those of a turn that is stored already."""
        if self.recorded is None or self.recorded.beyond:
            self.rows.append(row)

    def request(self, request: Request) -> None:
        self._requests.append(request)

    def wait(self, fiber: Fiber, wait: Wait) -> Waiting:
        """Let *fiber* wait for *wait*, and the outside know of it."""
        fiber.wait = wait
        self.pending[wait.key] = wait
        return WAITING

    def settle(self, wait: Wait) -> None:
        """End *wait*: a later fact about its key is dropped."""
        self.pending.pop(wait.key, None)
        if self._settled is None:
            self._settled = set()
        self._settled.add(wait.key)

    def is_settled(self, key: Key) -> bool:
        return self._settled is not None and key in self._settled

    def set_timer(self, key: Key, due: datetime) -> None:
        self.timers[key] = due
        self._requests.append(SetTimer(key, due))

    def clear_timer(self, key: Key) -> None:
        if self.timers.pop(key, None) is not None:
            self._requests.append(ClearTimer(key))

    def wake(self, fiber: Fiber, value: Any, error: BaseException | None = None) -> None:
        """End the fiber's wait. A cancel that had to wait for it is thrown instead of the answer."""
        fiber.wait = None
        if fiber.cancel is not None and not fiber.thrown and not fiber.done:
            value, error = None, fiber.cancelled(fiber.cancel, error)
        fiber.value, fiber.error, fiber.streak = value, error, 0
        self._ready.append(fiber)

    def wake_next(self, fiber: Fiber, value: Any, error: BaseException | None = None) -> None:
        """`wake` by a branch that has ended: while branches are starting, the fiber runs before the next of them (P1).

        A wait for branches that end at once ends no endless loop.
        """
        streak = fiber.streak
        self.wake(fiber, value, error)
        fiber.streak = streak
        if self._agenda:
            self._agenda.append(self._ready.pop())

    def wake_shielded(self, fiber: Fiber, value: Any, error: BaseException | None = None) -> None:
        """`wake` at the end of a scope, where a cancel no longer changes how the scope ends."""
        fiber.wait = None
        fiber.value, fiber.error = value, error
        self._ready.append(fiber)

    def schedule(self, item: Fiber | Group) -> None:
        """Run *item* as soon as the running fiber waits, before anything that was scheduled earlier."""
        self._agenda.append(item)

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
                if fiber in self._ready or fiber in self._agenda:
                    fiber.value, fiber.error = None, fiber.cancelled(cancel)
            elif type(wait) is GroupWait:
                todo += reversed(wait.group.cut())
            elif wait.cut(self, cancel):
                self.wake(fiber, None)

    def threw(self, error: BaseException) -> BaseException:
        """Remember that *error* came from outside, not from a fault in the workflow's own code."""
        if isinstance(error, BUGS):
            if self.thrown is None:
                self.thrown = []
            self.thrown.append(error)
        return error

    def is_bug(self, error: BaseException) -> bool:
        return isinstance(error, BUGS) and not any(error is known for known in self.thrown or ())

    def scalar(self, data: Any, type: Any, where: str) -> Any:
        """Decode a stored value, or raise `Unreadable`."""
        try:
            return self.codec.load(data, type, where)
        except CodecError as error:
            raise Unreadable(str(error)) from error

    def stop_everything(self) -> None:
        """Let go of all fibers without a word to them, and tell running bodies to stop."""
        for wait in list(self.pending.values()):
            if type(wait) is StepWait:
                self.request(Drop(wait.key))
                if wait.undoing is None and (wait.in_flight(self) or wait.doubt):
                    self.saga.doubtful.append(wait.key)
            self.settle(wait)
        for key in list(self.timers):
            self.clear_timer(key)
        self.mailbox.stop()
        if self._family is not None:
            self._family.stop()
        self._ready.clear()
        self._agenda.clear()
        dispose(self)

    # ── turns ───────────────────────────────────────────────────────────────────────────────────
    def _check(self, fact: r.Fact) -> None:
        if type(fact) not in TAKE:
            raise UnexpectedFact(f"{fact!r} is not a fact")
        if self._closed:
            raise UnexpectedFact("the machine is closed")
        if type(fact) is not r.Started:
            raise UnexpectedFact(f"a history begins with Started, not with {type(fact).__name__}")

    def _run(self) -> None:
        agenda, ready = self._agenda, self._ready
        in_order = 0
        while True:
            if agenda:
                item = agenda.pop()
                if type(item) is Fiber:
                    self._drive(item)
                else:
                    item.start_next(self)  # type: ignore[union-attr]
            elif ready:
                if len(ready) != in_order:
                    ready.sort(key=_order, reverse=True)
                fiber = ready.pop()
                in_order = len(ready)
                self._drive(fiber)
            else:
                return

    def _drive(self, fiber: Fiber) -> None:
        value, error = fiber.value, fiber.error
        fiber.value = fiber.error = None
        streak = fiber.streak
        frames = fiber.frames
        while frames:
            frame = frames[-1]
            gen = frame.gen
            reply: Reply
            if gen is None:
                reply = frame.resume(self, fiber, value, error)
            else:
                try:
                    command = gen.send(value) if error is None else gen.throw(error)
                except StopIteration as stop:
                    reply = leave(self, fiber, frame, stop.value, None)
                except (KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as raised:
                    if isinstance(raised, RuntimeError) and isinstance(raised.__cause__, StopIteration):
                        raise Misuse("StopIteration was raised (an exhausted next()?)", place_of_error(raised.__cause__)) from None
                    if self.recorded is not None:
                        self.recorded.generator_raised(raised, frame.scope.prefix, over=frame.opens or len(frames) == 1)
                    reply = leave(self, fiber, frame, None, raised)
                else:
                    streak += 1
                    if streak > ENDLESS:
                        raise Misuse(f"{ENDLESS:,} commands in a row without waiting for any: an endless loop?", place_of(frame))
                    reply = self.perform(fiber, command)
            if type(reply) is Waiting:
                fiber.streak = streak
                return
            value, error = reply
        self._fiber_ended(fiber, value, error)

    def perform(self, fiber: Fiber, command: Any) -> Reply:
        """Carry out one command, as far as that is possible now."""
        try:
            return (HANDLERS.get(command.__class__) or handler_of(command))(self, fiber, command)
        except Misuse as misuse:
            if misuse.place:
                raise
            raise Misuse(misuse.problem, place_of_fiber(fiber)) from None
        except (CodecError, InvalidDefinition) as error:
            return None, error

    def _fiber_ended(self, fiber: Fiber, value: Any, error: BaseException | None) -> None:
        fiber.done = True
        if fiber.group is not None:
            fiber.group.ended(self, fiber, value, error)
        elif fiber.task is not None:
            task = fiber.task
            task.outcome, task.ended_at = (value, error), self.now
            waiters, task.waiters = task.waiters, []
            for waiter in waiters:
                (self.wake_next if len(waiters) == 1 else self.wake)(waiter, value, error)
            if task.ending is not None:
                self.wake_shielded(task.ending, None)
        else:
            finish(self, value, error)

    def _begun(self) -> r.Started:
        if self.started is None:
            raise UnexpectedFact("the run has not started")
        return self.started
