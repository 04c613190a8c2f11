"""Signals: typed, buffered, in order, once if keyed; and refused to the sender where they cannot be."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from redrive import (
    AsyncDurableService,
    CodecError,
    ExecutionConflict,
    ExecutionFinished,
    ExecutionNotFound,
    Flow,
    Signal,
    SignalTimeout,
    Sleep,
    UndeclaredSignal,
    WaitSignal,
    step,
    workflow,
)
from tests.runtime.support import standing


@attrs.frozen
class Decision:
    by: str
    yes: bool


word = Signal("word", str)
decided = Signal("decided", Decision)
tick = Signal("tick")


@step
async def idle() -> None: ...


@workflow("signals.words")
def words(count: int) -> Flow[list[str]]:
    heard: list[str] = []
    for _ in range(count):
        heard.append((yield from WaitSignal(word)))
    return heard


@workflow("signals.declared", signals=[word, tick])
def declared() -> Flow[str]:
    return (yield from WaitSignal(word.of("d-17")))


@workflow("signals.decision")
def decision() -> Flow[str]:
    made = yield from WaitSignal(decided)
    return made.by


@workflow("signals.tick")
def ticks() -> Flow[None]:
    return (yield from WaitSignal(tick))


@workflow("signals.patience")
def patience() -> Flow[list[str]]:
    heard: list[str] = []
    try:
        yield from WaitSignal(word, timeout=0.05)
    except SignalTimeout:
        heard.append("timeout")
    heard.append((yield from WaitSignal(word, timeout=0, default="nothing there")))
    return heard


@workflow("signals.deaf")
def deaf() -> Flow[None]:
    yield from Sleep(0.05)


ALL = [words, declared, decision, ticks, patience, deaf]


async def test_signals_are_kept_and_taken_in_the_order_of_sending(store_url: str) -> None:
    """G1."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(words(3), delay=0.05)
        for text in ("one", "two", "two"):
            assert await execution.signal(word, text)
        assert await execution.result() == ["one", "two", "two"]


async def test_a_key_makes_a_signal_land_once(store_url: str) -> None:
    """G1."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(words(2))
        assert await execution.signal(word, "once", key="k")
        assert not await execution.signal(word, "once", key="k")
        await execution.signal(word, "then")
        assert await execution.result() == ["once", "then"]


async def test_a_payload_of_another_type_is_refused_to_the_sender(store_url: str) -> None:
    """G3."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(decision())
        with pytest.raises(CodecError, match="decided"):
            await execution.signal(decided, "yes")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="payload"):
            await execution.signal(decided)  # type: ignore[call-overload]
        await execution.signal(decided, Decision("Ada", True))
        assert await execution.result() == "Ada"


async def test_a_signal_that_the_workflow_does_not_declare_is_refused(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(declared(), id="d")
        with pytest.raises(UndeclaredSignal, match="decided"):
            await execution.signal(decided, Decision("Ada", True))
        with pytest.raises(UndeclaredSignal):
            await service.signal("d", decided, Decision("Ada", True))
        await service.signal("d", word.of("d-17"), "counted as declared")
        assert await execution.result() == "counted as declared"


async def test_a_signal_may_be_sent_by_name_and_is_typed_as_declared(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(declared())
        with pytest.raises(CodecError):
            await execution.signal("word:d-17", 42)
        await execution.signal("word:d-17", "by name")
        assert await execution.result() == "by name"


async def test_a_signal_without_a_type_has_no_payload(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(ticks())
        await execution.signal(tick)
        assert await execution.result() is None


async def test_a_signal_to_nobody_or_to_the_dead_is_an_error(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        with pytest.raises(ExecutionNotFound):
            await service.signal("nobody", word, "?")
        execution = await service.start(words(0))
        await execution.result()
        with pytest.raises(ExecutionFinished):
            await execution.signal(word, "too late")


async def test_a_wait_gives_up_in_time_and_a_wait_of_zero_takes_what_is_there(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        assert await service.execute(patience()) == ["timeout", "nothing there"]


async def test_unread_signals_are_counted_at_the_end(store_url: str) -> None:
    """G4."""
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.start(deaf())
        await execution.signal(word, "hello?")
        await execution.signal(word, "anybody?")
        await execution.result()
        assert (await execution.info()).unread == 2


async def test_start_and_signal_in_one_commit(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as service:
        execution = await service.signal_with_start(words(2), id="w", signal=word, payload="first")
        again = await service.signal_with_start(words(2), id="w", signal=word, payload="second")
        assert await again.result() == ["first", "second"]
        assert await execution.result() == ["first", "second"]


async def test_a_signal_from_another_process_reaches_the_live_execution(store_url: str) -> None:
    async with AsyncDurableService(store_url, ALL) as worker, AsyncDurableService(store_url, worker=False) as client:
        execution = await worker.start(words(1), id="w")
        await standing(execution, "suspended")
        await client.signal("w", word, "from afar")
        assert await client.execution("w", words).result(10) == ["from afar"]


async def test_payloads_are_copies(store_url: str) -> None:
    """S1."""
    basket = Signal("basket", list[str])
    seen: list[Any] = []

    @workflow("signals.baskets")
    def baskets() -> Flow[list[str]]:
        got = yield from WaitSignal(basket)
        seen.append(got)
        got.append("changed")
        return got

    sent = ["apple"]
    async with AsyncDurableService(store_url, [baskets]) as service:
        execution = await service.start(baskets())
        await execution.signal(basket, sent)
        assert await execution.result() == ["apple", "changed"]
    assert sent == ["apple"]
    assert seen[0] is not sent


async def test_a_start_with_a_signal_is_refused_where_the_execution_has_ended(store_url: str) -> None:
    """As a signal is; a repeat of one that landed is none, and ``restart=`` starts it anew."""
    async with AsyncDurableService(store_url, [words]) as service:
        execution = await service.signal_with_start(words(1), id="w", signal=word, payload="first", key="k")
        assert await execution.result(5) == ["first"]
        with pytest.raises(ExecutionFinished, match="completed"):
            await service.signal_with_start(words(1), id="w", signal=word, payload="second")
        again = await service.signal_with_start(words(1), id="w", signal=word, payload="first", key="k")
        assert await again.result(5) == ["first"]

        await (await service.start(words(1), id="c")).cancel("no")
        await standing(service.execution("c"), "cancelled")
        anew = await service.signal_with_start(words(1), id="c", signal=word, payload="anew", restart=["cancelled"])
        assert await anew.result(5) == ["anew"]


async def test_a_start_with_a_signal_that_conflicts_stores_no_signal(store_url: str) -> None:
    async with AsyncDurableService(store_url, [words, decision]) as service:
        execution = await service.start(words(1), id="w")
        for call in (words(2), decision()):
            with pytest.raises(ExecutionConflict):
                await service.signal_with_start(call, id="w", signal=word, payload="stray")
        await execution.signal(word, "meant")
        assert await execution.result(5) == ["meant"]


async def test_an_unread_signal_that_nothing_waits_for_is_named(store_url: str) -> None:
    """A typo in a name of an undeclared signal is accepted, for it may be waited for later; but it is told."""
    async with AsyncDurableService(store_url, [words]) as service:
        execution = await service.start(words(1))
        await execution.signal("wrod", "hm")
        while not (info := await execution.info()).unread_signals:
            await asyncio.sleep(0.002)
        assert (info.unread, info.unread_signals) == (1, ("wrod",))
        with pytest.raises(TimeoutError, match=r"it waits for .*word.*; it has unread signals, for which nothing waits: 'wrod'"):
            await execution.result(timeout=0.05)
        await execution.signal(word, "yes")
        assert await execution.result() == ["yes"]
        assert (await execution.info()).unread_signals == ("wrod",)
