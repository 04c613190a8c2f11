"""Inboxes: messages that take the slow path, and a worker's mail.

A message becomes visible when its sender commits, which need not be in the order of seq. So each look at a worker's
mail notes the oldest transaction that was under way; the next one begins with what that and later ones brought. What
it finds twice its reader knows by its seq, which rises within one inbox.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from redrive.ports.store import Message, NewMessage
from redrive.stores.ledger import turn_rules
from redrive.stores.ledger.reach import reach_of_message
from redrive.stores.postgres.parameters import from_text, to_text
from redrive.stores.postgres.session import Session, Sessions
from redrive.stores.postgres.unit_statements import lock, read_message, write
from redrive_interpreter.errors import ExecutionNotFound


async def send(session: Session, id: str, message: NewMessage) -> tuple[bool, int, int]:
    """Whether it was stored, the changes, and the time."""
    work = await lock(session, reach_of_message(id, message))
    target = work.executions.get(id)
    if target is None:
        raise ExecutionNotFound(id)
    stored = turn_rules.send(work, target, message)
    await write(session, work)
    return stored, work.changes, work.now_us


@attrs.define(eq=False)
class Mailbox:
    """Where each worker's last look at its mail ended."""

    sessions: Sessions
    _looks: dict[str, tuple[int, str]] = attrs.Factory(dict[str, tuple[int, str]])

    async def poll_inboxes(self, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
        look = self._looks.get(worker)
        if look is not None and look[0] == after:
            rows = await self.sessions.rows("mail_since", to_text(worker), look[1])
        else:
            rows = await self.sessions.rows("poll_inboxes", to_text(worker), after)
        last, oldest = rows[0][:2]
        newest = max(after, last)
        self._looks[worker] = (newest, oldest)
        found: dict[str, list[Message]] = {}
        for row in rows:
            if row[2] is not None:
                found.setdefault(from_text(row[2]), []).append(read_message(*row[3:]))
        return newest, {id: tuple(messages) for id, messages in found.items()}

    def forget(self, worker: str) -> None:
        self._looks.pop(worker, None)
