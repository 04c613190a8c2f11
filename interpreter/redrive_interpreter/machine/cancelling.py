"""Cancelling: the facts that cut a whole run. Each kind of wait decides what a cut does to it (`Wait.cut`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter.history.rows import CancelRequested, DeadlinePassed
from redrive_interpreter.keys import DEADLINE

if TYPE_CHECKING:
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.machine.run_state import RunState


def _cancel(run: RunState, fact: CancelRequested) -> None:
    _interrupt(run, fact, (fact.reason, fact.by))


def _deadline(run: RunState, fact: DeadlinePassed) -> None:
    due = run.timers.get(DEADLINE)
    if due is not None:
        run.now = max(run.now, due)
        _interrupt(run, fact, ("the deadline has passed", "deadline"))


def _interrupt(run: RunState, fact: CancelRequested | DeadlinePassed, cancel: tuple[str, CancelledBy]) -> None:
    if run.finished is not None or run.root is None or run.root.cancel is not None:
        return
    run.took(fact)
    if type(fact) is DeadlinePassed:
        run.timers.pop(DEADLINE, None)  # a copy that begins here has none
    run.clear_timer(DEADLINE)
    if fact.unbegun is None:
        run.cut(run.root, cancel)
        return
    run.unbegun = frozenset(fact.unbegun)
    run.cut(run.root, cancel)
    for task in (run.tasks or {}).values():  # E3: nothing new begins in them either
        if task.outcome is None:
            run.cut(task.fiber, cancel)
    run.unbegun = frozenset()


FACTS: Final[dict[type, Any]] = {CancelRequested: _cancel, DeadlinePassed: _deadline}
