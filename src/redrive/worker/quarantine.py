"""Executions that the code at hand cannot go on with, or that may kill their workers.

1.  A claim says how many workers of this build died in a row while they owned the execution, without a new row of it.
    From half of the most that are allowed, the execution is a suspect: it runs with no other suspect beside it, and
    the worker claims nothing while its suspect is at work. What dies with a killer would be parked with it.
2.  Beyond the most that are allowed, the worker parks it instead of running it (E7). Parked for deaths before, it is on
    probation: one more is enough.
3.  A park says what it was for. A fault of the code is met again by the same code: each worker tries once. What says
    nothing of the code (deaths, a turn that was broken off) is tried again by itself, less and less often.
4.  Other builds need not wait, and each worker that starts tries what its build has parked, whatever the build says; a
    few at a time, so that ten thousand of them hold up nobody.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from redrive.errors import DamagedData
from redrive.ports.parks import AT_ONCE, NewPark
from redrive.worker.watchdog import StuckTurn
from redrive_interpreter.errors import CodecError, HostError, UndecodableValue
from redrive_interpreter.replay.divergence import Diverged

if TYPE_CHECKING:
    from redrive.ports.parks import ParkKind
    from redrive.ports.store import Claim, Store
    from redrive.worker.life.active_execution import ActiveExecution

log: Final = logging.getLogger("redrive.worker")

RETRIES_AT_ONCE: Final = 50
RETRY_EVERY: Final = 1.0
"""Seconds between two looks for `RETRIES_AT_ONCE` parked executions."""
_SECOND: Final = timedelta(seconds=1)
_FIRST: Final[Mapping[str, timedelta]] = {"killed": 5 * _SECOND, "cut_off": 2 * _SECOND}
"""How long an execution rests after its first park that says nothing of the code; each further one doubles it."""
_LONGEST: Final = timedelta(hours=1)
_LONGEST_FOR_OTHERS: Final = timedelta(minutes=1)
"""How long workers of the same build leave a park for faults of the code alone at most, each before its one try."""
_LONGEST_REST: Final = timedelta(minutes=1)
"""A worker that is started again and again, because one execution kills it, meets that one no more often than this."""


class Quarantine:
    """Decides which claims a worker takes up, and parks executions. *lives* are those that the worker holds."""

    def __init__(self, store: Store, build: str, lives: Mapping[str, ActiveExecution], max_recoveries: int) -> None:
        self._store = store
        self._build = build
        self._lives = lives
        self._max_recoveries = max_recoveries
        self._looked = float("-inf")

    # ── claims ──────────────────────────────────────────────────────────────────────────────────
    async def admit(self, claims: Sequence[Claim]) -> tuple[list[Claim], int]:
        """The claims to take up now, and the number of those that were released because a suspect comes first."""
        now: list[Claim] = []
        later: list[Claim] = []
        alone = self.suspect_at_work()
        for claim in claims:
            if claim.deaths > self._allowed(claim):
                await self._store.release([claim], parked=self.killed(claim))
            elif self._is_suspect(claim) and alone:
                later.append(claim)
            else:
                alone = alone or self._is_suspect(claim)
                now.append(claim)
        if later:
            # Before the suspect begins: it may kill us at once, and what we still held would count one more death.
            await self._store.release(later)
        return now, len(later)

    def suspect_at_work(self) -> bool:
        """Whether an execution that may kill this worker is being driven, or has bodies under way."""
        return any(
            self._is_suspect(live.claim) and live.length == live.claim.length and (live.driving or live.bodies)
            for live in self._lives.values()
        )

    def retries(self) -> int:
        """How many parked executions may be tried again now."""
        return RETRIES_AT_ONCE if time.monotonic() - self._looked >= RETRY_EVERY else 0

    def looked(self) -> None:
        """The store was asked for parked executions."""
        self._looked = time.monotonic()

    def _allowed(self, claim: Claim) -> int:
        return 0 if claim.parked == "killed" else self._max_recoveries

    def _is_suspect(self, claim: Claim) -> bool:
        """Whether it may be what kills its workers. Suspects run one at a time, or what runs beside a killer would be parked with it."""
        return claim.parked == "killed" or 2 * claim.deaths > self._max_recoveries

    # ── parks ───────────────────────────────────────────────────────────────────────────────────
    def killed(self, claim: Claim) -> NewPark:
        """The park of what has killed too many workers."""
        return self._park(claim, "killed", f"its worker died {times(claim.deaths)} without getting any further", new=True)

    def park_for(self, live: ActiveExecution, error: BaseException) -> NewPark:
        """The park of what *error* came out of, when it was driven."""
        plain = isinstance(error, (HostError, CodecError, DamagedData))
        reason = str(error) if plain else "".join(traceback.format_exception(error))
        return self._park(live.claim, kind_of(error), reason, new=live.length != live.claim.length)

    def _park(self, claim: Claim, kind: ParkKind, reason: str, *, new: bool) -> NewPark:
        """Each park is logged once, with its reason; that a further try gave the same is no news."""
        tries = claim.tries + 1
        again = claim.parked == kind and not (new and kind != "killed")
        level = logging.ERROR if not again else logging.WARNING if kind == "killed" else logging.INFO
        found = f"still cannot go on ({tries} tries)" if again else f"is parked ({kind.replace('_', ' ')})"
        log.log(level, "execution %r %s for build %s: %s", claim.id, found, self._build, reason)
        doubled = 1 << min(tries - 1, 20)
        if kind in _FIRST:
            rest = min(_SECOND * (doubled >> 1), _LONGEST_REST) if kind == "killed" else AT_ONCE
            wait = min(_FIRST[kind] * doubled, _LONGEST)
            return NewPark(build=self._build, kind=kind, reason=reason, retry_after=wait, rest=rest, anew=True)
        return NewPark(build=self._build, kind=kind, reason=reason, retry_after=min(_SECOND * doubled, _LONGEST_FOR_OTHERS))


def times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def kind_of(error: BaseException) -> ParkKind:
    """The kind of a park because of *error*."""
    match error:
        case StuckTurn() | MemoryError():
            return "cut_off"
        case Diverged():
            return "diverged"
        case UndecodableValue() | CodecError() | DamagedData():
            return "undecodable"
        case _:
            return "error"
