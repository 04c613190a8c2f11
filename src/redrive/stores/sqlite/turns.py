"""Turns: checked, then written whole.

One SELECT says all that a turn is checked against. Statements that check and write in one take three times as long as two:
SQLite gathers what an ``INSERT … SELECT`` from the same table, or a ``RETURNING``, gives in a table of its own.
"""

from __future__ import annotations

import contextlib
from typing import TypeAlias

from redrive.ports.store import FINAL, Claim, Committed, LostClaim, NewChild, NewMessage, Outgoing, Stale, Turn
from redrive.status import CANCELLING, FAILED, PARKED
from redrive.stores.bell import ENDS, EVENTS, WORK
from redrive.stores.ledger.answers import OK, child_result, refusal
from redrive.stores.ledger.turn_rules import check_unseen
from redrive.stores.sqlite.aside import keep_aside
from redrive.stores.sqlite.beginning import begin, begin_again
from redrive.stores.sqlite.events import emit
from redrive.stores.sqlite.inboxes import deliver, inbox
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.values import from_text, maybe_us, to_text
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound

_STANDING = SQL["standing"]
_APPEND = SQL["append"]
_TAKE = SQL["take"]
_TURN = SQL["turn"]
_NOTHING = Committed()


def commit(tx: Transaction, claim: Claim, turn: Turn) -> Committed:
    standing = tx.execute(_STANDING, (to_text(claim.id),)).fetchone()
    if standing is None or standing[4] != claim.fence:
        raise LostClaim(f"execution {claim.id!r} belongs to another worker now")
    n, run, number, length, _, owner, status, unread, wake_us, recoveries, newest, creator, cancelled_run = standing
    rows, after = ",".join(turn.rows), turn.expects + len(turn.rows)
    unseen = inbox(tx, n, turn.seen) if newest > turn.seen else ()
    if claim.number != number or turn.expects != length:
        if turn.rows and tx.execute(SQL["last_chunk"], (n, claim.number)).fetchone() == (after, rows):
            return Committed(inbox=unseen)  # a repeat
        _check_owner(claim, owner)
        raise Stale(f"execution {claim.id!r} has {length} rows in run {number}, not {turn.expects}")
    _check_owner(claim, owner)
    if unseen:
        check_unseen(claim, turn, unseen)

    newest_left = newest
    if turn.rows:
        tx.execute(_APPEND, (n, number, after, tx.now_us, rows))
    if turn.attributes is not None:
        tx.execute(SQL["set_attributes"], (turn.attributes, n))
    if turn.taken:
        tx.execute(_TAKE, (n, turn.taken))
        unseen = tuple(message for message in unseen if message.seq > turn.taken) if unseen else ()
        newest_left = newest if newest > turn.taken else 0
    if turn.events:
        emit(tx, claim.id, run, turn.events)
        tx.news |= EVENTS
    if turn.aside:
        keep_aside(tx, n, turn.aside)
    if turn.children or turn.outgoing:
        for child in turn.children:
            _bear(tx, claim.id, child)
        for outgoing in turn.outgoing:
            _post(tx, claim.id, outgoing)
        unseen = inbox(tx, n, max(turn.seen, turn.taken))  # with answers, and what it sent to itself
        newest_left = unseen[-1].seq if unseen else newest_left
        cancelled_run = cancelled_run or any(message.kind == "cancel" for message in unseen)
    if turn.children:
        tx.news |= WORK
    if status == PARKED:
        tx.execute(SQL["unpark"], (n, owner))

    becomes = _becomes(tx, n, turn, newest_left, recoveries, cancelled=bool(cancelled_run))
    if turn.status in FINAL:
        _end(tx, n, claim.id, turn, becomes, creator)
    elif not turn.rows or not _stays(tx, (status, wake_us, unread, recoveries, newest), becomes):
        tx.execute(_TURN, (*becomes, tx.now_us, n))
    if turn.next_run is not None:
        tx.execute(SQL["next_run"], (to_text(turn.next_run.run), to_text(turn.next_run.workflow), n))
        tx.execute(_APPEND, (n, number + 1, 1, tx.now_us, turn.next_run.started))
        tx.execute(SQL["forget_parked"], (n,))
    return Committed(inbox=unseen) if unseen else _NOTHING


def send(tx: Transaction, id: str, message: NewMessage) -> bool:
    """`deliver`; but what never began, and waits for code, is cancelled without any."""
    found = None if message.unbegun is None else tx.execute(SQL["never_began"], (to_text(id),)).fetchone()
    if message.unbegun is None or found is None:
        return deliver(tx, id, message)
    n, workflow, run, number, fence = found
    tx.execute(SQL["give"], ("", n))
    claim = Claim(id=id, worker="", fence=fence + 1, workflow=from_text(workflow), run=from_text(run), number=number, length=1)
    commit(tx, claim, message.unbegun)
    tx.execute(SQL["cancelled"], (n,))
    tx.execute(SQL["forget_parked"], (n,))
    tx.news |= WORK
    return True


def _check_owner(claim: Claim, owner: str | None) -> None:
    if owner != to_text(claim.worker):
        raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")


Columns: TypeAlias = tuple[str, int | None, int, int, int]
"""Status, wake_us, unread, recoveries, newest."""


def _becomes(tx: Transaction, n: int, turn: Turn, newest: int, recoveries: int, *, cancelled: bool) -> Columns:
    """What the turn makes of the execution, with messages up to *newest* still in the inbox (0: none), a cancel perhaps among them
    if it was *cancelled*. What was seen is not read again: ten thousand signals that wait are read once, not by each turn."""
    wake_us, status, unread = maybe_us(turn.wake_at), turn.status, turn.unread
    recoveries = 0 if turn.rows else recoveries
    if not newest:
        return status, wake_us, unread, recoveries, 0
    wake_us = tx.now_us if wake_us is None else min(wake_us, tx.now_us)
    if status in FINAL:
        unread += tx.execute(SQL["signals_left"], (n,)).fetchone()[0]
    elif cancelled and tx.execute(SQL["cancel_of"], (n,)).fetchone() is not None:
        status = CANCELLING
    return status, wake_us, unread, recoveries, newest


def _stays(tx: Transaction, was: Columns, becomes: Columns) -> bool:
    """Whether the execution is what it was. What is due already stays due since when it was."""
    since, wake_us = was[1], becomes[1]
    if was[0] != becomes[0] or was[2:] != becomes[2:]:
        return False
    return since == wake_us or (since is not None and wake_us is not None and since <= wake_us <= tx.now_us)


def _post(tx: Transaction, sender: str, outgoing: Outgoing) -> None:
    answer = OK
    try:
        send(tx, outgoing.target, outgoing.message)
    except (ExecutionNotFound, ExecutionFinished) as refused:
        answer = refusal(type(refused).__name__, outgoing.target)
    if outgoing.answer_to is not None:
        deliver(tx, sender, NewMessage(kind="answer", name=outgoing.answer_to, data=answer))


def _bear(tx: Transaction, parent: str, child: NewChild) -> None:
    new, answer = child.execution, OK
    standing = tx.execute(SQL["started"], (to_text(new.id),)).fetchone()
    if standing is None:
        begin(tx, new)
    else:
        n, run, status = standing
        creator = tx.execute(SQL["creator"], (n,)).fetchone()
        if new.creator is None or creator != tuple(map(to_text, (new.creator.id, new.creator.run, new.creator.key))):
            answer = refusal("ExecutionConflict", new.id)
            if child.answer_to is None:
                deliver(tx, parent, NewMessage(kind="child", name=new.id, data=child_result(FAILED, answer)))
        elif from_text(run) != new.run and status in new.restart:
            begin_again(tx, n, new, None)
    if child.answer_to is not None:
        deliver(tx, parent, NewMessage(kind="answer", name=child.answer_to, data=answer))


def _end(tx: Transaction, n: int, id: str, turn: Turn, becomes: Columns, parent: str | None) -> None:
    status, _, unread, recoveries, newest = becomes
    tx.execute(SQL["end"], (status, unread, recoveries, newest, tx.now_us, turn.outcome, n))
    tx.news |= ENDS
    if parent is not None:
        result = NewMessage(kind="child", name=id, data=child_result(turn.status, turn.outcome))
        with contextlib.suppress(ExecutionNotFound, ExecutionFinished):  # a parent that has ended is not told
            deliver(tx, from_text(parent), result)
