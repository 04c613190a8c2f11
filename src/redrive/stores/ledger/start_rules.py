"""The rules of starts: a new execution, the same start again, or the next run of one that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from redrive.ports.store import Stale
from redrive.stores.common import short_key
from redrive.stores.ledger.changes import WORK
from redrive.stores.ledger.rewrite_rules import back_into
from redrive.stores.ledger.search import unknown_texts
from redrive.stores.ledger.turn_rules import apply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redrive.ports.store import Claim, NewExecution, Turn
    from redrive.stores.ledger.locked_execution import LockedExecution
    from redrive.stores.ledger.reach import AskedStart, AskedTurn
    from redrive.stores.ledger.unit_of_work import UnitOfWork


@attrs.define(eq=False)
class Started:
    """The result of a start; *committed*: its first turn is applied, or was before. *id* is another execution's if that holds the
    dedup key."""

    created: bool
    claim: Claim | None
    committed: bool = False
    id: str = ""


def first_turns(work: UnitOfWork, asked: Iterable[AskedStart]) -> list[AskedTurn]:
    """The first turns of starts that may be repeats, for `possible_repeats`."""
    turns: list[AskedTurn] = []
    for new, claim_for, first in asked:
        standing = work.executions.get(new.id)
        if first is not None and claim_for is not None and standing is not None and standing.run == new.run:
            turns.append((_first_claim(standing, claim_for), first))
    return turns


def start(work: UnitOfWork, new: NewExecution, claim_for: str | None, first: Turn | None, *, alive: bool) -> Started | None:
    """Start *new*, owned by *claim_for* if that worker is *alive* and the execution is due; None if it has to wait for the next
    transaction, since another request of this one has to do with it."""
    standing = work.executions.get(new.id)
    if standing is not None and (standing.changed or standing.is_new):
        return None
    repeat = standing is not None and standing.run == new.run
    created = standing is None or repeat or standing.status in new.restart
    if created and not repeat and (holder := _holder(work, new)) is not None:
        return Started(created=False, claim=None, id=holder)
    wake_us = work.wake_us(new)
    owner = claim_for if alive and new.queue is None and wake_us is not None and wake_us <= work.now_us else None
    if standing is None:
        standing = work.begin(new, owner)
        if new.history:
            _copy(work, standing, new)
    elif created and not repeat:
        work.begin_again(standing, new, owner)
    if new.first_message is not None and not standing.ended and not repeat:
        work.deliver(standing, new.first_message)
    claim = standing.claim(claim_for) if created and claim_for is not None and standing.owner == claim_for else None
    started = Started(created, claim, id=new.id)
    work.changes |= WORK if claim is None else 0
    if claim is not None and first is not None and new.first_message is None:
        claim = _first_claim(standing, claim.worker)
        try:
            apply(work, claim, first, alone=True)
            started.claim, started.committed = claim, True
        except Stale:
            started.committed = False  # a repeat, and the execution has gone on since; or its deadline has passed
    return started


def _copy(work: UnitOfWork, copy: LockedExecution, new: NewExecution) -> None:
    """Give a new execution the history of another one, and what that has asked and been answered since."""
    copy.length += len(new.history)
    copy.changed = True
    if not new.searchable:
        work.index(copy, unknown_texts(new.attributes))
    work.append(copy, ",".join(new.history))
    work.messages += back_into(copy, new.back, ())
    if new.audit is not None:
        work.audits += [(id, new.audit) for id in (new.id, new.copy_of) if id is not None]


def _holder(work: UnitOfWork, new: NewExecution) -> str | None:
    """The execution that holds the dedup key of *new* in its queue."""
    return None if new.queue is None or new.dedup is None else work.holders.get((new.queue, short_key(new.dedup)))


def _first_claim(execution: LockedExecution, worker: str) -> Claim:
    return attrs.evolve(execution.claim(worker), length=1)
