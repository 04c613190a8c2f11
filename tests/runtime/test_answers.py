"""What was asked of a store: awaited, or told to call back."""

from __future__ import annotations

import asyncio
import sys

import pytest

from redrive import AsyncDurableService, ContinueAs, Flow, workflow
from redrive.ports.answer import Answer, failed
from redrive.ports.store import StoreError
from redrive.stores.memory import MemoryStore


def given(result: object) -> Answer[object]:
    answer: Answer[object] = Answer()
    answer.result = result
    answer.come()
    return answer


async def test_who_awaits_gets_the_result_when_it_comes() -> None:
    answer: Answer[int] = Answer()
    waiting = asyncio.ensure_future(answer)
    await asyncio.sleep(0)
    assert not waiting.done()
    answer.result = 3
    answer.come()
    assert await waiting == 3


async def test_one_that_is_there_already_is_had_without_waiting() -> None:
    assert await given(4) == 4
    told: list[object] = []
    given(5).then(lambda answer: told.append(answer.result))
    assert told == [5]


async def test_an_error_is_raised_to_who_awaits() -> None:
    answer: Answer[int] = Answer()
    waiting = asyncio.ensure_future(answer)
    await asyncio.sleep(0)
    answer.error = StoreError("no")
    answer.come()
    with pytest.raises(StoreError, match="no"):
        await waiting
    with pytest.raises(StoreError, match="gone"):
        await failed(StoreError("gone"))


async def test_who_was_cancelled_while_waiting_does_not_mind_the_answer() -> None:
    answer: Answer[int] = Answer()
    waiting = asyncio.ensure_future(answer)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer.result = 3
    answer.come()
    assert answer.over


async def test_who_asked_to_be_told_is_told_once_when_it_comes() -> None:
    answer: Answer[int] = Answer()
    told: list[Answer[int]] = []
    answer.then(told.append)
    assert not told
    answer.come()
    assert told == [answer]


@workflow("answers.countdown")
def countdown(left: int) -> Flow[str]:
    yield from ()
    if left:
        return (yield from ContinueAs(countdown(left - 1)))
    return "down"


async def test_a_workflow_that_runs_on_and_on_is_not_limited_by_the_stack_where_answers_come_at_once() -> None:
    async with AsyncDurableService(MemoryStore(), [countdown]) as service:
        execution = await service.start(countdown(sys.getrecursionlimit()), id="it")
        while (info := await execution.info()).status != "completed":
            assert info.status != "parked", info.parked
            await asyncio.sleep(0)
        assert info.number == sys.getrecursionlimit() + 1
