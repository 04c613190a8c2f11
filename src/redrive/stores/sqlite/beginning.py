"""Writing a new execution, or the next run of one that ended."""

from __future__ import annotations

from redrive.ports.store import NewExecution
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.values import maybe_us, to_text, to_us


def begin(tx: Transaction, new: NewExecution, owner: str | None = None) -> None:
    """Write a new execution; there is none with its id."""
    names = (to_text(new.id), to_text(new.workflow), to_text(new.run), None if owner is None else to_text(owner))
    times = (wake_us(tx, new), tx.now_us, tx.now_us, tx.now_us, maybe_us(new.deadline))
    row = (*names, 0 if owner is None else 1, *times, *_creator(new), new.attributes)
    n = tx.execute(SQL["insert_execution"], row).lastrowid
    tx.execute(SQL["begin_history"], (n, 1, tx.now_us, new.started, new.input))


def begin_again(tx: Transaction, n: int, new: NewExecution, owner: str | None) -> None:
    for forget in ("forget_inbox", "forget_landed", "forget_parked"):
        tx.execute(SQL[forget], (n,))
    names = (to_text(new.workflow), to_text(new.run), None if owner is None else to_text(owner))
    times = (wake_us(tx, new), tx.now_us, maybe_us(new.deadline))
    row = (*names, 0 if owner is None else 1, *times, *_creator(new), new.attributes, n)
    ((number,),) = tx.execute(SQL["restart_execution"], row).fetchall()
    tx.execute(SQL["begin_history"], (n, number, tx.now_us, new.started, new.input))


def wake_us(tx: Transaction, new: NewExecution) -> int:
    return tx.now_us if new.not_before is None else to_us(new.not_before)


def _creator(new: NewExecution) -> tuple[str | None, str | None, str | None]:
    if new.creator is None:
        return (None, None, None)
    return (to_text(new.creator.id), to_text(new.creator.run), to_text(new.creator.key))
