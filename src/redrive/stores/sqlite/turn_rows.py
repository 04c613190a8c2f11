"""Turns: checked, then written whole.

1.  A turn that concerns its own execution only, and finds it as it expects, is written at once (the fast path), and so is a
    signal. One SELECT says all that it is checked against. Statements that check and write in one take three times as long as
    two: SQLite gathers what an ``INSERT … SELECT`` from the same table, or a ``RETURNING``, gives in a table of its own.
2.  All others are worked out by the rules of the ledger, which also say why a turn is refused.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from redrive.ports.store import FINAL, Claim, CommitResult, NewMessage, Turn
from redrive.status import PARKED, PAUSED, PENDING
from redrive.stores.change_notifier import ENDS, EVENTS, WORK
from redrive.stores.common import short_key
from redrive.stores.ledger import turn_rules
from redrive.stores.ledger.locked_execution import WAITING
from redrive.stores.ledger.reach import reach_of_message, reach_of_turns
from redrive.stores.sqlite.beginning import index
from redrive.stores.sqlite.column_values import maybe_us, to_text, to_us
from redrive.stores.sqlite.event_rows import emit
from redrive.stores.sqlite.inbox_rows import inbox
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.unit_rows import lock, look_for, write
from redrive_interpreter.errors import ExecutionNotFound

_RECEIVES = SQL["receives"]
_STANDING = SQL["standing"]
_APPEND = SQL["append"]
_TAKE = SQL["take"]
_TURN = SQL["turn"]
_NOTHING = CommitResult()


def commit(tx: Transaction, claim: Claim, turn: Turn) -> CommitResult:
    if not (turn.children or turn.outgoing or turn.aside or turn.next_run is not None or turn.awaits is not None):
        standing = tx.execute(_STANDING, (to_text(claim.id),)).fetchone()
        if standing is not None and _is_plain(claim, turn, standing, tx.now_us):
            _write_plain(tx, turn, standing)
            if turn.events:
                emit(tx, claim.id, to_text(claim.run), turn.events)
                tx.news |= EVENTS
            return _NOTHING
    return _commit(tx, claim, turn)


def send(tx: Transaction, id: str, message: NewMessage) -> bool:
    if message.kind == "signal" and (found := tx.execute(_RECEIVES, (to_text(id),)).fetchone()) is not None and found[1] not in FINAL:
        return _send_plain(tx, message, *found)
    work = lock(tx, reach_of_message(id, message))
    target = work.executions.get(id)
    if target is None:
        raise ExecutionNotFound(id)
    stored = turn_rules.send(work, target, message)
    write(tx, work)
    return stored


# ── by the rules of the ledger ──────────────────────────────────────────────────────────────────
def _commit(tx: Transaction, claim: Claim, turn: Turn) -> CommitResult:
    asked = [(claim, turn)]
    work = lock(tx, reach_of_turns(asked))
    look_for(tx, work, turn_rules.possible_repeats(work, asked))
    turn_rules.apply(work, claim, turn, alone=True)
    write(tx, work)
    execution = work.executions[claim.id]
    if work.again:
        return CommitResult(waits_for_place=True)
    return CommitResult(inbox=inbox(tx, execution.n, turn.seen)) if execution.last_message_seq > turn.seen else _NOTHING


# ── the fast path ───────────────────────────────────────────────────────────────────────────────
Standing: TypeAlias = tuple[Any, ...]
"""The columns of `standing`."""
Columns: TypeAlias = tuple[str, int | None, int, int, int]
"""Status, wake_us, unread, recoveries, newest."""


def _is_plain(claim: Claim, turn: Turn, standing: Standing, now_us: int) -> bool:
    """True if nothing refuses *turn*, no message is there that it does not know of, and nobody else is to be told or counted."""
    _, number, length, fence, owner, status, _, _, _, newest, creator, cancelled_run, queued = standing
    if status == PAUSED or turn.held:
        return False
    if fence != claim.fence or number != claim.number or length != turn.expects or owner != to_text(claim.worker):
        return False
    if turn.deadline is not None and to_us(turn.deadline) <= now_us:
        return False
    if queued and (queued == WAITING or turn.status in FINAL or status == PARKED):
        return False
    if newest > turn.seen or (cancelled_run and newest > turn.taken):
        return False
    return turn.status not in FINAL or (creator is None and newest <= turn.taken)


def _write_plain(tx: Transaction, turn: Turn, standing: Standing) -> None:
    n, number, length, _, owner, status, unread, wake_us, recoveries, newest, _, _, _ = standing
    if turn.rows:
        tx.execute(_APPEND, (n, number, length + len(turn.rows), tx.now_us, ",".join(turn.rows), to_text(turn.waits)))
    if turn.attributes is not None:
        tx.execute(SQL["set_attributes"], (turn.attributes, n))
    for name, texts in turn.searchable:
        index(tx, n, name, texts)
    if turn.taken:
        tx.execute(_TAKE, (n, turn.taken))
    if status == PARKED:
        tx.execute(SQL["unpark"], (n, owner))
    left = newest if newest > turn.taken else 0
    becomes = turn.status, _wake_us(tx, turn, left), turn.unread, 0 if turn.rows else recoveries, left
    if turn.status in FINAL:
        tx.execute(SQL["end"], (*becomes[:1], *becomes[2:], tx.now_us, turn.outcome, n))
        tx.news |= ENDS
    elif not turn.rows or not _stays(tx, (status, wake_us, unread, recoveries, newest), becomes):
        tx.execute(_TURN, (*becomes, tx.now_us, n))


def _send_plain(tx: Transaction, message: NewMessage, n: int, status: str, wake_us: int | None, stored_us: int) -> bool:
    """Store a signal for an execution that has not ended; False for a repeat."""
    if message.dedup is not None and not tx.execute(SQL["insert_landed"], (n, to_text(short_key(message.dedup)))).rowcount:
        return False
    stored_us = max(tx.now_us, stored_us)
    newest = tx.execute(SQL["insert_message"], (n, message.kind, to_text(message.name), message.data, stored_us)).lastrowid
    # A signal must not start an execution that is to start later, or is paused.
    if status not in (PENDING, PAUSED):
        wake_us = tx.now_us if wake_us is None else min(wake_us, tx.now_us)
    tx.execute(SQL["received"], (wake_us, stored_us, newest, tx.now_us, n))
    tx.news |= WORK
    return True


def _wake_us(tx: Transaction, turn: Turn, left: int) -> int | None:
    wake_us = maybe_us(turn.wake_at)
    if not left:
        return wake_us
    return tx.now_us if wake_us is None else min(wake_us, tx.now_us)


def _stays(tx: Transaction, was: Columns, becomes: Columns) -> bool:
    """True if the execution stays what it was. If it is due already, it stays due since when it was."""
    since, wake_us = was[1], becomes[1]
    if was[0] != becomes[0] or was[2:] != becomes[2:]:
        return False
    return since == wake_us or (since is not None and wake_us is not None and since <= wake_us <= tx.now_us)
