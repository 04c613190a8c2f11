"""Reading inboxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redrive.ports.store import Message
from redrive.stores.sqlite.column_values import from_text, from_us, to_text
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL


def inbox(tx: Transaction, n: int, after: int = 0) -> tuple[Message, ...]:
    """The messages in an inbox behind the seq *after*."""
    return tuple([_message(*row) for row in tx.execute(SQL["inbox"], (n, after))])


def poll_inboxes(tx: Transaction, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
    newest = last_seq(tx, "inbox")
    found: dict[str, list[Message]] = {}
    if newest > after:
        for id, *row in tx.execute(SQL["poll_inboxes"], (after, to_text(worker))):
            found.setdefault(from_text(id), []).append(_message(*row))
    return newest, {id: tuple(messages) for id, messages in found.items()}


def last_seq(tx: Transaction, table: str) -> int:
    found = tx.execute(SQL["newest"], (table,)).fetchone()
    return 0 if found is None else int(found[0])


def _message(seq: int, kind: str, name: str, data: str, stored_us: int) -> Message:
    return Message(seq=seq, kind=kind, name=from_text(name), data=data, stored_at=from_us(stored_us))
