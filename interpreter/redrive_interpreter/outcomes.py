"""Outcomes of steps, branches and executions."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeAlias, TypeVar, final

import attrs

T_co = TypeVar("T_co", covariant=True)
I_co = TypeVar("I_co", covariant=True, bound=int)

Status: TypeAlias = Literal["completed", "failed", "compensation_failed", "cancelled", "continued"]
"""The status of a run that ended; ``continued`` means that the execution continues in its next run."""


@final
@attrs.frozen
class Ok(Generic[T_co]):
    """Success, with its value."""

    value: T_co


@final
@attrs.frozen
class Failure:
    """A failure as data, the only form in which one crosses a store.

    *type* is the qualified name of the exception's class, *declared* the qualified name of its nearest
    base in ``raises=`` (None where there is none), *fields* what rebuilds that base (encoded),
    *details* further encoded facts for the errors of redrive itself.
    """

    type: str
    message: str
    traceback: str = ""
    declared: str | None = None
    fields: Any = None
    attempts: int = 1


@final
@attrs.frozen
class Err:
    """Failure, with the error: an exception in workflow code, a `Failure` in a stored row."""

    error: Any


@final
@attrs.frozen(kw_only=True)
class Won(Generic[I_co, T_co]):
    """The branch of a `Race` that was first, and its value; ``index`` narrows the type of ``value``."""

    index: I_co
    value: T_co
    name: str | None = None
