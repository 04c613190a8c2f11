"""Inboxes: storing messages, and reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redrive.ports.store import FINAL, Message, NewMessage
from redrive.status import CANCELLING, COMPENSATION_FAILED, PARKED, PAUSED, PENDING, RUNNING
from redrive.stores.bell import WORK
from redrive.stores.common import short_key
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.values import from_text, from_us, to_text
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound


def deliver(tx: Transaction, id: str, message: NewMessage) -> bool:
    """Store *message* in an inbox and make the execution due; False for a repeat. Refuses before it writes."""
    found = tx.execute(SQL["target"], (to_text(id),)).fetchone()
    if found is None:
        raise ExecutionNotFound(id)
    n, status, number, cancelled_run, wake_us, stored_us = found
    cancel, again = message.kind == "cancel", message.kind == "retry_rollback"
    dedup = None if message.dedup is None else to_text(short_key(message.dedup))
    if (cancel and cancelled_run == number) or (dedup is not None and tx.execute(SQL["has_landed"], (n, dedup)).fetchone()):
        return False
    ended = status in FINAL
    if again and not ended:
        return False
    if ended and not (again and status == COMPENSATION_FAILED):
        raise ExecutionFinished(id, f"it is {status}")

    if dedup is not None:
        tx.execute(SQL["insert_landed"], (n, dedup))
    stored_us = max(tx.now_us, stored_us)
    seq = tx.execute(SQL["insert_message"], (n, message.kind, to_text(message.name), message.data, stored_us)).lastrowid
    if again:
        tx.execute(SQL["forget_outcome"], (n,))
    # A signal must not start what is to start later.
    if status != PENDING or cancel:
        wake_us = tx.now_us if wake_us is None else min(wake_us, tx.now_us)
    if again:
        status = RUNNING
    elif cancel and status == PARKED:
        tx.execute(SQL["hurry"], (tx.now_us, n))
    elif cancel and status != PAUSED:
        status = CANCELLING
    tx.execute(SQL["wake"], (seq, stored_us, status, wake_us, number if cancel else cancelled_run, tx.now_us, n))
    tx.news |= WORK
    return True


def inbox(tx: Transaction, n: int, after: int = 0) -> tuple[Message, ...]:
    """What lies in an inbox behind the seq *after*."""
    return tuple([_message(*row) for row in tx.execute(SQL["inbox"], (n, after))])


def mail(tx: Transaction, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
    newest = last_seq(tx, "inbox")
    found: dict[str, list[Message]] = {}
    if newest > after:
        for id, *row in tx.execute(SQL["mail"], (after, to_text(worker))):
            found.setdefault(from_text(id), []).append(_message(*row))
    return newest, {id: tuple(messages) for id, messages in found.items()}


def last_seq(tx: Transaction, table: str) -> int:
    found = tx.execute(SQL["newest"], (table,)).fetchone()
    return 0 if found is None else int(found[0])


def _message(seq: int, kind: str, name: str, data: str, stored_us: int) -> Message:
    return Message(seq=seq, kind=kind, name=from_text(name), data=data, stored_at=from_us(stored_us))
