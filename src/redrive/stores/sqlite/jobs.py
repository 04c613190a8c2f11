"""What is done in a transaction: jobs, and what they get to work with."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import attrs


@attrs.define(eq=False)
class Memo:
    """What a store remembers between transactions to save itself a look; may be forgotten at any time."""

    pruned_us: int = 0
    latest_us: int = 0
    """The latest time that was seen since what is due was looked after; 0: it was not yet."""
    nothing_parked: dict[tuple[str, tuple[str, ...]], int] = attrs.Factory(dict[tuple[str, tuple[str, ...]], int])
    """By build and workflows: the count of parks at which nothing parked was claimable for them."""


@attrs.define(eq=False)
class Transaction:
    """What a job may use. *now_us* is one moment for all of a transaction; *news*: the kinds of news, as for `Bell.ring`."""

    execute: Callable[..., sqlite3.Cursor]
    memo: Memo
    now_us: int = 0
    news: int = 0


@attrs.define(eq=False)
class Job:
    """A function of a `Transaction`, and who waits for what it gives back.

    It checks before it writes, and says no by raising a `RedriveError`.
    """

    run: Callable[..., Any]
    args: tuple[Any, ...]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    result: Any = None
    error: BaseException | None = None

    def answer(self) -> None:
        """To be called on the job's own loop."""
        if self.future.done():
            return  # who waited was cancelled
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


def answer_all(jobs: Iterable[Job]) -> None:
    for job in jobs:
        job.answer()
