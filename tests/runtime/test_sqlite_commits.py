"""Group commit: one transaction for all that is ready, none the worse for its company."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from redrive.ports.store import Claim, LostClaim, StoreError, Turn
from redrive.stores.sqlite import SQLiteStore
from redrive.stores.sqlite.connection_threads import FEW
from redrive.testing.contracts.lab import DAY, claimed, execution, signal


def with_store(path: Path, test: Callable[[SQLiteStore], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        store = SQLiteStore(str(path / "redrive.db"), **options)
        await store.open()
        try:
            await test(store)
        finally:
            await store.close()

    asyncio.run(run())


def traced(store: SQLiteStore, *, reading: bool = False) -> list[tuple[str, str]]:
    """Each statement that the store's writing connection (or the reading one) runs from now on, and the name of the thread."""
    statements: list[tuple[str, str]] = []
    connection = (store._reader if reading else store._writer)._session._db
    connection.set_trace_callback(lambda text: statements.append((text, threading.current_thread().name)))
    return statements


async def many(store: SQLiteStore, count: int) -> list[Claim]:
    await asyncio.gather(*(store.start(execution(f"e-{n}")) for n in range(count)))
    return list(await store.claim("ada", DAY, "b-1", ["w"], count))


def test_turns_that_are_ready_together_share_a_transaction(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claims = await many(store, 200)
        statements = traced(store)
        await asyncio.gather(*(store.commit(claim, Turn(expects=1, rows=['"a"'])) for claim in claims))
        assert len([text for text, _ in statements if text == "COMMIT"]) <= 3

    with_store(tmp_path, test)


def test_a_job_that_fails_does_not_harm_its_company(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claims = await many(store, 20)
        bad: Any = b"no text"
        rows = [[f'"{n}"'] if n % 5 else [f'"{n}"', bad] for n in range(20)]
        turns = [store.commit(claim, Turn(expects=1, rows=rows[n])) for n, claim in enumerate(claims)]
        results = await asyncio.gather(*turns, return_exceptions=True)
        for n, (claim, result) in enumerate(zip(claims, results, strict=True)):
            assert isinstance(result, TypeError) == (n % 5 == 0)
            assert await store.history(claim.id) == ('["started"]' if n % 5 == 0 else f'["started","{n}"]')

    with_store(tmp_path, test)


def test_a_value_that_sqlite_cannot_hold_harms_nobody(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        first, second = await many(store, 2)
        results = await asyncio.gather(
            store.commit(first, Turn(expects=1, rows=['"\ud800"'])),
            store.commit(second, Turn(expects=1, rows=['"a"'])),
            return_exceptions=True,
        )
        assert isinstance(results[0], UnicodeEncodeError)
        assert not isinstance(results[1], BaseException)
        await store.commit(first, Turn(expects=1, rows=['"a"']))

    with_store(tmp_path, test)


def test_a_refusal_leaves_the_others_in_their_transaction(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claims = await many(store, 20)
        await store.release(claims[:10])
        statements = traced(store)
        results = await asyncio.gather(*(store.commit(claim, Turn(expects=1, rows=['"a"'])) for claim in claims), return_exceptions=True)
        assert [isinstance(result, LostClaim) for result in results] == [True] * 10 + [False] * 10
        assert len([text for text, _ in statements if text == "COMMIT"]) <= 2
        assert not [text for text, _ in statements if text == "ROLLBACK"]

    with_store(tmp_path, test)


def test_a_lone_turn_on_a_fast_disk_wakes_no_thread(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claim = await claimed(store)
        store._writer._took = 0.0
        statements = traced(store)
        await store.commit(claim, Turn(expects=1, rows=['"a"']))
        assert {thread for _, thread in statements} == {threading.current_thread().name}

    with_store(tmp_path, test)


@pytest.mark.parametrize(("count", "on_the_spot"), [(FEW, True), (FEW + 1, False)])
def test_a_few_turns_at_once_wake_no_thread_and_more_hold_up_no_loop(tmp_path: Path, count: int, on_the_spot: bool) -> None:
    async def test(store: SQLiteStore) -> None:
        claims = await many(store, count)
        store._writer._took = 0.0
        statements = traced(store)
        await asyncio.gather(*(store.commit(claim, Turn(expects=1, rows=['"a"'])) for claim in claims))
        here = threading.current_thread().name
        assert {thread == here for text, thread in statements if text == "COMMIT"} == {on_the_spot}
        assert [await store.history(claim.id) for claim in claims] == ['["started","a"]'] * count

    with_store(tmp_path, test)


def test_a_few_turns_that_find_the_database_locked_wait_on_the_thread(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claims = await many(store, 3)
        store._writer._took = 0.0
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        turns = [asyncio.ensure_future(store.commit(claim, Turn(expects=1, rows=['"a"']))) for claim in claims]
        for _ in range(10):
            await asyncio.sleep(0)  # the loop goes on
        assert not any(turn.done() for turn in turns)
        other.execute("ROLLBACK")
        other.close()
        await asyncio.gather(*turns)
        assert [await store.history(claim.id) for claim in claims] == ['["started","a"]'] * 3

    with_store(tmp_path, test)


def test_a_lone_turn_on_a_slow_disk_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claim = await claimed(store)
        store._writer._took = 1.0
        statements = traced(store)
        await store.commit(claim, Turn(expects=1, rows=['"a"']))
        assert threading.current_thread().name not in {thread for _, thread in statements}

    with_store(tmp_path, test)


@pytest.mark.parametrize(("took", "on_the_spot"), [(0.0, True), (1.0, False)])
def test_short_reads_wake_no_thread_on_a_fast_disk_and_hold_up_no_loop_on_a_slow_one(
    tmp_path: Path, took: float, on_the_spot: bool
) -> None:
    async def test(store: SQLiteStore) -> None:
        claim = await claimed(store)
        await store.send(claim.id, signal())
        statements = traced(store, reading=True)
        store._reader._took = took
        assert (await store.read(claim.id)) is not None
        store._reader._took = took
        assert (await store.poll_inboxes("ada", 0))[1].keys() == {claim.id}
        store._reader._took = took
        assert await store.next_wake(["w"]) is None
        assert {thread == threading.current_thread().name for _, thread in statements} == {on_the_spot}

    with_store(tmp_path, test)


def test_a_long_turn_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claim = await claimed(store)
        store._writer._took = 0.0
        statements = traced(store)
        await store.commit(claim, Turn(expects=1, rows=['"' + "x" * 1_000_000 + '"']))
        assert threading.current_thread().name not in {thread for _, thread in statements}

    with_store(tmp_path, test)


def test_a_plain_turn_writes_to_the_history_alone(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claim = await claimed(store)
        now = await store.now()
        await store.commit(claim, Turn(expects=1, rows=['"a"'], wake_at=now))
        statements = traced(store)
        await store.commit(claim, Turn(expects=2, rows=['"b"'], wake_at=await store.now()))
        assert [text.split()[0] for text, _ in statements] == ["BEGIN", "SELECT", "INSERT", "COMMIT"]
        found = await store.read("e-1")
        assert found is not None
        assert found.length == 3
        assert found.updated_at >= now

    with_store(tmp_path, test)


def test_a_claim_that_finds_nothing_writes_nothing(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        await store.claim("ada", DAY, "b-1", ["w"], 10)
        statements = traced(store)
        await store.claim("ada", DAY, "b-1", ["w"], 10)
        assert {text.split()[0] for text, _ in statements} - {"PRAGMA"} == {"BEGIN", "SELECT", "COMMIT"}

    with_store(tmp_path, test)


def test_a_caller_that_is_cancelled_harms_nobody(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        await store.start(execution())
        sending = [asyncio.create_task(store.send("e-1", signal(data=str(n)))) for n in range(10)]
        await asyncio.sleep(0)
        for task in sending[::2]:
            task.cancel()
        results = await asyncio.gather(*sending, return_exceptions=True)
        assert results[1::2] == [True] * 5
        assert await store.send("e-1", signal())

    with_store(tmp_path, test)


def test_one_store_serves_several_event_loops(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        await store.start(execution())
        landed: list[bool] = []

        async def send_some(name: str) -> None:
            landed.extend(await asyncio.gather(*(store.send("e-1", signal(name, str(n))) for n in range(20))))

        threads = [threading.Thread(target=asyncio.run, args=(send_some(f"loop {n}"),)) for n in range(3)]
        seen = await store.wait_for_changes(0)
        for thread in threads:
            thread.start()
        await send_some("main")
        assert await store.wait_for_changes(10, seen) != seen
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert landed == [True] * 80

    with_store(tmp_path, test)


def test_closing_finishes_what_was_asked_for(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claims = await many(store, 50)
        commits = [asyncio.ensure_future(store.commit(claim, Turn(expects=1, rows=['"a"']))) for claim in claims]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*commits)
        with pytest.raises(StoreError, match="not open"):
            await store.read("e-1")
        await store.open()
        assert await store.history(claims[-1].id) == '["started","a"]'

    with_store(tmp_path, test)


def test_the_log_is_written_over_and_does_not_grow_for_ever(tmp_path: Path) -> None:
    async def test(store: SQLiteStore) -> None:
        claim = await claimed(store)
        for n in range(1, 5_001):
            await store.commit(claim, Turn(expects=n, rows=['"a"'], status="running" if n % 2 else "suspended"))
        assert (tmp_path / "redrive.db-wal").stat().st_size < 20_000_000

    with_store(tmp_path, test, synchronous="normal")
