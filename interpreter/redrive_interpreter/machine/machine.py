"""The interpreter: facts in, requests out, the same for the past and the present.

Theory of operation

1.  A machine holds one run of one execution. `receive` takes one fact; the fibers it wakes run, in key order,
    each until it waits; then the machine is still again. That is a turn.
2.  Every command that matters to replay is *asked*: it gets its key and an `Asked` row. What it waits for is a
    `Wait` in `pending`; the fact that answers it ends the wait and wakes the fiber.
3.  Rows gather in the order in which they must be stored: the fact, then what was done because of it.
    Requests may be carried out once those rows are stored.
4.  The machine reads no clock and draws no lots: its time is that of the fact, ids and random numbers come
    from the run and the key.
5.  In replay the same code runs; `RunState.ask` then finds its row in the recorded turn instead of writing one, and what
    differs is `Diverged`. There is no other difference (`replay/recorded.py`).
6.  A machine that has raised anything but `UnexpectedFact` is spent: close it and replay.

This module has the host's API and the loop. The state and its verbs are in `run_state`; the modules listed in `nouns` define the
effect of each command and fact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from redrive_interpreter.errors import InvalidDefinition, UnexpectedFact, WorkflowMisuse
from redrive_interpreter.history.requests import SetTimer
from redrive_interpreter.history.rows import Started
from redrive_interpreter.history.verdicts import Suspended
from redrive_interpreter.live_codec import LIVE
from redrive_interpreter.machine.continuing import next_run
from redrive_interpreter.machine.derived_values import info_of
from redrive_interpreter.machine.ending import finish, leave
from redrive_interpreter.machine.fibers import Fiber, Waiting
from redrive_interpreter.machine.nouns import FACTS
from redrive_interpreter.machine.observing import ObservedRun, fiber_views, open_children
from redrive_interpreter.machine.places import dispose, place_of, place_of_error, places
from redrive_interpreter.machine.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Invocation, Workflow
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import Fact, Row, Signalled
    from redrive_interpreter.history.verdicts import Finished, Verdict
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.fibers import Reply
    from redrive_interpreter.machine.observing import FiberView, Observer, OpenChild
    from redrive_interpreter.machine.places import Place
    from redrive_interpreter.machine.waits import Wait
    from redrive_interpreter.run_info import RunInfo

R_co = TypeVar("R_co", covariant=True)

ENDLESS: Final = 10_000
"""Commands in a row by one fiber, none of which waits, that make an endless loop (D7)."""


class Machine(Generic[R_co]):
    """One run of *workflow*, driven by facts.

    *codec* turns values into the data of rows; by default they stay as they are. *observer* is told what the code yields and asks.
    *pending* are the waits of the run by key, oldest first, *timers* the moments at which its timers are due: a host only reads them.
    """

    __slots__ = ("_closed", "_run", "codec", "pending", "timers", "workflow")

    def __init__(self, workflow: Workflow[..., R_co], codec: Codec = LIVE, observer: Observer | None = None) -> None:
        if workflow.fn is None:
            raise InvalidDefinition(f"workflow {workflow.name!r} is known by name only: its code is not here to be run")
        self.workflow: Workflow[..., R_co] = workflow
        self.codec: Codec = codec
        self._run = RunState(workflow, codec) if observer is None else ObservedRun(workflow, codec, observer)
        self._closed = False
        self.pending: Mapping[Key, Wait] = self._run.pending
        self.timers: Mapping[Key, datetime] = self._run.timers

    # ── turns ───────────────────────────────────────────────────────────────────────────────────
    def receive(self, fact: Fact) -> list[Request]:
        """Take one turn, and give back the requests that the host carries out once the turn's rows are stored.

        A fact about a settled key changes nothing and leaves no row. Raises `UnexpectedFact` (the machine is as it was),
        `Diverged` or `UndecodableValue` (it is spent).
        """
        run = self._run
        take = FACTS.get(type(fact))
        if take is None or run.started is None or self._closed:
            self._check(fact)
        assert take is not None
        take(run, fact)
        if run.ready or run.agenda:
            try:
                _loop(run)
            except WorkflowMisuse as misuse:
                finish(run, None, misuse, bug=True)
        if not run.requests:
            return []  # never the list that later turns fill
        requests, run.requests = run.requests, []
        return requests

    def hold(self, started: Started) -> list[Request]:
        """Take *started* and run nothing yet: a cancel, or the deadline, was there before the run began.

        That fact is to be received next, with `THE_RUN` among its ``unbegun``: then the workflow's code is never called.
        """
        FACTS[type(started)](self._run, started)
        requests, self._run.requests = self._run.requests, []
        return requests

    def take(self) -> list[Row]:
        """The rows made since the last call, oldest first."""
        taken, self._run.rows = self._run.rows, []
        return taken

    def close(self) -> None:
        """Dispose of the run: nothing is recorded, nothing stored is touched."""
        if not self._closed:
            self._closed = True
            dispose(self._run)

    # ── how the run stands ──────────────────────────────────────────────────────────────────────
    @property
    def verdict(self) -> Verdict:
        """`Finished`, or `Suspended` with the commands that wait."""
        if self._run.finished is not None:
            return self._run.finished
        return Suspended({key: wait.command for key, wait in self.pending.items()})

    @property
    def finished(self) -> Finished | None:
        """The verdict of a run that is over, else None."""
        return self._run.finished

    @property
    def started(self) -> Started | None:
        """The fact that began the run, once it was received."""
        return self._run.started

    @property
    def run(self) -> UUID:
        """The run in force: ids, random numbers and idempotency keys derive from it."""
        return self._run.run_id

    @property
    def continues(self) -> Invocation[Any] | None:
        """After ``Finished(status="continued")``: the workflow that runs next, with its arguments."""
        return self._run.continues

    @property
    def now(self) -> datetime:
        """The time of the run: that of the latest fact."""
        return self._run.now

    @property
    def counted(self) -> int:
        """Rows of the history so far, facts included; it grows while the code makes progress."""
        return self._run.counted

    @property
    def next_due(self) -> datetime | None:
        """The time at which the next timer, retry or deadline is due; None if only an answer or a message can end the wait."""
        moments = list(self.timers.values())
        moments += [wait.retry_due for wait in self.pending.values() if wait.retry_due is not None]
        return min(moments, default=None)

    @property
    def busy(self) -> bool:
        """Whether a step's body should be running now, instead of waiting for its retry."""
        return any(wait.ended_by == "body" and wait.retry_due is None for wait in self.pending.values())

    @property
    def awaited_children(self) -> tuple[str, ...]:
        """The ids of the children whose end the run waits for, sorted."""
        return self._run.family.awaited

    @property
    def info(self) -> RunInfo:
        """The answer to `Info`."""
        return info_of(self._run, self._begun())

    @property
    def undone(self) -> tuple[Key, ...]:
        """The keys undone so far, in the order of undoing."""
        return tuple(self._run.saga.undone) if self._run.has_saga else ()

    @property
    def in_doubt(self) -> tuple[Key, ...]:
        """Steps that may have taken effect, whose outcome is not known, and that nothing will undo."""
        return tuple(self._run.saga.doubtful) if self._run.has_saga else ()

    @property
    def unread(self) -> int:
        """Signals taken up and not waited for."""
        return self._run.mailbox.unread

    @property
    def unread_signals(self) -> tuple[Signalled, ...]:
        """The signals taken up and not waited for, oldest first."""
        return self._run.mailbox.left()

    @property
    def undo_log(self) -> tuple[Key, ...]:
        """The keys whose undos a rollback would run, oldest first."""
        return tuple(entry.key for entry in self._run.saga.log) if self._run.has_saga else ()

    @property
    def cancel_requested(self) -> bool:
        """Whether the run has taken a cancel or passed its deadline: it is stopping, or has stopped."""
        return self._run.root is not None and self._run.root.cancel is not None

    @property
    def open_children(self) -> tuple[OpenChild, ...]:
        """The children that have not ended, oldest first."""
        return open_children(self._run)

    @property
    def has_open_children(self) -> bool:
        return self._run.has_open_children

    @property
    def awaits_children(self) -> bool:
        """Whether the workflow's code is over, and only children keep the run from its end."""
        return self._run.has_open_children and self._run.family.is_awaited

    def is_open_child(self, id: str) -> bool:
        """Whether *id* is a child of this execution that has not ended."""
        return self._run.has_open_children and self._run.family.knows(id)

    def fibers(self) -> list[FiberView]:
        """The fibers that are not over, the root first, with their frames: for debuggers and test kits."""
        return fiber_views(self._run)

    def where(self) -> list[Place]:
        """Where in the source each fiber stands, the root first."""
        return [] if self._run.root is None else places(self._run)

    def next_run(self, *, run: UUID, at: datetime) -> Started:
        """After ``Finished(status="continued")``: the first row of the run that ContinueAs began."""
        return next_run(self._run, self._begun(), run, at)

    def pending_requests(self) -> list[Request]:
        """Every request that has no answer yet, once more."""
        requests: list[Request] = [SetTimer(key, due) for key, due in self.timers.items()]
        for wait in self.pending.values():
            requests += wait.requests()
        return requests

    def _check(self, fact: Fact) -> None:
        if type(fact) not in FACTS:
            raise UnexpectedFact(f"{fact!r} is not a fact")
        if self._closed:
            raise UnexpectedFact("the machine is closed")
        if type(fact) is not Started:
            raise UnexpectedFact(f"a history begins with Started, not with {type(fact).__name__}")

    def _begun(self) -> Started:
        if self._run.started is None:
            raise UnexpectedFact("the run has not started")
        return self._run.started


def state_of(machine: Machine[Any]) -> RunState:
    """The state inside *machine*. Only the kernel's own packages use it."""
    return machine._run


# ── the loop ────────────────────────────────────────────────────────────────────────────────────
def _order(fiber: Fiber) -> tuple[int, ...]:
    return fiber.order


def _loop(run: RunState) -> None:
    """Run fibers until all of them wait: what was scheduled first, then those that were woken, in the order of their keys."""
    agenda, ready = run.agenda, run.ready
    in_order = 0
    while True:
        if agenda:
            item = agenda.pop()
            if type(item) is Fiber:
                _drive(run, item)
            else:
                item.start_next(run)  # type: ignore[union-attr]
        elif ready:
            if len(ready) != in_order:
                ready.sort(key=_order, reverse=True)
            fiber = ready.pop()
            in_order = len(ready)
            _drive(run, fiber)
        else:
            return


def _drive(run: RunState, fiber: Fiber) -> None:
    """Run *fiber* until it waits or is over."""
    value, error = fiber.value, fiber.error
    fiber.value = fiber.error = None
    streak = fiber.streak
    frames = fiber.frames
    while frames:
        frame = frames[-1]
        gen = frame.gen
        reply: Reply
        if gen is None:
            reply = frame.resume(run, fiber, value, error)
        else:
            try:
                command = gen.send(value) if error is None else gen.throw(error)
            except StopIteration as stop:
                reply = leave(run, fiber, frame, stop.value, None)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as raised:
                if isinstance(raised, RuntimeError) and isinstance(raised.__cause__, StopIteration):
                    raise WorkflowMisuse("StopIteration was raised (an exhausted next()?)", place_of_error(raised.__cause__)) from None
                if run.recorded is not None:
                    run.recorded.generator_raised(raised, frame.scope.prefix, over=frame.opens or len(frames) == 1)
                reply = leave(run, fiber, frame, None, raised)
            else:
                streak += 1
                if streak > ENDLESS:
                    raise WorkflowMisuse(f"{ENDLESS:,} commands in a row without waiting for any: an endless loop?", place_of(frame))
                reply = run.perform(fiber, command)
        if type(reply) is Waiting:
            fiber.streak = streak
            return
        value, error = reply
    fiber.done = True
    if fiber.group is not None:
        fiber.group.ended(run, fiber, value, error)
    elif fiber.task is not None:
        fiber.task.ended(run, value, error)
    else:
        finish(run, value, error)
