"""edit_step and skip_step: another outcome for a step; what came after stays if it still follows (F2, F3, F5)."""

from __future__ import annotations

import asyncio

import pytest

from redrive import AsyncDurableService, Flow, InvalidDefinition, OperationRefused, StepId, step, workflow
from redrive_interpreter.history.rows import Answered
from tests.operating.shop import Provider, charge, failed, in_shop, order, patient, quote, reserve, undoing
from tests.runtime.support import standing


@step
async def count(name: str) -> int:
    return len(name)


@workflow("shop.counting")
def counting() -> Flow[int]:
    one = yield from count("one")
    three = yield from count("three")
    yield from charge(1)
    return one + three


@workflow("shop.patient")
def patiently() -> Flow[str]:
    yield from reserve("book")
    return (yield from patient("x"))


def test_the_step_that_failed_is_given_what_it_should_have_said(store_url: str, bank: Provider) -> None:
    """F5: nothing came after but the end, which goes with it."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"quote"}
        execution = await service.start(order(1), id="o-1")
        await failed(execution)
        change = await service.operator.skip_step("o-1", "quote", 900, reason="typo in crm", by="ada")
        assert change.added == ("quote: answered by the operator 900",)
        assert await execution.result() == "reserve-1 charge-1"
        assert bank.counts == {"reserve": 1, "quote": 1, "charge": 1}
        (given,) = [row for row in await execution.history() if isinstance(row, Answered) and row.by]
        assert (given.key, given.by, given.outcome.value) == ("quote", "operator", 900)  # type: ignore[union-attr]

    in_shop(run, store_url)


def test_what_came_after_an_edited_answer_stays_if_it_still_follows(store_url: str, bank: Provider) -> None:
    """F5: nobody is asked again, and the run stays the same."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["charge"] = asyncio.Event()
        execution = await service.start(counting(), id="o-1")
        while not bank.counts["charge"]:
            await asyncio.sleep(0.002)
        before = await execution.info()
        change = await service.operator.edit_step("o-1", count("one"), 30)
        assert (change.removed, change.again) == (("count: answered 3",), ())
        bank.gate["charge"].set()
        assert await execution.result() == 35
        info = await execution.info()
        assert (info.run, info.number, bank.times("charge")) == (before.run, 2, 1)

    in_shop(run, store_url, counting)


def test_what_no_longer_follows_is_refused_and_names_the_point(store_url: str, bank: Provider) -> None:
    """F5, F3."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["charge"] = asyncio.Event()
        execution = await service.start(order(1), id="o-1")
        while not bank.counts["charge"]:
            await asyncio.sleep(0.002)
        bank.gate.pop("charge").set()
        await execution.result()
        with pytest.raises(OperationRefused, match=r"what came after 'quote' no longer follows from it; since='charge'"):
            await service.operator.edit_step("o-1", "quote", 900)
        change = await service.operator.edit_step("o-1", "quote", 900, since="charge")
        assert change.again == ("charge",)
        assert await execution.result() == "reserve-1 charge-2"
        assert bank.times("quote") == 1

    in_shop(run, store_url)


def test_a_step_that_is_waited_for_is_answered_in_its_place(store_url: str, bank: Provider) -> None:
    """F4: its body is told to stop, and is in doubt."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["charge"] = asyncio.Event()
        execution = await service.start(order(1), id="o-1")
        while not bank.counts["charge"]:
            await asyncio.sleep(0.002)
        change = await service.operator.skip_step("o-1", "charge", "by hand")
        assert change.in_doubt == ("charge",)
        assert await execution.result() == "reserve-1 by hand"
        bank.gate["charge"].set()
        await asyncio.sleep(0.02)
        assert bank.times("charge") == 0, "its body was told to stop"

    in_shop(run, store_url)


def test_a_wait_for_the_next_attempt_is_ended(store_url: str, bank: Provider) -> None:
    """retry_now keeps the count of attempts; skip_step answers instead."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"patient"}
        execution = await service.start(patiently(), id="o-1")
        await standing(execution, "suspended")
        bank.down.clear()
        with pytest.raises(OperationRefused, match=r"'reserve' does not wait for its next attempt"):
            await service.operator.retry_now("o-1", "reserve")
        change = await service.operator.retry_now("o-1", reason="it is up again")
        assert len(change.added) == 1
        assert await execution.result() == "patient-1"
        assert bank.counts == {"reserve": 1, "patient": 2}
        assert len({key for name, key in bank.calls if name == "patient"}) == 1
        bank.down = {"patient"}
        other = await service.start(patiently(), id="o-2")
        await standing(other, "suspended")
        await service.operator.skip_step("o-2", patient("x"), "skipped")
        assert await other.result() == "skipped"

    in_shop(run, store_url, patiently)


def test_the_step_is_meant_by_key_by_its_arguments_or_by_its_id(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        bank.down = {"charge"}
        execution = await service.start(counting(), id="o-1")
        await failed(execution)
        operator = service.operator
        with pytest.raises(OperationRefused, match=r"count was asked 2 times; give a key: 'count', 'count#2'"):
            await operator.edit_step("o-1", StepId("count", int), 3, dry_run=True)
        with pytest.raises(OperationRefused, match=r"was never asked; give a key"):
            await operator.edit_step("o-1", count("four"), 4, dry_run=True)
        with pytest.raises(InvalidDefinition, match=r"takes the step as count\(…\), with its arguments"):
            await operator.edit_step("o-1", count, 3)  # type: ignore[call-overload]
        change = await operator.skip_step("o-1", StepId("charge", str), "by hand", dry_run=True)
        assert change.added == ('charge: answered by the operator "by hand"',)
        with pytest.raises(OperationRefused, match=r"'count' has succeeded; edit_step gives it another result"):
            await operator.skip_step("o-1", "count", 3)
        with pytest.raises(OperationRefused, match=r"would end as it did, whatever 'count' gave; give since="):
            await operator.edit_step("o-1", "count", 30)

    in_shop(run, store_url, counting)


def test_a_value_of_another_type_is_refused(store_url: str, bank: Provider) -> None:
    """F3: nothing is stored."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"quote"}
        execution = await service.start(order(1), id="o-1")
        await failed(execution)
        with pytest.raises(OperationRefused, match=r"step quote.*int.*; give a value of the declared type"):
            await service.operator.skip_step("o-1", "quote", "nine hundred")
        assert (await execution.info()).number == 1

    in_shop(run, store_url)


def test_a_step_may_be_given_an_error(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        bank.gate["charge"] = asyncio.Event()
        execution = await service.start(undoing(1), id="o-1")
        while not bank.counts["charge"]:
            await asyncio.sleep(0.002)
        await service.operator.edit_step("o-1", "charge", error=ValueError("the customer has gone"))
        info = await standing(execution, "failed")
        assert info.failure is not None
        assert "the customer has gone" in info.failure.message
        assert bank.times("release") == 1
        with pytest.raises(InvalidDefinition, match=r"a result or error="):
            await service.operator.edit_step("o-1", "charge")  # type: ignore[call-overload]

    in_shop(run, store_url)


def test_an_undo_that_failed_is_given_its_outcome(store_url: str, bank: Provider) -> None:
    """C2: the refund was made by hand, and the other undos go on."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"ship", "refund"}
        execution = await service.start(undoing(1), id="o-1")
        await standing(execution, "compensation_failed")
        with pytest.raises(OperationRefused, match=r"its undos failed; retry_rollback"):
            await service.operator.retry("o-1")
        again = await service.operator.retry_rollback("o-1", dry_run=True)
        assert ([str(one.key) for one in again.asks], again.stored) == (["rollback:charge"], False)
        await service.operator.skip_step("o-1", "rollback:charge", None, reason="refunded by hand")
        info = await standing(execution, "failed")
        assert info.undone == ("charge", "reserve")
        assert (bank.times("refund"), bank.times("release")) == (0, 1)

    in_shop(run, store_url)


def test_it_is_said_what_is_no_step(store_url: str, bank: Provider) -> None:
    @workflow("shop.sleepy")
    def sleepy() -> Flow[int]:
        from redrive import Sleep

        yield from Sleep(3600)
        return (yield from quote("x"))

    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(sleepy(), id="o-1")
        await standing(execution, "suspended")
        with pytest.raises(OperationRefused, match=r"'__sleep' is no step but a sleep"):
            await service.operator.edit_step("o-1", "__sleep", None)

    in_shop(run, store_url, sleepy)
