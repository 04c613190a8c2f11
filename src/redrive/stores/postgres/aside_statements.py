"""Messages that are kept for people: signals that were set aside, and events that wait for their handlers or are dead."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.store import Event, NewMessage
from redrive.stores.ledger.reach import Reach
from redrive.stores.postgres.parameters import from_text, from_us, maybe_from_us, maybe_text, maybe_us, to_text, to_us
from redrive.stores.postgres.session import Session, Sessions
from redrive.stores.postgres.unit_statements import lock, write
from redrive_interpreter.errors import ExecutionNotFound


# ── signals ─────────────────────────────────────────────────────────────────────────────────────
async def set_aside(sessions: Sessions, id: str | None, limit: int) -> Sequence[Aside]:
    rows = await (sessions.rows("all_aside", limit) if id is None else sessions.rows("aside_of", to_text(id), limit))
    return tuple(_aside(*row) for row in rows)


async def redeliver(session: Session, id: str, seqs: Sequence[int] | None) -> tuple[int, int, int]:
    """How many, the changes, and the time."""
    work = await lock(session, Reach(ids=[id]))
    target = work.executions.get(id)
    if target is None:
        raise ExecutionNotFound(id)
    rows = await (await session.run("aside_of", to_text(id), None)).fetchall()
    chosen = [one for one in (_aside(*row) for row in rows) if seqs is None or one.seq in seqs]
    for one in chosen:  # refused before anything is written, or not at all
        work.deliver(target, NewMessage(kind="signal", name=one.name, data=one.data))
    await write(session, work)
    await session.run("forget_aside", to_text(id), _list([one.seq for one in chosen]))
    return len(chosen), work.changes, work.now_us


async def drop_aside(sessions: Sessions, id: str, seqs: Sequence[int] | None) -> int:
    ((there, dropped),) = await sessions.rows("drop_aside", to_text(id), _list(seqs))
    if not there:
        raise ExecutionNotFound(id)
    return int(dropped)


def _aside(seq: int, id: str, name: str, data: str, sent_us: int, error: str, at_us: int) -> Aside:
    return Aside(
        seq=seq,
        execution=from_text(id),
        name=from_text(name),
        data=data,
        sent_at=from_us(sent_us),
        error=from_text(error),
        at=from_us(at_us),
    )


# ── events ──────────────────────────────────────────────────────────────────────────────────────
async def hold_events(sessions: Sessions, worker: str, held: Sequence[HeldEvent]) -> None:
    if held:
        await sessions.transact(partial(_hold, worker=worker, held=held))


async def _hold(session: Session, worker: str, held: Sequence[HeldEvent]) -> None:
    known = await (await session.run("lock_handler", to_text(held[0].handler), to_text(worker))).fetchall()
    if not known:
        return
    ((done,),) = known
    for one in held:
        event, how = one.event, (one.dead, one.attempts, maybe_us(one.first_at), maybe_us(one.due), to_text(one.error))
        if event.seq <= done:
            await session.run("change_held", to_text(one.handler), event.seq, *how)
            continue
        what = (to_text(event.name), event.payload, to_text(event.execution), to_us(event.at))
        await session.run("hold", to_text(one.handler), event.seq, *what, *how)
        await session.run("events_done", to_text(one.handler), to_text(worker), event.seq)


async def held_events(sessions: Sessions, handler: str, event: str, worker: str, limit: int) -> Sequence[HeldEvent]:
    rows = await sessions.rows("held_events", to_text(handler), to_text(event), to_text(worker), limit)
    return tuple(_held(*row) for row in rows)


async def held_done(sessions: Sessions, handler: str, worker: str, seq: int) -> None:
    await sessions.rows("held_done", to_text(handler), to_text(worker), seq)


async def list_held(sessions: Sessions, handler: str | None, dead: bool | None, limit: int) -> Sequence[HeldEvent]:
    return tuple(_held(*row) for row in await sessions.rows("list_held", maybe_text(handler), dead, limit))


async def retry_held(sessions: Sessions, handler: str, seqs: Sequence[int] | None) -> int:
    ((found,),) = await sessions.rows("retry_held", to_text(handler), _list(seqs))
    return int(found)


async def drop_held(sessions: Sessions, handler: str, seqs: Sequence[int] | None) -> int:
    ((found,),) = await sessions.rows("drop_held", to_text(handler), _list(seqs))
    return int(found)


def _list(seqs: Sequence[int] | None) -> str | None:
    return None if seqs is None else ",".join(map(str, seqs))


def _held(*row: Any) -> HeldEvent:
    handler, seq, name, payload, execution, at_us, dead, attempts, first_us, due_us, error = row
    return HeldEvent(
        handler=from_text(handler),
        event=Event(seq=seq, name=from_text(name), payload=payload, execution=from_text(execution), at=from_us(at_us)),
        attempts=attempts,
        first_at=maybe_from_us(first_us),
        due=maybe_from_us(due_us),
        error=from_text(error),
        dead=dead,
    )
