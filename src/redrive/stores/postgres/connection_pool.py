"""Connections: one at first, to see whether the database can be used, then a pool of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import AsyncConnectionPool

from redrive.ports.store import UnusableStore
from redrive.stores.postgres.address import Address
from redrive.stores.postgres.postgres_errors import cannot_connect

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]
Pool: TypeAlias = AsyncConnectionPool[Connection]

OLDEST_SERVER: Final = 140_000
PATIENCE: Final = 3.0
"""Seconds that a call waits for a connection; then the caller asks again."""
RECONNECT_FOR: Final = 4.0
"""Seconds after which the pool begins anew to connect. Each pause within is twice the last one: without an end, a server
that was away for minutes would be left alone for minutes more."""

# A connection whose other end is gone without a word is given up within half a minute.
_DEFAULTS: Final[Mapping[str, str]] = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "redrive",
}
_PORTS: Final = re.compile(r"[0-9,]*")
_QUOTED: Final = re.compile(r'"(.*?)"')
# A statement's plan is kept, and a new table looks small: a plan for a small table would read all of a big one (queries.sql says
# how that is kept from happening). To compile a statement takes longer than any of ours runs.
_SETTINGS: Final = ("jit=off", "enable_seqscan=off", "enable_bitmapscan=off", "enable_hashjoin=off", "enable_mergejoin=off")
SESSION: Final = " ".join(f"-c {setting}" for setting in (r"default_transaction_isolation=read\ committed", *_SETTINGS))


def parameters(address: Address) -> dict[str, Any]:
    """The parameters for libpq. Raises ValueError where it would not understand the URL."""
    try:
        given = conninfo_to_dict(address.conninfo)
    except psycopg.ProgrammingError as error:
        raise ValueError(f"{address.shown}: {_discreet(error, address.shown)}") from None
    place, _, path = address.conninfo.partition("?")[0].partition("://")[2].partition("/")
    if place.count("@") > 1 or "@" in path or not _PORTS.fullmatch(str(given.get("port", ""))):
        raise ValueError(f"{address.shown}: its parts cannot be told apart; in a password, / is written %2F, @ %40, ? %3F and % %25")
    found = {**_DEFAULTS, **given, "client_encoding": "utf8"}
    if not address.pgbouncer:
        found["options"] = f"{SESSION} {given.get('options', '')}".strip()
    return found


def _discreet(error: psycopg.Error, shown: str) -> str:
    """A message of libpq without the part of the password that it may quote."""
    words = " ".join(str(error).split())
    return _QUOTED.sub(lambda quoted: quoted[0] if quoted[1] in shown else '"***"', words)


async def connect(address: Address) -> Connection:
    """One connection. Raises `StoreError`; `UnusableStore` where waiting would not help."""
    try:
        connection = await AsyncConnection.connect(**parameters(address), autocommit=True, cursor_factory=AsyncRawCursor)
    except psycopg.Error as error:
        raise cannot_connect(error, address.shown) from error
    await configure(connection, address)
    return connection


async def configure(connection: Connection, address: Address) -> None:
    connection.prepare_threshold = None if address.pgbouncer else 1
    connection.adapters.register_dumper(int, Int8Dumper)


async def check(connection: Connection, address: Address) -> None:
    """Raises `UnusableStore` for a server or a database that cannot keep what we store."""
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.server_version // 10_000
        raise UnusableStore(f"{address.shown}: the server is PostgreSQL {version}; redrive needs 14 or later")
    encoding = await _one(connection, b"SHOW server_encoding")
    if encoding != "UTF8":
        raise UnusableStore(f"{address.shown}: the database's encoding is {encoding}; create one with ENCODING 'UTF8'")
    isolation = await _one(connection, b"SHOW default_transaction_isolation")
    if isolation != "read committed":
        raise UnusableStore(
            f"{address.shown}: default_transaction_isolation is {isolation!r}; for this role it must be 'read committed' "
            "(ALTER ROLE … SET default_transaction_isolation = 'read committed')"
        )


async def _one(connection: Connection, query: bytes) -> str:
    cursor = await connection.execute(query)
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


async def look(connection: Connection) -> None:
    """Raises `psycopg.OperationalError` where the server has closed an idle connection; asks it nothing."""
    for _ in range(2):  # its last words, and then that it hung up
        connection.pgconn.consume_input()
    if connection.closed or connection.broken:
        raise psycopg.OperationalError("the connection is closed")


def make_pool(address: Address) -> Pool:
    async def prepare(connection: Connection) -> None:
        await configure(connection, address)

    return AsyncConnectionPool(
        kwargs={**parameters(address), "autocommit": True, "cursor_factory": AsyncRawCursor},
        min_size=1,
        max_size=address.connections,
        timeout=PATIENCE,
        max_idle=60,
        reconnect_timeout=RECONNECT_FOR,
        configure=prepare,
        open=False,
        name="redrive",
    )
