"""Opening a store that is there, to ask; never making one out of a slip of the pen."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class OnlyAsks(Protocol):
    """A store that could make what is missing when it is opened."""

    def only_ask(self) -> None:
        """From now on `open` makes nothing: what is not there, or too old, is an `UnusableStore`."""
        ...
