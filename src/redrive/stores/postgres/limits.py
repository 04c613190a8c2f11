"""A client-side limit to each use of a connection, after which it is cut and replaced.

A proxy may keep the client's half of a connection whose other half is gone, and acknowledge all that is sent: neither TCP's
keepalives nor a server's timeouts end such a wait. Cutting the socket does: the driver then finds the connection closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

import psycopg

if TYPE_CHECKING:
    from psycopg import AsyncConnection

log: Final = logging.getLogger("redrive.stores.postgres")

ANSWER_WITHIN: Final = 5.0
"""Seconds for what touches a few rows."""
LONG: Final = 60.0
"""Seconds for what may touch all that a worker owns, once the server has answered; and to read long histories and lists."""
_LATE: Final = 0.5
MIGRATE_WITHIN: Final = 6 * 3600.0
"""Seconds to bring the tables up to date."""


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time, and the connection was cut."""


class Limit:
    """Cuts *connection* unless it is given up, or allowed more, in time."""

    __slots__ = ("_connection", "_handle", "cut_after")

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._handle: asyncio.TimerHandle | None = None
        self.cut_after: float | None = None
        """Seconds that it was allowed, where it was cut."""

    def allow(self, seconds: float) -> None:
        """Let it last *seconds* from now."""
        self.stop()
        if self.cut_after is None:
            loop = asyncio.get_running_loop()
            due = loop.time() + seconds
            self._handle = loop.call_at(due, self._is_due, due, seconds)

    def _is_due(self, due: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - due > _LATE:  # this loop was held up: the answer may be here, and unread
            self._handle = loop.call_later(_LATE, self.cut, seconds)
        else:
            self.cut(seconds)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def cut(self, after: float = 0.0) -> None:
        self.cut_after = after
        log.warning("a connection is replaced: the server did not answer within %g s", after)
        with contextlib.suppress(psycopg.Error, OSError), _socket(self._connection) as copy:
            copy.shutdown(socket.SHUT_RDWR)


def _socket(connection: AsyncConnection[Any]) -> socket.socket:
    """A copy of the driver's, which stays open."""
    return socket.fromfd(connection.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM)


@contextlib.contextmanager
def limited(connection: AsyncConnection[Any], seconds: float = ANSWER_WITHIN) -> Generator[Limit]:
    """Raises `NoAnswer` for what fails because it took too long."""
    limit = Limit(connection)
    limit.allow(seconds)
    try:
        yield limit
    except psycopg.Error as error:
        if limit.cut_after is None:
            raise
        raise NoAnswer(f"the server did not answer within {limit.cut_after:g} s; its connection is replaced") from error
    finally:
        limit.stop()
