"""The rules of the stores by themselves: no database, no clock, no event loop."""

from __future__ import annotations

import pytest

from redrive.ports.store import Claim, LostClaim, Stale, Turn
from redrive.stores.ledger.locked_execution import LockedExecution
from redrive.stores.ledger.start_rules import start
from redrive.stores.ledger.turn_rules import apply, possible_repeats
from redrive.stores.ledger.unit_of_work import UnitOfWork
from redrive.testing.contracts.lab import execution, signal

NOW = 1_000_000


def unit(**changes: object) -> tuple[UnitOfWork, LockedExecution]:
    """A unit of work that has locked ``e-1``, which ``ada`` owns and whose history has one row."""
    locked = LockedExecution.begin(execution(), "ada", NOW, NOW, None)
    locked.n = 1
    for name, value in changes.items():
        setattr(locked, name, value)
    work = UnitOfWork(NOW)
    work.add([locked])
    return work, locked


def claim_of(locked: LockedExecution) -> Claim:
    return locked.claim("ada")


def test_a_restart_forgets_what_the_transaction_noted_for_the_run_before() -> None:
    work, locked = unit()
    work.deliver(locked, signal(dedup="key:s:1"))
    work.taken.append((locked, 3))
    work.attributes[locked.id] = (locked, '{"old": 1}')
    work.begin_again(locked, execution(run="r-2"), None)
    assert (work.messages, work.taken, work.attributes, work.dedup_keys) == ([], [], {}, set())
    assert not locked.has_messages_after(0)
    assert [(one.execution, one.number) for one in work.restarts] == [(locked, 2)]


def test_a_turn_of_an_execution_that_changed_in_the_transaction_waits() -> None:
    work, locked = unit()
    work.deliver(locked, signal())
    assert not apply(work, claim_of(locked), Turn(expects=1, rows=['"a"']))
    assert work.chunks == []


def test_only_rows_that_do_not_continue_the_history_may_be_a_repeat() -> None:
    work, locked = unit(length=2)
    repeat, next_one = Turn(expects=1, rows=['"a"']), Turn(expects=2, rows=['"b"'])
    claim = claim_of(locked)
    assert [chunk.end for chunk in possible_repeats(work, [(claim, repeat), (claim, next_one)])] == [2]
    with pytest.raises(Stale):
        apply(work, claim, repeat)
    work.stored_chunks.update(possible_repeats(work, [(claim, repeat)]))
    assert apply(work, claim, repeat)
    assert not locked.changed


def test_what_is_refused_changes_nothing() -> None:
    work, locked = unit()
    with pytest.raises(LostClaim):
        apply(work, locked.claim("bob"), Turn(expects=1, rows=['"a"']))
    assert (work.chunks, work.changed, work.changes) == ([], [], 0)


def test_two_starts_of_one_id_share_no_transaction() -> None:
    work = UnitOfWork(NOW)
    first = start(work, execution(), "ada", None, alive=True)
    assert first is not None
    assert first.claim is not None
    assert start(work, execution(run="r-2"), "ada", None, alive=True) is None
