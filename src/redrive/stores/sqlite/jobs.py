"""Jobs, which run in a transaction, and the objects that they are given."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import attrs

from redrive.ports.answer import Answer

if TYPE_CHECKING:
    from redrive.stores.sqlite.lock_witness import Evidence


@attrs.define(eq=False)
class Memo:
    """Facts that a store remembers between transactions to save itself a look; may be forgotten at any time."""

    pruned_us: int = 0
    latest_us: int = 0
    """The latest time that was seen since what is due was looked after; 0: it was not yet."""
    nothing_parked: dict[tuple[str, tuple[str, ...]], int] = attrs.Factory(dict[tuple[str, tuple[str, ...]], int])
    """By build and workflows: the count of parks at which nothing parked was claimable for them."""
    rechecked_us: int = 0
    """When tickets and lanes were last looked at again; *rechecked_ticket* and *rechecked_lane*, by queue, say up to where."""
    rechecked_ticket: int = 0
    rechecked_lane: dict[str, str] = attrs.Factory(dict[str, str])
    evidence: dict[str, Evidence] = attrs.Factory(dict[str, "Evidence"])
    """By worker: what its claims show of it. The one thing here that is not to be forgotten."""


@attrs.define(eq=False)
class Transaction:
    """The transaction of a job. *path* is the file; *now_us* is one moment for all of a transaction; *news*: the kinds of news, as
    for `ChangeNotifier.ring`."""

    execute: Callable[..., sqlite3.Cursor]
    memo: Memo
    path: str
    now_us: int = 0
    news: int = 0


class Job(Answer[Any]):
    """A function of a `Transaction`, and the answer to its caller on *loop*.

    It checks before it writes, and says no by raising a `RedriveError`. *asked* is when it was asked for, by the monotonic clock:
    a locked database is waited for from then on, however many jobs come before it.
    """

    __slots__ = ("args", "asked", "loop", "run")

    def __init__(self, run: Callable[..., Any], args: tuple[Any, ...], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.run, self.args, self.loop, self.asked = run, args, loop, time.monotonic()


def answer_all(jobs: Iterable[Job]) -> None:
    """To be called on the jobs' own loop."""
    for job in jobs:
        job.come()
