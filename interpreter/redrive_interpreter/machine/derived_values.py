"""Commands that the run answers by itself, equally on every replay: Patch, Info, Now, NewId, Random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.deterministic import Info, NewId, Now, Patch, Random
from redrive_interpreter.keys import Key
from redrive_interpreter.machine.chance import random_of, uuid_of
from redrive_interpreter.run_info import RunInfo

if TYPE_CHECKING:
    from redrive_interpreter.history.rows import Started
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState


def info_of(run: RunState, started: Started) -> RunInfo:
    """The answer to `Info`."""
    return RunInfo(
        id=started.id,
        run=started.run,
        run_number=started.number,
        workflow=run.workflow.name,
        parent=started.parent,
        started_at=started.execution_started_at or started.at,
        scheduled_for=started.scheduled_for,
        deadline=started.deadline,
        rows=run.counted,
    )


def _patch(run: RunState, fiber: Fiber, command: Patch) -> Reply:
    if run.patches is None:
        run.patches = {}
    answer = run.patches.get(command.patch_id)
    if answer is None:
        key = Key(f"__patch:{command.patch_id}")
        answer = run.recorded is None or run.recorded.patched(key)
        if answer:
            run.ask(key, kinds.PATCH, command.patch_id, None, None, command)
        run.patches[command.patch_id] = answer
    return answer, None


def _info(run: RunState, fiber: Fiber, command: Info) -> Reply:
    assert run.started is not None
    return info_of(run, run.started), None


def _now(run: RunState, fiber: Fiber, command: Now) -> Reply:
    return run.now, None


def _new_id(run: RunState, fiber: Fiber, command: NewId) -> Reply:
    return uuid_of(run.run_id, fiber.scope.key(f"__new_id:{command.name}")), None


def _random(run: RunState, fiber: Fiber, command: Random) -> Reply:
    return random_of(run.run_id, fiber.scope.key("__random")), None


HANDLERS: Final[dict[Any, Any]] = {Patch: _patch, Info: _info, Now: _now, NewId: _new_id, Random: _random}
