"""Retention and purges: what has ended goes when it is time, and nothing else (F10)."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import redrive.stores.postgres
from redrive import (
    AsyncDurableService,
    Attribute,
    ContinueAs,
    DurableService,
    ExecutionFailed,
    ExecutionNotFound,
    Filter,
    Flow,
    InvalidDefinition,
    OperationRefused,
    Purged,
    Signal,
    WaitSignal,
    step,
    workflow,
)
from redrive.ports.purging import Retention
from redrive.retention import by_status, cutoffs, longest
from redrive.stores.backends import open_url
from redrive.testing import FaultyStore
from redrive.worker import retaining
from redrive.worker.retaining import Retainer

go = Signal("retention.go", int)
MOMENT = timedelta(microseconds=1)
DAY = timedelta(days=1)


@step
def double(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return 2 * n


@workflow("retention.double")
def doubled(n: int) -> Flow[int]:
    return (yield from double(n))


@workflow("retention.other")
def other(n: int) -> Flow[int]:
    return (yield from double(n))


@workflow("retention.counter")
def counter(n: int) -> Flow[int]:
    if n < 5:
        yield from double(n)
        yield from ContinueAs(counter(n + 1))
    return (yield from WaitSignal(go))


async def failed(service: AsyncDurableService, id: str) -> None:
    with pytest.raises(ExecutionFailed):
        await service.execute(doubled(-1), id=id)


async def ids(service: AsyncDurableService) -> set[str]:
    return {one.id for one in (await service.store.find()).executions}


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────
async def test_one_execution_is_purged_by_its_id_and_may_be_started_anew(store_url: str) -> None:
    async with AsyncDurableService(store_url, [doubled]) as service:
        assert await service.execute(doubled(1), id="a") == 2
        dry = await service.operator.purge("a", dry_run=True)
        assert (dry, str(dry)) == (Purged(executions=1, dry_run=True), "would purge 1 executions")
        assert await ids(service) == {"a"}
        assert await service.operator.purge("a", reason="gdpr", by="ada") == Purged(executions=1)
        with pytest.raises(ExecutionNotFound):
            await service.execution("a").info()
        with pytest.raises(ExecutionNotFound):
            await service.operator.purge("a")
        assert await service.execute(doubled(4), id="a") == 8
        (audit,) = await service.store.audit("a", 10)
        assert (audit.verb, audit.by, audit.reason) == ("purge", "ada", "gdpr")


async def test_what_has_not_ended_is_refused(store_url: str) -> None:
    async with AsyncDurableService(store_url, [counter]) as service:
        await service.start(counter(5), id="a")
        with pytest.raises(OperationRefused, match=r"purge of execution 'a': it has not ended: it is .*; cancel it first"):
            await service.operator.purge("a")
        assert await ids(service) == {"a"}
        with pytest.raises(InvalidDefinition):
            await service.operator.purge()  # type: ignore[call-overload]


async def test_all_that_ended_longer_ago_is_purged_oldest_first_in_batches(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redrive.purge_batches._FIRST", 3)
    async with AsyncDurableService(store_url, [doubled, counter]) as service:
        for n in range(10):
            await service.execute(doubled(n), id=f"done-{n}")
        await failed(service, "failed")
        await service.start(counter(5), id="open")
        assert await service.operator.purge(older_than=DAY) == Purged()
        assert await service.operator.purge(older_than=MOMENT, dry_run=True) == Purged(executions=11, dry_run=True)
        steps = [
            found.executions async for found in service.operator.purge_in_steps(None, older_than=MOMENT, reason="", by="", dry_run=False)
        ]
        assert steps[0] == 3
        assert steps[-1] == 11
        assert await ids(service) == {"open"}
        assert [one.execution for one in await service.store.audit(None, 3)] == ["done-8", "done-9", "failed"]


async def test_what_has_ended_and_fits_a_filter_is_purged(store_url: str) -> None:
    async with AsyncDurableService(store_url, [doubled, other, counter]) as service:
        await service.execute(doubled(1), id="done")
        await service.execute(other(1), id="other")
        await failed(service, "failed")
        await service.start(counter(5), id="open")
        where = Filter(status="failed", workflow=doubled)
        assert await service.operator.purge(where=where, dry_run=True) == Purged(executions=1, dry_run=True)
        assert await service.operator.purge(where=where) == Purged(executions=1)
        assert await ids(service) == {"done", "other", "open"}
        assert await service.operator.purge(where=Filter(status="running")) == Purged()
        assert await service.operator.purge(where=Filter(id_prefix="o")) == Purged(executions=1)
        assert await ids(service) == {"done", "open"}
        with pytest.raises(InvalidDefinition, match="without a condition"):
            await service.operator.purge(where=Filter())


async def test_old_runs_of_what_goes_on_are_purged(store_url: str) -> None:
    async with AsyncDurableService(store_url, [counter]) as service:
        execution = await service.start(counter(0), id="a")
        while (await execution.info()).number < 6 or (await execution.info()).status != "suspended":
            await asyncio.sleep(0.002)
        assert await service.operator.purge(older_than=MOMENT, dry_run=True) == Purged(runs=5, dry_run=True)
        assert await service.operator.purge(older_than=MOMENT) == Purged(runs=5)
        with pytest.raises(ExecutionNotFound, match="its run 2 was purged"):
            await execution.history(2)
        assert len(await execution.history()) == 2
        assert await service.start(counter(0), id="a") is not None
        # The handle asks what the execution was started as.
        assert (await service.execution("a", counter).info()).number == 6
        await execution.signal(go, 7)
        assert await execution.result(10) == 7
        assert await service.operator.purge("a") == Purged(executions=1)


def test_blocking_operators_purge_too() -> None:
    with DurableService("memory://", [doubled]) as service:
        assert service.execute(doubled(1), id="a") == 2
        assert service.operator.purge(older_than=MOMENT, by="ada") == Purged(executions=1)


async def test_those_who_wait_for_what_is_purged_are_told(store_url: str) -> None:
    """A result that nobody can give any more is not waited for without end."""
    async with AsyncDurableService(store_url, [counter]) as service, AsyncDurableService(store_url, [counter], worker=False) as client:
        await service.start(counter(5), id="a")
        waiting = asyncio.create_task(client.execution("a", counter).result())
        await asyncio.sleep(0.05)
        client._waiters.look = nothing  # type: ignore[method-assign, assignment]  # it is busy when the execution ends
        await service.signal("a", go, 1)
        await service.execution("a").result(10)
        await service.operator.purge("a")
        del client._waiters.look
        with pytest.raises(ExecutionNotFound):
            await asyncio.wait_for(waiting, 20)


async def nothing(*_: Any) -> None:
    return


# ── by retention ────────────────────────────────────────────────────────────────────────────────
async def test_a_worker_forgets_what_it_lists_by_status_and_nothing_else(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retaining, "OFTEN", 0.01)
    async with AsyncDurableService(store_url, [doubled, other]) as service:
        await service.execute(doubled(1), id="done")
        await failed(service, "failed")
        await service.execute(other(1), id="of another workflow")
    async with AsyncDurableService(store_url, [doubled, counter], retention={"completed": MOMENT}) as service:
        await service.start(counter(5), id="open")
        while "done" in await ids(service):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert await ids(service) == {"failed", "of another workflow", "open"}
        (audit,) = await service.store.audit("done", 10)
        assert (audit.verb, audit.by) == ("purge", "retention")
        assert json.loads(audit.detail)["status"] == "completed"


async def test_the_longest_retention_of_a_live_worker_counts(store_url: str) -> None:
    store = open_url(store_url)
    async with AsyncDurableService(store, [doubled]) as service:
        await service.execute(doubled(1), id="done")
        await store.state_retention("elsewhere", Retention(frozenset({"retention.double"}), {"completed": DAY}))
        retainer = Retainer(store, service.worker_id, ["retention.double"], {"completed": MOMENT})
        await retainer.forget()
        assert await ids(service) == {"done"}
        await store.state_retention("elsewhere", Retention(frozenset({"retention.other"}), {"completed": DAY}))
        await retainer.forget()
        assert await ids(service) == set()


async def test_a_worker_states_its_retention_before_it_claims_anything() -> None:
    verbs: list[str] = []
    store = FaultyStore(open_url("memory://"), lambda verb, *_: verbs.append(verb))
    async with AsyncDurableService(store, [doubled], retention=DAY):
        pass
    assert verbs.index("state_retention") < verbs.index("claim")


def test_the_longest_time_by_status_of_those_who_list_the_workflow() -> None:
    week, month = timedelta(days=7), timedelta(days=30)
    stated = [
        Retention(frozenset({"a", "b"}), {"completed": week, "failed": month}),
        Retention(frozenset({"a"}), {"completed": month}),
        Retention(frozenset({"c"}), {"completed": 2 * month}),
    ]
    assert longest(stated, "a") == {"completed": month, "failed": month}
    assert longest(stated, "b") == {"completed": week, "failed": month}
    assert longest(stated, "d") == {}
    now = datetime(2027, 1, 31, tzinfo=UTC)
    assert cutoffs(stated, ["b", "d"], now) == {"b": {"completed": now - week, "failed": now - month}, "d": {}}


def test_one_retention_is_for_every_end() -> None:
    assert by_status(DAY) == {"cancelled": DAY, "compensation_failed": DAY, "completed": DAY, "failed": DAY}
    assert by_status(None) is None


@pytest.mark.parametrize("wrong", [timedelta(0), -DAY, {"running": DAY}, {"completed": 3}, {"complete": DAY}])
def test_a_retention_that_means_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidDefinition, match="retention="):
        AsyncDurableService("memory://", retention=wrong)


# ── every table ─────────────────────────────────────────────────────────────────────────────────
KEPT = {"audit": "who purged what, when and why"}


async def test_no_table_of_a_database_keeps_a_row_of_what_was_purged(tmp_path: Path) -> None:
    """A table that is added, and has rows of executions, is in the purge too."""
    async with AsyncDurableService(f"sqlite:///{tmp_path / 'it.db'}", [counter, doubled]) as service:
        await service.start(counter(0), id="a", attributes={Attribute("state", str): "new"})
        await service.signal("a", go, 1, key="k")
        await service.execution("a").result(10)
        await service.operator.purge("a")
    database = sqlite3.connect(tmp_path / "it.db")
    tables = [str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    left = {}
    for table in tables:
        columns = {str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")}
        if columns & {"n", "execution", "execution_id"}:
            left[table] = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    database.close()
    assert len(left) > 8
    assert {table for table, rows in left.items() if rows} == set(KEPT)


def test_every_table_of_executions_in_postgres_is_in_the_purge() -> None:
    folder = Path(redrive.stores.postgres.__file__).parent
    schema = "\n".join(path.read_text() for path in sorted((folder / "migrations").glob("*.sql")))
    tables = dict(re.findall(r"CREATE TABLE redrive\.(\w+) \((.*?)\n\)", schema, re.DOTALL))
    of_executions = {name for name, columns in tables.items() if re.search(r"^\s+(n|execution) ", columns, re.MULTILINE)}
    purges = (folder / "queries.sql").read_text().partition("── purging ──")[2]
    kept = {name for name in of_executions if f"DELETE FROM redrive.{name} " not in purges}
    assert kept == {"tickets", "dedups"}, "which the commit that ends their execution has deleted"
