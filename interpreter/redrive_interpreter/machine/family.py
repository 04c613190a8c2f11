"""The children of an execution: those started, their outcomes, and the waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redrive_interpreter.errors import ChildFailed, ChildTimeout
from redrive_interpreter.history.rebuilt_errors import workflow_error
from redrive_interpreter.history.requests import CancelExecution
from redrive_interpreter.history.rows import Child
from redrive_interpreter.machine.child_attempts import starts_again
from redrive_interpreter.outcomes import Ok

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.requests import StartExecution
    from redrive_interpreter.history.rows import ChildFinished
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.child_waits import ChildWait
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState
    from redrive_interpreter.outcomes import Err


class ChildState:
    """One child. *policy* is its ``on_parent_close``; *told* is set once it was asked to cancel because the parent ended.

    *attempt* counts its starts; *start* is how it was started first, None if it will not be started again; *run* the run of
    this execution that started it, None for an earlier one.
    """

    __slots__ = ("asked_at", "attempt", "ended_at", "id", "key", "outcome", "policy", "run", "start", "status", "told", "workflow")

    def __init__(self, id: str, key: Key, policy: str, workflow: str) -> None:
        self.id: str = id
        self.key: Key = key
        self.policy: str = policy
        self.workflow: str = workflow
        self.status: str | None = None
        self.outcome: Ok[Any] | Err | None = None
        self.told: bool = False
        self.ended_at: datetime | None = None
        self.attempt: int = 1
        self.run: UUID | None = None
        self.start: StartExecution | None = None
        self.asked_at: datetime | None = None


class Family:
    """All children of the execution, those of earlier runs included."""

    __slots__ = ("_children", "_waits", "ending")

    def __init__(self) -> None:
        self._children: dict[str, ChildState] = {}
        self._waits: dict[str, dict[ChildWait, None]] = {}
        """Waits by child, oldest first: where ten thousand are awaited, the end of one must not search them all."""
        self.ending: Fiber | None = None

    @property
    def open(self) -> list[ChildState]:
        """The children that have not ended, oldest first."""
        return [child for child in self._children.values() if child.status is None] if self._children else []

    def carry(self, children: Sequence[Child]) -> None:
        for child in children:
            state = ChildState(child.id, child.key, child.on_parent_close, child.workflow)
            state.status, state.outcome = child.status, child.outcome
            self._children[child.id] = state

    def left(self) -> tuple[Child, ...]:
        """The children as the next run takes them over."""
        return tuple(
            Child(id=c.id, key=c.key, workflow=c.workflow, on_parent_close=c.policy, status=c.status, outcome=c.outcome)
            for c in self._children.values()
        )

    def add(self, start: StartExecution, at: datetime) -> None:
        state = self._children[start.id] = ChildState(start.id, start.key, start.on_parent_close, start.workflow)
        state.start, state.asked_at, state.run = start, at, start.run

    def remove(self, id: str) -> None:
        """Forget the child *id*, which the host refused to start."""
        self._children.pop(id, None)

    def cancel(self, run: RunState, child: ChildState, reason: str) -> None:
        """Ask *child* to cancel, once, because its parent ends."""
        if not child.told:
            child.told, child.start = True, None
            run.request(CancelExecution(child.key, child.id, reason))

    def last_attempt(self, id: str) -> None:
        """Start the child *id* no more if it fails: it was cancelled."""
        if id in self._children:
            self._children[id].start = None

    def knows(self, id: str) -> bool:
        child = self._children.get(id)
        return child is not None and child.status is None

    @property
    def is_awaited(self) -> bool:
        """Whether only the children keep the run from its end."""
        return self.ending is not None

    @property
    def awaited(self) -> tuple[str, ...]:
        """The ids of the children whose end somebody waits for: a command, or the end of the run."""
        if not self._children:
            return ()
        wanted = {id for id, waits in self._waits.items() if waits}
        wanted |= {child.id for child in self.open} if self.is_awaited else set()
        return tuple(sorted(id for id in wanted if self.knows(id)))

    def ended_at(self, id: str) -> datetime | None:
        """The time at which a child ended; None if it ended in an earlier run."""
        return self._children[id].ended_at

    def has(self, id: str) -> bool:
        return id in self._children

    def ended(self, run: RunState, fact: ChildFinished) -> None:
        """Start the child again if its policy says so; else deliver its outcome to the waits for it, oldest first."""
        child = self._children[fact.id]
        if starts_again(run, child, fact):
            return
        child.status, child.outcome, child.ended_at = fact.status, fact.outcome, fact.at
        for wait in self._waits.pop(fact.id, ()):
            run.settle(wait)
            run.clear_timer(wait.key)
            run.wake(wait.fiber, *self.outcome(run, wait))
        if self.ending is not None:
            fiber, self.ending = self.ending, None
            run.wake_shielded(fiber, None)

    def cut(self, run: RunState, fiber: Fiber, cancel: tuple[str, CancelledBy]) -> None:
        """Cancel the children that *fiber*, the root at its end, waits for."""
        if self.ending is fiber:
            for child in self.open:
                if child.policy == "wait":
                    self.cancel(run, child, cancel[0])

    def wait(self, run: RunState, wait: ChildWait) -> Reply:
        """The outcome of ``wait.child`` if it has ended, else let the fiber wait."""
        if self._children[wait.child].status is not None:
            return self.outcome(run, wait)
        self._waits.setdefault(wait.child, {})[wait] = None
        return run.wait(wait.fiber, wait)

    def forget(self, wait: ChildWait) -> None:
        waits = self._waits[wait.child]
        del waits[wait]
        if not waits:
            del self._waits[wait.child]

    def stop(self) -> None:
        """Drop all waits, and start no child again: the run is over."""
        self._waits.clear()
        for child in self._children.values():
            child.start = None
        self.ending = None

    def timed_out(self, run: RunState, wait: ChildWait) -> None:
        command: Any = wait.command
        timeout = command.wait_timeout if wait.owned else command.timeout
        self.forget(wait)
        run.wake(wait.fiber, None, ChildTimeout(wait.child, timeout))

    def outcome(self, run: RunState, wait: ChildWait) -> tuple[Any, BaseException | None]:
        child = self._children[wait.child]
        source: Any = wait.command
        typed = source.ref if hasattr(source, "ref") else source.invocation.workflow
        if child.status == "completed" and isinstance(child.outcome, Ok):
            value = run.scalar(child.outcome.value, typed.result_type, f"the result of child {child.id}")
            if wait.owned and source.undo is not None:
                run.saga.completed(wait.key, source.undo, child.outcome.value, typed.result_type, child.run or run.run_id)
            return value, None
        cause = None
        if child.outcome is not None and not isinstance(child.outcome, Ok):
            cause = workflow_error(run.codec, child.outcome.error, typed.raises)
        return None, run.threw(ChildFailed(child.id, child.status or "failed", cause))
