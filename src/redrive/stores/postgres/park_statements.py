"""Parking: read under the locks of the executions, worked out by the rules of stores/ledger/parking.py, and written."""

from __future__ import annotations

from typing import Any

from redrive.ports.parks import NewPark
from redrive.stores.ledger.parking import Deaths, Parked, deaths_after, parked_by
from redrive.stores.postgres.parameters import SEPARATOR, from_text, to_text
from redrive.stores.postgres.session import Session


async def park(session: Session, new: NewPark, claims: tuple[str, str, str]) -> None:
    """Park what the workers of *claims* (ids, fences, owners) own still, and give it up."""
    build = to_text(new.build)
    held = await (await session.run("hold_to_park", *claims)).fetchall()
    ns = ",".join(str(n) for n, *_ in held)
    now = await session.run("now")
    found_parks = await session.run("parks_of_build", ns, build)
    found_deaths = await session.run("deaths_of_build", ns, build)
    found_alive = await session.run("workers_of_build", build)
    ((now_us,),) = await now.fetchall()
    parked = {n: _parked(*row) for n, *row in await found_parks.fetchall()}
    deaths = {n: Deaths(number=a, length=b, count=c, parks=d) for n, a, b, c, d in await found_deaths.fetchall()}
    alive = {from_text(id) for (id,) in await found_alive.fetchall()}

    await session.run("forget_deaths", ns, build)
    for n, number, length, owner, _ in held:
        before = deaths[n].at(number, length) if n in deaths else None
        it = parked_by(new, parked.get(n), before, from_text(owner), alive, now_us)
        tried = SEPARATOR.join(map(to_text, it.tried))
        times = (it.parked_us, it.rest_us, it.retry_us)
        await session.run("park", n, build, it.kind, to_text(it.reason), *times, it.tries, tried)
        if (after := deaths_after(it, number, length)) is not None:
            await session.run("set_deaths", n, build, number, length, after.count, after.parks)
    await session.run("release_parked", ns, now_us)
    if queued := [n for n, *_, queued in held if queued]:
        await session.run("idle_tickets", ",".join(map(str, queued)))
    if held:
        await session.run("raise_parks")


def _parked(kind: Any, reason: str, parked_us: int, rest_us: int, retry_us: int | None, tries: int, tried: str) -> Parked:
    names = tuple(map(from_text, tried.split(SEPARATOR))) if tried else ()
    return Parked(kind=kind, reason=reason, parked_us=parked_us, rest_us=rest_us, retry_us=retry_us, tries=tries, tried=names)
