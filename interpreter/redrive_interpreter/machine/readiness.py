"""Which branches of a Race can finish the moment they start, and which of them is first: the one whose fact is oldest (P1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter.commands.child_workflows import WaitChild
from redrive_interpreter.commands.messaging import WaitSignal
from redrive_interpreter.commands.parallel import Join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.run_state import RunState

_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)


def passed_over(run: RunState, key: Key, branches: Sequence[Any]) -> frozenset[int]:
    """The branches that could finish at once, but by a later fact than another: they are not started.

    *key* is the Race's: signals that a branch could not read are set aside by it. Only waits can be judged before they start;
    a flow shows what it waits for when it runs.
    """
    ready = [(since, index) for index, branch in enumerate(branches) if (since := _ready_since(run, key, branch)) is not None]
    if len(ready) < 2:
        return frozenset()
    first = min(ready)[1]
    return frozenset(index for _, index in ready if index != first)


def _ready_since(run: RunState, key: Key, branch: Any) -> tuple[datetime, int] | None:
    """The stored time of the fact that *branch* waits for, and its place among signals of the same time; None if it has not come
    yet."""
    kind: type = branch.__class__
    if kind is WaitSignal:
        due = branch.until if branch.timeout is None else run.now + branch.timeout
        return run.mailbox.kept_since(run, key, branch.signal, due)
    if kind is WaitChild and run.family.has(branch.ref.id) and not run.family.knows(branch.ref.id):
        return run.family.ended_at(branch.ref.id) or _LONG_AGO, 0
    if kind is Join and run.tasks is not None:
        task = run.tasks.get(branch.task.key)
        if task is not None and task.outcome is not None:
            return task.ended_at or _LONG_AGO, 0
    return None
