"""Waking everybody who waits for something new."""

from __future__ import annotations

import asyncio
import contextlib


class News:
    """Wakes everybody who waits for something new."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    def tell(self) -> None:
        self._told.set()
        self._told = asyncio.Event()

    def waiter(self) -> asyncio.Event:
        """The event to wait for; taken before looking, so that nothing is missed in between."""
        return self._told


async def wait_for(news: asyncio.Event, seconds: float) -> None:
    # Not asyncio.wait_for, which swallows a cancel that comes together with the news (3.11).
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()
