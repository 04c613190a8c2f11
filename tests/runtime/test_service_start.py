"""Starting executions: ids, inputs, times, and who may start what."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from redrive import (
    AsyncDurableService,
    Attribute,
    ContinueAs,
    DefinitionError,
    DurableService,
    ExecutionConflict,
    ExecutionFailed,
    ExecutionNotFound,
    Flow,
    Info,
    InvalidDefinition,
    InvalidId,
    Now,
    ServiceClosed,
    SetAttribute,
    Signal,
    Sleep,
    WaitSignal,
    Workflow,
    WorkflowTimeout,
    step,
    workflow,
)

state = Attribute("state", str)
go = Signal("go", str)
runs: list[str] = []


@attrs.frozen
class Order:
    id: str
    total: int = 1


@step
async def note(text: str) -> str:
    runs.append(text)
    return text


@workflow("start.echo")
def echo(order: Order) -> Flow[str]:
    return (yield from note(order.id))


@workflow("start.other")
def other(order: Order) -> Flow[str]:
    return (yield from note(order.id))


@workflow("start.waits")
def waits() -> Flow[str]:
    return (yield from WaitSignal(go))


@workflow("start.nothing")
def nothing() -> Flow[None]:
    yield from ()


@workflow("start.flaky")
def flaky() -> Flow[str]:
    if not (yield from note("flaky")):
        return "never"
    if runs.count("flaky") < 2:
        raise ValueError("not yet")
    return "at last"


@workflow("start.when")
def when() -> Flow[tuple[datetime, datetime | None]]:
    info = yield from Info()
    return (yield from Now()), info.scheduled_for


@workflow("start.states")
def states() -> Flow[str]:
    yield from SetAttribute(state, "waiting")
    return (yield from WaitSignal(go))


async def test_the_same_id_workflow_and_input_is_the_same_execution(store_url: str) -> None:
    """E1."""
    runs.clear()
    async with AsyncDurableService(store_url, [echo]) as service:
        one = await service.start(echo(Order("o-1")), id="o")
        assert await one.result() == "o-1"
        again = await service.start(echo(Order("o-1", total=1)), id="o")
        assert await again.result() == "o-1"
    assert runs == ["o-1"]


async def test_many_starts_at_once_are_one_execution(store_url: str) -> None:
    """E1."""
    runs.clear()
    async with AsyncDurableService(store_url, [echo]) as one, AsyncDurableService(store_url, [echo]) as two:
        handles = await asyncio.gather(*(service.start(echo(Order("at once")), id="o") for service in (one, two) * 10))
        assert await asyncio.gather(*(handle.result() for handle in handles)) == ["at once"] * 20
    assert runs == ["at once"]


async def test_another_input_or_workflow_under_an_id_is_a_conflict(store_url: str) -> None:
    async with AsyncDurableService(store_url, [echo, other]) as service:
        await service.start(echo(Order("o-1")), id="o")
        with pytest.raises(ExecutionConflict, match="another input"):
            await service.start(echo(Order("o-2")), id="o")
        with pytest.raises(ExecutionConflict, match=r"start\.echo"):
            await service.start(other(Order("o-1")), id="o")


async def test_a_failed_execution_is_started_anew_if_asked(store_url: str) -> None:
    runs.clear()
    async with AsyncDurableService(store_url, [flaky]) as service:
        first = await service.start(flaky(), id="f")
        with pytest.raises(ExecutionFailed, match="not yet"):
            await first.result()
        with pytest.raises(ExecutionFailed):
            await (await service.start(flaky(), id="f")).result()
        again = await service.start(flaky(), id="f", restart=("failed",))
        assert await again.result() == "at last"
        assert (await again.info()).number == 2
        assert len(await again.history(1)) > 1


async def test_a_workflow_that_returns_nothing_completes_with_none(store_url: str) -> None:
    """E2."""
    async with AsyncDurableService(store_url, [nothing]) as service:
        assert await service.execute(nothing()) is None


async def test_a_delayed_execution_begins_when_it_is_due(store_url: str) -> None:
    async with AsyncDurableService(store_url, [when]) as service:
        before = datetime.now(UTC)
        began, scheduled = await service.execute(when(), delay=0.15)
        assert scheduled is not None
        assert began >= scheduled >= before + timedelta(seconds=0.15)


async def test_an_execution_starts_at_a_moment_and_the_past_means_now(store_url: str) -> None:
    async with AsyncDurableService(store_url, [when]) as service:
        moment = datetime.now(UTC) + timedelta(seconds=0.1)
        began, scheduled = await service.execute(when(), start_at=moment)
        assert (scheduled, began >= moment) == (moment, True)
        await service.execute(when(), start_at=datetime(2001, 1, 1, tzinfo=UTC))


async def test_a_deadline_fails_the_execution(store_url: str) -> None:
    """E4."""
    async with AsyncDurableService(store_url, [waits]) as service:
        execution = await service.start(waits(), timeout=0.1)
        with pytest.raises(ExecutionFailed) as caught:
            await execution.result()
        assert isinstance(caught.value.cause, WorkflowTimeout)


async def test_attributes_can_be_read_while_it_runs(store_url: str) -> None:
    customer = Attribute("customer", int)
    async with AsyncDurableService(store_url, [states]) as service:
        execution = await service.start(states(), attributes={customer: 7, "note": "by hand"})
        await execution.signal(go, "!")
        await execution.result()
        assert await execution.attributes() == {"customer": 7, "note": "by hand", "state": "waiting"}


async def test_a_client_starts_what_a_worker_elsewhere_runs(store_url: str) -> None:
    known_by_name = Workflow("start.echo", returns=str)
    async with AsyncDurableService(store_url, [echo]), AsyncDurableService(store_url, worker=False) as client:
        execution = await client.start(known_by_name(order={"id": "o-9", "total": 3}))
        assert await execution.result(10) == "o-9"


async def test_ids_are_data(store_url: str) -> None:
    """I1."""
    ids = ["'; DROP TABLE executions; --", "../../etc", "ключ 🔑", "a\nb", "%s {0}", "A", "a"]
    async with AsyncDurableService(store_url, [echo]) as service:
        for id in ids:
            assert await service.execute(echo(Order(id)), id=id) == id
        for wrong in ("", "x" * 256, "nul\0"):
            with pytest.raises(InvalidId):
                await service.start(echo(Order("o")), id=wrong)


async def test_an_unknown_execution_is_not_found(store_url: str) -> None:
    """E1."""
    async with AsyncDurableService(store_url, [echo]) as service:
        ghost = service.execution("ghost", echo)
        for question in (ghost.result, ghost.info, ghost.history, ghost.attributes, ghost.cancel):
            with pytest.raises(ExecutionNotFound):
                await question()


async def test_a_handle_of_another_workflow_is_refused_where_its_types_count(store_url: str) -> None:
    async with AsyncDurableService(store_url, [echo, other]) as service:
        right = await service.start(echo(Order("o")), id="o")
        assert await service.execution("o", echo).result() == await right.result()
        wrong = service.execution("o", other)
        for question in (wrong.result, wrong.info, lambda: wrong.signal(Signal("tick"))):
            with pytest.raises(ExecutionConflict, match=r"it runs workflow 'start\.echo', not 'start\.other'"):
                await question()


async def test_a_handle_may_name_the_workflow_that_it_continued_from_or_as(store_url: str) -> None:
    @workflow("start.before")
    def before() -> Flow[str]:
        return (yield from ContinueAs(echo(Order("o"))))

    async with AsyncDurableService(store_url, [before, echo]) as service:
        result = await service.execute(before(), id="o")
        assert await service.execution("o", before).result() == result
        assert await service.execution("o", echo).result() == result


@pytest.mark.parametrize("store", [None, ["memory://"], echo])
def test_what_is_no_store_is_refused(store: Any) -> None:
    with pytest.raises(InvalidDefinition, match="a service takes a store, or the URL of one"):
        DurableService(store, [echo])


def test_two_functions_under_one_name_are_refused() -> None:
    @workflow("start.echo")
    def impostor() -> Flow[None]:
        yield from Sleep(1)

    with pytest.raises(InvalidDefinition, match=r"start\.echo"):
        AsyncDurableService("memory://", [echo, impostor])
    AsyncDurableService("memory://", [echo, echo])


async def test_a_start_that_cannot_be_meant_is_refused() -> None:
    async with AsyncDurableService("memory://", [echo]) as service:
        with pytest.raises(DefinitionError):
            await service.start(echo(Order("o")), delay=1, start_at=datetime.now(UTC))
        with pytest.raises(DefinitionError):
            await service.start(echo(Order("o")), timeout=-1)
        with pytest.raises(DefinitionError):
            await service.start(echo(Order("o")), start_at=datetime(2030, 1, 1))  # noqa: DTZ001
        with pytest.raises(DefinitionError):
            await service.start(echo, id="o")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await service.start(echo(Order("o")), colour="red")  # type: ignore[call-arg]


async def test_a_service_that_is_not_open_says_so() -> None:
    service = AsyncDurableService("memory://", [echo])
    with pytest.raises(ServiceClosed):
        await service.start(echo(Order("o")))
    async with service:
        pass
    with pytest.raises(ServiceClosed):
        await service.execution("o").result()
