"""Starting executions."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from redrive.ports.store import CommitResult, NewExecution, Overdue, StartResult, Turn
from redrive.ports.stored_schedules import Firing
from redrive.stores.change_notifier import WORK
from redrive.stores.ledger import schedule_rules, start_rules
from redrive.stores.ledger.reach import reach_of_firings, reach_of_starts
from redrive.stores.ledger.turn_rules import possible_repeats
from redrive.stores.snapshots import begun_of
from redrive.stores.sqlite.beginning import begin, index
from redrive.stores.sqlite.column_values import to_text, to_us
from redrive.stores.sqlite.inbox_rows import inbox
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.lock_witness import is_alive
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.read_rows import snapshot
from redrive.stores.sqlite.turn_rows import commit
from redrive.stores.sqlite.unit_rows import lock, look_for, write


def start(tx: Transaction, new: NewExecution, claim_for: str | None, first: Turn | None = None) -> StartResult:
    plain = new.first_message is None and new.creator is None and new.queue is None and not new.history
    if plain and tx.execute(SQL["started"], (to_text(new.id),)).fetchone() is None:
        return _begin(tx, new, claim_for, first)
    asked = [(new, claim_for, first)]
    work = lock(tx, reach_of_starts(asked))
    look_for(tx, work, possible_repeats(work, start_rules.first_turns(work, asked)))
    started = start_rules.start(work, new, claim_for, first, alive=claim_for is not None and is_alive(tx, claim_for))
    assert started is not None  # which waits for others of its transaction only
    write(tx, work)
    now = snapshot(tx, started.id)
    assert now is not None
    committed = CommitResult(inbox=inbox(tx, work.executions[new.id].n)) if started.committed else None
    return StartResult(created=started.created, snapshot=now, claim=started.claim, committed=committed)


def fire(tx: Transaction, firings: Sequence[Firing]) -> Sequence[bool]:
    fired: list[bool] = []
    for firing in firings:
        work = lock(tx, reach_of_firings([firing]))
        fired.append(schedule_rules.fire(work, firing))
        write(tx, work)
    return fired


def _begin(tx: Transaction, new: NewExecution, claim_for: str | None, first: Turn | None) -> StartResult:
    """Start an execution that is new, the fast path: it is not read back."""
    due = new.not_before is None or to_us(new.not_before) <= tx.now_us
    owner = claim_for if claim_for is not None and due and is_alive(tx, claim_for) else None
    n = begin(tx, new, owner)
    for name, texts in new.searchable:
        index(tx, n, name, texts)
    if owner is None:
        tx.news |= WORK
    begun = begun_of(new, owner, tx.now_us, None)
    if begun.claim is None or first is None:
        return begun
    try:
        return attrs.evolve(begun, committed=commit(tx, begun.claim, first))
    except Overdue:
        return begun
