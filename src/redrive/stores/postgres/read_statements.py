"""Reading: snapshots, lists, histories, and what a claim's holder needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from redrive.ports.store import Claim, ClaimedState, Json, LostClaim, Message, Snapshot
from redrive.ports.workers import KnownWorker
from redrive.stores.ledger.parking import parks_of
from redrive.stores.ledger.purge_rules import no_run
from redrive.stores.postgres.limits import ANSWER_WITHIN, LONG
from redrive.stores.postgres.parameters import SEPARATOR, from_text, to_text
from redrive.stores.postgres.session import Session, Sessions
from redrive.stores.postgres.unit_statements import read_message
from redrive.stores.snapshots import known_worker, snapshot_of
from redrive_interpreter.errors import ExecutionNotFound

if TYPE_CHECKING:
    from redrive.ports.ends import End

_A_ROW: Final = 0.0005
"""Seconds that a row of a history may take."""


async def read_all(session: Session, ids: Sequence[str]) -> list[tuple[Snapshot | None]]:
    """Of each execution its snapshot, or that there is none."""
    if len(ids) == 1:
        rows = await (await session.run("snapshot", to_text(ids[0]))).fetchall()
        return [(snapshot(rows[0]) if rows else None,)]
    cursor = await session.run("snapshots", SEPARATOR.join(map(to_text, ids)))
    found = {i: snapshot(columns) for i, *columns in await cursor.fetchall()}
    return [(found.get(i),) for i in range(1, len(ids) + 1)]


async def ends(sessions: Sessions, ids: Sequence[str]) -> list[End]:
    """The ends of those of *ids* that have ended."""
    found = await sessions.rows("ends", SEPARATOR.join(map(to_text, ids))) if ids else []
    return [(from_text(id), status, outcome) for id, status, outcome in found]


async def workers(sessions: Sessions) -> list[KnownWorker]:
    ((now_us,),) = await sessions.rows("now")
    found = await sessions.rows("workers")
    details = {id: (from_text(build), *rest) for id, build, *rest in await sessions.rows("worker_details")}
    return [
        known_worker(from_text(id), expires_us > now_us, expires_us, workflows, details.get(id)) for id, expires_us, *_, workflows in found
    ]


async def load_all(session: Session, claims: Sequence[Claim]) -> list[ClaimedState | LostClaim]:
    """The state of each claimed execution, or the error that the claim is lost."""
    ids = SEPARATOR.join(to_text(claim.id) for claim in claims)
    owners = SEPARATOR.join(to_text(claim.worker) for claim in claims)
    session.allow(ANSWER_WITHIN + sum(claim.length for claim in claims) * _A_ROW)
    async with session.connection.pipeline():
        histories = await session.run("load", ids, ",".join(str(claim.fence) for claim in claims), owners)
        # After the histories: what comes in between is in no history yet.
        inboxes = await session.run("inboxes", ids)
        found = {(i, from_text(id)): (rows, paused) for i, id, rows, paused in await histories.fetchall()}
        waiting: dict[str, list[Message]] = {}
        for id, *message in await inboxes.fetchall():
            waiting.setdefault(from_text(id), []).append(read_message(*message))
    answers: list[ClaimedState | LostClaim] = []
    for i, claim in enumerate(claims, start=1):
        rows, paused = found.get((i, claim.id), (None, False))
        if rows is None:
            answers.append(LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more"))
        else:
            answers.append(ClaimedState(history=_array(rows), inbox=tuple(waiting.get(claim.id, ())), paused=paused))
    return answers


async def history(sessions: Sessions, id: str, run: int) -> Json:
    found = await sessions.rows("history", to_text(id), run, seconds=LONG)
    if not found:
        raise ExecutionNotFound(id)
    if found[0][0] is None:
        raise ExecutionNotFound(id, no_run(run, found[0][1]))
    return _array(found[0][0])


def _array(rows: str) -> Json:
    return f"[{rows}]"


def snapshot(row: Sequence[Any]) -> Snapshot:
    *columns, parked, cancel, _ = row
    if (error_type := columns[-1]) is not None:  # as it stands in the JSON of the outcome
        columns[-1] = json.loads(f'"{error_type}"')
    return snapshot_of(columns, parks_of(json.loads(parked or "[]"), from_text), cancel, from_text)
