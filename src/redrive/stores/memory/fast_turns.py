"""The fast path: turns and signals that concern their own execution only are written at once. Whatever these functions do not
take is worked out by the rules of the ledger, which also say why it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redrive.ports.store import FINAL, Message
from redrive.status import PAUSED, PENDING
from redrive.stores.common import short_key
from redrive.stores.ledger.changes import ENDS, EVENTS
from redrive.stores.ledger.locked_execution import WAITING
from redrive.stores.times import from_us, to_us

if TYPE_CHECKING:
    from redrive.ports.store import Claim, NewMessage, Turn
    from redrive.stores.memory.indexes import Indexes
    from redrive.stores.memory.record import Record


def commit(tables: Indexes, claim: Claim, turn: Turn, now_us: int) -> int | None:
    """Write *turn* if it is plain: nothing refuses it, no message is there that it does not know of, and no other execution is to
    be told. Returns the changes to announce; None if the turn is not plain."""
    others = turn.children or turn.outgoing or turn.aside or turn.held
    if others or turn.next_run is not None or turn.awaits is not None:
        return None
    record = tables.records.get(claim.id)
    if record is None or record.fence != claim.fence or record.owner != claim.worker or record.status == PAUSED:
        return None
    current, ends, inbox = record.current, turn.status in FINAL, record.inbox
    if turn.expects != current.length or claim.number != len(record.runs):
        return None
    if turn.deadline is not None and to_us(turn.deadline) <= now_us:
        return None
    if inbox:
        newest = inbox[-1].seq
        if newest > turn.seen or (newest > turn.taken and (ends or record.cancelled_run)):
            return None
    if ends and record.creator is not None:
        return None
    if record.queued and (ends or record.queued == WAITING or record.is_parked):
        return None

    while inbox and inbox[0].seq <= turn.taken:
        inbox.popleft()
    if turn.rows:
        current.append(",".join(turn.rows), current.length + len(turn.rows))
        record.recoveries = 0
    if turn.attributes is not None:
        record.attributes = turn.attributes
    for name, texts in turn.searchable:
        record.index(name, texts)
    record.waits = turn.waits
    if record.parks:
        tables.parks.goes_on(record, claim.worker)
    changes = 0
    if turn.events:
        tables.events.emit(record.id, record.emitted, turn.events, from_us(now_us))
        changes = EVENTS
    record.updated_us, record.status, record.unread = now_us, turn.status, turn.unread
    record.wake_us = None if turn.wake_at is None else to_us(turn.wake_at)
    if inbox:
        record.wake_us = now_us if record.wake_us is None else min(record.wake_us, now_us)
    if not ends:
        return changes
    record.outcome, record.wake_us = turn.outcome, None
    tables.give(record, None)
    return changes | ENDS


def send(tables: Indexes, record: Record, message: NewMessage, now_us: int) -> bool | None:
    """Store *message* if it is a signal to an execution that has not ended; False for a repeat, None if it is anything else."""
    if message.kind != "signal" or record.status in FINAL:
        return None
    if message.dedup is not None:
        key = short_key(message.dedup)
        if key in record.dedup_keys:
            return False
        record.dedup_keys.add(key)
    tables.newest_message += 1
    record.stored_us = max(now_us, record.stored_us)
    record.inbox.append(
        Message(
            seq=tables.newest_message,
            kind=message.kind,
            name=message.name,
            data=message.data,
            stored_at=from_us(record.stored_us),
        )
    )
    record.updated_us = now_us
    if record.queued == WAITING:
        return True
    if record.status not in (PENDING, PAUSED) and (record.wake_us is None or record.wake_us > now_us):
        record.wake_us = now_us
        tables.due.put(record)
    return True
