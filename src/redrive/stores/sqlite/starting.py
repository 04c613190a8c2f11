"""Starting executions."""

from __future__ import annotations

from redrive.ports.store import FINAL, Begun, Claim, NewExecution, Snapshot
from redrive.stores.sqlite.inboxes import deliver
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.reading import snapshot
from redrive.stores.sqlite.values import from_text, from_us, maybe_us, to_text, to_us


def start(tx: Transaction, new: NewExecution, claim_for: str | None) -> Begun:
    standing = tx.execute(SQL["started"], (to_text(new.id),)).fetchone()
    if standing is None:
        owner = claim_for if claim_for is not None and _may_own(tx, new, claim_for) else None
        begin(tx, new, owner)
        tx.news = tx.news or owner is None
        if new.first_message is None:
            return _begun(tx, new, owner)
    n, run, status = standing or (0, "", "pending")
    repeat = standing is not None and from_text(run) == new.run
    restart = not repeat and status in new.restart
    if restart:
        owner = claim_for if claim_for is not None and _may_own(tx, new, claim_for) else None
        _begin_again(tx, n, new, owner)
        tx.news = tx.news or owner is None
    if new.first_message is not None and not repeat and (restart or status not in FINAL):
        deliver(tx, new.id, new.first_message)
    now = snapshot(tx, new.id)
    assert now is not None
    created = standing is None or repeat or restart
    claim = None
    if created and claim_for is not None and now.owner == claim_for:
        (fence,) = tx.execute(SQL["fence"], (to_text(new.id),)).fetchone()
        claim = _claim(now, claim_for, fence)
    return Begun(created=created, snapshot=now, claim=claim)


def _begun(tx: Transaction, new: NewExecution, owner: str | None) -> Begun:
    """What `start` says of an execution that is new, without reading it back."""
    now = from_us(tx.now_us)
    made = Snapshot(
        id=new.id,
        workflow=new.workflow,
        status="pending",
        run=new.run,
        number=1,
        length=1,
        input=new.input,
        created_at=now,
        updated_at=now,
        wake_at=from_us(_wake_us(tx, new)),
        deadline=new.deadline,
        owner=owner,
        recoveries=0,
        attributes=new.attributes,
        outcome=None,
        unread=0,
        parked={},
        creator=new.creator,
    )
    return Begun(created=True, snapshot=made, claim=None if owner is None else _claim(made, owner, 1))


def _claim(now: Snapshot, worker: str, fence: int) -> Claim:
    return Claim(
        id=now.id,
        worker=worker,
        fence=fence,
        workflow=now.workflow,
        run=now.run,
        number=now.number,
        length=now.length,
        recoveries=now.recoveries,
    )


def begin(tx: Transaction, new: NewExecution, owner: str | None = None) -> None:
    """Write a new execution; there is none with its id."""
    names = (to_text(new.id), to_text(new.workflow), to_text(new.run), None if owner is None else to_text(owner))
    times = (_wake_us(tx, new), tx.now_us, tx.now_us, tx.now_us, maybe_us(new.deadline))
    row = (*names, 0 if owner is None else 1, *times, *_creator(new), new.attributes)
    n = tx.execute(SQL["insert_execution"], row).lastrowid
    tx.execute(SQL["begin_history"], (n, 1, tx.now_us, new.started, new.input))


def _begin_again(tx: Transaction, n: int, new: NewExecution, owner: str | None) -> None:
    for forget in ("forget_inbox", "forget_landed", "forget_parked"):
        tx.execute(SQL[forget], (n,))
    names = (to_text(new.workflow), to_text(new.run), None if owner is None else to_text(owner))
    times = (_wake_us(tx, new), tx.now_us, maybe_us(new.deadline))
    row = (*names, 0 if owner is None else 1, *times, *_creator(new), new.attributes, n)
    ((number,),) = tx.execute(SQL["restart_execution"], row).fetchall()
    tx.execute(SQL["begin_history"], (n, number, tx.now_us, new.started, new.input))


def _wake_us(tx: Transaction, new: NewExecution) -> int:
    return tx.now_us if new.not_before is None else to_us(new.not_before)


def _creator(new: NewExecution) -> tuple[str | None, str | None, str | None]:
    if new.creator is None:
        return (None, None, None)
    return (to_text(new.creator.id), to_text(new.creator.run), to_text(new.creator.key))


def _may_own(tx: Transaction, new: NewExecution, worker: str) -> bool:
    return _wake_us(tx, new) <= tx.now_us and tx.execute(SQL["alive"], (to_text(worker), tx.now_us)).fetchone() is not None
