"""Failures are told: once each in the log, with the user's traceback, and where the result is asked for."""

from __future__ import annotations

import asyncio
import logging
import traceback
from datetime import timedelta

import pytest

from redrive import (
    All,
    AsyncDurableService,
    CompensationFailed,
    ExecutionCancelled,
    ExecutionFailed,
    Flow,
    Retry,
    Rollback,
    RunChild,
    Settle,
    Signal,
    Sleep,
    WaitSignal,
    step,
    workflow,
)
from tests.runtime.support import standing

go = Signal("go", str)


def told(caplog: pytest.LogCaptureFixture, *words: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if all(word in record.getMessage() for word in words)]


def text_of(record: logging.LogRecord) -> str:
    return logging.Formatter("%(message)s").format(record)


def declines(order: str) -> None:
    raise ValueError(f"no funds for {order}")


@step(retry=Retry(attempts=3, delay=0))
async def charge(order: str) -> str:
    declines(order)
    return "charged"


@step(retry=Retry(attempts=2, delay=0))
def charge_in_a_thread(order: str) -> str:
    declines(order)
    return "charged"


@workflow("told.pays")
def pays(order: str) -> Flow[str]:
    return (yield from charge(order))


@workflow("told.pays_in_a_thread")
def pays_in_a_thread(order: str) -> Flow[str]:
    return (yield from charge_in_a_thread(order))


async def test_each_failed_attempt_is_logged_once_with_the_traceback_of_its_body(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """W9."""
    async with AsyncDurableService(store_url, [pays, pays_in_a_thread]) as service:
        for invocation, attempts in ((pays("o-1"), 3), (pays_in_a_thread("o-1"), 2)):
            caplog.clear()
            execution = await service.start(invocation)
            with pytest.raises(ExecutionFailed):
                await execution.result(timeout=10)
            records = told(caplog, " of step charge", repr(execution.id))
            assert [record.levelname for record in records] == ["WARNING"] * attempts
            for number, record in enumerate(records, 1):
                assert f"attempt {number} of step charge" in record.getMessage()
                assert "ValueError: no funds for o-1" in record.getMessage()
                assert record.__dict__["execution_id"] == execution.id
                text = text_of(record)
                assert "in declines" in text
                assert "src/redrive" not in text
            assert "the next one is due at" in records[0].getMessage()
            assert "it is the last one" in records[-1].getMessage()


async def test_a_failed_execution_is_logged_once_with_the_frames_of_its_workflow_and_of_the_step(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """W9."""
    async with AsyncDurableService(store_url, [pays]) as service:
        execution = await service.start(pays("o-1"), id="fails")
        with pytest.raises(ExecutionFailed):
            await execution.result(timeout=10)
    (record,) = told(caplog, "'fails'", "ended failed")
    assert record.levelname == "ERROR"
    assert "in declines" in record.getMessage()
    assert "in pays" in record.getMessage()
    assert "src/redrive" not in record.getMessage()
    assert "redrive_interpreter/" not in record.getMessage()


async def test_the_error_of_a_result_prints_the_frames_of_the_workflow_and_of_the_step(store_url: str) -> None:
    async with AsyncDurableService(store_url, [pays]) as service:
        with pytest.raises(ExecutionFailed) as caught:
            await service.execute(pays("o-1"))
    printed = "".join(traceback.format_exception(caught.value))
    assert printed.index("in declines") < printed.index("in pays") < printed.rindex("ExecutionFailed")


class Declined(Exception):
    pass


@step(raises=[Declined])
async def declined(order: str) -> str:
    raise Declined(order)


@workflow("told.declared", raises=[Declined])
def declared(order: str) -> Flow[str]:
    return (yield from declined(order))


async def test_a_declared_error_comes_with_its_frames_too(store_url: str) -> None:
    async with AsyncDurableService(store_url, [declared]) as service:
        with pytest.raises(ExecutionFailed) as caught:
            await service.execute(declared("o-1"))
    assert isinstance(caught.value.cause, Declined)
    printed = "".join(traceback.format_exception(caught.value))
    assert "in declined" in printed
    assert "in declared" in printed


@workflow("told.parent")
def parent(order: str) -> Flow[str]:
    return (yield from RunChild(pays(order), id="child"))


async def test_the_failure_of_a_child_shows_the_childs_frames_in_its_parent(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncDurableService(store_url, [parent, pays]) as service:
        with pytest.raises(ExecutionFailed) as caught:
            await service.execute(parent("o-1"), id="parent")
    printed = "".join(traceback.format_exception(caught.value))
    for frame in ("in declines", "in pays", "in parent"):
        assert frame in printed
    assert len(told(caplog, "execution 'child'", "ended failed")) == 1
    assert len(told(caplog, "execution 'parent'", "ended failed")) == 1


@step
async def cannot(_: object) -> None:
    raise RuntimeError("no way back")


@step(undo=cannot)
async def ship() -> str:
    return "shipped"


@workflow("told.undoes")
def undoes() -> Flow[None]:
    yield from ship()
    yield from Rollback("changed my mind")


async def test_an_undo_that_fails_is_logged_as_the_attempt_it_is_and_as_the_end_it_makes(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """W9, C2."""
    async with AsyncDurableService(store_url, [undoes]) as service:
        with pytest.raises(CompensationFailed):
            await service.execute(undoes(), id="undoes")
    (attempt,) = told(caplog, "attempt 1 of step rollback:ship")
    assert "in cannot" in text_of(attempt)
    (ended,) = told(caplog, "'undoes'", "ended compensation_failed")
    assert ended.levelname == "ERROR"


@step(timeout=timedelta(milliseconds=20))
async def slow() -> None:
    await asyncio.sleep(30)


@step
async def unstorable() -> object:
    return object()


@workflow("told.settles")
def settles() -> Flow[list[str]]:
    first = yield from Settle(slow())
    second = yield from Settle(unstorable())
    return [type(first).__name__, type(second).__name__]


async def test_a_timeout_and_a_value_that_cannot_be_stored_are_failed_attempts(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """W9, S6, S7: also where the workflow goes on."""
    async with AsyncDurableService(store_url, [settles]) as service:
        assert await service.execute(settles()) == ["Err", "Err"]
    assert len(told(caplog, "attempt 1 of step slow failed", "no result within")) == 1
    assert len(told(caplog, "attempt 1 of step unstorable failed", "object")) == 1
    assert not told(caplog, "ended")


@workflow("told.waits")
def waits() -> Flow[str]:
    yield from Settle(charge("o-2"))
    yield from All(Sleep(0), Sleep(0))
    return (yield from WaitSignal(go))


async def test_what_was_told_is_not_told_again_by_a_replay(tmp_path: object, caplog: pytest.LogCaptureFixture) -> None:
    """W9."""
    url = f"sqlite:///{tmp_path}/replayed.db"
    async with AsyncDurableService(url, [waits]) as service:
        execution = await service.start(waits(), id="replayed")
        while not any(waiting.kind == "wait_signal" for waiting in (await execution.info()).waiting_on):
            await asyncio.sleep(0.002)
    before = len(told(caplog, " of step charge failed"))
    async with AsyncDurableService(url, [waits]) as service:
        again = service.execution("replayed", waits)
        await again.signal(go, "Ada")
        assert await again.result(timeout=10) == "Ada"
    assert before == 3
    assert len(told(caplog, " of step charge failed")) == before


class SoldOut(Exception):
    pass


@step(raises=[SoldOut])
async def reserve(order: str) -> None:
    raise SoldOut(order)


@workflow("told.handles")
def handles(order: str) -> Flow[str]:
    try:
        yield from reserve(order)
    except SoldOut:
        return "sold out"
    return "reserved"


async def test_an_error_that_the_step_declares_is_no_warning(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "redrive.worker")
    async with AsyncDurableService(store_url, [handles]) as service:
        assert await service.execute(handles("o-1")) == "sold out"
    (record,) = told(caplog, "attempt 1 of step reserve failed")
    assert record.levelname == "INFO"
    assert "in reserve" in text_of(record)


async def test_a_cancelled_execution_is_no_failure(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "redrive.worker")
    async with AsyncDurableService(store_url, [waits]) as service:
        execution = await service.start(waits(), id="cancelled")
        await standing(execution, "suspended")
        await execution.cancel("changed my mind")
        with pytest.raises(ExecutionCancelled):
            await execution.result(timeout=10)
    (record,) = told(caplog, "'cancelled'", "ended cancelled")
    assert record.levelname == "INFO"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


broken = False


@workflow("told.changed")
def changed() -> Flow[str]:
    if broken:
        declines("changed code")
    first = yield from WaitSignal(go)
    return first


async def test_what_changed_code_raises_begins_the_reason_of_its_park(
    store_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W9, D2: in the log once, in `info()`, and with the place."""
    async with AsyncDurableService(store_url, [changed], build="good") as service:
        execution = await service.start(changed(), id="changes")
        await standing(execution, "suspended")
    monkeypatch.setattr(f"{__name__}.broken", True)
    async with AsyncDurableService(store_url, [changed], build="bad") as service:
        execution = service.execution("changes")
        await execution.signal(go, "Ada")
        info = await standing(execution, "parked")
    reason = info.parked["bad"]
    first = reason.splitlines()[0]
    assert first.startswith("workflow 'told.changed' raises ValueError: no funds for changed code at ")
    assert f"{__file__}:" in first
    assert "in changed" in reason
    (record,) = told(caplog, "'changes'", "parked")
    assert "ValueError: no funds for changed code" in record.getMessage()
