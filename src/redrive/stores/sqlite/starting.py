"""Starting executions."""

from __future__ import annotations

from redrive.ports.store import FINAL, Begun, Claim, NewExecution
from redrive.stores.sqlite.inboxes import deliver
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.reading import snapshot
from redrive.stores.sqlite.threads import Transaction
from redrive.stores.sqlite.values import from_text, maybe_us, to_text


def start(tx: Transaction, new: NewExecution, claim_for: str | None) -> Begun:
    standing = tx.execute(SQL["started"], (to_text(new.id),)).fetchone()
    repeat = standing is not None and from_text(standing[1]) == new.run
    created = standing is None or repeat or standing[2] in new.restart
    owner = None
    if standing is None or (created and not repeat):
        owner = claim_for if claim_for is not None and _may_own(tx, new, claim_for) else None
        if standing is None:
            begin(tx, new, owner)
        else:
            _begin_again(tx, standing[0], new, owner)
        tx.news = tx.news or owner is None
        if new.first_message is not None:
            deliver(tx, new.id, new.first_message)
    elif new.first_message is not None and not repeat and standing[2] not in FINAL:
        deliver(tx, new.id, new.first_message)
    now = snapshot(tx, new.id)
    assert now is not None
    claim = None
    if created and claim_for is not None and now.owner == claim_for:
        (fence,) = tx.execute(SQL["fence"], (to_text(new.id),)).fetchone()
        claim = Claim(
            id=now.id,
            worker=claim_for,
            fence=fence,
            workflow=now.workflow,
            run=now.run,
            number=now.number,
            length=now.length,
            recoveries=now.recoveries,
        )
    return Begun(created=created, snapshot=now, claim=claim)


def begin(tx: Transaction, new: NewExecution, owner: str | None = None) -> None:
    """Write a new execution; there is none with its id."""
    row = (
        to_text(new.id),
        to_text(new.workflow),
        to_text(new.run),
        None if owner is None else to_text(owner),
        0 if owner is None else 1,
        tx.now_us if new.not_before is None else maybe_us(new.not_before),
        tx.now_us,
        tx.now_us,
    )
    n = tx.execute(SQL["insert_execution"], row).lastrowid
    assert n is not None
    _put_input(tx, n, new, tx.now_us)
    tx.execute(SQL["append"], (n, 1, 0, new.started))


def _begin_again(tx: Transaction, n: int, new: NewExecution, owner: str | None) -> None:
    (created_us,) = tx.execute(SQL["created_us"], (n,)).fetchone()
    for forget in ("forget_inbox", "forget_landed", "forget_parked"):
        tx.execute(SQL[forget], (n,))
    row = (
        to_text(new.workflow),
        to_text(new.run),
        None if owner is None else to_text(owner),
        0 if owner is None else 1,
        tx.now_us if new.not_before is None else maybe_us(new.not_before),
        tx.now_us,
        n,
    )
    ((number,),) = tx.execute(SQL["restart_execution"], row).fetchall()
    _put_input(tx, n, new, created_us)
    tx.execute(SQL["append"], (n, number, 0, new.started))


def _put_input(tx: Transaction, n: int, new: NewExecution, created_us: int) -> None:
    creator: tuple[str | None, str | None, str | None] = (None, None, None)
    if new.creator is not None:
        creator = (to_text(new.creator.id), to_text(new.creator.run), to_text(new.creator.key))
    tx.execute(SQL["insert_input"], (n, new.input, new.attributes, created_us, maybe_us(new.deadline), *creator))


def _may_own(tx: Transaction, new: NewExecution, worker: str) -> bool:
    due = new.not_before is None or (maybe_us(new.not_before) or 0) <= tx.now_us
    return due and tx.execute(SQL["alive"], (to_text(worker), tx.now_us)).fetchone() is not None
