"""What the machine asks of its host: values that go out, and are answered by facts that come in.

A request may be acted on only once the rows of its turn are stored. Each names the key to answer. Replay
gives the requests of all that is still pending once more, so all of them must be safe to repeat: the host
recognises a `DeliverSignal`, `StartExecution`, `CancelExecution` or `Publish` it has carried out by run and key.
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


@attrs.define
class RunStep:
    """Run the body of *step*; answer with `Answered`, `Retrying`, or (at most once, before it) `AttemptStarted`.

    *input* are the encoded arguments, *attempt* the number of the attempt, from 1; not before *due*.
    *first_at* is when the step was asked. *interrupted*: this attempt of an at-most-once step had begun
    before and its outcome was lost, so it must not run: answer what `retry.after_failure` says of a
    ``StepInterrupted``. *run* is the one that its idempotency key derives from; None: the machine's.
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
class AbandonStep:
    """The answer to *key* is no longer wanted: tell its body to stop, and do not wait for it.

    Of a child whose start the host said is ``unbegun``: do not start it.
    """

    key: Key


@attrs.define
class SetTimer:
    """Answer with `TimerFired(key)` at *due*, unless `ClearTimer` comes first."""

    key: Key
    due: datetime


@attrs.define
class ClearTimer:
    key: Key


@attrs.define
class Publish:
    """Tell the subscribers of *event*; *type* is its payload's. Needs no answer."""

    key: Key
    event: str
    payload: Data
    type: Any = None
    path: tuple[str, ...] | None = None


@attrs.define
class DeliverSignal:
    """Put a signal into another execution's inbox; answer Ok(None), or a Failure of type ``ExecutionNotFound`` / ``ExecutionFinished``.

    *path* is that of the `Signalled` which its receiver takes.
    """

    key: Key
    target: str
    signal: str
    payload: Data
    path: tuple[str, ...] | None = None


@attrs.define(kw_only=True)
class NextAttempt:
    """Which attempt of a child this is, from 2: *run* is its run, *due* when it begins.

    *of* is the key of the command that started the child, *first_at* when it did.
    """

    attempt: int
    run: UUID
    due: datetime
    of: Key
    first_at: datetime


@attrs.define
class StartExecution:
    """Start a child under *id*, once; answer Ok(None), or a Failure of type ``ExecutionConflict``.

    With *again*, start the failed child of this very parent and command once more, unless it has that run already, and
    answer nothing; if the id is somebody else's by now, say that the child has ``failed`` with an ``ExecutionConflict``.
    *run* is the parent's run in which the child was started first; None: the machine's.
    """

    key: Key
    id: str
    workflow: str
    input: Data
    command: StartChild[Any]
    on_parent_close: Literal["cancel", "abandon", "wait"]
    again: NextAttempt | None = None
    run: UUID | None = None


@attrs.define
class CancelExecution:
    """Ask another execution to cancel. Answer Ok(None) if *answer*; an unknown or ended one is fine."""

    key: Key
    id: str
    reason: str
    answer: bool = False


@attrs.define
class KeepAside:
    """Keep a signal that the command at *key* could not read, with the *error*, for people to look at. Needs no answer."""

    key: Key
    signal: str
    payload: Data
    sent_at: datetime
    error: str
    path: tuple[str, ...] | None = None


Request: TypeAlias = RunStep | AbandonStep | SetTimer | ClearTimer | Publish | DeliverSignal | StartExecution | CancelExecution | KeepAside
