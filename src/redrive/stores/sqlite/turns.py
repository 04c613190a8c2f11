"""Turns: checked, then written whole.

A turn that only adds rows is one checking INSERT. One that leaves nothing in the inbox is a checking UPDATE and an
INSERT. Any other goes the long way, which first finds out what is wrong or what else there is to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from redrive.ports.store import FINAL, Claim, Committed, LostClaim, Message, NewChild, NewMessage, Outgoing, Stale, Turn
from redrive.stores.bell import ENDS, EVENTS, WORK
from redrive.stores.common import OK, child_result, refusal
from redrive.stores.sqlite.beginning import begin, begin_again
from redrive.stores.sqlite.events import emit
from redrive.stores.sqlite.inboxes import deliver, inbox
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.values import from_text, maybe_us, to_text
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound

_EXTEND = SQL["extend"]
_ADVANCE = SQL["advance"]
_APPEND = SQL["append"]
_TAKE = SQL["take"]
_NOTHING = Committed()


def commit(tx: Transaction, claim: Claim, turn: Turn) -> Committed:
    if (
        turn.status in FINAL
        or turn.next_run is not None
        or turn.events
        or turn.outgoing
        or turn.children
        or turn.attributes is not None
        or turn.seen < turn.taken
    ):
        return _commit(tx, claim, turn)
    id, owner = to_text(claim.id), to_text(claim.worker)
    wake_us, length = maybe_us(turn.wake_at), turn.expects + len(turn.rows)
    if turn.rows and not turn.taken and wake_us is not None and wake_us <= tx.now_us:
        checked = (id, claim.fence, owner, claim.number, turn.status, turn.unread, wake_us, turn.expects)
        if tx.execute(_EXTEND, (length, tx.now_us, ",".join(turn.rows), *checked)).rowcount:
            return _NOTHING
    changes = (turn.status, wake_us, turn.unread, 0 if turn.rows else 1, tx.now_us)
    advanced = tx.execute(_ADVANCE, (*changes, id, claim.fence, owner, claim.number, turn.taken, turn.expects)).fetchall()
    if not advanced:
        return _commit(tx, claim, turn)
    n = advanced[0][0]
    if turn.rows:
        tx.execute(_APPEND, (n, claim.number, length, tx.now_us, ",".join(turn.rows)))
    if turn.taken:
        tx.execute(_TAKE, (n, turn.taken))
    return _NOTHING


def _commit(tx: Transaction, claim: Claim, turn: Turn) -> Committed:
    standing = tx.execute(SQL["standing"], (to_text(claim.id),)).fetchone()
    if standing is None or standing[4] != claim.fence:
        raise LostClaim(f"execution {claim.id!r} belongs to another worker now")
    n, run, number, length, _, owner = standing
    rows = ",".join(turn.rows)
    unseen = tuple(message for message in inbox(tx, n) if message.seq > turn.seen)
    after = turn.expects + len(turn.rows)
    if turn.rows and tx.execute(SQL["last_chunk"], (n, claim.number)).fetchone() == (after, rows):
        return Committed(inbox=unseen)
    if owner != to_text(claim.worker):
        raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
    if claim.number != number or turn.expects != length:
        raise Stale(f"execution {claim.id!r} has {length} rows in run {number}, not {turn.expects}")
    ends = turn.status in FINAL or turn.next_run is not None
    if ends and any(message.kind == "cancel" for message in unseen):
        raise Stale(f"execution {claim.id!r} was asked to cancel before it ended")
    if turn.not_after is not None and any(message.stored_at <= turn.not_after for message in unseen):
        raise Stale(f"execution {claim.id!r} got a message before its timer was due")

    if turn.rows:
        tx.execute(_APPEND, (n, number, after, tx.now_us, rows))
    if turn.attributes is not None:
        tx.execute(SQL["set_attributes"], (turn.attributes, n))
    if turn.taken:
        tx.execute(_TAKE, (n, turn.taken))
    emit(tx, claim.id, run, turn.events)
    for child in turn.children:
        _bear(tx, claim.id, child)
    for outgoing in turn.outgoing:
        _post(tx, claim.id, outgoing)
    tx.execute(SQL["unpark"], (n,))
    left = inbox(tx, n)
    _settle(tx, n, turn, left)
    if turn.next_run is not None:
        tx.execute(SQL["next_run"], (to_text(turn.next_run.run), to_text(turn.next_run.workflow), n))
        tx.execute(_APPEND, (n, number + 1, 1, tx.now_us, turn.next_run.started))
        tx.execute(SQL["forget_parked"], (n,))
    if turn.status in FINAL:
        _end(tx, n, claim.id, turn)
    if turn.children:
        tx.news |= WORK
    if turn.events:
        tx.news |= EVENTS
    if turn.status in FINAL:
        tx.news |= ENDS
    return Committed(inbox=tuple(message for message in left if message.seq > turn.seen))


def _settle(tx: Transaction, n: int, turn: Turn, left: Sequence[Message]) -> None:
    """Write what the turn makes of the execution, with *left* still in the inbox."""
    wake_us, status, unread = maybe_us(turn.wake_at), turn.status, turn.unread
    if left:
        wake_us = tx.now_us if wake_us is None else min(wake_us, tx.now_us)
    if status in FINAL:
        unread += sum(message.kind == "signal" for message in left)
    elif any(message.kind == "cancel" for message in left):
        status = "cancelling"
    newest = left[-1].seq if left else 0
    tx.execute(SQL["turn"], (status, wake_us, unread, 0 if turn.rows else 1, newest, tx.now_us, n))


def _post(tx: Transaction, sender: str, outgoing: Outgoing) -> None:
    answer = OK
    try:
        deliver(tx, outgoing.target, outgoing.message)
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
                deliver(tx, parent, NewMessage(kind="child", name=new.id, data=child_result("failed", answer)))
        elif from_text(run) != new.run and status in new.restart:
            begin_again(tx, n, new, None)
    if child.answer_to is not None:
        deliver(tx, parent, NewMessage(kind="answer", name=child.answer_to, data=answer))


def _end(tx: Transaction, n: int, id: str, turn: Turn) -> None:
    ((parent,),) = tx.execute(SQL["end"], (turn.outcome, n)).fetchall()
    if parent is not None:
        result = NewMessage(kind="child", name=id, data=child_result(turn.status, turn.outcome))
        with contextlib.suppress(ExecutionNotFound, ExecutionFinished):  # a parent that has ended is not told
            deliver(tx, from_text(parent), result)
