"""Starting executions, the long way: those that exist, or come with more than themselves.

Plain starts are written by one statement (`plain`); these are worked out one after another, and written together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import attrs

from redrive.ports.store import Begun, Claim, Committed, NewExecution, Stale, Turn
from redrive.stores.bell import WORK
from redrive.stores.postgres.desk import Desk
from redrive.stores.postgres.held import Held
from redrive.stores.postgres.reading import snapshot
from redrive.stores.postgres.session import Session
from redrive.stores.postgres.turns import apply, targets_of
from redrive.stores.postgres.values import to_text

AskedStart: TypeAlias = tuple[NewExecution, str | None, Turn | None]
"""What to start, who would own it, and its first turn."""


@attrs.define(eq=False)
class _Started:
    created: bool
    claim: Claim | None
    committed: bool = False


async def start_all(session: Session, asked: Sequence[AskedStart]) -> tuple[list[Begun | None], int, int]:
    """What was begun (None: it has to wait), the news, and the time."""
    desk = Desk(session)
    await session.run("impatience")
    await _lock(desk, asked)
    alive = {worker for worker in {claim_for for _, claim_for, _ in asked} if worker is not None and await _is_alive(session, worker)}
    started = [await _start(desk, new, claim_for if claim_for in alive else None, claim_for, first) for new, claim_for, first in asked]
    await desk.write()
    cursors = [await session.run("snapshot", to_text(new.id)) for new, _, _ in asked]
    snapshots = [snapshot((await cursor.fetchall())[0]) for cursor in cursors]
    inboxes = await desk.inboxes({new.id: 0 for (new, _, _), one in zip(asked, started, strict=True) if one is not None and one.committed})
    begun: list[Begun | None] = []
    for (new, _, _), one, now in zip(asked, started, snapshots, strict=True):
        if one is None:
            begun.append(None)
            continue
        committed = Committed(inbox=tuple(inboxes.get(new.id, ()))) if one.committed else None
        begun.append(Begun(created=one.created, snapshot=now, claim=one.claim, committed=committed))
    return begun, desk.news, desk.now_us


async def _lock(desk: Desk, asked: Sequence[AskedStart]) -> None:
    ids = [new.id for new, _, _ in asked]
    messages = [(new.id, new.first_message) for new, _, _ in asked if new.first_message is not None]
    for new, _, first in asked:
        if first is not None:
            ids += [] if new.creator is None else [new.creator.id]
            more, sent = targets_of(first)
            ids += more
            messages += sent
    await desk.lock(ids, inboxes={new.id: 0 for new, _, _ in asked}, messages=messages)


async def _start(desk: Desk, new: NewExecution, alive: str | None, claim_for: str | None, first: Turn | None) -> _Started | None:
    """*alive*: *claim_for*, if that worker is alive."""
    held = desk.held.get(new.id)
    if held is not None and (held.changed or held.is_unborn):
        return None  # another of the group has to do with it
    repeat = held is not None and held.run == new.run
    created = held is None or repeat or held.status in new.restart
    owner = alive if desk.wake_us(new) <= desk.now_us else None
    if held is None:
        held = desk.begin(new, owner)
    elif created and not repeat:
        await desk.begin_again(held, new, owner)
    if new.first_message is not None and not held.ended and not repeat:
        desk.deliver(held, new.first_message)
    started = _Started(created, _claim(held, claim_for) if created and claim_for is not None and held.owner == claim_for else None)
    desk.news |= WORK if started.claim is None else 0
    if started.claim is not None and first is not None and new.first_message is None:
        claim = attrs.evolve(started.claim, length=1)
        try:
            await apply(desk, claim, first, alone=True)
            started.claim, started.committed = claim, True
        except Stale:
            started.committed = False  # a repeat, and it has gone on since
    return started


async def _is_alive(session: Session, worker: str) -> bool:
    return bool(await (await session.run("alive", to_text(worker))).fetchall())


def _claim(held: Held, worker: str) -> Claim:
    return Claim(
        id=held.id,
        worker=worker,
        fence=held.fence,
        workflow=held.workflow,
        run=held.run,
        number=held.number,
        length=held.length,
        recoveries=held.recoveries,
    )
