"""A service that drives nothing, and whose durable handlers hold their place by its being alive."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from redrive.ports.store import StoreError
from redrive.worker.pulse import Pulse, lifeline_of

if TYPE_CHECKING:
    from redrive.ports.store import Store


class Presence:
    """Keeps *id* alive in *store*, for as long as `holds` says that there is something to hold."""

    def __init__(self, store: Store, id: str, build: str, lease: timedelta, max_stall: timedelta, holds: Callable[[], bool]) -> None:
        self.id = id
        self._store, self._build, self._lease, self._holds = store, build, lease, holds
        self._pulse = Pulse(self, lifeline_of(store, id, lease, max_stall), lease, max_stall)
        self._pulses = False
        self._beating: asyncio.Task[None] | None = None

    async def show(self) -> None:
        """Be alive from now on: there is something to hold."""
        await self._beat()

    async def start(self) -> None:
        if self._holds():
            await self._beat()
        self._beating = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        with contextlib.suppress(StoreError):
            await self._store.deregister_worker(self.id)
        if self._pulses:
            await self._pulse.close()

    def is_alive(self) -> bool:
        return self._beating is None or not self._beating.done()

    def look_for_orphans(self) -> None:
        """A claim of nothing buries the dead: what their handlers had in hand is free then."""
        self._burying = asyncio.get_running_loop().create_task(self._claim_nothing())

    def under_way(self) -> Sequence[object]:
        return ()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            if self._holds():
                await self._claim_nothing()

    async def _claim_nothing(self) -> None:
        with contextlib.suppress(StoreError):
            await self._beat()

    async def _beat(self) -> None:
        if not self._pulses:
            await self._pulse.open()
        await self._store.claim(self.id, self._lease, self._build, (), 0)
        if not self._pulses:
            self._pulses = True
            self._pulse.start()
        self._pulse.beaten()
