"""Asking a store again while it says that this may help (W3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from redrive.ports.store import StoreError

T = TypeVar("T")

PATIENCE: Final = 10.0
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0


async def patiently(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Repeat *call* for `PATIENCE` seconds, then raise what the store says."""
    loop = asyncio.get_running_loop()
    until, wait = loop.time() + PATIENCE, _FIRST_WAIT
    while True:
        try:
            return await call()
        except StoreError as error:
            if not error.retry_helps or loop.time() + wait > until:
                raise
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)
