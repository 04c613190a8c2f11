"""A worker's evidence of life in a database: a session that holds a lock (see `redrive.ports.liveness` and session_witness.py)."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg import RawCursor
from psycopg.types.numeric import Int8Dumper

from redrive.stores.postgres.address import Address
from redrive.stores.postgres.connection_pool import parameters
from redrive.stores.postgres.parameters import to_text
from redrive.stores.postgres.postgres_errors import as_store_error
from redrive.stores.postgres.queries import queries
from redrive.stores.postgres.session_witness import UNBROKEN, Evidence, Witness, WorkerRow, evidence_text

log: Final = logging.getLogger("redrive.stores.postgres")
_LIMIT: Final = 3.0
"""Seconds that a statement gets: then its connection is replaced."""
_TRY_AGAIN_AFTER: Final = 1.0
CROWD: Final = 25
"""So many workers look as often as one would alone."""


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """One whose statements end within `_LIMIT`, whatever becomes of the network."""

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return super().wait(_limited(gen), *args, **kwargs)


def _limited(gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    until = time.monotonic() + _LIMIT
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > until:
                raise psycopg.OperationalError(f"no answer within {_LIMIT:.0f} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


class PostgresLifeline:
    """See `Lifeline`. *show* gives the store what the worker's claims write, and None when there is nothing any more."""

    look_every = 0.4

    def __init__(
        self,
        address: Address,
        worker: str,
        lease: timedelta,
        max_stall: timedelta,
        witness: Witness,
        show: Callable[[str, Evidence | None], None],
    ) -> None:
        self._address, self._worker, self._witness, self._show = address, worker, witness, show
        self._lease_us, self._stall_us = (given // timedelta(microseconds=1) for given in (lease, max_stall))
        self._sql = queries(address.schema)
        self._life = secrets.randbits(62)
        self._connection: _Connection | None = None
        self._next_try = self._next_look = 0.0
        self._shows = False

    def open(self) -> None:
        try:
            self._connect()
        except psycopg.Error as error:
            log.info("%s: no session that shows that the worker lives: %s", self._address.shown, as_store_error(error, self._address.shown))

    def beat(self) -> bool:
        try:
            if self._connection is None:
                self._connect()
            return self._ask("beat", self._lease_us, to_text(self._worker)).rowcount > 0
        except psycopg.Error as error:
            self._hang_up()
            raise as_store_error(error, self._address.shown) from error

    def somebody_died(self) -> bool:
        """Also True where the worker's next claim has to show something else of the worker itself."""
        showed = self._shows
        try:
            if self._connection is None and time.monotonic() >= self._next_try:
                self._connect()
            return self._shows != showed or (self._connection is not None and self._look())
        except psycopg.Error:
            return self._lost(showed)

    def close(self) -> None:
        self._show_nothing()
        self._hang_up()

    def _lost(self, showed: bool) -> bool:
        """The session has ended, and its lock is free: have another one at once, or show none."""
        self._hang_up()
        try:
            self._connect()
        except psycopg.Error as error:
            self._hang_up()
            self._next_try = time.monotonic() + _TRY_AGAIN_AFTER
            log.info("%s: %s", self._address.shown, as_store_error(error, self._address.shown))
            self._show_nothing()
        return self._shows != showed

    def _connect(self) -> None:
        given: dict[str, Any] = parameters(self._address) | {"connect_timeout": "3"}
        self._connection = connection = _Connection.connect(**given, autocommit=True, cursor_factory=RawCursor)
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.prepare_threshold = None if self._address.pgbouncer else 1
        if self._address.pgbouncer:
            return  # the session is everybody's
        connection.execute("SET lock_timeout = '1s'")
        row = self._ask("hold_life", self._life).fetchone()
        assert row is not None
        self._show(self._worker, Evidence(life=self._life, server_us=row[0], stall_us=self._stall_us, text=evidence_text()))
        self._shows = True

    def _show_nothing(self) -> None:
        self._show(self._worker, None)
        self._shows = False

    def _look(self) -> bool:
        now = time.monotonic()
        if now < self._next_look:
            return False
        me = to_text(self._worker)
        rows = [WorkerRow(*row) for row in self._ask("workers").fetchall()]
        # All look at all: the more there are, the less often each one looks.
        every = self.look_every * max(1.0, len(rows) / CROWD)
        self._next_look, self._witness.unbroken = now + every, max(UNBROKEN, 3 * every)
        died = [row for row in rows if row.id != me and self._witness.is_dead(row)]  # all are looked at: how long a lock was free counts
        return bool(died)

    def _ask(self, name: str, *values: object) -> psycopg.Cursor[tuple[Any, ...]]:
        assert self._connection is not None
        return self._connection.execute(self._sql[name], values)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                connection.close()
