"""Events: emitted with a turn, read by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from redrive.ports.store import Event, NewEvent
from redrive.stores.common import EVENTS_KEPT, PRUNE_EVERY
from redrive.stores.postgres.parameters import SEPARATOR, from_text, from_us, to_key, to_text
from redrive.stores.postgres.session import Session, Sessions

if TYPE_CHECKING:
    from redrive.stores.ledger.unit_of_work import EmittedEvents

_KEPT_US: Final = EVENTS_KEPT // timedelta(microseconds=1)
_PRUNE_EVERY_US: Final = PRUNE_EVERY // timedelta(microseconds=1)


async def emit(session: Session, emitted: Sequence[EmittedEvents], now_us: int) -> None:
    """The last that a transaction does: what it locks is locked by all who emit."""
    events = [(one.execution, one.number, *event) for one in emitted for event in _once(one.events)]
    await session.run(
        "emit",
        SEPARATOR.join(to_text(event.name) for *_, event in events),
        SEPARATOR.join(event.payload for *_, event in events),
        SEPARATOR.join(key for *_, key, _ in events),
        SEPARATOR.join(to_text(execution.id) for execution, *_ in events),
        ",".join(str(execution.n) for execution, *_ in events),
        ",".join(str(number) for _, number, *_ in events),
        now_us,
    )
    await prune(session, now_us)


def _once(events: Sequence[NewEvent]) -> Iterable[tuple[str, NewEvent]]:
    """By key, the first of each."""
    first: dict[str, NewEvent] = {}
    for event in events:
        first.setdefault(to_key(event.key), event)
    return first.items()


async def prune(session: Session, now_us: int) -> None:
    due = await (await session.run("prune_due", now_us, _PRUNE_EVERY_US)).fetchall()
    if due:
        await session.run("prune_events", now_us - _KEPT_US)


async def events(sessions: Sessions, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[Event]]:
    # The newest first: what comes in between is then found the next time.
    ((newest,),) = await sessions.rows("newest_event")
    if after is None:
        return newest, ()
    found = await _after(sessions, after, names, limit) if newest > after and names else ()
    return found[-1].seq if found and len(found) == limit else max(after, newest, found[-1].seq if found else 0), found


async def take_events(sessions: Sessions, handler: str, event: str, worker: str, limit: int) -> Sequence[Event]:
    id, name, holder = to_text(handler), to_text(event), to_text(worker)
    known = await sessions.rows("handler", id)
    if not known:
        await sessions.rows("new_handler", id, name, holder)
        known = await sessions.rows("handler", id)
    ((listens_to, done, held_by, alive),) = known
    if held_by != holder and alive:
        return ()
    if (listens_to, held_by) != (name, holder):
        taken = await sessions.rows("take_handler", id, name, holder)
        if not taken:
            return ()  # another worker was faster
        ((done,),) = taken
    return await _after(sessions, done, [event], limit)


async def events_done(sessions: Sessions, handler: str, worker: str, through: int) -> None:
    await sessions.rows("events_done", to_text(handler), to_text(worker), through)


async def _after(sessions: Sessions, after: int, names: Sequence[str], limit: int) -> tuple[Event, ...]:
    rows = await sessions.rows("events_after", SEPARATOR.join({to_text(name) for name in names}), after, limit)
    return tuple(_event(*row) for row in rows)


def _event(seq: int, name: str, payload: str, execution: str, at_us: int) -> Event:
    return Event(seq=seq, name=from_text(name), payload=payload, execution=from_text(execution), at=from_us(at_us))
