"""Starting executions."""

from __future__ import annotations

import contextlib

import attrs

from redrive.ports.store import FINAL, Begun, Claim, Committed, NewExecution, Snapshot, Stale, Turn
from redrive.status import PENDING
from redrive.stores.bell import WORK
from redrive.stores.sqlite.beginning import begin, begin_again, wake_us
from redrive.stores.sqlite.inboxes import deliver
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.reading import snapshot
from redrive.stores.sqlite.turns import commit
from redrive.stores.sqlite.values import from_text, from_us, to_text
from redrive.stores.sqlite.witness import is_alive


def start(tx: Transaction, new: NewExecution, claim_for: str | None, first: Turn | None = None) -> Begun:
    standing = tx.execute(SQL["started"], (to_text(new.id),)).fetchone()
    if standing is None:
        owner = claim_for if claim_for is not None and _may_own(tx, new, claim_for) else None
        begin(tx, new, owner)
        if owner is None:
            tx.news |= WORK
        if new.first_message is None:
            begun = _begun(tx, new, owner)
            if begun.claim is None or first is None:
                return begun
            return attrs.evolve(begun, committed=commit(tx, begun.claim, first))
    n, run, status = standing or (0, "", PENDING)
    repeat = standing is not None and from_text(run) == new.run
    restart = not repeat and status in new.restart
    if restart:
        owner = claim_for if claim_for is not None and _may_own(tx, new, claim_for) else None
        begin_again(tx, n, new, owner)
        if owner is None:
            tx.news |= WORK
    if new.first_message is not None and not repeat and (restart or status not in FINAL):
        deliver(tx, new.id, new.first_message)
    now = snapshot(tx, new.id)
    assert now is not None
    created = standing is None or repeat or restart
    claim = None
    if created and claim_for is not None and now.owner == claim_for:
        (fence,) = tx.execute(SQL["fence"], (to_text(new.id),)).fetchone()
        claim = _claim(now, claim_for, fence)
    committed: Committed | None = None
    if claim is not None and first is not None and new.first_message is None:
        with contextlib.suppress(Stale):  # a repeat, and it has gone on since
            committed = commit(tx, claim, first)
            claim = attrs.evolve(claim, length=1)
    return Begun(created=created, snapshot=now, claim=claim, committed=committed)


def _begun(tx: Transaction, new: NewExecution, owner: str | None) -> Begun:
    """What `start` says of an execution that is new, without reading it back."""
    now = from_us(tx.now_us)
    made = Snapshot(
        id=new.id,
        workflow=new.workflow,
        status=PENDING,
        run=new.run,
        number=1,
        length=1,
        input=new.input,
        created_at=now,
        updated_at=now,
        wake_at=from_us(wake_us(tx, new)),
        deadline=new.deadline,
        owner=owner,
        recoveries=0,
        attributes=new.attributes,
        outcome=None,
        unread=0,
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


def _may_own(tx: Transaction, new: NewExecution, worker: str) -> bool:
    return wake_us(tx, new) <= tx.now_us and is_alive(tx, worker)
