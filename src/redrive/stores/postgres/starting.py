"""Starting executions, the long way: those that exist, or come with more than themselves.

Plain starts are written together (`groups`).
"""

from __future__ import annotations

from typing import Final

import attrs

from redrive.ports.store import Begun, Claim, Committed, NewExecution, Stale, Turn
from redrive.stores.bell import WORK
from redrive.stores.postgres.desk import Desk
from redrive.stores.postgres.held import Held
from redrive.stores.postgres.reading import snapshot
from redrive.stores.postgres.session import Session
from redrive.stores.postgres.turns import apply, lock_for
from redrive.stores.postgres.values import to_text

_NO_TURN: Final = Turn(expects=1, status="pending")


async def start(session: Session, new: NewExecution, claim_for: str | None, first: Turn | None) -> tuple[Begun, int, int]:
    """What was begun, the news, and the time."""
    desk = Desk(session)
    first = None if claim_for is None or new.first_message is not None else first
    messages = () if new.first_message is None else ((new.id, new.first_message),)
    own = Claim(id=new.id, worker="", fence=0, workflow=new.workflow, run=new.run, number=1, length=1)
    await lock_for(desk, [(own, first or _NO_TURN)], messages)
    held = desk.held.get(new.id)
    repeat = held is not None and held.run == new.run
    created = held is None or repeat or held.status in new.restart
    if held is None:
        held = desk.begin(new, await _owner(desk, new, claim_for))
    elif created and not repeat:
        await desk.begin_again(held, new, await _owner(desk, new, claim_for))
    if new.first_message is not None and not held.ended and not repeat:
        desk.deliver(held, new.first_message)
    claimed = created and claim_for is not None and held.owner == claim_for
    await desk.write()
    now = snapshot((await (await session.run("snapshot", to_text(new.id))).fetchall())[0])
    claim = _claim(held, claim_for) if claimed and claim_for is not None else None
    committed: Committed | None = None
    if claim is not None and first is not None:
        try:
            committed = await apply(desk, attrs.evolve(claim, length=1), first)
        except Stale:
            committed = None  # a repeat, and it has gone on since
    if claim is not None and committed is not None:
        claim = attrs.evolve(claim, length=1)
        await desk.write()
        committed = Committed(inbox=tuple((await desk.inboxes([new.id])).get(new.id, ())))
    news = desk.news | (0 if claimed else WORK)
    return Begun(created=created, snapshot=now, claim=claim, committed=committed), news, desk.now_us


async def _owner(desk: Desk, new: NewExecution, claim_for: str | None) -> str | None:
    if claim_for is None or desk.wake_us(new) > desk.now_us:
        return None
    alive = await (await desk.session.run("alive", to_text(claim_for))).fetchall()
    return claim_for if alive else None


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
