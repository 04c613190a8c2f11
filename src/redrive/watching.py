"""Having everybody look again when something changed for them, and now and then anyhow (W6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from redrive.ports.store import StoreError

if TYPE_CHECKING:
    from redrive.ports.store import ChangeCounts, Store

POLL: Final = 1.0
_REST: Final = 2.0
"""How long no ends are looked for after a look, in times that it took: ten thousand waiters do not flood the store."""


async def watch(
    store: Store,
    seen: ChangeCounts,
    *,
    work: Callable[[], None],
    events: Callable[[], None],
    ends: Callable[[], Awaitable[None]],
    schedules: Callable[[], None],
) -> None:
    """Call *work*, *events*, *ends* and *schedules*, each for what it is called after; for ever. The others do not wait for the
    rest that *ends* takes."""
    clock = asyncio.get_running_loop().time
    last = rested = clock()
    ended = False
    while True:
        try:
            told = await store.wait_for_changes(max(0.001, min(POLL, rested - clock())) if ended else POLL, seen)
            before, seen = seen, told
            everybody = clock() - last >= POLL
            if everybody:
                last = clock()
            if everybody or told.work != before.work:
                work()
            if everybody or told.events != before.events:
                events()
            if told.schedules != before.schedules:  # who looks at schedules looks now and then anyhow
                schedules()
            ended = ended or everybody or told.ends != before.ends
            if ended and clock() >= rested:
                ended, began = False, clock()
                await ends()
                rested = clock() + min(POLL, _REST * (clock() - began))
        except StoreError:
            await asyncio.sleep(POLL)
