"""What nobody works on is told: where it is started, where its result is waited for, and for children that are waited for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from redrive import (
    All,
    AsyncDurableService,
    AsyncExecution,
    ContinueAs,
    ExecutionNotFound,
    Flow,
    RunChild,
    Sleep,
    StartChild,
    WaitChild,
    Workflow,
    workflow,
)
from redrive.attendance import unattended
from redrive.ports.store import Snapshot
from redrive.ports.workers import KnownWorker
from tests.runtime.support import standing

NOW = datetime(2027, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@workflow("nobody.listed")
def listed() -> Flow[int]:
    yield from Sleep(0)
    return 1


@workflow("nobody.unlisted")
def unlisted() -> Flow[int]:
    yield from Sleep(0)
    return 2


@workflow("nobody.parent")
def parent() -> Flow[Any]:
    return (yield from All(RunChild(listed()), RunChild(unlisted(), id="the-child")))


@workflow("nobody.waits")
def waits() -> Flow[Any]:
    ref = yield from StartChild(unlisted(), id="the-child")
    return (yield from WaitChild(ref))


@workflow("nobody.grandparent")
def grandparent() -> Flow[Any]:
    return (yield from RunChild(parent()))


@workflow("nobody.continues")
def continues() -> Flow[int]:
    yield from Sleep(0)
    return (yield from ContinueAs(unlisted()))


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "no worker here lists" in record.getMessage()]


async def known(service: AsyncDurableService, id: str) -> AsyncExecution[Any]:
    """The execution *id*, once there is one."""
    execution = service.execution(id)
    while True:
        try:
            await execution.info()
        except ExecutionNotFound:
            await asyncio.sleep(0.002)
        else:
            return execution


async def test_a_start_of_what_no_worker_lists_warns_once_for_the_workflow(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncDurableService(store_url, [listed]) as service:
        await service.start(unlisted(), id="first")
        await service.start(unlisted(), id="second")
        assert await service.execute(listed()) == 1
        await service.start(Workflow("nobody.by_name")(), id="third")
    first, third = warnings_of(caplog)
    assert "'first'" in first
    assert "'nobody.unlisted'" in first
    assert "'nobody.by_name'" in third


async def test_a_mistyped_workflow_is_told_what_it_may_have_been_meant_to_be(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncDurableService(store_url, [listed]) as service:
        execution = await service.start(Workflow("nobody.lsted")())
        with pytest.raises(TimeoutError, match=r"no worker here lists workflow 'nobody\.lsted' \(did you mean 'nobody\.listed'\?\)"):
            await execution.result(timeout=0.01)
    (warning,) = warnings_of(caplog)
    assert "did you mean 'nobody.listed'?" in warning


async def test_what_another_worker_lists_is_started_without_a_word(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncDurableService(store_url, [listed]) as here, AsyncDurableService(store_url, [unlisted]):
        assert await (await here.start(unlisted())).result(timeout=10) == 2
    assert not warnings_of(caplog)


async def test_a_client_may_start_before_the_first_worker_runs(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncDurableService(store_url, worker=False) as client:
        execution = await client.start(unlisted())
        with pytest.raises(TimeoutError, match="is pending; no worker is running"):
            await execution.result(timeout=0.01)
        assert not warnings_of(caplog)
        async with AsyncDurableService(store_url, [listed]):
            await client.start(Workflow("nobody.by_name")(), id="late")
    assert len(warnings_of(caplog)) == 1


async def test_a_timeout_says_that_no_worker_lists_the_workflow(store_url: str) -> None:
    async with AsyncDurableService(store_url, [listed]) as service:
        execution = await service.start(unlisted(), id="it")
        with pytest.raises(TimeoutError, match=r"'it' is pending; no worker here lists workflow 'nobody\.unlisted'"):
            await execution.result(timeout=0.01)


@pytest.mark.parametrize("invocation", [parent(), waits(), grandparent()], ids=lambda invocation: invocation.workflow.name)
async def test_so_does_that_of_one_that_waits_for_a_child(store_url: str, invocation: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncDurableService(store_url, [listed, parent, waits, grandparent]) as service:
        execution = await service.start(invocation)
        await known(service, "the-child")
        with pytest.raises(
            TimeoutError, match=r"child 'the-child' is (pending: no worker here lists|parked: no worker has) workflow 'nobody\.unlisted'"
        ):
            await execution.result(timeout=0.01)
    (warning,) = warnings_of(caplog)
    assert "'the-child'" in warning


async def test_a_child_that_was_parked_for_it_is_told_with_the_reason(store_url: str) -> None:
    async with AsyncDurableService(store_url, [listed, parent], lease=0.2) as service:
        execution = await service.start(parent(), id="p")
        child = await known(service, "the-child")
        await standing(child, "parked")
        with pytest.raises(TimeoutError, match=r"child 'the-child' is parked: no worker has workflow 'nobody\.unlisted'"):
            await execution.result(timeout=0.01)


async def test_a_next_run_that_no_worker_lists_is_told(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncDurableService(store_url, [continues]) as service:
        execution = await service.start(continues(), id="it")
        while not warnings_of(caplog):
            await asyncio.sleep(0.002)
        with pytest.raises(TimeoutError, match=r"no worker here lists workflow 'nobody\.unlisted'"):
            await execution.result(timeout=0.01)


def snapshot(**changes: Any) -> Snapshot:
    plain = Snapshot(
        id="x", workflow="w", status="running", run="r", number=1, length=1, input="{}", created_at=NOW, updated_at=NOW, wake_at=NOW,
        deadline=None, owner=None, recoveries=0, attributes="{}", outcome=None, unread=0, creator=None,
    )  # fmt: skip
    return attrs.evolve(plain, **changes)


ADA = KnownWorker(id="ada", alive=True, expires_at=NOW + HOUR, workflows=frozenset({"w"}))
OTHER = KnownWorker(id="bob", alive=True, expires_at=NOW + HOUR, workflows=frozenset({"other"}))
DEAD = KnownWorker(id="eve", alive=False, expires_at=NOW - HOUR, workflows=frozenset({"w"}))
KILLED = KnownWorker(id="killed", alive=False, expires_at=NOW + HOUR, workflows=frozenset({"w"}))
LONG_GONE = "its worker eve has not been heard of, and its lease ended at 2026-12-31T23:00:00+00:00"
CLIENT = KnownWorker(id="api", alive=True, expires_at=NOW + HOUR, workflows=frozenset())


@pytest.mark.parametrize(
    ("changes", "workers", "says"),
    [
        ({"owner": "ada"}, [ADA], ""),
        ({"owner": "eve"}, [DEAD], f"{LONG_GONE}, and no worker is running"),
        ({"owner": "eve"}, [DEAD, ADA], f"{LONG_GONE}; another one takes over"),
        ({"owner": "killed"}, [KILLED, ADA], "its worker killed is dead; another one takes over"),
        ({"owner": "gone"}, [], "its worker gone is gone, and no worker is running"),
        ({"owner": "gone"}, [OTHER], "its worker gone is gone, and no worker here lists workflow 'w'"),
        ({"owner": None}, [ADA], ""),
        ({"owner": None}, [], "no worker is running"),
        ({"owner": None}, [CLIENT], "no worker is running"),
        ({"owner": None}, [OTHER, DEAD], "no worker here lists workflow 'w'"),
        ({"owner": "eve", "status": "cancelling"}, [], "its worker eve is gone, and no worker is running"),
        ({"owner": "eve", "status": "suspended", "wake_at": NOW + HOUR}, [DEAD], ""),
        ({"status": "suspended", "wake_at": None}, [], ""),
        ({"status": "suspended", "wake_at": NOW - HOUR}, [], "no worker is running"),
        ({"status": "pending", "wake_at": NOW + HOUR}, [], ""),
        ({"status": "pending"}, [], "no worker is running"),
        ({"status": "parked"}, [], ""),
        ({"status": "paused"}, [], ""),
        ({"status": "completed", "wake_at": None}, [], ""),
        ({"owner": "gone"}, None, ""),
    ],
)  # fmt: skip
def test_why_nobody_works_on_it(changes: dict[str, Any], workers: list[KnownWorker] | None, says: str) -> None:
    assert unattended(snapshot(**changes), workers, NOW) == says
