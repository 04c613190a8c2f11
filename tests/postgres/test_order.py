"""What is committed out of order is read without a gap, and idle connections that the server closed trouble nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redrive.ports.store import NewEvent, Outgoing, Store, Turn
from redrive.stores.postgres import PostgresStore
from redrive.testing.contracts.lab import LEASE, claimed, execution, nothing_for, signal
from tests.postgres.server import Server


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = PostgresStore(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def test_mail_that_is_committed_after_younger_mail_is_not_missed(postgres: Server, schema: str) -> None:
    async def run() -> None:
        async with opened(postgres.url(schema=schema)) as store:
            await claimed(store, "slow")
            await claimed(store, "fast")
            newest, _ = await store.poll_inboxes("ada", 0)
            with postgres.connect() as sender, sender.transaction():
                lock = f"SELECT n FROM {schema}.executions WHERE id = 'slow' FOR NO KEY UPDATE"
                ((n,),) = sender.execute(lock).fetchall()  # type: ignore[arg-type]
                insert = f"INSERT INTO {schema}.inbox (n, kind, name, data, stored_us) VALUES ({n}, 'signal', 'late', '1', 1)"
                sender.execute(insert)  # type: ignore[arg-type]
                await store.send("fast", signal())
                newest, mail = await store.poll_inboxes("ada", newest)
                assert list(mail) == ["fast"]
            newest, mail = await store.poll_inboxes("ada", newest)
            assert [message.name for message in mail["slow"]] == ["late"]
            assert (await store.poll_inboxes("ada", newest))[0] == newest

    asyncio.run(run())


def test_an_event_is_not_seen_before_an_older_one(postgres: Server, schema: str) -> None:
    async def run() -> None:
        async with opened(postgres.url(schema=schema)) as store:
            claim = await claimed(store)
            with postgres.connect() as other, other.transaction():
                count = f"UPDATE {schema}.counters SET value = value + 1 WHERE name = 'events'"
                other.execute(count)  # type: ignore[arg-type]
                insert = f"INSERT INTO {schema}.events VALUES (1, 'x', '1', 'other', 0, 1, 'k', {schema}.now_us())"
                other.execute(insert)  # type: ignore[arg-type]
                turn = Turn(expects=1, rows=["1"], events=[NewEvent(name="x", payload="2", key="k")])
                emitting = asyncio.ensure_future(store.commit(claim, turn))
                await asyncio.wait([emitting], timeout=0.2)
                assert await store.events(0, ["x"], 10) == (0, ())
            await emitting
            assert [event.payload for event in (await store.events(0, ["x"], 10))[1]] == ["1", "2"]

    asyncio.run(run())


def test_connections_that_the_server_closed_while_idle_trouble_nobody(postgres: Server, schema: str) -> None:
    url = postgres.url(schema=schema, application_name=schema)

    async def run() -> None:
        async with opened(url) as store:
            assert await nothing_for(store, "ada")
            begun = await store.start(execution(), claim_for="ada")
            assert begun.claim is not None
            for n in range(1, 4):
                postgres.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{schema}'")
                await store.commit(begun.claim, Turn(expects=n, rows=["1"]))
                await store.send("e-1", signal(dedup=str(n)))
                assert (await store.read("e-1")) is not None
                inbox = (await store.load(begun.claim)).inbox
                await store.commit(begun.claim, Turn(expects=n + 1, taken=inbox[-1].seq, seen=inbox[-1].seq))

    asyncio.run(run())


def test_a_late_worker_that_is_just_telling_that_it_lives_is_neither_buried_nor_waited_for(postgres: Server, schema: str) -> None:
    async def run() -> None:
        async with opened(postgres.url(schema=schema)) as store:
            claim = await claimed(store, "e-1", worker="bob")
            late = f"UPDATE {schema}.workers SET expires_us = 0, beat_us = 0 WHERE id = 'bob'"
            postgres.execute(late)
            with postgres.connect() as bob, bob.transaction():
                beat = f"UPDATE {schema}.workers SET expires_us = {schema}.now_us() + 15000000 WHERE id = 'bob'"
                bob.execute(beat)  # type: ignore[arg-type]
                assert await asyncio.wait_for(nothing_for(store, "ada"), 5)
            await store.commit(claim, Turn(expects=1, rows=["1"]))

    asyncio.run(run())


def test_what_several_dead_workers_had_is_locked_in_one_order(postgres: Server, schema: str) -> None:
    async def run() -> None:
        async with opened(postgres.url(schema=schema, application_name=schema)) as store:
            assert await nothing_for(store, "bart")
            await claimed(store, "first", worker="bob")
            await claimed(store, "second", worker="bart")
            late = f"UPDATE {schema}.workers SET expires_us = 0, beat_us = 0"
            postgres.execute(late)
            with postgres.connect() as looking, postgres.connect() as other, other.transaction():
                lock = f"SELECT n FROM {schema}.executions WHERE id = %s FOR NO KEY UPDATE NOWAIT"
                other.execute(lock, ["first"])  # type: ignore[arg-type]
                burying = asyncio.create_task(store.claim("ada", LEASE, "b-1", ["w"], 10))
                waits = f"SELECT FROM pg_stat_activity WHERE application_name = '{schema}' AND wait_event_type = 'Lock'"
                while not looking.execute(waits).fetchall():  # type: ignore[arg-type]
                    await asyncio.sleep(0.01)
                other.execute(lock, ["second"])  # type: ignore[arg-type]
            assert {claim.id for claim in await burying} == {"first", "second"}

    asyncio.run(run())


def test_who_retires_and_who_buries_him_lock_in_one_order(postgres: Server, schema: str) -> None:
    async def run() -> None:
        async with opened(postgres.url(schema=schema, application_name=schema)) as store:
            await claimed(store, "e-1", worker="bob")
            with postgres.connect() as looking, postgres.connect() as other, other.transaction():
                bury = f"DELETE FROM {schema}.workers WHERE id = 'bob'"
                other.execute(bury)  # type: ignore[arg-type]
                retiring = asyncio.create_task(store.deregister_worker("bob"))
                waits = f"SELECT FROM pg_stat_activity WHERE application_name = '{schema}' AND wait_event_type = 'Lock'"
                while not looking.execute(waits).fetchall():  # type: ignore[arg-type]
                    await asyncio.sleep(0.01)
                lock = f"SELECT n FROM {schema}.executions FOR NO KEY UPDATE NOWAIT"
                assert other.execute(lock).fetchall()  # type: ignore[arg-type]
            await retiring

    asyncio.run(run())


def test_what_is_started_while_a_start_waits_for_its_locks_is_found_there(postgres: Server, schema: str) -> None:
    url = postgres.url(schema=schema, application_name=schema)

    async def run() -> None:
        async with opened(url) as store, opened(postgres.url(schema=schema)) as elsewhere:
            assert await nothing_for(store, "ada")
            await store.start(execution("busy"))
            with postgres.connect() as looking, postgres.connect() as other, other.transaction():
                lock = f"SELECT n FROM {schema}.executions WHERE id = 'busy' FOR NO KEY UPDATE"
                other.execute(lock)  # type: ignore[arg-type]
                first = Turn(expects=1, rows=["1"], outgoing=[Outgoing(target="busy", message=signal())])
                starting = asyncio.create_task(store.start(execution("e-1"), claim_for="ada", first=first))
                waits = f"SELECT FROM pg_stat_activity WHERE application_name = '{schema}' AND wait_event_type = 'Lock'"
                while not looking.execute(waits).fetchall():  # type: ignore[arg-type]
                    await asyncio.sleep(0.001)
                await elsewhere.start(execution("e-1", run="another", first_message=signal()))
            assert not (await starting).created

    asyncio.run(run())
