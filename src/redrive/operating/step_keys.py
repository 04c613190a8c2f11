"""The step that an operator means: by its key, as a ready step, or by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redrive_interpreter import kinds
from redrive_interpreter.commands.steps import Step, StepId
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.history.rows import Asked

if TYPE_CHECKING:
    from redrive.operating.subjects import Subject


def check_means_step(verb: str, step: object) -> None:
    """Raises `InvalidDefinition` for what means no step: a step function has no arguments, so its result could be of any call."""
    if not isinstance(step, (str, Step, StepId)):
        what = getattr(step, "step_id", None)
        hint = f"as {what}(…), with its arguments" if what else "as a key, a ready step or a StepId"
        raise InvalidDefinition(f"{verb} takes the step {hint}, not {step!r}")


def key_of(subject: Subject, verb: str, step: Any) -> str:
    """The key of the step that an operator means."""
    if isinstance(step, StepId):
        return _only(subject, verb, step.name, [row for row in _steps(subject) if row.label == step.name])
    if isinstance(step, Step):
        codec = subject.codec
        input = codec.dump_call(step.spec.signature, step.args, step.kwargs, step.step_id)
        alike = [row for row in _steps(subject) if row.label == step.step_id and codec.same(row.input, input)]
        return _only(subject, verb, f"{step!r}", alike)
    assert isinstance(step, str)
    return step


def _steps(subject: Subject) -> list[Asked]:
    return [row for row in subject.rows if isinstance(row, Asked) and row.kind in kinds.BODIES]


def _only(subject: Subject, verb: str, what: str, rows: list[Asked]) -> str:
    if len(rows) == 1:
        return rows[0].key
    keys = ", ".join(repr(str(row.key)) for row in (rows or _steps(subject))[-5:])
    problem = f"{what} was asked {len(rows)} times" if rows else f"{what} was never asked"
    raise subject.refuse(verb, problem, f"give a key: {keys}" if keys else "it has asked for no step")
