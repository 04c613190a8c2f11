"""The store's clock, read without asking the store each time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redrive.ports.store import Store


class Clock:
    """Gives the time that the store's clock said when last asked, plus the time that has passed here since."""

    __slots__ = ("_asked", "said")

    def __init__(self) -> None:
        self.said = datetime.now(UTC)
        self._asked = time.monotonic()

    async def ask(self, store: Store) -> None:
        """Set it by the store's clock. What the answer took is lost, so this clock is late rather than early: no timer
        fires before it is due, and what is due at once is so by the store's clock too."""
        said = await store.now()
        self.said, self._asked = said, time.monotonic()

    def now(self) -> datetime:
        return self.said + timedelta(seconds=time.monotonic() - self._asked)

    def seconds_to(self, moment: datetime) -> float:
        """How long until *moment*; 0 if it has passed."""
        return max(0.0, (moment - self.now()).total_seconds())
