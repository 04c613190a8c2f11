"""Starting executions, the slow path: those that exist, or come with more than themselves.

Plain starts are written by one statement (`plain`); these are worked out one after another, and written together.
"""

from __future__ import annotations

from collections.abc import Sequence

from redrive.ports.store import CommitResult, StartResult
from redrive.stores.ledger.reach import AskedStart, reach_of_starts
from redrive.stores.ledger.start_rules import first_turns, start
from redrive.stores.ledger.turn_rules import possible_repeats
from redrive.stores.postgres.parameters import to_text
from redrive.stores.postgres.read_statements import snapshot
from redrive.stores.postgres.session import Session
from redrive.stores.postgres.unit_statements import inboxes, lock, look_for, write


async def start_all(session: Session, asked: Sequence[AskedStart]) -> tuple[list[StartResult | None], int, int]:
    """The answer to each start (None: it has to wait), the changes, and the time."""
    await session.run("impatience")
    work = await lock(session, reach_of_starts(asked))
    await look_for(session, work, possible_repeats(work, first_turns(work, asked)))
    alive = {worker for worker in {claim_for for _, claim_for, _ in asked} if worker is not None and await _is_alive(session, worker)}
    started = [start(work, new, claim_for, first, alive=claim_for in alive) for new, claim_for, first in asked]
    await write(session, work)
    ids = [new.id if one is None else one.id for (new, _, _), one in zip(asked, started, strict=True)]
    cursors = [await session.run("snapshot", to_text(id)) for id in ids]
    snapshots = [snapshot((await cursor.fetchall())[0]) for cursor in cursors]
    left = await inboxes(session, {new.id: 0 for (new, _, _), one in zip(asked, started, strict=True) if one is not None and one.committed})
    begun: list[StartResult | None] = []
    for (new, _, _), one, now in zip(asked, started, snapshots, strict=True):
        if one is None:
            begun.append(None)
            continue
        committed = CommitResult(inbox=tuple(left.get(new.id, ()))) if one.committed else None
        begun.append(StartResult(created=one.created, snapshot=now, claim=one.claim, committed=committed))
    return begun, work.changes, work.now_us


async def _is_alive(session: Session, worker: str) -> bool:
    return bool(await (await session.run("alive", to_text(worker))).fetchall())
