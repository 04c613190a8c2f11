"""What an attempt of a step becomes once its body has ended: the one decision that all hosts share.

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
from redrive_interpreter.errors import CodecError, Misuse, StepInterrupted, StepTimeout
from redrive_interpreter.history.rows import Answered, Retrying
from redrive_interpreter.outcomes import Err, Failure, Ok

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.history.requests import Perform
    from redrive_interpreter.keys import Key

_IN_DOUBT: Final = (StepTimeout, StepInterrupted)


def arguments_of(perform: Perform, codec: Codec) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The body's own copies of its arguments. Raises `CodecError` if they cannot be read."""
    spec = perform.step.spec
    return codec.load_call(spec.signature, perform.input, spec.id)


def idempotency_key(perform: Perform, run: UUID) -> str:
    """The text by which those whom the body calls can tell a repeat: one for all attempts of the step in the run that asked for it,
    *run* unless the request says which."""
    key = perform.step.spec.key
    return key if key is not None else str(uuid5(perform.run or run, f"step:{perform.key}"))


def succeeded(perform: Perform, value: Any, *, codec: Codec, now: datetime) -> Answered:
    """The fact of an attempt whose body returned *value*. Raises what the codec raises beside `CodecError`."""
    spec = perform.step.spec
    try:
        if isinstance(value, (Command, Invocation)):
            raise Misuse(f"the body of step {perform.key} returned {value!r}: only workflows yield commands")
        return Answered(perform.key, Ok(codec.dump(value, spec.result_type, f"step {spec.id}", "result")), at=now)
    except (CodecError, Misuse) as error:
        return Answered(perform.key, Err(failure_of(perform, error, codec)), at=now, in_doubt=True)


def failed(
    perform: Perform, error: BaseException, *, run: UUID | str, codec: Codec, now: datetime, final: bool = False, in_doubt: bool = False
) -> Answered | Retrying:
    """The fact of an attempt that ended with *error*: the next attempt's due time, or (also if *final*) the end of the step.

    *run* identifies the run, for jitter; *in_doubt* says that the attempt may have taken effect.
    """
    spec = perform.step.spec
    failure, due = failure_of(perform, error, codec), None
    if not final and not isinstance(error, (Misuse, CodecError)):
        token = spec.key or f"{perform.run or run}:{perform.key}"
        due = after_failure(spec.retry, error, attempt=perform.attempt, first_at=perform.first_at or now, now=now, token=token)
    if due is None:
        return Answered(perform.key, Err(failure), at=now, in_doubt=in_doubt)
    return Retrying(perform.key, perform.attempt, failure, due, at=now, in_doubt=in_doubt)


def failure_of(perform: Perform, error: BaseException, codec: Codec) -> Failure:
    """*error* as it is stored."""
    if isinstance(error, _IN_DOUBT):
        return Failure(error.type, error.message, attempts=perform.attempt)
    return attrs.evolve(codec.dump_error(error, perform.step.spec.raises), attempts=perform.attempt)


def timed_out(key: Key, attempt: int, why: str, *, at_most_once: bool) -> StepTimeout | StepInterrupted:
    """The error of an attempt that gave no result in time, or stayed silent: *why* says which."""
    if at_most_once:
        return StepInterrupted(key, StepInterrupted.__name__, f"{why}; whether it took effect is not known", "", attempt)
    return StepTimeout(key, StepTimeout.__name__, why, "", attempt)


def interrupted(key: Key, attempt: int) -> StepInterrupted:
    """The error of an at-most-once attempt that had begun when its worker went away."""
    return StepInterrupted(key, StepInterrupted.__name__, "an attempt began, and whether it took effect is not known", "", attempt)
