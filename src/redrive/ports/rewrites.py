"""Acts of operators in a store: the history of a run written anew, and the audit of all they did.

Nothing stored is changed in place: a rewrite makes the edited history the next *number* of the execution, and the one before
stays readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import attrs

from redrive.status import RUNNING

if TYPE_CHECKING:
    from redrive.ports.finding import Searchable
    from redrive.ports.store import Json, Outgoing, Snapshot
    from redrive.status import ExecutionStatus


def _new_key() -> str:
    return str(uuid4())


@attrs.frozen(kw_only=True)
class NewAudit:
    """An act of an operator on an execution, and the reason. *detail* is a JSON object. *key* makes the act land once."""

    verb: str
    by: str = ""
    reason: str = ""
    detail: Json = "{}"
    key: str = attrs.Factory(_new_key)


@attrs.frozen(kw_only=True)
class Audit:
    """An act of an operator, as stored. *seq* rises in the order of storing."""

    seq: int
    execution: str
    at: datetime
    by: str
    verb: str
    reason: str
    detail: Json
    key: str


@attrs.frozen(kw_only=True)
class PutBack:
    """A message that a run had taken and its edited history has not: it goes back into the inbox, as it was stored.

    *kind* is one of a message, or ``retrying`` (name = key, data = what `row_json` makes of the row) or ``attempt`` (the same).
    """

    kind: str
    name: str
    data: Json
    stored_at: datetime


@attrs.frozen(kw_only=True)
class Rewrite:
    """The whole new history of an execution, its next number. It expects *number*, *length* and *before* (the status), else `Stale`.

    *rows* begin with a `Started` row; *run* is that of the last `Forked` one, else the start's. *status*, *wake_at* and *waits* are what a
    turn would say. *deadline* and *outcome* take the place of those before, and so do *attributes* with *searchable*, unless they are None;
    attributes without texts are made searchable when somebody searches for them.

    *back* goes into the inbox before all that is unread there, in its order. Answers to commands that are not in *asked*, and ends
    of children that are not in *children*, are deleted from it. *cancelled*: the new history holds a cancel.
    *outgoing* is sent with it, and asks for no answer. *audit* is stored with it; one whose key is there makes it a repeat.
    """

    number: int
    length: int
    before: ExecutionStatus
    rows: Sequence[Json]
    run: str
    status: ExecutionStatus
    wake_at: datetime | None = None
    deadline: datetime | None = None
    attributes: Json | None = None
    searchable: Searchable = ()
    waits: str = ""
    outcome: Json | None = None
    unread: int = 0
    back: Sequence[PutBack] = ()
    asked: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    cancelled: bool = False
    outgoing: Sequence[Outgoing] = ()
    audit: NewAudit


@attrs.frozen(kw_only=True)
class Hold:
    """*paused*: hold an execution back; else let it go on, in *status*, and a pending one not before *wake_at*."""

    paused: bool
    status: ExecutionStatus = RUNNING
    wake_at: datetime | None = None
    audit: NewAudit


class RewritesHistories(Protocol):
    """The part of a `Store` that operators write to."""

    async def rewrite(self, id: str, change: Rewrite) -> Snapshot:
        """Make the rows of *change* the next number of the execution; how it stands then.

        Its owner loses its claim, as every claim before it does (the fence is raised), parks and the count of recoveries end, and
        an outcome that was stored is forgotten unless *change* brings one; then parents are told, as by a turn. Raises
        `ExecutionNotFound`, and `Stale` if the execution has gone on since; nothing was written then.
        """
        ...

    async def hold(self, id: str, change: Hold) -> bool:
        """Pause an execution, or end its pause; False if it is so already, or is being cancelled. A repeat is answered as before.

        A paused one is never due, and its owner's turns are refused as `Stale`: answers of bodies that run still come with
        `Turn.held`. Messages are accepted; a cancel, and a `rewrite` that ends it, end the pause. Raises `ExecutionNotFound`,
        `ExecutionFinished`.
        """
        ...

    async def operated(self, after: int | None) -> tuple[int, Sequence[str]]:
        """The newest seq of the audit, and the executions of the acts after *after*, each once; None: of no act."""
        ...

    async def audit(self, id: str | None, limit: int) -> Sequence[Audit]:
        """The acts of operators on one execution, or to all: the newest *limit*, oldest first. It outlives the execution."""
        ...
