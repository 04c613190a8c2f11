"""The rows of a history: facts, the commands that were asked, and notes.

A history begins with `Started`. A *fact* is something that happened outside and began a turn; the `Asked`,
`Noted`, `AttributeSet`, `SetAside`, `Forked` and `Ended` rows behind it are what the workflow did in that turn. Rows are values:
nothing changes one after it was made (they are not frozen because replay makes a hundred thousand of them
and a frozen one costs four times as much).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import attrs

from redrive_interpreter.codec import Data
from redrive_interpreter.errors import CancelledBy
from redrive_interpreter.keys import Key
from redrive_interpreter.outcomes import Err, Failure, Ok, Status


@attrs.define(kw_only=True)
class Parent:
    """The execution that started this one: its id, its run and the key of its command."""

    id: str
    run: UUID
    key: Key


@attrs.define(kw_only=True)
class Child:
    """A child that an earlier run of this execution started; carried over by ContinueAs."""

    id: str
    key: Key
    workflow: str
    on_parent_close: str
    status: str | None = None
    outcome: Ok[Data] | Err | None = None


THE_RUN: Final = Key("")
"""In ``unbegun``: the run itself, before any of its code was called."""


# ── facts: each begins one turn ─────────────────────────────────────────────────────────────────
@attrs.define(kw_only=True)
class Started:
    """The run began. *args* and *kwargs*, or *input*: the same call, encoded.

    *at* is when this run began, *execution_started_at* when the execution's first run did (None: this is it);
    *deadline* and *scheduled_for* are aware datetimes; *unread* and *children* come from the run before.
    """

    id: str
    run: UUID
    at: datetime
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    input: Data = None
    workflow: str = ""
    number: int = 1
    parent: Parent | None = None
    execution_started_at: datetime | None = None
    scheduled_for: datetime | None = None
    deadline: datetime | None = None
    unread: tuple[Signalled, ...] = ()
    children: tuple[Child, ...] = ()


@attrs.define
class Answered:
    """The command at *key* has its outcome, for good: ``Ok(data)`` or ``Err(Failure)``.

    *in_doubt*: a step's attempt began and its effect is unknown (timed out, interrupted, unencodable result).
    *by* is ``operator`` where an operator gave the outcome instead of a body.
    """

    key: Key
    outcome: Ok[Data] | Err
    at: datetime = attrs.field(kw_only=True)
    in_doubt: bool = attrs.field(default=False, kw_only=True)
    by: str = attrs.field(default="", kw_only=True)


@attrs.define
class AttemptStarted:
    """An attempt of an at-most-once step is about to begin; stored before its body runs."""

    key: Key
    attempt: int
    at: datetime = attrs.field(kw_only=True)


@attrs.define
class Retrying:
    """Attempt number *attempt* failed, and the next is due at *due*."""

    key: Key
    attempt: int
    failure: Failure
    due: datetime
    at: datetime = attrs.field(kw_only=True)
    in_doubt: bool = attrs.field(default=False, kw_only=True)


@attrs.define
class TimerFired:
    """The timer of the command at *key* fired; *at* is when it was handled, never before it was due."""

    key: Key
    at: datetime = attrs.field(kw_only=True)


@attrs.define
class Signalled:
    """A signal arrived; *sent_at* is when it was stored, *at* when this turn took it up.

    *path* holds the parts of a name that `of` put together, or that has a colon; None where the name says all, or where the
    sender gave only the name: then the oldest wait for a signal of that name takes it.
    """

    name: str
    payload: Data = None
    at: datetime = attrs.field(kw_only=True)
    sent_at: datetime | None = attrs.field(default=None, kw_only=True)
    path: tuple[str, ...] | None = attrs.field(default=None, kw_only=True)


@attrs.define(kw_only=True)
class CancelRequested:
    """A person or another execution asked to cancel the execution.

    *unbegun* are the keys of the steps and child starts that were asked and had not begun when the request was taken:
    they never do. The key `THE_RUN` means the run itself: none of its code runs. None stands in rows of older releases, in which
    spawned tasks continued until their scope ended.
    """

    reason: str = ""
    by: CancelledBy = "cancel"
    at: datetime
    unbegun: tuple[Key, ...] | None = ()


@attrs.define(kw_only=True)
class DeadlinePassed:
    """The execution's deadline passed. *unbegun* means the same as in `CancelRequested`."""

    at: datetime
    unbegun: tuple[Key, ...] | None = ()


@attrs.define(kw_only=True)
class ChildFinished:
    """A child execution ended."""

    id: str
    status: str
    outcome: Ok[Data] | Err
    at: datetime


@attrs.define(kw_only=True)
class RollbackRetried:
    """The operator asked for the undos that failed to be tried again."""

    at: datetime


# ── what the workflow did in a turn ─────────────────────────────────────────────────────────────
@attrs.define
class Asked:
    """A command was issued.

    *kind* names its class (``step``, ``sleep``, ``wait_signal``, …), *label* its subject (a step's id, a signal's name, the case
    a Switch took), *input* holds its encoded arguments, *undo* the id of its undo step.
    """

    key: Key
    kind: str
    label: str = ""
    input: Data = None
    undo: str | None = None


@attrs.define(kw_only=True)
class Noted:
    """An entry in the audit trail; replay does not compare it."""

    text: str
    data: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    key: Key


@attrs.define(kw_only=True)
class AttributeSet:
    """The execution has a new value of one attribute; replay does not compare it.

    *given* has the value as the workflow gave it, for a host that makes it searchable; it is not stored. None: it is not to be searched.
    """

    name: str
    value: Data
    given: tuple[Any] | None = attrs.field(default=None, eq=False, repr=False)


@attrs.define(kw_only=True)
class SetAside:
    """The command at *key* took up the oldest signal *name* and could not decode it; *error* says why.

    The signal ends no wait. Replay finds it here, and does not ask today's types again.
    """

    key: Key
    name: str
    error: str


@attrs.define(kw_only=True)
class Forked:
    """An operator forked the run here: commands asked after this row belong to *run*, which continues run *of*.

    Ids, random numbers and idempotency keys derive from the run in force where the command was asked. A copy is another
    execution, with an *id* of its own, no parent, and from here on the *deadline*, None for none; without *id* the
    execution and its deadline stay. *at* is when the operator asked for it.
    """

    run: UUID
    of: UUID
    at: datetime
    id: str = ""
    deadline: datetime | None = None


@attrs.define(kw_only=True)
class Ended:
    """The run is over. *bug*: its own code was at fault, and fixed code may go on from before this row.

    *unread*: signals taken up and never waited for. *forced*: an operator ended it, wherever it stood.
    """

    status: Status
    outcome: Ok[Data] | Err
    bug: bool = False
    unread: int = 0
    forced: bool = False


Fact: TypeAlias = (
    Started
    | Answered
    | AttemptStarted
    | Retrying
    | TimerFired
    | Signalled
    | CancelRequested
    | DeadlinePassed
    | ChildFinished
    | RollbackRetried
)
Row: TypeAlias = Fact | Asked | Noted | AttributeSet | SetAside | Forked | Ended
FACTS: tuple[type, ...] = (
    Started,
    Answered,
    AttemptStarted,
    Retrying,
    TimerFired,
    Signalled,
    CancelRequested,
    DeadlinePassed,
    ChildFinished,
    RollbackRetried,
)
