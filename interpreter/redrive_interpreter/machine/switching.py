"""Switch: the run records which case it took, and the case's branch runs in a scope named after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.switches import Switch
from redrive_interpreter.errors import NoBranch
from redrive_interpreter.keys import escape
from redrive_interpreter.machine.scopes import Scope
from redrive_interpreter.machine.start_frame import StartFrame
from redrive_interpreter.raised import shown

if TYPE_CHECKING:
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState


def _switch(run: RunState, fiber: Fiber, command: Switch[Any, Any]) -> Reply:
    key = fiber.scope.key(command.command_id or command.id)
    recorded = run.recorded.peek(key) if run.recorded is not None else None
    if recorded is not None:
        label: str | None = recorded.label or None
    else:
        try:
            chosen = command.select()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a predicate is the user's
            return None, error
        label = None if chosen is None else chosen[0]
    run.ask(key, kinds.SWITCH, label or "", None, None, command)
    if label is None:
        return None, NoBranch(command.id, shown(command.value))
    branch = command.branch_of(label)
    if branch is None:
        assert run.recorded is not None  # else the label is one of the code's own
        raise run.recorded.does_not_fit(run, key, f"the history took the case {label!r}, which the code no longer has")
    fiber.push(StartFrame(Scope(f"{key}/{escape(label)}/"), branch))
    return None, None


HANDLERS: Final[dict[Any, Any]] = {Switch: _switch}
