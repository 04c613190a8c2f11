"""The service on PostgreSQL: the same workflows, any number of processes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from examples.order import Order, approved, process_order, processed
from redrive import AsyncDurableService, DurableService, Retry, Signal
from tests.crash import fleet
from tests.crash.workers import Fleet, check_effects, die_at_random
from tests.postgres.server import Server

ORDER = process_order(Order("o-1", 900), settle=timedelta(seconds=0.05))


@pytest.fixture
def workers(postgres: Server, schema: str, tmp_path: Path) -> Iterator[Fleet]:
    workers = Fleet(postgres.url(schema=schema), tmp_path / "effects")
    yield workers
    workers.close()


@pytest.mark.parametrize("options", [{}, {"pgbouncer": "true"}, {"connections": "2"}])
def test_the_order_workflow_runs_from_start_to_end(postgres: Server, schema: str, options: dict[str, str]) -> None:
    url = postgres.url(schema=schema, **options)

    async def run() -> None:
        async with AsyncDurableService(url, workflows=[process_order]) as service, AsyncDurableService(url, worker=False) as client:
            async with asyncio.timeout(30):
                events = client.subscribe(processed)
                execution = await service.start(ORDER, id="order-o-1")
                assert await client.signal("order-o-1", approved, "Ada")
                assert await execution.result() == "ch_o-1 approved by Ada"
                assert await client.execution("order-o-1", process_order).result() == "ch_o-1 approved by Ada"
                async for event in events:
                    assert event == Order("o-1", 900)
                    break

    asyncio.run(run())


def test_the_blocking_service_runs_on_it_too(postgres: Server, schema: str) -> None:
    with DurableService(postgres.url(schema=schema), workflows=[process_order]) as service:
        execution = service.start(ORDER, id="order-o-1")
        execution.signal(approved, "Ada")
        assert execution.result(timeout=30) == "ch_o-1 approved by Ada"


def test_what_cannot_be_read_is_set_aside_on_it_too(postgres: Server, schema: str) -> None:
    """G6."""
    with DurableService(postgres.url(schema=schema), workflows=[process_order]) as service:
        execution = service.start(ORDER, id="order-o-1")
        with DurableService(postgres.url(schema=schema), worker=False) as stranger:
            stranger.signal("order-o-1", Signal(approved.name, int), 5)
        execution.signal(approved, "Ada")
        assert execution.result(timeout=30) == "ch_o-1 approved by Ada"
        assert [kept.payload for kept in execution.info().set_aside] == [5]
        assert service.operator.drop("order-o-1") == 1


def test_a_handler_that_fails_is_called_again_on_it_too(postgres: Server, schema: str) -> None:
    """G5."""
    calls: list[Order] = []
    service = DurableService(postgres.url(schema=schema), workflows=[process_order])

    @service.on(processed, name="mailer", retry=Retry(attempts=3, delay=0.01))
    def mail(order: Order) -> None:
        calls.append(order)
        if len(calls) < 5:
            raise ConnectionError("no line")

    with service:
        execution = service.start(ORDER, id="order-o-1")
        execution.signal(approved, "Ada")
        execution.result(timeout=30)
        while not (dead := service.operator.dead_letters("mailer")):
            time.sleep(0.01)
        assert (len(calls), dead[0].attempts, dead[0].execution) == (3, 3, "order-o-1")
        assert service.operator.redeliver_events("mailer") == 1
        while service.operator.dead_letters("mailer", retrying=True):
            time.sleep(0.01)
    assert calls == [Order("o-1", 900)] * 5


def test_what_a_killed_worker_had_goes_on_elsewhere(workers: Fleet) -> None:
    chance = random.Random(7)
    programs = {f"p-{n}": fleet.Program.draw(n) for n in range(12)}

    async def run() -> int:
        results, kills = await die_at_random(workers, programs, 2, chance)
        assert results == {id: program.expected() for id, program in programs.items()}
        return kills

    check_effects(workers, asyncio.run(run()), some_hit=False)


def test_a_client_hears_of_an_end_in_another_process_before_it_would_look(workers: Fleet) -> None:
    async def run() -> None:
        workers.working()
        async with fleet.service(workers.url, worker=False) as client, asyncio.timeout(30):
            results = [await (await client.start(fleet.program(("sync",), False), id=f"e-{n}")).result() for n in range(20)]
            assert results == ["1"] * 20

    asyncio.run(run())


def test_closing_leaves_nobody_in_the_middle_of_a_statement(postgres: Server, schema: str, caplog: pytest.LogCaptureFixture) -> None:
    """The driver, told twice to leave a statement, would throw its connection away and warn of it."""
    for _ in range(40):
        with DurableService(postgres.url(schema=schema), workflows=[process_order]):
            pass
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
