"""Schedules as their users meet them (H1 to H12), on each store; the store's clock is moved, nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from redrive import Flow, Info, InvalidDefinition, InvalidDuration, Queue, Signal, WaitSignal, workflow
from redrive.errors import ExecutionFailed, ScheduleBusy, ScheduleNotFound
from redrive.scheduling.schedule import Schedule
from redrive.scheduling.slot_names import slot_id
from redrive.service import AsyncDurableService
from redrive.stores.memory import MemoryStore
from redrive.stores.sqlite import SQLiteStore
from tests.contracts.clocks import Clock
from tests.postgres.clocks import ClockedStore

HOUR = timedelta(hours=1)
A_BIT_MORE = HOUR + timedelta(seconds=2)
go = Signal("go")


@workflow("report")
def report(region: str = "eu") -> Flow[str]:
    info = yield from Info()
    return f"{region} {info.scheduled_for:%d %H:%M}" if info.scheduled_for else f"{region} by hand"


@workflow("long")
def long() -> Flow[None]:
    yield from WaitSignal(go)


@workflow("fails")
def fails() -> Flow[None]:
    yield from ()
    raise LookupError("no such table")


WORKFLOWS = [report, long, fails]


@attrs.define
class Stage:
    """A store with a clock that the test moves, and services on it."""

    clock: Clock
    connect: Callable[[], Any]

    def service(self, **options: Any) -> AsyncDurableService:
        return AsyncDurableService(self.connect(), options.pop("workflows", WORKFLOWS), grace=0, **options)

    def pass_time(self, by: timedelta) -> None:
        self.clock.now += by

    async def fired(self, service: AsyncDurableService) -> None:
        """Look at the schedules until none is due."""
        scheduler = service._scheduler
        assert scheduler is not None
        await service._clock.ask(service.store)
        for _ in range(1000):
            await scheduler.look()
            due, _ = await service.store.due_schedules([each.name for each in WORKFLOWS], 1)  # type: ignore[attr-defined]
            if not due:
                return
            await asyncio.sleep(0)
        raise AssertionError("schedules stay due")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    clock = Clock()
    if request.param == "memory":
        store = MemoryStore(clock)
        return Stage(clock, lambda: store)
    if request.param == "sqlite":
        return Stage(clock, lambda: SQLiteStore(str(tmp_path / "it.db"), clock=clock))
    server, schema = request.getfixturevalue("postgres"), request.getfixturevalue("schema")
    return Stage(clock, lambda: ClockedStore(server, schema, clock))


def scenario(test: Callable[[Stage], Any]) -> Callable[[Stage], None]:
    def run(stage: Stage) -> None:
        asyncio.run(test(stage))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def started(service: AsyncDurableService) -> list[str]:
    return sorted(snapshot.id for snapshot in (await service.store.find(limit=1000)).executions)


async def ended(service: AsyncDurableService, id: str) -> None:
    await service.execution(id).signal(go)
    await service.execution(id).result(20)


# ── slots ────────────────────────────────────────────────────────────────────────────────────────
@scenario
async def test_a_slot_is_an_execution_whose_id_says_when(stage: Stage) -> None:
    """H1, H2."""
    async with stage.service() as service:
        await service.schedules.ensure("nightly", report("eu"), cron="30 2 * * *", timezone="Europe/Berlin")
        (slot,) = await service.schedules.upcoming("nightly", 1)
        assert (await service.schedules.get("nightly")).next == slot
        stage.pass_time(slot - stage.clock.now + timedelta(seconds=3))
        await stage.fired(service)
        id = f"nightly@{slot:%Y-%m-%dT%H:%M:%S}Z"  # which has no fraction
        assert await started(service) == [id]
        assert await service.execution(id, report).result(20) == f"eu {slot:%d %H:%M}"
        info = await service.schedules.get("nightly")
        assert info.last is not None
        assert (info.last.slot, info.last.execution, info.last.status, info.lag) == (slot, id, "completed", timedelta(0))
        assert info.next is not None
        assert info.next > slot


@scenario
async def test_lateness_moves_no_slot(stage: Stage) -> None:
    """H2: an interval keeps its grid from when it was first ensured."""
    async with stage.service() as service:
        begun = stage.clock.now
        await service.schedules.ensure("poll", report(), every=HOUR)
        first = (await service.schedules.get("poll")).next
        assert first is not None
        assert begun + HOUR <= first < begun + HOUR + timedelta(seconds=5)
        stage.pass_time(HOUR + timedelta(seconds=50))
        await stage.fired(service)
        assert (await service.schedules.get("poll")).next == first + HOUR


@scenario
async def test_many_workers_fire_each_slot_once(stage: Stage) -> None:
    """H1."""
    async with stage.service() as one, stage.service() as two, stage.service() as three:
        services = (one, two, three)
        for number in range(20):
            await one.schedules.ensure(f"s-{number}", report(), every=HOUR, overlap="allow")
        for _ in range(3):
            stage.pass_time(A_BIT_MORE)
            await asyncio.gather(*map(stage.fired, services))
        assert len(await started(one)) == 60
        for id in await started(one):
            await one.execution(id).result(20)


@scenario
async def test_ensuring_what_is_there_changes_nothing(stage: Stage) -> None:
    """H4: new input keeps the next slot, a new cadence computes it from now, and what is paused stays paused."""
    async with stage.service() as service:
        schedules = service.schedules
        await asyncio.gather(*(schedules.ensure("poll", report("eu"), every=HOUR) for _ in range(20)))
        (stored,) = await service.store.schedules(["poll"])  # type: ignore[attr-defined]
        assert stored.version == 1
        first = (await schedules.get("poll")).next
        stage.pass_time(HOUR / 3)
        await service._clock.ask(service.store)
        await schedules.ensure("poll", report("us"), every=HOUR)
        assert (await schedules.get("poll")).next == first
        await schedules.pause("poll", "maintenance")
        await schedules.ensure("poll", report("us"), every=HOUR, overlap="allow")
        assert (await schedules.get("poll")).paused == "maintenance"
        await schedules.ensure("poll", report("us"), every=2 * HOUR)
        following = (await schedules.get("poll")).next
        assert following is not None
        assert timedelta(0) <= following - (stage.clock.now + 2 * HOUR) < timedelta(seconds=5)


# ── what was missed ──────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("catch_up", "run"), [("skip", 0), ("once", 1), ("all", 5)])
def test_after_downtime_what_was_missed_is_run_as_the_schedule_says(stage: Stage, catch_up: Any, run: int) -> None:
    """H5."""

    async def tried() -> None:
        begun = stage.clock.now
        async with stage.service(worker=False) as client:
            await client.schedules.ensure("poll", report(), every=HOUR, start_at=begun, catch_up=catch_up, overlap="allow")
        stage.pass_time(5.5 * HOUR)
        async with stage.service() as service:
            await stage.fired(service)
            slots = [begun + n * HOUR for n in range(1, 6)]
            assert await started(service) == [slot_id("poll", slot) for slot in slots[5 - run :]]
            info = await service.schedules.get("poll")
            assert sum(each.count for each in info.skipped) == 5 - run
            assert info.next == begun + 6 * HOUR

    asyncio.run(tried())


@scenario
async def test_a_year_of_seconds_is_skipped_at_once(stage: Stage) -> None:
    """H5: what was missed is recorded as one stretch, however much it is."""
    async with stage.service(worker=False) as client:
        await client.schedules.ensure("poll", report(), every=1, catch_up="once")
    stage.pass_time(timedelta(days=365))
    async with stage.service() as service:
        await stage.fired(service)
        assert len(await started(service)) <= 2
        assert max(each.count for each in (await service.schedules.get("poll")).skipped) == 1000


# ── overlaps ─────────────────────────────────────────────────────────────────────────────────────
@scenario
async def test_a_slot_that_meets_a_running_execution_is_skipped(stage: Stage) -> None:
    """H6."""
    async with stage.service() as service:
        await service.schedules.ensure("it", long(), every=HOUR)
        for _ in range(6):
            stage.pass_time(A_BIT_MORE)
            await stage.fired(service)
        (running,) = await started(service)
        info = await service.schedules.get("it")
        assert (info.running, info.skips, info.is_stuck) == ((running,), 5, True)
        assert running in info.skipped[0].why
        with pytest.raises(ScheduleBusy, match=running):
            await service.schedules.trigger("it")
        await ended(service, running)
        stage.pass_time(A_BIT_MORE)
        await stage.fired(service)
        assert len(await started(service)) == 2


@scenario
async def test_queued_slots_run_one_after_another(stage: Stage) -> None:
    """H6: they waited, so none of them counts as missed."""
    async with stage.service() as service:
        await service.schedules.ensure("it", long(), every=HOUR, overlap="queue", catch_up="skip")
        for _ in range(3):
            stage.pass_time(A_BIT_MORE)
            await stage.fired(service)
        for number in range(1, 4):
            ids = await started(service)
            assert len(ids) == number
            await ended(service, ids[-1])
            await stage.fired(service)
        assert (await service.schedules.get("it")).skipped == ()


@scenario
async def test_the_newest_slot_takes_the_place_of_what_runs(stage: Stage) -> None:
    """H6: ``cancel``."""
    async with stage.service() as service:
        await service.schedules.ensure("it", long(), every=HOUR, overlap="cancel")
        stage.pass_time(A_BIT_MORE)
        await stage.fired(service)
        (first,) = await started(service)
        stage.pass_time(A_BIT_MORE)
        await stage.fired(service)
        with pytest.raises(Exception, match="cancelled"):
            await service.execution(first).result(20)
        await stage.fired(service)
        ids = await started(service)
        assert len(ids) == 2
        await ended(service, ids[-1])


# ── by hand ──────────────────────────────────────────────────────────────────────────────────────
@scenario
async def test_a_paused_schedule_has_no_slots_and_can_be_triggered(stage: Stage) -> None:
    """H7: and what came while it was paused was not missed."""
    async with stage.service() as service:
        schedule = await service.schedules.ensure("poll", report(), every=HOUR)
        await service.schedules.pause("poll", "migration")
        stage.pass_time(5.5 * HOUR)
        await stage.fired(service)
        assert await started(service) == []
        triggered = await service.schedules.trigger(schedule)
        assert triggered.id.startswith("poll!")
        assert await triggered.result(20) == "eu by hand"
        await service._clock.ask(service.store)
        await service.schedules.resume("poll")
        info = await service.schedules.get("poll")
        assert (info.paused, info.skipped) == (None, ())
        assert info.next is not None
        assert stage.clock.now < info.next < stage.clock.now + HOUR + timedelta(seconds=5)


@scenario
async def test_a_trigger_waits_for_its_turn_where_slots_queue(stage: Stage) -> None:
    """H6."""
    async with stage.service() as service:
        await service.schedules.ensure("it", long(), every=HOUR, overlap="queue")
        first = await service.schedules.trigger("it")
        second = await service.schedules.trigger("it")
        assert (await service.schedules.get("it")).waiting == (second.id,)
        with pytest.raises(TimeoutError, match="has not begun"):
            await second.result(0.05)
        await ended(service, first.id)
        await stage.fired(service)
        await service.execution(second.id).signal(go)
        await second.result(20)


@scenario
async def test_failures_in_a_row_pause_it(stage: Stage) -> None:
    """H7."""
    async with stage.service() as service:
        await service.schedules.ensure("it", fails(), every=HOUR, pause_after=2)
        for _ in range(2):
            stage.pass_time(A_BIT_MORE)
            await stage.fired(service)
            with pytest.raises(ExecutionFailed):
                await service.execution((await started(service))[-1]).result(20)
        info = await service.schedules.get("it")
        assert info.paused is not None
        assert info.paused.startswith("2 executions in a row failed")


@scenario
async def test_a_backfill_runs_what_did_not_run_one_after_another(stage: Stage) -> None:
    """H6: slots that ran are left out."""
    async with stage.service() as service:
        begun = stage.clock.now
        await service.schedules.ensure("it", long(), every=HOUR, start_at=begun - 5 * HOUR)
        stage.pass_time(timedelta(seconds=1))
        await service._clock.ask(service.store)
        ids = await service.schedules.backfill("it", since=begun - 3 * HOUR, until=begun - HOUR)
        assert len(ids) == 3
        for number, id in enumerate(ids, 1):
            assert await started(service) == sorted(ids[:number])
            await ended(service, id)
            await stage.fired(service)
        assert await service.schedules.backfill("it", since=begun - 3 * HOUR, until=begun - HOUR) == ()
        more = await service.schedules.backfill("it", since=begun - 5 * HOUR, until=begun - HOUR, overlap="allow")
        assert len(more) == 2
        assert len(await started(service)) == 5


@scenario
async def test_its_executions_wait_in_its_queue(stage: Stage) -> None:
    """H6 is no queue of its own: ``queue=`` may be given, and limits hold for scheduled executions as for others."""
    async with stage.service(queues=[Queue("one", concurrency=1)]) as service:
        for name in ("a", "b"):
            await service.schedules.ensure(name, long(), every=HOUR, queue="one", overlap="allow")
        stage.pass_time(A_BIT_MORE)
        await stage.fired(service)
        first, second = await started(service)
        async with asyncio.timeout(20):
            while {(await service.execution(id).info()).status for id in (first, second)} != {"suspended", "pending"}:
                await service.store.wait_for_changes(0.05)
        running = first if (await service.execution(first).info()).status == "suspended" else second
        await ended(service, running)
        other = second if running == first else first
        await ended(service, other)


# ── who declares, and who has the code ───────────────────────────────────────────────────────────
@scenario
async def test_declared_schedules_follow_the_code(stage: Stage) -> None:
    """H10: what is no longer declared is switched off, and goes on with its next slot when it is declared again."""
    one, two = Schedule("one", report("eu"), every=HOUR), Schedule("two", report("us"), cron="0 3 * * *")
    async with stage.service(app="shop", schedules=[one, two], build="b-1") as service:
        await service.schedules.ensure("made", report(), every=HOUR)
        assert [(each.id, each.app, each.declared_by) for each in await service.schedules.list()] == [
            ("made", None, None),
            ("one", "shop", "b-1"),
            ("two", "shop", "b-1"),
        ]
        with pytest.raises(InvalidDefinition, match="declares"):
            await service.schedules.ensure("one", report(), every=HOUR)
    stage.pass_time(timedelta(minutes=1))
    async with stage.service(app="shop", schedules=[two], build="b-2") as service:
        assert [(each.id, each.off) for each in await service.schedules.list()] == [("made", False), ("one", True), ("two", False)]
        async with stage.service(app="shop", schedules=[one, two], build="b-1"):  # older, beside it
            assert [each.off for each in await service.schedules.list()] == [False, True, False]
        stage.pass_time(5 * HOUR)
        await stage.fired(service)
        assert [id for id in await started(service) if id.startswith("one")] == []
    async with stage.service(app="shop", schedules=[one, two], build="b-3") as service:
        info = await service.schedules.get("one")
        assert (info.off, info.skipped) == (False, ())
        assert info.next is not None
        assert info.next > stage.clock.now


@scenario
async def test_a_worker_without_the_workflow_leaves_the_slot(stage: Stage) -> None:
    """H8: it is late, not lost."""
    async with stage.service() as service:
        await service.schedules.ensure("it", report(), every=HOUR, start_at=stage.clock.now, catch_up="all")
    async with stage.service(workflows=[long]) as other:
        stage.pass_time(HOUR + timedelta(seconds=30))
        await other._clock.ask(other.store)
        await other._scheduler.look()  # type: ignore[union-attr]
        assert await started(other) == []
        assert (await other.schedules.get("it")).lag == timedelta(seconds=30)
    async with stage.service() as service:
        await stage.fired(service)
        assert len(await started(service)) == 1


@scenario
async def test_an_input_that_does_not_fit_any_more_is_a_failed_slot(stage: Stage) -> None:
    """H11: and the schedule goes on."""
    async with stage.service() as service:
        await service.schedules.ensure("it", report("eu"), every=HOUR)

    @workflow("report")
    def changed(region: date) -> Flow[str]:
        yield from ()
        return str(region)

    async with stage.service(workflows=[changed]) as service:
        for _ in range(2):
            stage.pass_time(A_BIT_MORE)
            await stage.fired(service)
        info = await service.schedules.get("it")
        assert [(each.failed, each.count) for each in info.skipped] == [(True, 1), (True, 1)]
        assert "region" in info.skipped[0].why
        assert await started(service) == []


# ── changing one ─────────────────────────────────────────────────────────────────────────────────
@scenario
async def test_an_update_changes_what_it_names(stage: Stage) -> None:
    async with stage.service() as service:
        await service.schedules.ensure("it", report("eu"), every=HOUR, jitter=10)
        before = await service.schedules.get("it")
        await service.schedules.update("it", overlap="queue", invocation=report("us"))
        after = await service.schedules.get("it")
        assert (after.next, after.overlap, after.every) == (before.next, "queue", HOUR)
        await service.schedules.update("it", cron="0 4 * * *", timezone="Europe/Berlin")
        after = await service.schedules.get("it")
        assert (after.cron, after.every, after.timezone, after.overlap) == ("0 4 * * *", None, "Europe/Berlin", "queue")
        with pytest.raises(InvalidDefinition):
            await service.schedules.update("it", cron="nonsense")
        await service.schedules.remove("it")
        for verb in (service.schedules.get, service.schedules.pause, service.schedules.resume, service.schedules.remove):
            with pytest.raises(ScheduleNotFound, match="'it'"):
                await verb("it")
        assert await service.schedules.list() == []


@scenario
async def test_its_executions_have_its_timeout_and_attributes(stage: Stage) -> None:
    async with stage.service() as service:
        await service.schedules.ensure("it", long(), every=HOUR, timeout=60, attributes={"region": "eu"})
        execution = await service.schedules.trigger("it")
        assert await execution.attributes() == {"region": "eu"}
        deadline = (await execution.info()).deadline
        assert deadline is not None
        assert timedelta(seconds=50) < deadline - stage.clock.now <= timedelta(seconds=61)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({}, InvalidDefinition),
        ({"cron": "* * * * *", "every": 60}, InvalidDefinition),
        ({"every": 0.5}, InvalidDuration),
        ({"every": float("nan")}, InvalidDuration),
        ({"every": 60, "overlap": "wait"}, InvalidDefinition),
        ({"every": 60, "catch_up": "never"}, InvalidDefinition),
        ({"every": 60, "jitter": -1}, InvalidDuration),
        ({"every": 60, "exclude": [datetime(2027, 1, 1, tzinfo=UTC)]}, InvalidDefinition),
        ({"every": 60, "start_at": datetime(2027, 1, 2, tzinfo=UTC), "end_at": datetime(2027, 1, 1, tzinfo=UTC)}, InvalidDefinition),
        ({"every": 60, "pause_after": 0}, InvalidDefinition),
        ({"cron": "0 0 30 2 *"}, InvalidDefinition),
        ({"cron": "0 0 * * *", "timezone": "Mars"}, InvalidDefinition),
    ],
)
def test_what_makes_no_schedule_is_refused_where_it_is_written(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Schedule("it", report(), **wrong)
    with pytest.raises(InvalidDefinition):
        Schedule("é" * 101, report(), every=60)
    with pytest.raises(InvalidDefinition):
        Schedule("it", report, every=60)  # type: ignore[call-overload]


def test_schedules_are_declared_by_an_app() -> None:
    with pytest.raises(InvalidDefinition, match="app="):
        AsyncDurableService("memory://", WORKFLOWS, schedules=[Schedule("it", report(), every=60)])
    with pytest.raises(InvalidDefinition, match="two schedules"):
        AsyncDurableService("memory://", WORKFLOWS, app="a", schedules=[Schedule("it", report(), every=n) for n in (60, 61)])
