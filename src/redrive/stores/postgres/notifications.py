"""News between processes: NOTIFY after a commit, LISTEN on a connection of its own, and looking now and then without it.

NOTIFY is sent apart from what it tells of: in the same transaction, all who commit would wait for one lock. What is
lost with it costs time only. However much there is to tell, it is sent a few dozen times a second at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final
from uuid import uuid4

import psycopg

from redrive.ports.store import StoreError
from redrive.stores.change_notifier import EVERYTHING, ChangeNotifier
from redrive.stores.postgres.connection_pool import Connection, connect
from redrive.stores.postgres.limits import limited
from redrive.stores.postgres.session import FAILURES, Sessions

log: Final = logging.getLogger("redrive.stores.postgres")

TELL_EVERY: Final = 0.02
AT_ONCE: Final = 5
"""Notifications that are sent without a pause where there was quiet before; then one every `TELL_EVERY` seconds."""
LOOK_EVERY: Final = 0.5
"""Seconds between two looks where there is no LISTEN."""
LONGEST_PAUSE: Final = 10.0
ASK_EVERY: Final = 15.0
"""Seconds of silence after which the connection that listens is asked whether it is there."""


def channel_of(schema: str) -> str:
    return f"redrive_{schema}"[:63]


class News:
    """Rings *bell* for what this store and others have written. Who *only asks* may do so on a replica, where nobody listens."""

    def __init__(self, sessions: Sessions, bell: ChangeNotifier, *, only_asks: bool = False) -> None:
        self._sessions, self._notifier, self._only_asks = sessions, bell, only_asks
        self._me = uuid4().hex[:12]
        self._channel = channel_of(sessions.address.schema)
        self._untold = 0
        self._next_tell = 0.0
        """When the next one is due by the rate alone; it may be sent earlier, as long as not too many are ahead of the rate."""
        self._telling: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._listening: Connection | None = None

    async def open(self) -> None:
        if self._sessions.address.pgbouncer:
            self._hearing = asyncio.create_task(self._look())
            return
        try:
            await self._listen()
        except psycopg.errors.ReadOnlySqlTransaction:
            if not self._only_asks:
                raise
            self._hearing = asyncio.create_task(self._look())
            return
        self._hearing = asyncio.create_task(self._hear())

    async def close(self) -> None:
        """Tell what is to be told, and hear no more."""
        if self._telling is not None:
            await self._telling
        if self._hearing is not None:
            self._hearing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._hearing
        if self._listening is not None:
            await self._listening.close()

    def tell(self, kinds: int) -> None:
        if kinds:
            self._notifier.ring(kinds)
            self._untold |= kinds
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._untold:
            await asyncio.sleep(self._next_tell - (AT_ONCE - 1) * TELL_EVERY - clock())
            self._next_tell = max(self._next_tell, clock()) + TELL_EVERY
            kinds, self._untold = self._untold, 0
            try:
                await self._sessions.rows("tell", self._channel, f"{self._me} {kinds}")
            except StoreError as error:
                log.info("others are not told at once: %s", error)

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────
    async def _listen(self) -> None:
        connection = await connect(self._sessions.address)
        try:
            with limited(connection):
                await connection.execute(f'LISTEN "{self._channel}"'.encode())
        except BaseException:
            await connection.close()
            raise
        self._listening = connection

    async def _hear(self) -> None:
        while True:
            connection = self._listening
            assert connection is not None
            try:
                while True:
                    async for told in connection.notifies(timeout=ASK_EVERY):
                        sender, _, kinds = told.payload.partition(" ")
                        if sender != self._me:
                            self._notifier.ring(int(kinds) if kinds.isdecimal() else EVERYTHING)
                    with limited(connection):
                        await connection.execute(b"SELECT 1")
            except FAILURES as error:
                log.info("others are not heard at once: %s", error)
            await connection.close()
            await self._listen_again()
            self._notifier.ring(EVERYTHING)  # for what came while nobody listened

    async def _listen_again(self) -> None:
        pause = LOOK_EVERY
        while True:
            await asyncio.sleep(pause)
            self._notifier.ring(EVERYTHING)
            try:
                await self._listen()
                return
            except (StoreError, *FAILURES) as error:
                log.info("others are not heard at once: %s", error)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._notifier.awaited:
                self._notifier.ring(EVERYTHING)
