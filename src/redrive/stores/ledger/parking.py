"""The rules of parks and deaths, the same in every store; times in microseconds since 1970.

1.  A park is one row for an execution and a build. Workers of other builds do not look at it.
2.  Workers of the same build may retry: those that were first heard of after the park, and those that were alive
    already once its `retry_us` has come; none twice, unless the park says nothing of the code. So an old worker
    beside new ones of the same name stands in nobody's way, and no two workers hand an execution to and fro.
3.  Deaths are counted for an execution and the build of the worker that died, at one length of the history: a new row
    makes an older count void, and so does a park.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import attrs

from redrive.ports.parks import Park
from redrive.stores.times import from_us, maybe_from_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redrive.ports.parks import NewPark, ParkKind

ANEW: Final = frozenset({"killed", "cut_off"})
"""The kinds of parks that say nothing of the code."""
_MICROSECOND: Final = timedelta(microseconds=1)


def reserved(limit: int, retries: int) -> int:
    """How many of a claim's *limit* are kept for *retries*, whatever else is due: a worker that always has enough to do would
    never get to them otherwise."""
    return min(retries, limit, max(1, limit // 4))


@attrs.frozen(kw_only=True)
class Parked:
    """A park as a store keeps it. *tried* are the live workers that met it since they were first heard of."""

    kind: ParkKind
    reason: str
    parked_us: int
    rest_us: int = 0
    retry_us: int | None = None
    tries: int = 1
    tried: tuple[str, ...] = ()

    def may_retry(self, worker: str, started_us: int, now_us: int) -> bool:
        """Whether *worker*, which was first heard of at *started_us*, may try again now."""
        return self.opens_us(worker, started_us) <= now_us

    def opens_us(self, worker: str, started_us: int) -> float:
        """When *worker* may try again; infinity for never."""
        opens = [float(self.rest_us)] if self.parked_us < started_us else []
        opens += [] if self.retry_us is None else [float(self.retry_us)]
        return float("inf") if worker in self.tried else min(opens, default=float("inf"))


def parked_by(new: NewPark, before: Parked | None, deaths: Deaths | None, worker: str, alive: Collection[str], now_us: int) -> Parked:
    """The park of *worker*'s build; *alive* are the known workers of the same build, *deaths* those at the length that it has."""
    tried: set[str] = set() if new.anew else {worker}
    if not new.anew and before is not None:
        tried.update(set(before.tried) & set(alive))
    others = new.anew or bool(set(alive) - tried)
    return Parked(
        kind=new.kind,
        reason=new.reason,
        parked_us=now_us,
        rest_us=now_us + new.rest // _MICROSECOND,
        retry_us=now_us + new.retry_after // _MICROSECOND if others else None,
        tries=1 + max(0 if before is None else before.tries, 0 if deaths is None else deaths.parks),
        tried=tuple(sorted(tried)),
    )


def hurried(parked: Parked, now_us: int) -> Parked:
    """*parked* after a cancel: what says nothing of the code may be tried again at once."""
    return parked if parked.kind not in ANEW else attrs.evolve(parked, retry_us=now_us)


def park_of(build: str, parked: Parked) -> Park:
    """*parked* as the outside sees it."""
    return Park(
        build=build,
        kind=parked.kind,
        reason=parked.reason,
        at=from_us(parked.parked_us),
        tries=parked.tries,
        retry_at=maybe_from_us(parked.retry_us),
    )


def parks_of(rows: Iterable[Sequence[object]], read: Callable[[str], str]) -> tuple[Park, ...]:
    """The parks of one execution, by build; rows of build, kind, reason, parked_us, tries and retry_us."""
    found = [
        Park(
            build=read(str(build)),
            kind=kind,  # type: ignore[arg-type]
            reason=read(str(reason)),
            at=from_us(parked_us),  # type: ignore[arg-type]
            tries=tries,  # type: ignore[arg-type]
            retry_at=maybe_from_us(retry_us),  # type: ignore[arg-type]
        )
        for build, kind, reason, parked_us, tries, retry_us in rows
    ]
    return tuple(sorted(found, key=lambda park: park.build))


@attrs.frozen(kw_only=True)
class Deaths:
    """How many workers of one build died in a row when the history had *length* rows in run *number*, since the build parked
    it *parks* times at that length. *worker* died last."""

    number: int
    length: int
    count: int
    parks: int = 0
    worker: str | None = None

    def at(self, number: int, length: int) -> Deaths | None:
        """Itself, unless the execution has got further since."""
        return self if (self.number, self.length) == (number, length) else None

    def one_more(self, number: int, length: int, worker: str) -> Deaths:
        if (self.number, self.length) != (number, length):
            return Deaths(number=number, length=length, count=1, worker=worker)
        return attrs.evolve(self, count=self.count + 1, worker=worker)


def deaths_after(parked: Parked, number: int, length: int) -> Deaths | None:
    """The deaths of a build that has parked the execution now: none, and of a killer how often it was parked for them."""
    return Deaths(number=number, length=length, count=0, parks=parked.tries) if parked.kind == "killed" else None


@attrs.frozen
class Trials:
    """The deaths and parks of a build, as a claim reports them."""

    deaths: int = 0
    tries: int = 0
    parked: ParkKind | None = None


def trials(number: int, length: int, deaths: Deaths | None, parked: Parked | None) -> Trials:
    """*deaths* and *parked* are those of the claiming worker's build."""
    valid = None if deaths is None else deaths.at(number, length)
    count, parks = (0, 0) if valid is None else (valid.count, valid.parks)
    if parked is not None:
        return Trials(count, max(parked.tries, parks), parked.kind)
    return Trials(count, parks, "killed" if parks else None)
