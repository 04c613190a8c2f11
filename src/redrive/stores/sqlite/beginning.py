"""Writing a new execution, or the next run of one that ended."""

from __future__ import annotations

import json
from typing import Final

from redrive.ports.store import Creator, NewExecution
from redrive.stores.ledger.locked_execution import UNQUEUED, WAITING
from redrive.stores.ledger.unit_of_work import Restart
from redrive.stores.sqlite.column_values import maybe_us, to_text, to_us
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL

_FORGET_TEXT: Final = SQL["forget_text"]
_ADD_TEXT: Final = SQL["add_text"]


def begin(tx: Transaction, new: NewExecution, owner: str | None = None, root: str | None = None, host: int | None = None) -> int:
    """Write a new execution, whose id is free; returns its row's number."""
    names = (to_text(new.id), to_text(new.workflow), to_text(new.run), None if owner is None else to_text(owner))
    times = (wake_us(tx, new), tx.now_us, tx.now_us, tx.now_us, maybe_us(new.deadline))
    family = (None if root is None else to_text(root), *_place(new), host)
    row = (*names, 0 if owner is None else 1, *times, *_creator(new.creator), new.attributes, *family)
    n = tx.execute(SQL["insert_execution"], row).lastrowid
    assert n is not None
    tx.execute(SQL["begin_history"], (n, 1, tx.now_us, new.started, new.input))
    return n


def begin_again(tx: Transaction, restart: Restart) -> None:
    """Write the next run of an execution that has ended, the columns apart that are saved with each change."""
    n, new = restart.execution.n, restart.new
    root = None if restart.execution.root is None else to_text(restart.execution.root)
    for forget in ("forget_inbox", "forget_landed", "forget_parked", "forget_attributes"):
        tx.execute(SQL[forget], (n,))
    place = *_place(new)[:2], restart.execution.host
    tx.execute(
        SQL["begin_again"], (restart.number, maybe_us(new.deadline), *_creator(restart.execution.creator), new.attributes, root, *place, n)
    )
    tx.execute(SQL["begin_history"], (n, restart.number, tx.now_us, new.started, new.input))


def index(tx: Transaction, n: int, attribute: str, texts: tuple[str, ...]) -> None:
    """Have an execution found by *texts* of an attribute, and no others; nothing is written if it is so already."""
    name = to_text(attribute)
    if len(texts) <= 1:
        tx.execute(_FORGET_TEXT, (n, name, texts[0] if texts else ""))
    else:
        tx.execute(SQL["forget_texts"], (n, name, json.dumps(texts)))
    for text in texts:
        tx.execute(_ADD_TEXT, (n, name, text))


def wake_us(tx: Transaction, new: NewExecution) -> int | None:
    if new.queue is not None:
        return maybe_us(new.deadline)
    return tx.now_us if new.not_before is None else to_us(new.not_before)


def _place(new: NewExecution) -> tuple[str | None, str | None, int]:
    """queue, partition and queued."""
    return (None, None, UNQUEUED) if new.queue is None else (to_text(new.queue), to_text(new.partition), WAITING)


def _creator(creator: Creator | None) -> tuple[str | None, str | None, str | None]:
    if creator is None:
        return (None, None, None)
    return (to_text(creator.id), to_text(creator.run), to_text(creator.key))
