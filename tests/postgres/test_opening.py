"""Opening a PostgreSQL store: what is wrong is said, with what to do and without the password; the schema is made once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from redrive import AsyncDurableService, Attribute
from redrive.ports.store import StoreError, Turn, UnusableStore
from redrive.stores.backends import open_url
from redrive.stores.postgres import PostgresStore
from redrive.stores.postgres.address import parse
from redrive.stores.postgres.connection_pool import connect
from redrive.stores.postgres.postgres_errors import as_store_error
from redrive.stores.postgres.schema import bring_up_to_date, migrations
from redrive.testing.contracts.lab import claimed, execution, newest, signal
from tests.postgres.server import Server

ROLE = "runtime"


def opened(url: str) -> None:
    async def run() -> None:
        store = PostgresStore(url)
        await store.open()
        await store.close()

    asyncio.run(run())


@pytest.fixture
def role(postgres: Server, schema: str) -> Iterator[str]:
    """A role that may connect, and nothing else."""
    name = f"{ROLE}_{schema}"
    postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'", f"REVOKE CREATE ON DATABASE postgres FROM {name}")
    yield name
    postgres.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


# ── URLs ────────────────────────────────────────────────────────────────────────────────────────
def test_both_names_of_the_scheme_are_known() -> None:
    for scheme in ("postgresql", "postgres"):
        store = open_url(f"{scheme}://ada@db.example/orders?schema=flows&sslmode=require")
        assert isinstance(store, PostgresStore)
        assert store.address.schema == "flows"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host/db?schema=a-b",
        "postgresql://host/db?schema=",
        "postgresql://host/db?migrate=perhaps",
        "postgresql://host/db?pgbouncer=1",
        "postgresql://host/db?connections=1",
        "postgresql://host/db?no_such_option=1",
    ],
)
def test_an_option_that_cannot_be_is_refused_where_the_store_is_made(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://host/db"):
        open_url(url)


@pytest.mark.parametrize("url", ["postgresql://ada:secret@host/db", "postgresql://host/db?user=ada&password=secret&schema=x"])
def test_a_password_is_never_shown(url: str) -> None:
    service = AsyncDurableService(url, worker=False)
    shown = (parse(url).shown, repr(parse(url)), service.store_name, repr(service))
    assert all("host/db" in text and "secret" not in text for text in shown)


def test_without_psycopg_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("psycopg", "redrive.stores.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UnusableStore, match=r"redrive\[postgres\]"):
        open_url("postgresql://host/db")


# ── servers that cannot be used ─────────────────────────────────────────────────────────────────
def test_a_wrong_password_is_told_from_a_server_that_is_not_there(postgres: Server) -> None:
    with pytest.raises(UnusableStore, match="password") as refused:
        opened(postgres.url(schema="x", password="wr0ng"))
    assert "wr0ng" not in str(refused.value)


def test_a_server_that_is_not_there_may_come(postgres: Server) -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/orders") as unreachable:
        opened("postgresql://ada:secret@127.0.0.1:1/orders")
    assert not isinstance(unreachable.value, UnusableStore)
    assert unreachable.value.retry_helps
    assert "secret" not in str(unreachable.value)


def test_a_database_that_is_not_there_is_to_be_created(postgres: Server) -> None:
    with pytest.raises(StoreError, match="no_such_database"):
        opened(postgres.url(schema="x", database="no_such_database"))


def test_a_database_in_another_encoding_is_refused(postgres: Server) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(UnusableStore, match="UTF8"):
        opened(postgres.url(schema="x", database="latin"))
    postgres.execute("DROP DATABASE latin")


def test_a_pooler_that_nobody_spoke_of_is_guessed_at(postgres: Server) -> None:
    with postgres.connect() as connection:
        connection.execute("PREPARE twice AS SELECT 1")
        for statement, error in (("EXECUTE nothing", "does not exist"), ("PREPARE twice AS SELECT 1", "already exists")):
            with pytest.raises(psycopg.Error) as raised:
                connection.execute(statement)
            told = str(as_store_error(raised.value, "here"))
            assert error in told
            assert "pgbouncer=true" in told


# ── schemas ─────────────────────────────────────────────────────────────────────────────────────
def test_many_who_open_a_new_schema_at_once_make_it_once(postgres: Server, schema: str) -> None:
    async def run() -> None:
        stores = [PostgresStore(postgres.url(schema=schema)) for _ in range(6)]
        await asyncio.gather(*(store.open() for store in stores))
        assert await newest(stores[0]) == []
        await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(run())


def test_a_schema_of_an_earlier_release_is_brought_up_to_date(postgres: Server, schema: str) -> None:
    url = postgres.url(schema=schema)

    async def run() -> None:
        connection = await connect(parse(url))
        await bring_up_to_date(connection, parse(url), migrations()[:2])
        await connection.close()
        store = PostgresStore(url)
        await store.open()
        await store.start(execution())
        assert list(await store.set_aside("e-1", 10)) == []
        assert await store.drop_aside("e-1", None) == 0
        assert list(await store.list_held(None, None, 10)) == []
        await store.close()

    asyncio.run(run())


def test_a_newer_schema_is_used_if_it_says_that_it_can_be(postgres: Server, schema: str) -> None:
    opened(postgres.url(schema=schema))
    postgres.execute(f"UPDATE {schema}.schema_version SET number = 99")
    opened(postgres.url(schema=schema))
    postgres.execute(f"UPDATE {schema}.schema_version SET oldest = 99")
    with pytest.raises(UnusableStore, match="newer redrive"):
        opened(postgres.url(schema=schema))


def test_a_schema_that_may_not_be_made_is_not(postgres: Server, schema: str) -> None:
    with pytest.raises(UnusableStore, match="prepare-store"):
        opened(postgres.url(schema=schema, migrate="false"))


def test_tables_of_another_program_are_left_alone(postgres: Server, schema: str) -> None:
    postgres.execute(f"CREATE SCHEMA {schema}", f"CREATE TABLE {schema}.executions (theirs int)")
    with pytest.raises(UnusableStore, match="another program"):
        opened(postgres.url(schema=schema))
    postgres.execute(f"SELECT theirs FROM {schema}.executions")


def test_a_schema_that_goes_away_in_use_is_told(postgres: Server, schema: str) -> None:
    async def run() -> None:
        store = PostgresStore(postgres.url(schema=schema))
        await store.open()
        claim = await claimed(store)
        postgres.execute(f"DROP SCHEMA {schema} CASCADE")
        for call in (store.read("e-1"), store.commit(claim, Turn(expects=1, rows=["1"])), store.send("e-1", signal())):
            with pytest.raises(UnusableStore, match="schema"):
                await call
        await store.close()

    asyncio.run(run())


# ── privileges ──────────────────────────────────────────────────────────────────────────────────
def test_a_role_that_may_not_create_is_told_so(postgres: Server, schema: str, role: str) -> None:
    with pytest.raises(UnusableStore, match="may not create"):
        opened(postgres.url(schema=schema, user=role))


def test_a_role_that_may_not_use_the_schema_is_told_so(postgres: Server, schema: str, role: str) -> None:
    opened(postgres.url(schema=schema))
    with pytest.raises(UnusableStore, match="grant it USAGE"):
        opened(postgres.url(schema=schema, user=role, migrate="false"))


def test_a_worker_needs_no_more_than_to_read_and_write_the_tables(postgres: Server, schema: str, role: str) -> None:
    opened(postgres.url(schema=schema))
    postgres.execute(
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        f"REVOKE INSERT, UPDATE, DELETE ON {schema}.schema_version FROM {role}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    )

    async def run() -> None:
        store = PostgresStore(postgres.url(schema=schema, user=role, migrate="false"))
        await store.open()
        claim = await claimed(store)
        await store.send("e-1", signal())
        assert len((await store.poll_inboxes("ada", 0))[1]) == 1
        await store.commit(claim, Turn(expects=1, rows=["1"], status="completed", outcome="{}"))
        await store.deregister_worker("ada")
        await store.close()

    asyncio.run(run())


def test_a_schema_of_the_last_release_is_brought_up_to_date_with_what_is_in_it(postgres: Server, schema: str) -> None:
    from redrive.stores.postgres.connection_pool import connect
    from redrive.stores.postgres.schema import bring_up_to_date, migrations

    url = postgres.url(schema=schema)

    async def run() -> list[str]:
        connection = await connect(parse(url))
        await bring_up_to_date(connection, parse(url), migrations()[:2])
        await connection.close()
        postgres.execute(
            f"INSERT INTO {schema}.executions (id, workflow, run, status, stored_us, updated_us, created_us, attributes) "
            "SELECT 'e-' || i, 'w-' || i % 2, 'r', 'suspended', 1, 1, 1, '{}' FROM generate_series(1, 6) AS i",
            f"INSERT INTO {schema}.history SELECT n, 1, 1, 1, '1', '1' FROM {schema}.executions",
        )
        store = PostgresStore(url)
        await store.open()
        found = [snapshot.id for snapshot in await newest(store, workflow="w-0")]
        await store.close()
        return found

    assert asyncio.run(run()) == ["e-6", "e-4", "e-2"]


def test_what_the_last_release_parked_has_a_kind_and_is_tried_by_the_next_worker(postgres: Server, schema: str) -> None:
    """D2."""
    from redrive.stores.postgres.connection_pool import connect
    from redrive.stores.postgres.schema import bring_up_to_date, migrations

    url = postgres.url(schema=schema)

    async def run() -> None:
        connection = await connect(parse(url))
        await bring_up_to_date(connection, parse(url), migrations()[:2])
        await connection.close()
        postgres.execute(
            f"INSERT INTO {schema}.executions (id, workflow, run, status, wake_us, stored_us, updated_us, created_us, attributes) "
            "SELECT 'e-' || i, 'w', 'r', 'parked', 1, 1, 1, 1, '{}' FROM generate_series(1, 3) AS i",
            f"INSERT INTO {schema}.history SELECT n, 1, 1, 1, '1', '1' FROM {schema}.executions",
            f"INSERT INTO {schema}.parked SELECT n, 'b-1', CASE id WHEN 'e-1' THEN 'its worker died 11 times' "
            f"WHEN 'e-2' THEN 'a turn was broken off after 5.1 s' ELSE 'diverged' END FROM {schema}.executions",
        )
        store = PostgresStore(url)
        await store.open()
        assert [snapshot.parks[0].kind for snapshot in await newest(store)] == ["error", "cut_off", "killed"]
        lease = timedelta(seconds=15)
        assert list(await store.claim("ada", lease, "b-1", ["w"], 10)) == []
        claims = await store.claim("ada", lease, "b-1", ["w"], 10, retries=10)
        assert {(claim.id, claim.deaths, claim.tries) for claim in claims} == {("e-1", 0, 1), ("e-2", 0, 1), ("e-3", 0, 1)}
        await store.close()

    asyncio.run(run())


def test_no_session_of_a_store_compiles_what_it_is_asked(postgres: Server, schema: str) -> None:
    async def run() -> str:
        store = PostgresStore(postgres.url(schema=schema))
        await store.open()
        async with store._open.sessions.session() as session:
            found = await (await session.connection.execute(b"SHOW jit")).fetchone()
        await store.close()
        assert found is not None
        return str(found[0])

    assert asyncio.run(run()) == "off"


def test_what_an_older_release_stored_is_found_once_somebody_searches_for_it(postgres: Server, schema: str) -> None:
    """A1, A3: only the code knows the types of its attributes, so they are made searchable when it asks."""
    from redrive.stores.postgres.connection_pool import connect
    from redrive.stores.postgres.schema import bring_up_to_date, migrations

    url = postgres.url(schema=schema)
    started = '{"row":"started","id":"top","run":"0b0f5d0c-6a0e-4d6e-9a3e-000000000000","at":1,"input":{},"workflow":"w"}'
    asked = '{"row":"asked","key":"approved","kind":"wait_signal","label":"approved","input":{}}'
    columns = "(id, workflow, run, status, stored_us, updated_us, created_us, attributes, outcome, creator_id)"

    async def run() -> None:
        connection = await connect(parse(url))
        await bring_up_to_date(connection, parse(url), migrations()[:8])
        await connection.close()
        postgres.execute(
            f"""INSERT INTO {schema}.executions {columns} VALUES
            ('top', 'w', 'r', 'suspended', 1, 7, 1, '{{"total":"12.50","odd":"\\ud800"}}', NULL, NULL),
            ('left', 'w', 'r', 'running', 1, 7, 1, '{{"total":"9"}}', NULL, 'top'),
            ('leaf', 'w', 'r', 'completed', 1, 7, 1, '{{}}', '{{"ok":1}}', 'left'),
            ('lost', 'w', 'r', 'failed', 1, 7, 1, 'not json', '{{"err":{{"type":"shop.CardDeclined","message":"\\ud800"}}}}', 'gone')""",
            f"INSERT INTO {schema}.history SELECT n, 1, 2, 1, '{started},{asked}', '{{}}' FROM {schema}.executions",
        )
        total = Attribute("total", Decimal)
        async with AsyncDurableService(url, worker=False) as service:
            assert [one.id async for one in service.find(attributes=[total.is_(Decimal("12.5"))])] == ["top"]
            assert [one.id async for one in service.find(attributes=[total.at_least(Decimal(9))])] == ["left", "top"]
            assert [one.id async for one in service.find(attributes=[Attribute("odd", str).is_("\ud800")])] == ["top"]
            assert [one.id async for one in service.find(waiting_on="approved")] == ["left", "top"]
            assert [one.id async for one in service.find(root="top")] == ["leaf", "left", "top"]
            assert [one.id async for one in service.find(error_type="CardDeclined")] == ["lost"]
            assert [one.id async for one in service.find(ended_after=datetime(1970, 1, 1, tzinfo=UTC))] == ["lost", "leaf"]
            assert list(await service.store.behind("total", 1)) == list(await service.store.behind(None, 1)) == []

    asyncio.run(run())
