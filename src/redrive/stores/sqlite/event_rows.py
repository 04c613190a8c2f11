"""Events: emitted with a turn, read by position."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from redrive.ports.store import Event, NewEvent
from redrive.stores.common import EVENTS_KEPT, PRUNE_EVERY
from redrive.stores.sqlite.column_values import from_text, from_us, to_text
from redrive.stores.sqlite.inbox_rows import last_seq
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.lock_witness import is_alive
from redrive.stores.sqlite.queries import SQL

_KEPT_US: Final = EVENTS_KEPT // timedelta(microseconds=1)
_PRUNE_EVERY_US: Final = PRUNE_EVERY // timedelta(microseconds=1)


def emit(tx: Transaction, execution: str, run: str, new: Sequence[NewEvent]) -> None:
    """*run* is as the database has it."""
    for event in new:
        tx.execute(SQL["emit"], (to_text(event.name), event.payload, to_text(execution), run, to_text(event.key), tx.now_us))
    if new and tx.now_us - tx.memo.pruned_us >= _PRUNE_EVERY_US:
        _prune(tx)


def _prune(tx: Transaction) -> None:
    (tx.memo.pruned_us,) = tx.execute(SQL["counter"], ("pruned_us",)).fetchone()
    if tx.now_us - tx.memo.pruned_us >= _PRUNE_EVERY_US:
        tx.execute(SQL["prune_events"], (tx.now_us - _KEPT_US,))
        tx.execute(SQL["set_counter"], (tx.now_us, "pruned_us"))
        tx.memo.pruned_us = tx.now_us


def events(tx: Transaction, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[Event]]:
    newest = last_seq(tx, "events")
    if after is None:
        return newest, ()
    found = _after(tx, after, names, limit) if newest > after else ()
    return found[-1].seq if found and len(found) == limit else max(after, newest), found


def newer_events(tx: Transaction, handler: str, event: str, worker: str, limit: int) -> Sequence[Event] | None:
    """The events of *handler* that *worker* has in hand; None: that must be settled first (by `take_events`)."""
    known = tx.execute(SQL["handler"], (to_text(handler),)).fetchone()
    if known is None:
        return None
    _, done, holder = known
    if holder != to_text(worker):
        return () if is_alive(tx, from_text(holder)) else None
    return _after(tx, done, [event], limit)


def take_events(tx: Transaction, handler: str, event: str, worker: str, limit: int) -> Sequence[Event]:
    known = tx.execute(SQL["handler"], (to_text(handler),)).fetchone()
    holder, name = to_text(worker), to_text(event)
    done = last_seq(tx, "events") if known is None else known[1]
    if known is not None and known[2] != holder and is_alive(tx, from_text(known[2])):
        return ()
    if known is None or (known[0], known[2]) != (name, holder):
        tx.execute(SQL["set_handler"], (to_text(handler), name, done, holder))
    return _after(tx, done, [event], limit)


def events_done(tx: Transaction, handler: str, worker: str, through: int) -> None:
    tx.execute(SQL["events_done"], (through, to_text(handler), to_text(worker), through))


def _after(tx: Transaction, after: int, names: Sequence[str], limit: int) -> tuple[Event, ...]:
    by_name = [tx.execute(SQL["events_after"], (to_text(name), after, limit)).fetchall() for name in frozenset(names)]
    return tuple(
        Event(seq=seq, name=from_text(name), payload=payload, execution=from_text(execution), at=from_us(at_us))
        for seq, name, payload, execution, at_us in list(heapq.merge(*by_name))[:limit]
    )
