"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2027, 3, 1, 12, 0, 0, 250, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now
