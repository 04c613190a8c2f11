"""Messages that a store keeps for people: signals that a wait could not read, and events whose handler failed.

Nothing here holds up anything else. An operator looks at it, and redelivers or drops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from redrive.ports.store import Event, Json


@attrs.frozen(kw_only=True)
class NewAside:
    """A signal that a turn sets aside. *sent_at* is when it was stored, *error* why it could not be read."""

    name: str
    data: Json
    sent_at: datetime
    error: str


@attrs.frozen(kw_only=True)
class Aside:
    """A signal that was set aside, as stored. *seq* rises in the order of setting aside; *at* is when that was."""

    seq: int
    execution: str
    name: str
    data: Json
    sent_at: datetime
    error: str
    at: datetime


@attrs.frozen(kw_only=True)
class HeldEvent:
    """An event that its durable handler has not done, and has passed by.

    *attempts* of them failed (0: it waits behind an older event of its execution), the first one at *first_at*, the last
    with *error*. The next is due at *due* (None: at once). *dead*: there is no next one, until somebody redelivers it.
    """

    handler: str
    event: Event
    attempts: int = 0
    first_at: datetime | None = None
    due: datetime | None = None
    error: str = ""
    dead: bool = False


class KeepsAside(Protocol):
    """The part of a `Store` that keeps signals which were set aside."""

    async def set_aside(self, id: str | None, limit: int) -> Sequence[Aside]:
        """The signals set aside of one execution, or of all; oldest first."""
        ...

    async def redeliver(self, id: str, seqs: Sequence[int] | None) -> int:
        """Put them into the execution's inbox as if they were sent now, in their order, and keep them aside no longer; how many.

        *seqs* None: all that the execution has. Raises `ExecutionNotFound`, or `ExecutionFinished`; nothing has changed then.
        """
        ...

    async def drop_aside(self, id: str, seqs: Sequence[int] | None) -> int:
        """Forget them; how many there were."""
        ...


class HoldsEvents(Protocol):
    """The part of a `Store` that holds events for durable handlers which failed to handle them.

    Only the worker that has the handler's events in hand (see `Store.take_events`) changes anything; for others these verbs
    give back nothing and do nothing. Those of operators may come from anywhere.
    """

    async def hold_events(self, worker: str, held: Sequence[HeldEvent]) -> None:
        """Store how it stands with events of one handler, oldest first. What is newer than all that the handler has done is
        held from now on, and counts as done; what was held before is changed, unless somebody dropped it meanwhile."""
        ...

    async def held_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[HeldEvent]:
        """The oldest of each execution among those called *event* that are not dead, by when they are due, then by seq."""
        ...

    async def held_done(self, handler: str, worker: str, seq: int) -> None:
        """The handler has done an event that was held."""
        ...

    async def list_held(self, handler: str | None, dead: bool | None, limit: int) -> Sequence[HeldEvent]:
        """The held events of one handler, or of all, by handler and seq; *dead* None: both kinds."""
        ...

    async def retry_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        """Make them due at once, with no attempt behind them; *seqs* None: all that are dead. How many there were."""
        ...

    async def drop_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        """Forget them; *seqs* None: all that are dead. How many there were."""
        ...
