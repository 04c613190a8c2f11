"""Calls of the store that are made again while it says that this may help (W3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redrive.ports.store_errors import LostClaim, Stale, StoreError

log: Final = logging.getLogger("redrive.worker")
FIRST_WAIT: Final = 0.05
LONGEST_WAIT: Final = 5.0
"""Seconds between two calls, at first and in the end."""
_WHILE_DRAINING: Final = 1.0


async def insist(call: Callable[[], Awaitable[Any]], id: str, is_draining: Callable[[], bool]) -> Any:
    """The answer to *call*, which is about execution *id*. A worker that stops gives up sooner."""
    wait = FIRST_WAIT
    while True:
        try:
            return await call()
        except (LostClaim, Stale):
            raise
        except StoreError as error:
            if not error.retry_helps or (is_draining() and wait >= _WHILE_DRAINING):
                raise
            log.warning("execution %r: %s; trying again in %.2f s", id, error, wait)
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT)
