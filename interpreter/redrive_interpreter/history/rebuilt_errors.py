"""Rebuild exceptions from stored failures: a fresh one each time, equal in the first run and in every replay."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter.errors import (
    OWN_PACKAGES,
    Cancelled,
    CodecError,
    ExecutionConflict,
    ExecutionError,
    ExecutionFinished,
    ExecutionNotFound,
    StepFailed,
    StepInterrupted,
    StepTimeout,
    UndeclaredError,
    UndecodableValue,
)
from redrive_interpreter.outcomes import Failure
from redrive_interpreter.raised import recorded_traceback

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.keys import Key

_OF_STEPS: Final[Mapping[str, type[StepFailed]]] = {"StepTimeout": StepTimeout, "StepInterrupted": StepInterrupted}
_OF_EXECUTIONS: Final[Mapping[str, type[ExecutionError]]] = {
    cls.__name__: cls for cls in (ExecutionNotFound, ExecutionFinished, ExecutionConflict)
}


def step_error(codec: Codec, error: Any, key: Key, raises: Sequence[type[BaseException]]) -> BaseException:
    """The exception that a step's failure raises: its nearest declared error with its fields, else `StepFailed`.

    A host without a codec may give the exception itself as *error*.
    """
    failure = error if isinstance(error, Failure) else codec.dump_error(error, raises)
    declared = _declared(codec, failure, raises)
    if declared is not None:
        return declared
    cls = _OF_STEPS.get(_own_name(failure), StepFailed)
    return cls(key, failure.type, failure.message, failure.traceback, failure.attempts)


def workflow_error(codec: Codec, error: Any, raises: Sequence[type[BaseException]]) -> BaseException:
    """The error that ended another execution: its nearest declared error with its fields, else `UndeclaredError`."""
    failure = error if isinstance(error, Failure) else codec.dump_error(error, raises)
    return _declared(codec, failure, (*raises, Cancelled)) or UndeclaredError(failure.type, failure.message, failure.traceback)


def _declared(codec: Codec, failure: Failure, raises: Sequence[type[BaseException]]) -> BaseException | None:
    """The declared error of *failure*, if it has one. Raises `UndecodableValue` where its class no longer takes what is stored."""
    if failure.declared is None:
        return None
    try:
        error = codec.load_error(failure, raises)
    except CodecError as unreadable:
        raise UndecodableValue(f"the fields of {failure.type}: {unreadable}") from unreadable
    if error is not None and error.__cause__ is None:
        with contextlib.suppress(Exception):  # whatever the user's class allows
            error.__cause__ = recorded_traceback(failure.traceback)
    return error


def execution_error(error: Any, id: str) -> ExecutionError | None:
    """The exception for a host that refused to touch the execution *id*; None if *error* is no such refusal."""
    if isinstance(error, ExecutionError):
        return type(error)(error.id, error.detail)
    if not isinstance(error, Failure):
        return None
    cls = _OF_EXECUTIONS.get(_own_name(error))
    return None if cls is None else cls(id)


def _own_name(failure: Failure) -> str:
    """The class name of an error of redrive itself; empty for a user's, such as ``shop.StepTimeout``."""
    module, _, name = failure.type.rpartition(".")
    return name if not module or module.partition(".")[0] in OWN_PACKAGES else ""
