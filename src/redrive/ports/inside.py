"""Starting an execution inside a transaction of the user's: it begins when he commits, or never was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs

from redrive.ports.store import Json, NewExecution


class Cursor(Protocol):
    """A cursor of a DB-API driver, Django, or SQLAlchemy's raw connection; parameters are written ``%(name)s``."""

    def execute(self, statement: Any, parameters: Mapping[str, Any], /) -> Any: ...

    def fetchone(self) -> Sequence[Any] | Mapping[str, Any] | None: ...


class AsyncCursor(Protocol):
    """The same where each call is awaited, as psycopg's `AsyncCursor`."""

    async def execute(self, statement: Any, parameters: Mapping[str, Any], /) -> Any: ...

    async def fetchone(self) -> Any: ...


@attrs.frozen
class Standing:
    """An execution that has the id already: the workflow that it was started as, and its input."""

    workflow: str
    input: Json


@runtime_checkable
class StartsInside(Protocol):
    """A store that shares its database with what the user keeps there."""

    def start_in(self, cursor: Cursor, new: NewExecution) -> Standing | None:
        """Store *new* by *cursor*, in the transaction it is in; or give back what has its id, and write nothing.

        Others are told when that transaction commits. Errors are the driver's own.
        """
        ...

    async def start_in_async(self, cursor: AsyncCursor, new: NewExecution) -> Standing | None:
        """The same by a cursor whose calls are awaited, on the loop of the caller."""
        ...
