"""Having everybody look again when something changed for them, and now and then anyhow (W6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from redrive.ports.store import StoreError

if TYPE_CHECKING:
    from redrive.ports.store import Store, Told

POLL: Final = 1.0
_PER_WAITER: Final = 0.0002
"""Seconds between two looks for each execution that is waited for: a thousand waiters do not flood the store."""


async def watch(
    store: Store, seen: Told, *, work: Callable[[], None], events: Callable[[], None], ends: Callable[[], Awaitable[int]]
) -> None:
    """Call *work*, *events* and *ends*, each for what it is called after; for ever. *ends* says how many are waited for."""
    clock = asyncio.get_running_loop().time
    last = clock()
    while True:
        try:
            told = await store.changed(POLL, seen)
            before, seen = seen, told
            everybody = clock() - last >= POLL
            if everybody:
                last = clock()
            if everybody or told.work != before.work:
                work()
            if everybody or told.events != before.events:
                events()
            if everybody or told.ends != before.ends:
                await asyncio.sleep(min(POLL, await ends() * _PER_WAITER))
        except StoreError:
            await asyncio.sleep(POLL)
