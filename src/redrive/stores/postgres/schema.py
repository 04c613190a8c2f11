"""The schema: created and brought up to date by the first store that opens it, never one that we do not understand.

A migration may only add: older workers run on while it does. Where it cannot, it raises `oldest`, the lowest schema
number whose workers can still use the tables; those are then refused when they open the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg

from redrive.ports.store import UnusableStore
from redrive.stores.postgres.address import Address
from redrive.stores.postgres.connection_pool import Connection
from redrive.stores.postgres.queries import in_schema

MOVED: Final = 1_000_000
"""The number of a schema whose executions live elsewhere now; releases that do not know it refuse it as a newer one."""
UNFINISHED: Final = 1_000_001
"""The number of a schema that is being filled from another store."""
_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_VERSION: Final = "SELECT number, oldest FROM redrive.schema_version"
# By the catalogs: `to_regclass` may answer from a cache what was so before we waited for the lock.
_IS_THERE: Final = """
SELECT EXISTS (
    SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
    WHERE s.nspname = $1 AND c.relname = 'schema_version'
), EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)
"""
_BEGIN: Final = """
CREATE TABLE redrive.schema_version (number integer NOT NULL, oldest integer NOT NULL);
INSERT INTO redrive.schema_version VALUES (0, 1);
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7238834))"


def migrations() -> Sequence[str]:
    """The scripts, oldest first; the first brings an empty schema to version 1."""
    return [script.read_text(encoding="utf-8") for script in sorted(_MIGRATIONS.glob("[0-9]*.sql"))]


async def bring_up_to_date(connection: Connection, address: Address, scripts: Sequence[str] | None = None) -> None:
    """Raises `UnusableStore` for a schema that is too new, not ours, or may not be changed."""
    known = migrations() if scripts is None else scripts
    number = await _number(connection, address, len(known))
    if number >= len(known):
        return
    if not address.migrate:
        problem = (
            f"there is no schema {address.schema!r} of redrive's in this database yet"
            if number == 0
            else f"the schema {address.schema!r} has version {number}, and this redrive needs {len(known)}"
        )
        remedy = "`redrive prepare-store URL`, as a role that may create tables and without migrate=false, sees to it"
        raise UnusableStore(f"{address.shown}: {problem}: {remedy}")
    try:
        async with connection.transaction():
            await connection.execute(_LOCK, (f"redrive {address.schema}",))
            number = await _number(connection, address, len(known))
            has_version, has_schema = await _look(connection, address)
            if not has_schema:
                await connection.execute(in_schema("CREATE SCHEMA redrive.", address.schema).rstrip(b"."))
            if not has_version:
                await _script(connection, address, _BEGIN)
            for script in known[number:]:
                await _script(connection, address, script)
            await connection.execute(in_schema("UPDATE redrive.schema_version SET number = $1", address.schema), (len(known),))
    except psycopg.errors.InsufficientPrivilege as error:
        raise UnusableStore(
            f"{address.shown}: the role may not create what is missing in schema {address.schema!r}: run `redrive prepare-store URL` as "
            f"one that may (CREATE on the database, or the schema's owner), and add migrate=false here ({error})"
        ) from error
    except psycopg.errors.DuplicateTable as error:
        raise UnusableStore(
            f"{address.shown}: the schema {address.schema!r} has tables of another program: name another one with ?schema=… ({error})"
        ) from error


async def require(connection: Connection, address: Address) -> None:
    """For those who only look. Raises `UnusableStore` unless the schema is there and of this release, or a later one that fits."""
    known = len(migrations())
    number = await _number(connection, address, known)
    if number == 0:
        raise UnusableStore(f"{address.shown}: there is no schema {address.schema!r} of redrive's in this database")
    if number < known:
        raise UnusableStore(
            f"{address.shown}: an older redrive made the schema {address.schema!r}, and reading must not bring it up to date; "
            "`redrive prepare-store URL` does, or a worker of this release"
        )


async def _script(connection: Connection, address: Address, script: str) -> None:
    # Several statements in one text are only possible without parameters, and not as prepared ones.
    async with psycopg.AsyncCursor(connection) as cursor:
        await cursor.execute(in_schema(script, address.schema), prepare=False)


async def _look(connection: Connection, address: Address) -> tuple[bool, bool]:
    """Whether the table of the version is there, and the schema."""
    cursor = await connection.execute(_IS_THERE, (address.schema,))
    row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def oldest(connection: Connection, address: Address) -> int:
    """The lowest schema number whose workers can still use the tables."""
    cursor = await connection.execute(in_schema(_VERSION, address.schema))
    row = await cursor.fetchone()
    assert row is not None
    return int(row[1])


async def _number(connection: Connection, address: Address, known: int) -> int:
    """The version of the schema, 0 if it is not there."""
    try:
        if not (await _look(connection, address))[0]:
            return 0
        cursor = await connection.execute(in_schema(_VERSION, address.schema))
    except psycopg.errors.InsufficientPrivilege as error:
        raise UnusableStore(
            f"{address.shown}: the role may not use the schema {address.schema!r}: grant it USAGE on the schema and SELECT, INSERT, "
            f"UPDATE and DELETE on its tables ({error})"
        ) from error
    row = await cursor.fetchone()
    if row is None:
        raise UnusableStore(f"{address.shown}: the table schema_version is empty: restore the schema {address.schema!r} from a backup")
    number, oldest = row
    if number == MOVED:
        raise UnusableStore(f"{address.shown}: the executions of schema {address.schema!r} were moved to another store; use that one")
    if number == UNFINISHED:
        raise UnusableStore(
            f"{address.shown}: the schema {address.schema!r} was being filled from another store, and that did not finish; "
            "drop it and move again"
        )
    if number > known and oldest > known:
        raise UnusableStore(
            f"{address.shown}: a newer redrive changed the schema {address.schema!r} (version {number}, this one knows those up to "
            f"{known}, and the tables work with {oldest} or later): install that version"
        )
    return int(number)
