"""Requests: values by which the machine asks its host to act. The host answers them with facts.

The host may act on a request only once the rows of its turn are stored. Each request names the key to answer. Replay gives every
pending request once more, so the host must make them safe to repeat: it recognises a `DeliverSignal`, `StartExecution`,
`CancelExecution` or `Publish` that it has carried out by run and key.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

import attrs

from redrive_interpreter.codec import Data
from redrive_interpreter.keys import Key

if TYPE_CHECKING:
    from redrive_interpreter.commands.child_workflows import StartChild
    from redrive_interpreter.commands.steps import Step


class _Request:
    """The field that all requests have."""

    __slots__ = ()

    @property
    def is_notice(self) -> bool:
        """Whether the host carries it out without an answer. It is never pending, so replay gives that of the last turn again."""
        return False


@attrs.define
class RunStep(_Request):
    """Run the body of *step*; answer with `Answered`, `Retrying`, or (at most once, before it) `AttemptStarted`.

    *input* are the encoded arguments, *attempt* the number of the attempt, from 1; not before *due*.
    *first_at* is when the step was asked. *interrupted*: this attempt of an at-most-once step had begun
    before and its outcome was lost, so it must not run: answer as `retry.after_failure` decides for a ``StepInterrupted``. The
    idempotency key derives from *run*; None means the machine's run.
    """

    key: Key
    step: Step[Any]
    input: Data = None
    attempt: int = 1
    due: datetime | None = None
    first_at: datetime | None = None
    interrupted: bool = False
    run: UUID | None = None


@attrs.define
class AbandonStep(_Request):
    """Stop the body of *key* and do not wait for it: its answer is no longer wanted.

    For the key of a child whose start is ``unbegun``: do not start it.
    """

    key: Key


@attrs.define
class SetTimer(_Request):
    """Answer with `TimerFired(key)` at *due*, unless `ClearTimer` comes first."""

    key: Key
    due: datetime


@attrs.define
class ClearTimer(_Request):
    key: Key


@attrs.define
class Publish(_Request):
    """Tell the subscribers of *event*; *type* is the type of its payload. Needs no answer."""

    key: Key
    event: str
    payload: Data
    type: Any = None
    path: tuple[str, ...] | None = None

    @property
    def is_notice(self) -> bool:
        return True


@attrs.define
class DeliverSignal(_Request):
    """Put a signal into another execution's inbox; answer Ok(None), or a Failure of type ``ExecutionNotFound`` / ``ExecutionFinished``.

    The receiver's `Signalled` gets the same *path*.
    """

    key: Key
    target: str
    signal: str
    payload: Data
    path: tuple[str, ...] | None = None


@attrs.define(kw_only=True)
class NextAttempt:
    """A further attempt of a child: its number, from 2; *run* is the attempt's run, *due* when it begins.

    *of* is the key of the command that started the child, *first_at* when it did.
    """

    attempt: int
    run: UUID
    due: datetime
    of: Key
    first_at: datetime


@attrs.define
class StartExecution(_Request):
    """Start a child under *id*, once; answer Ok(None), or a Failure of type ``ExecutionConflict``.

    With *again*, start the failed child of this parent and command once more, unless it has that run already, and answer nothing;
    if the id belongs to another execution by now, send a `ChildFinished` that says ``failed`` with an ``ExecutionConflict``.
    *run* is the parent's run that started the child first; None means the machine's run.
    """

    key: Key
    id: str
    workflow: str
    input: Data
    command: StartChild[Any]
    on_parent_close: Literal["cancel", "abandon", "wait"]
    again: NextAttempt | None = None
    run: UUID | None = None

    @property
    def is_notice(self) -> bool:
        return self.again is not None


@attrs.define
class CancelExecution(_Request):
    """Ask another execution to cancel. Answer Ok(None) if *answer* is set, also where the execution is unknown or has ended."""

    key: Key
    id: str
    reason: str
    answer: bool = False

    @property
    def is_notice(self) -> bool:
        return not self.answer


@attrs.define
class KeepAside(_Request):
    """Keep a signal that the command at *key* could not decode, with the *error*, for an operator to look at. Needs no answer."""

    key: Key
    signal: str
    payload: Data
    sent_at: datetime
    error: str
    path: tuple[str, ...] | None = None

    @property
    def is_notice(self) -> bool:
        return True


Request: TypeAlias = RunStep | AbandonStep | SetTimer | ClearTimer | Publish | DeliverSignal | StartExecution | CancelExecution | KeepAside
