"""A clock that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


def _nothing() -> None:
    return


class Clock:
    """*moved* is called when it was: a server has to be told."""

    def __init__(self) -> None:
        self.moved: Callable[[], None] = _nothing
        self._now = datetime(2027, 3, 1, 12, 0, 0, 250, tzinfo=UTC)

    @property
    def now(self) -> datetime:
        return self._now

    @now.setter
    def now(self, now: datetime) -> None:
        self._now = now
        self.moved()

    def __call__(self) -> datetime:
        return self._now
