"""W1, W2: on PostgreSQL the end of a worker's session tells that it died; where that is not certain, the lease decides."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from redrive import AsyncDurableService, Flow, step, workflow
from redrive.stores.postgres import PostgresStore
from redrive.stores.postgres import session_witness as witnesses
from redrive.stores.postgres.session_witness import Witness, WorkerRow, evidence_text
from tests.postgres.server import Server
from tests.runtime.stalling import Workers
from tests.runtime.support import true

LEASE = timedelta(seconds=600)


@pytest.fixture
def workers(postgres: Server, schema: str, tmp_path: Path) -> Iterator[Workers]:
    with Workers(postgres.url(schema=schema), tmp_path) as workers:
        yield workers


@pytest.mark.parametrize("how", ["blocks_the_loop", "holds_the_gil"])
def test_a_body_that_lets_nothing_else_run_begins_once_and_so_does_what_runs_beside_it(workers: Workers, how: str) -> None:
    """W2: several leases long, with another worker on the same machine that would take it."""
    workers.launch(lease=0.8)
    beside = workers.start("innocent", 4)
    workers.wait_for("innocent")
    execution = workers.start(how, 3)
    workers.wait_for(how)
    second = workers.launch(lease=0.8)
    assert execution.result(20) == beside.result(30) == "done"
    assert sorted(workers.begun()) == sorted(["innocent", how])
    assert "taken over" not in workers.said(second)


def test_past_the_bound_others_take_over(workers: Workers) -> None:
    """W2."""
    first = workers.launch(lease=0.8, max_stall=1.0)
    execution = workers.start("blocks_the_loop", 9)
    workers.wait_for("blocks_the_loop")
    second = workers.launch(lease=0.8, max_stall=60)
    assert execution.result(30) == "done"
    assert workers.begun() == ["blocks_the_loop", "blocks_the_loop"]
    assert "execution 'blocks_the_loop' is taken over here" in workers.said(second)
    workers.wait_for("execution 'blocks_the_loop' is not this worker's any more", lambda: workers.said(first))


@pytest.mark.parametrize("restarted", [True, False])
def test_work_of_a_killed_worker_goes_on_within_two_seconds(workers: Workers, restarted: bool) -> None:
    """W2: where it is started again, and on one that was there."""
    first = workers.launch(lease=600)
    workers.start("deaf", 60)
    workers.wait_for("deaf")
    if not restarted:
        workers.launch(lease=600)
    first.kill()
    if restarted:
        workers.launch(lease=600)
    killed = time.monotonic()
    while workers.begun().count("deaf") < 2:
        assert time.monotonic() < killed + 20
        time.sleep(0.005)
    assert time.monotonic() - killed < 2


async def test_a_worker_whose_session_is_ended_lives_and_has_another_one_at_once(postgres: Server, schema: str) -> None:
    """W1, W2: somebody ends its sessions, all of them, again and again; nobody takes its work."""
    gate, seen = asyncio.Event(), list[str]()

    @step
    async def held() -> str:
        seen.append("held")
        await gate.wait()
        return "done"

    @workflow("liveness.holds")
    def holds() -> Flow[str]:
        return (yield from held())

    url = postgres.url(schema=schema, application_name="liveness-one")
    async with AsyncDurableService(url, [holds], lease=600) as one:
        execution = await one.start(holds(), id="it")
        await true(lambda: seen)
        async with AsyncDurableService(postgres.url(schema=schema), [holds], lease=600):
            for _ in range(5):
                postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'liveness-one'")
                await asyncio.sleep(0.5)
            gate.set()
            assert await execution.result(30) == "done"
    assert seen == ["held"]


# ── what is known of a worker ───────────────────────────────────────────────────────────────────
ELSEWHERE = json.dumps({"kernel": "another boot", "pid": 1, "started": 1, "namespace": "pid:[1]"})


def row(evidence: str | None, *, gone: bool = True, life: int | None = 7, stalls_us: int = 0) -> WorkerRow:
    return WorkerRow("ada", 0, life, stalls_us, evidence, gone, "[]")


def test_a_process_of_another_machine_is_dead_once_its_session_was_gone_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """W2: it may just be connecting anew."""
    now = 100.0
    monkeypatch.setattr(witnesses.time, "monotonic", lambda: now)
    witness = Witness()
    for at, gone, dead in ((100, True, False), (100.9, True, False), (101, True, True), (101.1, False, False), (101.2, True, False)):
        now = float(at)
        assert witness.is_dead(row(ELSEWHERE, gone=gone)) is dead
    now = 110.0  # nobody looked meanwhile: it may have been back
    assert witness.is_dead(row(ELSEWHERE)) is False


def test_a_process_that_is_seen_to_run_is_not_dead_without_a_session() -> None:
    """W2."""
    assert not Witness().is_dead(row(evidence_text()))
    assert Witness().may_stall(row(evidence_text(), gone=False, stalls_us=2), 1)
    assert not Witness().may_stall(row(evidence_text(), gone=False, stalls_us=2), 2)
    assert not Witness().may_stall(row(ELSEWHERE, gone=False, stalls_us=2), 1)


def test_a_process_that_is_gone_is_dead_only_with_its_session() -> None:
    """W2: two machines may have one boot id, where one is the other's copy."""
    dead = json.dumps(json.loads(evidence_text()) | {"pid": 2**22 + 1})
    assert Witness().is_dead(row(dead))
    assert not Witness().is_dead(row(dead, gone=False))
    assert not Witness().is_dead(row(dead, life=None))


async def test_behind_a_pooler_no_session_tells_of_a_worker(postgres: Server, schema: str) -> None:
    """W2: the lease decides, and it is renewed by the thread all the same."""
    store = PostgresStore(postgres.url(schema=schema, pgbouncer="true"))
    await store.open()
    lifeline = store.lifeline("ada", LEASE, LEASE)
    await asyncio.to_thread(lifeline.open)
    await store.claim("ada", LEASE, "b-1", ["w"], 10)
    with postgres.connect() as connection:
        assert connection.execute(f'SELECT life, evidence FROM "{schema}".workers').fetchall() == [(None, None)]
    assert await asyncio.to_thread(lifeline.beat)
    assert not await asyncio.to_thread(lifeline.somebody_died)
    await asyncio.to_thread(lifeline.close)
    await store.close()
