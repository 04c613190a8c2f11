"""Messages that are kept for people: signals that were set aside, and events that wait for their handlers or are dead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.store import Event, NewMessage
from redrive.stores.change_notifier import EVENTS
from redrive.stores.ledger.reach import Reach
from redrive.stores.sqlite.column_values import from_text, from_us, maybe_from_us, maybe_us, to_text, to_us
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.unit_rows import lock, write
from redrive_interpreter.errors import ExecutionNotFound


# ── signals ─────────────────────────────────────────────────────────────────────────────────────
def set_aside(tx: Transaction, id: str | None, limit: int) -> Sequence[Aside]:
    rows = tx.execute(SQL["all_aside"], (limit,)) if id is None else tx.execute(SQL["aside_of"], (to_text(id), limit))
    return tuple(_aside(*row) for row in rows)


def redeliver(tx: Transaction, id: str, seqs: Sequence[int] | None) -> int:
    chosen = [one for one in set_aside(tx, id, -1) if seqs is None or one.seq in seqs]
    work = lock(tx, Reach(ids=[id]))
    target = work.executions.get(id)
    if target is None:
        raise ExecutionNotFound(id)
    for one in chosen:  # refused before anything is written, or not at all
        work.deliver(target, NewMessage(kind="signal", name=one.name, data=one.data))
    write(tx, work)
    _forget(tx, target.n, chosen)
    return len(chosen)


def drop_aside(tx: Transaction, id: str, seqs: Sequence[int] | None) -> int:
    n = _number(tx, id)
    chosen = [one for one in set_aside(tx, id, -1) if seqs is None or one.seq in seqs]
    _forget(tx, n, chosen)
    return len(chosen)


def _forget(tx: Transaction, n: int, chosen: Sequence[Aside]) -> None:
    for one in chosen:
        tx.execute(SQL["forget_aside"], (n, one.seq))


def _number(tx: Transaction, id: str) -> int:
    found = tx.execute(SQL["started"], (to_text(id),)).fetchone()
    if found is None:
        raise ExecutionNotFound(id)
    return int(found[0])


def _aside(seq: int, id: str, name: str, data: str, sent_us: int, error: str, at_us: int) -> Aside:
    return Aside(
        seq=seq,
        execution=from_text(id),
        name=from_text(name),
        data=data,
        sent_at=from_us(sent_us),
        error=from_text(error),
        at=from_us(at_us),
    )


# ── events ──────────────────────────────────────────────────────────────────────────────────────
def hold_events(tx: Transaction, worker: str, held: Sequence[HeldEvent]) -> None:
    for one in held:
        known = tx.execute(SQL["handler"], (to_text(one.handler),)).fetchone()
        if known is None or known[2] != to_text(worker):
            return
        how = (int(one.dead), one.attempts, maybe_us(one.first_at), maybe_us(one.due), to_text(one.error))
        handler, event = to_text(one.handler), one.event
        if event.seq <= known[1]:
            tx.execute(SQL["change_held"], (*how, handler, event.seq))
            continue
        what = (to_text(event.name), event.payload, to_text(event.execution), to_us(event.at))
        tx.execute(SQL["hold"], (handler, event.seq, *what, *how))
        tx.execute(SQL["events_done"], (event.seq, handler, to_text(worker), event.seq))


def held_events(tx: Transaction, handler: str, event: str, worker: str, limit: int) -> Sequence[HeldEvent]:
    rows = tx.execute(SQL["held_events"], (to_text(handler), to_text(event), to_text(worker), limit))
    return tuple(_held(*row) for row in rows)


def held_done(tx: Transaction, handler: str, worker: str, seq: int) -> None:
    tx.execute(SQL["held_done"], (to_text(handler), seq, to_text(worker)))


def list_held(tx: Transaction, handler: str | None, dead: bool | None, limit: int) -> Sequence[HeldEvent]:
    rows = tx.execute(
        SQL["list_held"],
        {"handler": None if handler is None else to_text(handler), "dead": None if dead is None else int(dead), "limit": limit},
    )
    return tuple(_held(*row) for row in rows)


def retry_held(tx: Transaction, handler: str, seqs: Sequence[int] | None) -> int:
    return _each(tx, "retry_held", handler, seqs)


def drop_held(tx: Transaction, handler: str, seqs: Sequence[int] | None) -> int:
    return _each(tx, "drop_held", handler, seqs)


def _each(tx: Transaction, query: str, handler: str, seqs: Sequence[int] | None) -> int:
    if seqs is None:
        found = tx.execute(SQL[f"{query}_dead"], (to_text(handler),)).rowcount
    else:
        found = sum(tx.execute(SQL[query], (to_text(handler), seq)).rowcount for seq in dict.fromkeys(seqs))
    if found:
        tx.news |= EVENTS
    return found


def _held(*row: Any) -> HeldEvent:
    handler, seq, name, payload, execution, at_us, dead, attempts, first_us, due_us, error = row
    return HeldEvent(
        handler=from_text(handler),
        event=Event(seq=seq, name=from_text(name), payload=payload, execution=from_text(execution), at=from_us(at_us)),
        attempts=attempts,
        first_at=maybe_from_us(first_us),
        due=maybe_from_us(due_us),
        error=from_text(error),
        dead=bool(dead),
    )
