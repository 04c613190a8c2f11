"""retry: a failed or parked execution goes on, with every stored success kept (F1 – F6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from redrive import All, AsyncDurableService, Flow, OperationRefused, RunChild, StartChild, workflow
from redrive_interpreter.errors import ExecutionNotFound
from redrive_interpreter.history.rows import Forked
from tests.operating.shop import Provider, charge, failed, in_shop, order, quote, reserve, ship, undoing
from tests.runtime.support import standing


def test_it_goes_on_from_the_step_that_failed(store_url: str, bank: Provider) -> None:
    """F5, F2: what succeeded is not performed again, and the step that failed keeps its idempotency key."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"charge"}
        execution = await service.start(order(1), id="o-1")
        await failed(execution)
        bank.down.clear()
        change = await service.operator.retry("o-1", reason="the bank was down", by="ada")
        assert await execution.result() == "reserve-1 charge-1"
        assert bank.counts == {"reserve": 1, "quote": 1, "charge": 2}
        assert len({key for name, key in bank.calls if name == "charge"}) == 1
        assert (change.stored, change.number, change.again, change.undone) == (True, 2, (), ())
        assert [str(one.key) for one in change.asks] == ["charge"]
        info = await execution.info()
        assert (info.number, info.status) == (2, "completed")

    in_shop(run, store_url)


def test_the_history_before_stays_readable_and_the_audit_says_who_and_why(store_url: str, bank: Provider) -> None:
    """F1."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"charge"}
        execution = await service.start(order(1), id="o-1")
        await failed(execution)
        before = await execution.history()
        bank.down.clear()
        await service.operator.retry("o-1", reason="the bank was down", by="ada")
        await execution.result()
        assert await execution.history(1) == before
        assert (await execution.history())[: len(before) - 2] == before[:-2]
        (entry,) = await service.operator.audit("o-1")
        assert (entry.verb, entry.by, entry.reason) == ("retry", "ada", "the bank was down")
        assert entry.detail["removed"] == ["charge: answered tests.operating.shop.Down: charge is down", *entry.detail["removed"][1:]]

    in_shop(run, store_url)


def test_a_dry_run_shows_all_of_it_and_stores_nothing(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        bank.down = {"charge"}
        execution = await service.start(order(1), id="o-1")
        await failed(execution)
        change = await service.operator.retry("o-1", dry_run=True)
        assert not change.stored
        assert "  - charge: answered tests.operating.shop.Down: charge is down" in change.diff
        assert "  . waits for step charge" in change.diff
        assert "shop.py:" in change.diff
        assert (await execution.info()).number == 1
        assert await service.operator.audit("o-1") == []

    in_shop(run, store_url)


def test_a_charge_that_was_refunded_is_charged_anew(store_url: str, bank: Provider) -> None:
    """F2, F5: under a new key, so that the provider does not take it for the one that it gave back."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"ship"}
        execution = await service.start(undoing(7), id="o-1")
        await failed(execution)
        assert (bank.times("charge"), bank.times("refund"), bank.times("release")) == (1, 1, 1)
        bank.down.clear()
        with pytest.raises(OperationRefused, match=r"since='reserve' performs all from there again") as refused:
            await service.operator.retry("o-1")
        assert "rollback:charge" in str(refused.value)
        assert (await execution.info()).number == 1
        change = await service.operator.retry("o-1", since="reserve")
        assert (set(change.again), set(change.undone)) == ({"reserve", "charge"}, {"charge", "reserve"})
        assert await execution.result() == "reserve-2 charge-2 ship-1"
        assert (bank.times("charge"), bank.times("refund"), bank.times("reserve")) == (2, 1, 2)

    in_shop(run, store_url)


def test_since_performs_again_what_had_succeeded_under_a_new_run(store_url: str, bank: Provider) -> None:
    """F2."""

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"charge"}
        execution = await service.start(order(1), id="o-1")
        await failed(execution)
        run_before = (await execution.info()).run
        bank.down.clear()
        await service.operator.retry("o-1", since="quote")
        await execution.result()
        assert (bank.times("reserve"), bank.times("quote"), bank.times("charge")) == (1, 2, 1)
        (forked,) = [row for row in await execution.history() if isinstance(row, Forked)]
        assert forked.of == run_before
        assert forked.run == (await execution.info()).run != run_before

    in_shop(run, store_url)


def test_what_a_sibling_answered_after_the_failure_is_put_back(store_url: str, bank: Provider) -> None:
    """F13, S1: it was asked before the point, and its body does not run again."""

    @workflow("shop.both")
    def both() -> Flow[Any]:
        return (yield from All(_first(), reserve("slow")))

    def _first() -> Flow[str]:
        yield from quote("x")
        return (yield from charge(1))

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"charge"}
        bank.gate["reserve"] = asyncio.Event()
        execution = await service.start(both(), id="o-1")
        while not bank.counts["charge"]:
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.02)
        bank.gate["reserve"].set()  # it has an undo, so its end is awaited when the branch beside it fails (S10)
        await failed(execution)
        bank.down.clear()
        bank.gate.clear()
        change = await service.operator.retry("o-1")
        assert any("__all/1/reserve: answered" in line for line in change.put_back)
        assert await execution.result() == ("charge-1", "reserve-1")
        assert bank.counts == {"quote": 1, "reserve": 1, "charge": 2}

    in_shop(run, store_url, both)


def test_a_bug_is_retried_with_the_code_that_has_none(store_url: str, bank: Provider) -> None:
    """C3: no step failed, so only the end is removed."""
    broken = [True]

    @workflow("shop.buggy", on_failure="rollback")
    def buggy() -> Flow[str]:
        hold = yield from reserve("book")
        if broken[0]:
            raise NameError("a slip of the pen")
        return hold

    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(buggy(), id="o-1")
        await failed(execution)
        with pytest.raises(OperationRefused, match=r"would end it again: NameError: a slip of the pen; mend the code first"):
            await service.operator.retry("o-1")
        broken[0] = False
        await service.operator.retry("o-1")
        assert await execution.result() == "reserve-1"
        assert bank.counts == {"reserve": 1}

    in_shop(run, store_url, buggy)


def test_an_error_that_the_workflow_made_needs_a_point(store_url: str, bank: Provider) -> None:
    """F5."""

    @workflow("shop.translating")
    def translating() -> Flow[str]:
        yield from reserve("book")
        try:
            return (yield from charge(1))
        except Exception as error:
            raise ValueError("no money") from error

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"charge"}
        execution = await service.start(translating(), id="o-1")
        await failed(execution)
        bank.down.clear()
        with pytest.raises(OperationRefused, match=r"made its error itself.*since= one of 'reserve', 'charge'"):
            await service.operator.retry("o-1")
        with pytest.raises(OperationRefused, match=r"nothing under the key 'chrage'.*since= one of"):
            await service.operator.retry("o-1", since="chrage")
        await service.operator.retry("o-1", since="charge")
        assert await execution.result() == "charge-1"

    in_shop(run, store_url, translating)


def test_a_failed_child_counts_as_the_step(store_url: str, bank: Provider) -> None:
    """F5: its outcome as it is now is taken; if it still failed, its id is named."""

    @workflow("shop.parent")
    def parent() -> Flow[str]:
        yield from reserve("book")
        return (yield from RunChild(order(1), id="child"))

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"charge"}
        execution = await service.start(parent(), id="o-1")
        await failed(execution)
        bank.down.clear()
        with pytest.raises(OperationRefused, match=r"child 'child' ended failed; retry 'child' first"):
            await service.operator.retry("o-1")
        change = await service.operator.retry("child")
        assert change.elsewhere == ("its parent 'o-1' keeps the outcome that it was told",)
        await service.execution("child").result()
        assert (await execution.info()).status == "failed", "F6: it keeps what it was told"
        await service.operator.retry("o-1")
        assert await execution.result() == "reserve-2 charge-1"

    in_shop(run, store_url, parent)


def test_running_children_whose_start_is_taken_back_are_asked_about(store_url: str, bank: Provider) -> None:
    """F6."""
    from redrive import WaitSignal
    from tests.operating.shop import approved

    @workflow("shop.child", signals=[approved])
    def child() -> Flow[str]:
        return (yield from WaitSignal(approved))

    @workflow("shop.parent")
    def parent() -> Flow[str]:
        yield from reserve("book")
        yield from StartChild(child(), on_parent_close="abandon")
        return (yield from charge(1))

    async def run(service: AsyncDurableService) -> None:
        bank.down = {"charge"}
        execution = await service.start(parent(), id="o-1")
        await failed(execution)
        bank.down.clear()
        (first,) = [one.id async for one in service.find(workflow=child)]
        with pytest.raises(OperationRefused, match=r'children whose start would be taken back still run.*children="cancel"'):
            await service.operator.retry("o-1", since="reserve")
        await service.operator.retry("o-1", since="reserve", children="cancel")
        assert await execution.result() == "charge-1"
        await standing(service.execution(first), "cancelled")
        assert len([one async for one in service.find(workflow=child)]) == 2

    in_shop(run, store_url, parent, child)


def test_what_has_not_failed_is_not_retried(store_url: str, bank: Provider) -> None:
    """F5: each refusal names the verb that would do."""

    async def run(service: AsyncDurableService) -> None:
        done = await service.start(order(1), id="done")
        await done.result()
        with pytest.raises(OperationRefused, match=r"it has completed; fork makes a copy"):
            await service.operator.retry("done")
        bank.gate["reserve"] = asyncio.Event()
        await service.start(undoing(1), id="running")
        with pytest.raises(OperationRefused, match=r"it has not failed: it is .*; retry_now"):
            await service.operator.retry("running")
        await service.execution("running").cancel("enough")
        bank.gate["reserve"].set()
        await standing(service.execution("running"), "cancelled")
        with pytest.raises(OperationRefused, match=r"it was cancelled; give since="):
            await service.operator.retry("running")
        bank.gate.clear()
        await service.operator.retry("running", since="reserve")
        assert await service.execution("running").result() == "reserve-3 charge-2 ship-1"
        with pytest.raises(ExecutionNotFound):
            await service.operator.retry("nobody")

    in_shop(run, store_url)


def test_one_past_its_deadline_needs_a_new_one(store_url: str, bank: Provider) -> None:
    """F5."""

    async def run(service: AsyncDurableService) -> None:
        bank.gate["quote"] = asyncio.Event()
        execution = await service.start(order(1), id="o-1", timeout=0.2)
        await failed(execution)
        bank.gate.clear()
        with pytest.raises(OperationRefused, match=r"its deadline passed at .*; give timeout="):
            await service.operator.retry("o-1")
        await service.operator.retry("o-1", timeout=60)
        assert await execution.result() == "reserve-1 charge-1"
        info = await execution.info()
        assert info.deadline is not None
        assert (info.deadline - info.created_at).total_seconds() > 59

    in_shop(run, store_url)


def test_without_the_code_it_is_refused(store_url: str, bank: Provider) -> None:
    """F3."""

    async def run() -> None:
        async with AsyncDurableService(store_url, [order]) as service:
            bank.down = {"charge"}
            await failed(await service.start(order(1), id="o-1"))
            async with AsyncDurableService(store_url, worker=False) as client:
                with pytest.raises(OperationRefused, match=r"the code of workflow 'shop.order' is not here.*--app"):
                    await client.operator.retry("o-1")

    asyncio.run(run())


def test_a_parked_execution_is_tried_again_with_code_that_fits(store_url: str, bank: Provider) -> None:
    """F5, F3: code that does not fit refuses it, with the difference."""

    @workflow("shop.order")
    def changed(amount: int) -> Flow[str]:
        return (yield from ship("other"))

    async def run() -> None:
        bank.gate["quote"] = asyncio.Event()
        async with AsyncDurableService(store_url, [order], build="one", grace=0) as service:
            await service.start(order(1), id="o-1")
            while not bank.counts["quote"]:
                await asyncio.sleep(0.002)
        bank.gate.clear()
        async with AsyncDurableService(store_url, [changed], build="two") as other:
            execution = other.execution("o-1")
            await standing(execution, "parked")
            expected = r"(?s)does not follow.*history has  step 'reserve'.*code asks now step 'ship'.*put code here that follows it"
            with pytest.raises(OperationRefused, match=expected):
                await other.operator.retry("o-1")
            async with AsyncDurableService(store_url, [order], worker=False) as client:
                change = await client.operator.retry("o-1", reason="rolled back")
                assert (change.removed, change.status) == ((), "running")
        async with AsyncDurableService(store_url, [order], build="one") as service:
            assert await service.execution("o-1").result() == "reserve-1 charge-1"

    asyncio.run(run())


def test_errors_that_nobody_can_retry_are_said_at_once(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'because'"):
            await service.operator.retry("o-1", because="x")  # type: ignore[call-arg]

    in_shop(run, store_url)
