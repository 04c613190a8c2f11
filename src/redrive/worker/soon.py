"""Things to do in the next round of the event loop: however many come until then, they cost the loop one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Soon(Generic[T]):
    """Calls *do*, which must not raise, in *context* with each that was added, in order."""

    __slots__ = ("_context", "_do", "_items", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context, do: Callable[[T], Any]) -> None:
        self._loop, self._context, self._do = loop, context, do
        self._items: list[T] = []

    def add(self, item: T) -> None:
        if not self._items:
            self._loop.call_soon(self._do_all, context=self._context)
        self._items.append(item)

    def _do_all(self) -> None:
        items, self._items = self._items, []
        for item in items:
            self._do(item)
