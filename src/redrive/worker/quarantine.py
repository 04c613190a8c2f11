"""Executions that may kill their workers: run alone while they are suspected, parked once they have killed too many.

1.  A claim says how many workers died in a row while they owned the execution, without a new row of it.
2.  From half of the most that are allowed, the execution is a suspect: it runs with no other suspect beside it, and
    the worker claims nothing while its suspect is at work. What dies with a killer would be parked with it.
3.  Beyond the most that are allowed, the worker parks it instead of running it (E7).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redrive.ports.store import Claim, Store
    from redrive.worker.live import Live

log: Final = logging.getLogger("redrive.worker")


class Quarantine:
    """Decides which claims a worker takes up. *lives* are the executions that the worker holds."""

    def __init__(self, store: Store, build: str, lives: Mapping[str, Live], max_recoveries: int) -> None:
        self._store = store
        self._build = build
        self._lives = lives
        self._max_recoveries = max_recoveries

    async def admit(self, claims: Sequence[Claim]) -> tuple[list[Claim], int]:
        """The claims to take up now, and the number of those that were released because a suspect comes first."""
        now: list[Claim] = []
        later: list[Claim] = []
        alone = self.suspect_at_work()
        for claim in claims:
            if claim.recoveries > self._max_recoveries:
                await self._park(claim)
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
            self._is_suspect(live.claim) and live.length == live.claim.length and (live.driving or live.attempts)
            for live in self._lives.values()
        )

    def _is_suspect(self, claim: Claim) -> bool:
        """Whether it may be what kills its workers. Suspects run one at a time, or what runs beside a killer would be parked with it."""
        return 2 * claim.recoveries > self._max_recoveries

    async def _park(self, claim: Claim) -> None:
        reason = f"its worker died {claim.recoveries} times without getting any further"
        log.error("execution %r is parked for build %s: %s", claim.id, self._build, reason)
        await self._store.release([claim], parked={self._build: reason})
