"""The worker's books of what is its own, kept beside the store's.

1.  `lives` are the executions that the worker holds. The store may count more of them as this worker's: an answer was
    lost, or has not arrived yet. Until a claim has told the store what is held, nothing new becomes ours (`unsure`).
2.  Claims are asked for one at a time: what one of them hands back must not be another one's before it is settled.
3.  A worker that was away for most of a lease looks in the store for what others took: idle executions would never
    find out by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import attrs

from redrive.ports.store import StoreError

if TYPE_CHECKING:
    from redrive.ports.store import Claim, Store
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive.worker.room import Wanted
    from redrive.worker.serving import Serving

_LATE: Final = 0.7
"""A heartbeat that comes after so much of the lease may have been too late: the store may keep three quarters of it only."""


@attrs.define(kw_only=True, eq=False)
class Ownership:
    """Keeps the books of worker *worker*: the executions that it owns in *store*."""

    store: Store
    worker: str
    build: str
    workflows: tuple[str, ...]
    lease: timedelta
    serving: Serving
    lives: dict[str, ActiveExecution] = attrs.field(factory=dict[str, "ActiveExecution"], init=False)
    unsure: bool = attrs.field(default=False, init=False)
    """Whether the store may count as ours what we do not know of. While it lets go of that, nothing new becomes ours."""
    beginning: dict[str, str] = attrs.field(factory=dict[str, str], init=False)
    """Ids, by run, of what is being started here and may be ours already."""
    unknown: set[str] = attrs.field(factory=set[str], init=False)
    """Executions that had mail and were not here: they may be on their way."""
    _touched: Sequence[str] = attrs.field(default=(), init=False)
    _operated: int | None = attrs.field(default=None, init=False)
    """The newest act of operators that was looked at."""
    _claiming: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    @property
    def settling(self) -> bool:
        """Whether the store is being told what is held: what became ours meanwhile would be given back."""
        return self.unsure and self._claiming.locked()

    def doubt(self) -> None:
        """An answer was lost: the store may have given us more than we know."""
        self.unsure = True

    def left(self, live: ActiveExecution) -> None:
        """*live* is not this worker's any more."""
        if self.lives.get(live.id) is live:
            del self.lives[live.id]

    def look_for_strays(self) -> None:
        """Mail that came for an execution which never arrived tells that an answer was lost."""
        self.unsure |= not self.unknown <= self.lives.keys()
        self.unknown.intersection_update(self.beginning.values())

    @asynccontextmanager
    async def one_at_a_time(self) -> AsyncGenerator[None]:
        """Around a claim and what becomes of it."""
        async with self._claiming:
            yield

    async def claim(self, want: Wanted, retries: int = 0) -> Sequence[Claim]:
        """Ask the store for what is wanted, and for up to *retries* parked executions; call it inside `one_at_a_time`."""
        holds = (*self.lives, *self.beginning.values()) if self.unsure else None
        try:
            claims = await self.store.claim(
                self.worker,
                self.lease,
                self.build,
                self.workflows,
                want.limit,
                holds=holds,
                retries=retries,
                turns_only=want.turns_only,
                **({"room": self.serving.room(want.limit)} if self.serving.queues else {}),
            )
        except StoreError:
            self.unsure = True  # the answer may have been lost after we were given something
            raise
        if holds is not None:
            self.unsure = False
        return claims

    async def next_wake(self, *, retries: bool) -> datetime | None:
        """When a claim is next worth a call; with *retries*, also of what is parked."""
        me, queues = self.worker if retries else None, self.serving.names
        if not queues:
            return await self.store.next_wake(self.workflows, self.build, me)
        return await self.store.next_wake(self.workflows, self.build, me, queues)

    async def declare(self) -> None:
        await self.serving.declare(self.store, self.worker, self.build)

    async def lost(self, since_last_beat: timedelta) -> Sequence[ActiveExecution]:
        """The executions that this worker owns no more: operators rewrote them since the last call, or others took them."""
        self._operated, rewritten = await self.store.operated(self._operated)
        self._touched = rewritten
        away = since_last_beat > self.lease * _LATE
        return await self._not_ours(list(self.lives) if away else rewritten)

    @property
    def touched(self) -> Sequence[ActiveExecution]:
        """The executions of this worker that operators touched, as `lost` found: they may be paused, or resumed."""
        return [self.lives[id] for id in self._touched if id in self.lives]

    async def _not_ours(self, ids: Sequence[str]) -> Sequence[ActiveExecution]:
        found: list[ActiveExecution] = []
        for live in [self.lives[id] for id in ids if id in self.lives]:
            snapshot = await self.store.read(live.id)
            if (snapshot is None or snapshot.owner != self.worker) and self.lives.get(live.id) is live:
                found.append(live)
        return found
