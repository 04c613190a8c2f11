"""A store that fails as a script says."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

from redrive.ports.store import ChangeCounts, StoreError

Fault: TypeAlias = "Literal['refuse', 'refuse at once', 'lose'] | BaseException | float | Awaitable[object] | None"


class FaultyStore:
    """Wraps a store and lets its verbs fail as *script* says: for tests of services and workers.

    The wrapper calls ``script(verb, *args)`` before each asynchronous verb. None lets the call through. ``"refuse"`` raises a
    `StoreError` and does nothing, ``"refuse at once"`` does so before there is anything to await, ``"lose"`` makes the call and
    raises instead of answering. An exception is raised as it is; a number of seconds, or an awaitable, delays the call. The
    `StoreError` has this *retry_helps*. Without *news*, users of the store learn of changes by polling.
    `calls` counts the calls by verb, `faults` the faults by fault and verb.
    """

    retry_helps: bool
    news: bool

    def __init__(self, store: Any, script: Callable[..., Fault] | None = None, *, retry_helps: bool = True, news: bool = True) -> None:
        self._store, self.script, self.retry_helps, self.news = store, script, retry_helps, news
        self.calls: Counter[str] = Counter()
        self.faults: Counter[tuple[str, str]] = Counter()

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name == "wait_for_changes":
            return verb if self.news else _no_news
        if name in ("open", "close") or not callable(verb):
            return verb

        def call(*args: Any, **options: Any) -> Any:
            self.calls[name] += 1
            fault = None if self.script is None else self.script(name, *args)
            if isinstance(fault, str):
                self.faults[fault, name] += 1
            if fault == "refuse at once":
                raise self._error()
            return verb(*args, **options) if fault is None else self._faulty(fault, lambda: verb(*args, **options))

        return call

    async def _faulty(self, fault: Fault, call: Callable[[], Any]) -> Any:
        if fault == "refuse":
            raise self._error()
        if fault == "lose":
            await call()
            raise self._error()
        if isinstance(fault, BaseException):
            raise fault
        if isinstance(fault, (int, float)):
            await asyncio.sleep(fault)
        elif inspect.isawaitable(fault):
            await fault
        return await call()

    def _error(self) -> StoreError:
        return StoreError("the connection broke", retry_helps=self.retry_helps)


async def _no_news(timeout: float, since: Any = None) -> Any:
    await asyncio.sleep(timeout)
    return ChangeCounts() if since is None else since
