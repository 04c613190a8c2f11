"""Reading: snapshots, lists, histories, and what a claim's holder needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redrive.ports.store import Claim, Creator, Json, Loaded, LostClaim, Snapshot
from redrive.stores.postgres.held import read_inbox
from redrive.stores.postgres.session import Session, Sessions
from redrive.stores.postgres.values import from_text, from_us, maybe_from_us, maybe_text, to_text
from redrive_interpreter.errors import ExecutionNotFound


async def read(sessions: Sessions, id: str) -> Snapshot | None:
    rows = await sessions.rows("snapshot", to_text(id))
    return snapshot(rows[0]) if rows else None


async def list_executions(sessions: Sessions, workflow: str | None, status: str | None, limit: int) -> list[Snapshot]:
    return [snapshot(row) for row in await sessions.rows("list", maybe_text(workflow), status, limit)]


async def load(sessions: Sessions, claim: Claim) -> Loaded:
    async def run(session: Session) -> Loaded:
        history = await session.run("load", to_text(claim.id), claim.fence, to_text(claim.worker))
        inbox = await session.run("inbox", to_text(claim.id))
        found = await history.fetchall()
        if not found:
            raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
        return Loaded(history=_array(found[0][0]), inbox=await read_inbox(inbox))

    return await sessions.transact(run)


async def history(sessions: Sessions, id: str, run: int) -> Json:
    found = await sessions.rows("history", to_text(id), run)
    if not found:
        raise ExecutionNotFound(id)
    if found[0][0] is None:
        raise ExecutionNotFound(id, f"it has no run {run}")
    return _array(found[0][0])


def _array(rows: str) -> Json:
    return f"[{rows}]"


def snapshot(row: Sequence[Any]) -> Snapshot:
    id, workflow, status, run, number, length, input, created_us, updated_us, wake_us, deadline_us, owner, recoveries = row[:13]
    attributes, outcome, unread, creator_id, creator_run, creator_key, parked, _ = row[13:]
    creator = None
    if creator_id is not None:
        creator = Creator(id=from_text(creator_id), run=from_text(creator_run), key=from_text(creator_key))
    return Snapshot(
        id=from_text(id),
        workflow=from_text(workflow),
        status=status,
        run=from_text(run),
        number=number,
        length=length,
        input=input,
        created_at=from_us(created_us),
        updated_at=from_us(updated_us),
        wake_at=maybe_from_us(wake_us),
        deadline=maybe_from_us(deadline_us),
        owner=None if owner is None else from_text(owner),
        recoveries=recoveries,
        attributes=attributes,
        outcome=outcome,
        unread=unread,
        parked={} if parked is None else {from_text(build): from_text(reason) for build, reason in json.loads(parked)},
        creator=creator,
    )
