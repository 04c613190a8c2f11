"""Reading: snapshots, lists and histories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redrive.ports.store import Claim, ClaimedState, Json, LostClaim, Snapshot
from redrive.ports.workers import KnownWorker
from redrive.status import PAUSED
from redrive.stores.ledger.parking import parks_of
from redrive.stores.ledger.purge_rules import no_run
from redrive.stores.snapshots import known_worker, snapshot_of
from redrive.stores.sqlite import lock_witness
from redrive.stores.sqlite.column_values import from_text, to_text
from redrive.stores.sqlite.inbox_rows import inbox
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive_interpreter.errors import ExecutionNotFound

if TYPE_CHECKING:
    from redrive.ports.ends import End


def snapshot(tx: Transaction, id: str) -> Snapshot | None:
    row = tx.execute(SQL["snapshot"], (to_text(id),)).fetchone()
    return None if row is None else snapshot_of_row(tx, row)


def ends(tx: Transaction, ids: Sequence[str]) -> list[End]:
    rows = tx.execute(SQL["ends"], (json.dumps([to_text(id) for id in ids]),))
    return [(from_text(id), status, outcome) for id, status, outcome in rows]


def workers(tx: Transaction) -> list[KnownWorker]:
    found = lock_witness.workers(tx)
    details = {id: (from_text(build), *rest) for id, build, *rest in tx.execute(SQL["worker_details"])}
    alive = lock_witness.Fate.ALIVE
    return [known_worker(from_text(row.id), fate is alive, row.expires_us, row.workflows, details.get(row.id)) for row, fate in found]


def load(tx: Transaction, claim: Claim) -> ClaimedState:
    held = tx.execute(SQL["held"], (to_text(claim.id), claim.fence, to_text(claim.worker))).fetchone()
    if held is None:
        raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
    n, status, number, *_ = held
    return ClaimedState(history=_array(tx, n, number), inbox=inbox(tx, n), paused=status == PAUSED)


def history(tx: Transaction, id: str, run: int) -> Json:
    found = tx.execute(SQL["runs"], (to_text(id),)).fetchone()
    if found is None:
        raise ExecutionNotFound(id)
    n, newest, oldest = found
    number = newest if run == -1 else run
    if not oldest <= number <= newest:
        raise ExecutionNotFound(id, no_run(run, oldest))
    return _array(tx, n, number)


def _array(tx: Transaction, n: int, number: int) -> Json:
    return "[" + ",".join([rows for (rows,) in tx.execute(SQL["history"], (n, number))]) + "]"


def snapshot_of_row(tx: Transaction, row: tuple[Any, ...]) -> Snapshot:
    """The execution of a row of the columns of ``snapshot``."""
    n, *before, updated_us, appended_us = row[:11]
    cancel = tx.execute(SQL["cancel_of"], (n,)).fetchone()
    parks = parks_of(tx.execute(SQL["parks_of"], (n,)), from_text)
    return snapshot_of((*before, max(updated_us, appended_us), *row[11:]), parks, None if cancel is None else cancel[0], from_text)
