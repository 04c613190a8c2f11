"""The fact that an attempt of a step becomes once its body has ended: the one decision that all hosts share.

1.  A value that can be encoded answers the step. One that cannot fails it for good, in doubt: the effect has happened (S7).
2.  An error is retried where the step's `Retry` says so; misuse and values that cannot be encoded never are.
3.  The failure is stored as data: declared errors with their fields, others with their text.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import attrs

from redrive_interpreter.commands.command import Command
from redrive_interpreter.commands.retry import after_failure
from redrive_interpreter.commands.workflows import Invocation
from redrive_interpreter.errors import CodecError, StepInterrupted, StepTimeout, WorkflowMisuse
from redrive_interpreter.history.rows import Answered, Retrying
from redrive_interpreter.outcomes import Err, Failure, Ok

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.history.requests import RunStep
    from redrive_interpreter.keys import Key

_IN_DOUBT: Final = (StepTimeout, StepInterrupted)


def arguments_of(request: RunStep, codec: Codec) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The body's own copies of its arguments. Raises `CodecError` if they cannot be read."""
    spec = request.step.spec
    return codec.load_call(spec.signature, request.input, spec.id)


def idempotency_key(request: RunStep, run: UUID) -> str:
    """The text by which a service that the body calls recognises a repeat: the same for all attempts of the step in the run that
    asked for it, which is *run* unless the request names another."""
    key = request.step.spec.key
    return key if key is not None else str(uuid5(request.run or run, f"step:{request.key}"))


def succeeded(request: RunStep, value: Any, *, codec: Codec, now: datetime) -> Answered:
    """The fact of an attempt whose body returned *value*. Lets errors of the codec other than `CodecError` pass."""
    spec = request.step.spec
    try:
        if isinstance(value, (Command, Invocation)):
            raise WorkflowMisuse(f"the body of step {request.key} returned {value!r}: only workflows yield commands")
        return Answered(request.key, Ok(codec.dump(value, spec.result_type, f"step {spec.id}", "result")), at=now)
    except (CodecError, WorkflowMisuse) as error:
        return Answered(request.key, Err(failure_of(request, error, codec)), at=now, in_doubt=True)


def failed(
    request: RunStep, error: BaseException, *, run: UUID | str, codec: Codec, now: datetime, final: bool = False, in_doubt: bool = False
) -> Answered | Retrying:
    """The fact of an attempt that ended with *error*: the next attempt's due time, or (also if *final*) the end of the step.

    *run* identifies the run, for jitter; *in_doubt* says that the attempt may have taken effect.
    """
    spec = request.step.spec
    failure, due = failure_of(request, error, codec), None
    if not final and not isinstance(error, (WorkflowMisuse, CodecError)):
        token = spec.key or f"{request.run or run}:{request.key}"
        due = after_failure(spec.retry, error, attempt=request.attempt, first_at=request.first_at or now, now=now, token=token)
    if due is None:
        return Answered(request.key, Err(failure), at=now, in_doubt=in_doubt)
    return Retrying(request.key, request.attempt, failure, due, at=now, in_doubt=in_doubt)


def failure_of(request: RunStep, error: BaseException, codec: Codec) -> Failure:
    """*error* as it is stored."""
    if isinstance(error, _IN_DOUBT):
        return Failure(error.type, error.message, attempts=request.attempt)
    return attrs.evolve(codec.dump_error(error, request.step.spec.raises), attempts=request.attempt)


def timed_out(key: Key, attempt: int, why: str, *, at_most_once: bool) -> StepTimeout | StepInterrupted:
    """The error of an attempt that gave no result in time, or stayed silent: *why* says which."""
    if at_most_once:
        return StepInterrupted(key, StepInterrupted.__name__, f"{why}; whether it took effect is not known", "", attempt)
    return StepTimeout(key, StepTimeout.__name__, why, "", attempt)


def interrupted(key: Key, attempt: int) -> StepInterrupted:
    """The error of an at-most-once attempt that had begun when its worker went away."""
    return StepInterrupted(key, StepInterrupted.__name__, "an attempt began, and whether it took effect is not known", "", attempt)
