"""How a worker says that it lives while its event loop cannot: what a store offers for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol, runtime_checkable


class Lifeline(Protocol):
    """One worker's evidence of life in a store, on a connection of its own. Used by one thread at a time, never the loop's.

    All methods block, and raise `StoreError` where the store is out of reach.
    """

    look_every: float
    """Seconds between two calls of `somebody_died`."""

    def open(self) -> None:
        """Put the evidence in place; the worker's next `claim` shows it to others."""
        ...

    def beat(self) -> bool:
        """Renew the lease as a `claim` would, and nothing else. False if others have buried the worker already."""
        ...

    def somebody_died(self) -> bool:
        """Whether a `claim` would find another worker dead before its lease has passed."""
        ...

    def close(self) -> None:
        """Take the evidence away: if the worker has not retired, its death is certain from now on."""
        ...


@runtime_checkable
class HasLifelines(Protocol):
    """A store whose workers keep their leases while user code blocks their event loop."""

    def lifeline(self, worker: str, lease: timedelta, max_stall: timedelta) -> Lifeline:
        """*worker* is about to call `claim` for the first time. Others leave it its lease for *max_stall* after its last
        `claim`, as long as they see that its process runs."""
        ...
