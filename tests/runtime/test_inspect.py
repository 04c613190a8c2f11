"""`execution.inspect()`: where an execution stands, at any row, replayed in the process of those who ask."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import datetime, timedelta, tzinfo
from types import NoneType
from typing import Any, NoReturn

import attrs
import pytest

from redrive import (
    All,
    AsyncDurableService,
    DamagedData,
    DurableService,
    ExecutionFailed,
    ExecutionNotFound,
    Flow,
    Inspection,
    Join,
    Race,
    Rollback,
    Signal,
    Sleep,
    Spawn,
    StepFailed,
    WaitSignal,
    step,
    workflow,
)
from redrive.stores.memory import MemoryStore
from redrive.walking import SIZE, walk

go = Signal("inspect.go", str)


@attrs.frozen
class Order:
    id: str
    lines: tuple[int, ...]


@step
def quote(order: Order) -> int:
    return sum(order.lines)


@step
def fail(word: str) -> int:
    raise ValueError(word)


def ask_twice(total: int) -> Flow[str]:
    first = yield from WaitSignal(go)
    again = f"{first}, {total}"  # the frame of a helper
    second = yield from WaitSignal(go)
    return again + second


@workflow("inspect.process")
def process(order: Order) -> Flow[str]:
    total = yield from quote(order)
    words = yield from ask_twice(total)
    return words


async def waiting(service: AsyncDurableService, id: str, rows: int) -> None:
    while len(await service.execution(id).history()) < rows or (await service.execution(id).info()).status != "suspended":
        await asyncio.sleep(0.002)


def lines(found: Inspection) -> list[list[str]]:
    return [[frame.text for frame in fiber.frames] for fiber in found.fibers]


def local(found: Inspection, fiber: int = 0, frame: int = -1) -> dict[str, Any]:
    return {one.name: one.value for one in found.fibers[fiber].frames[frame].locals}


# ── what is seen ────────────────────────────────────────────────────────────────────────────────
async def test_a_client_sees_line_scopes_and_locals_without_a_worker(store_url: str) -> None:
    async with AsyncDurableService(store_url, [process]) as service:
        await service.start(process(Order("o-1", (4, 5))), id="o-1")
        await waiting(service, "o-1", 4)
    async with AsyncDurableService(store_url, worker=False) as client:
        found = await client.execution("o-1", process).inspect()
    assert lines(found) == [["words = yield from ask_twice(total)", "first = yield from WaitSignal(go)"]]
    (fiber,) = found.fibers
    assert [frame.function for frame in fiber.frames] == ["process", "ask_twice"]
    assert (fiber.key, fiber.waits_for, fiber.scope) == ("__wait_signal", "signal inspect.go", "")
    assert [frame.workflow for frame in fiber.frames] == ["inspect.process", ""]
    assert local(found, frame=0) == {"order": {"id": "o-1", "lines": [4, 5]}, "total": 9}
    assert local(found) == {"total": 9}
    assert fiber.frames[0].locals[0].type == f"{__name__}.Order"
    assert (found.row, found.rows, found.problem, found.ended) == (4, 4, "", "")
    assert dict(fiber.frames[1].source)[fiber.frames[1].line].strip() == "first = yield from WaitSignal(go)"


async def test_a_finished_execution_is_seen_at_each_of_its_rows(store_url: str) -> None:
    async with AsyncDurableService(store_url, [process]) as service:
        execution = await service.start(process(Order("o-1", (1,))), id="o-1")
        await waiting(service, "o-1", 4)
        await execution.signal(go, "yes")
        await waiting(service, "o-1", 6)
        await execution.signal(go, "no")
        assert await execution.result(10) == "yes, 1no"
        history = await execution.history()
        seen = [await execution.inspect(row) for row in range(1, len(history) + 1)]
        last = await execution.inspect()
        with pytest.raises(ValueError, match=f"has rows 1 to {len(history)} in run 1, not {len(history) + 1}"):
            await execution.inspect(len(history) + 1)
    assert [found.row for found in seen] == [2, 2, 4, 4, 6, 6, 6, 6]
    assert [found.fibers[0].frames[-1].line - seen[0].fibers[0].frames[-1].line for found in seen[2:]] == [-8, -8, -6, -6, -6, -6]
    assert (last.ended, last.row) == ("completed", 6)
    assert lines(last)[0][-1] == "second = yield from WaitSignal(go)"
    assert local(last) == {"total": 1, "first": "yes", "again": "yes, 1"}
    assert last.at == history[4].at  # type: ignore[union-attr]


async def test_rows_inside_a_turn_are_at_its_end(store_url: str) -> None:
    @workflow("inspect.wide")
    def wide() -> Flow[object]:
        return (yield from All(Sleep(timedelta(days=1)), WaitSignal(go), quote(Order("x", (1,)))))

    async with AsyncDurableService(store_url, [wide]) as service:
        execution = await service.start(wide(), id="w")
        await waiting(service, "w", 6)
        assert {(await execution.inspect(row)).row for row in range(1, 6)} == {5}


async def test_each_branch_and_task_has_a_place_of_its_own(store_url: str) -> None:
    def branch(name: str) -> Flow[str]:
        letters = name * 2
        return letters + (yield from WaitSignal(Signal(name, str)))

    @workflow("inspect.inner")
    def inner(n: int) -> Flow[str]:
        doubled = n * 2
        return f"{doubled}" + (yield from WaitSignal(go))

    @workflow("inspect.branches")
    def branches() -> Flow[object]:
        task = yield from Spawn(branch("task"))
        won = yield from Race(left=branch("left"), right=All(branch("a"), inner(4), Sleep(timedelta(days=1))))
        return won, (yield from Join(task))

    async with AsyncDurableService(store_url, [branches]) as service:
        execution = await service.start(branches(), id="b")
        await waiting(service, "b", 9)
        found = await execution.inspect()
    by_scope = {fiber.scope: fiber for fiber in found.fibers}
    places = {scope: fiber.frames[-1].function if fiber.frames else fiber.waits_for for scope, fiber in by_scope.items()}
    assert places == {
        "": "branches",
        "__race/left": "branch",
        "__race/right": "all",
        "__race/right/__all/0": "branch",
        "__race/right/__all/1": "inner",
        "__race/right/__all/2": "sleep",
        "__spawn": "branch",
    }
    values = [{one.name: one.value for one in fiber.frames[-1].locals} for fiber in found.fibers if fiber.frames]
    assert {"name": "left", "letters": "leftleft"} in values
    assert {"name": "task", "letters": "tasktask"} in values
    assert {"n": 4, "doubled": 8} in values


async def test_of_ten_thousand_branches_a_hundred_are_shown_and_the_others_counted() -> None:
    @workflow("inspect.many")
    def many() -> Flow[object]:
        return (yield from All(*(WaitSignal(Signal(f"s{n}", str)) for n in range(1000))))

    async with AsyncDurableService("memory://", [many]) as service:
        execution = await service.start(many(), id="m")
        await waiting(service, "m", 1002)
        found = await execution.inspect()
    assert (len(found.fibers), found.more_fibers) == (100, 901)


async def test_deep_delegation_is_shown_frame_by_frame(store_url: str) -> None:
    def down(depth: int) -> Flow[int]:
        if depth == 0:
            return len((yield from WaitSignal(go)))
        return 1 + (yield from down(depth - 1))

    @workflow("inspect.deep")
    def deep() -> Flow[int]:
        return (yield from down(50))

    async with AsyncDurableService(store_url, [deep]) as service:
        execution = await service.start(deep(), id="d")
        await waiting(service, "d", 2)
        (fiber,) = (await execution.inspect()).fibers
    assert [{one.name: one.value for one in frame.locals}.get("depth") for frame in fiber.frames] == [None, *range(50, -1, -1)]


async def test_what_a_rollback_ended_is_seen_where_it_failed(store_url: str) -> None:
    @step
    def release(word: str) -> None:
        raise ValueError(word)

    @step(undo=release)
    def reserve(word: str) -> str:
        return word

    @workflow("inspect.undone")
    def undone(word: str) -> Flow[int]:
        yield from reserve(word)
        try:
            yield from fail("no")
        except StepFailed:
            yield from Rollback()
        return 1

    async with AsyncDurableService(store_url, [undone]) as service:
        execution = await service.start(undone("a"), id="u")
        while (await execution.info()).status != "compensation_failed":
            await asyncio.sleep(0.002)
        found = await execution.inspect(4)
        assert lines(found) == [['yield from fail("no")']]
        assert (await execution.inspect()).ended == "compensation_failed"


async def test_a_run_before_the_last_is_seen(store_url: str) -> None:
    @workflow("inspect.failing")
    def failing(word: str) -> Flow[int]:
        return (yield from fail(word))

    async with AsyncDurableService(store_url, [failing]) as service:
        execution = await service.start(failing("a"), id="u")
        with pytest.raises(ExecutionFailed):
            await execution.result(10)
        again = await service.start(failing("b"), id="u", restart=["failed"])
        with pytest.raises(ExecutionFailed):
            await again.result(10)
        assert local(await execution.inspect(2, run=1)) == {"word": "a"}
        assert local(await execution.inspect(2)) == {"word": "b"}
        with pytest.raises(ExecutionNotFound):
            await execution.inspect(run=7)


def test_blocking_services_inspect_too() -> None:
    with DurableService("memory://", [process]) as service:
        service.start(process(Order("o", (1,))), id="o")
        while service.execution("o").info().status != "suspended" or len(service.execution("o").history()) < 4:
            time.sleep(0.002)
        assert "first = yield from WaitSignal(go)" in str(service.execution("o").inspect())


# ── what does not fit ───────────────────────────────────────────────────────────────────────────
async def test_code_that_is_not_here_is_told_in_a_word(store_url: str) -> None:
    async with AsyncDurableService(store_url, [process]) as service:
        await service.start(process(Order("o", (1,))), id="o")
        await waiting(service, "o", 4)
    async with AsyncDurableService(store_url, worker=False) as client:
        found = await client.execution("o").inspect()
    assert found.fibers == ()
    assert found.problem.startswith("the code of workflow 'inspect.process' is not here")


async def test_code_that_diverges_is_shown_where_it_still_fits(store_url: str) -> None:
    @workflow("inspect.process")
    def changed(order: Order) -> Flow[str]:
        total = yield from quote(order)
        yield from Sleep(timedelta(days=total))
        return ""

    async with AsyncDurableService(store_url, [process]) as service:
        await service.start(process(Order("o", (1,))), id="o")
        await waiting(service, "o", 4)
    async with AsyncDurableService(store_url, [changed], worker=False) as client:
        found = await client.execution("o").inspect()
    assert "no longer follows its history at __sleep" in found.problem
    assert found.row == 2
    assert lines(found) == [["total = yield from quote(order)"]]


async def test_a_parked_execution_says_who_parked_it(store_url: str) -> None:
    @workflow("inspect.process")
    def changed(order: Order) -> Flow[str]:
        yield from Sleep(timedelta(days=1))
        return ""

    async with AsyncDurableService(store_url, [process]) as service:
        await service.start(process(Order("o", (1,))), id="o")
        await waiting(service, "o", 4)
    async with AsyncDurableService(store_url, [changed], build="b2") as service:
        execution = service.execution("o")
        await execution.signal(go, "on")
        while (await execution.info()).status != "parked":
            await asyncio.sleep(0.002)
        found = await execution.inspect()
    assert "parked by b2" in found.problem


async def test_what_has_not_begun_says_so(store_url: str) -> None:
    async with AsyncDurableService(store_url, [process], worker=False) as client:
        execution = await client.start(process(Order("o", (1,))), id="o")
        found = await execution.inspect()
    assert (found.fibers, found.problem) == ((), "it has not begun: no code has run yet")


async def test_a_damaged_history_is_called_so() -> None:
    """The store says that row 2 is no object."""
    store = MemoryStore()
    async with AsyncDurableService(store, [process]) as service:
        execution = await service.start(process(Order("o", (1,))), id="o")
        await waiting(service, "o", 4)
        store._tables.records["o"].current.chunks[1:] = ["3"]
        with pytest.raises(DamagedData, match="row 2 is not an object"):
            await execution.inspect()


async def test_a_replay_that_never_ends_is_broken_off_and_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redrive.worker.watchdog._LOOK_EVERY", 0.01)
    endless = threading.Event()

    @workflow("inspect.endless")
    def flow() -> Flow[str]:
        while endless.is_set():
            pass
        yield from quote(Order("x", (1,)))
        return (yield from WaitSignal(go))

    async with AsyncDurableService("memory://inspect-endless", [flow]) as service:
        await service.start(flow(), id="e")
        await waiting(service, "e", 4)
        async with AsyncDurableService("memory://inspect-endless", [flow], worker=False, turn_limit=0.1) as client:
            endless.set()
            asked = asyncio.create_task(client.execution("e").inspect())
            ticks = 0
            while not asked.done():
                await asyncio.sleep(0.001)
                ticks += 1
            endless.clear()
            assert "a turn was broken off" in (await asked).problem
            assert ticks > 10


async def test_nothing_is_stored_by_looking() -> None:
    async with AsyncDurableService("memory://", [process]) as service:
        execution = await service.start(process(Order("o", (1,))), id="o")
        await waiting(service, "o", 4)
        before = await service.store.read("o"), await service.store.history("o")
        for row in (None, 1, 2, 3, 4):
            await execution.inspect(row)
        assert (await service.store.read("o"), await service.store.history("o")) == before


async def test_ten_thousand_rows_take_less_than_a_second_of_processor_time() -> None:
    @workflow("inspect.long")
    def long(n: int) -> Flow[str]:
        total = 0
        for _ in range(n):
            total += yield from quote(Order("x", (1, 2)))
        return (yield from WaitSignal(go))

    async with AsyncDurableService("memory://", [long]) as service:
        execution = await service.start(long(5000), id="l")
        await waiting(service, "l", 10_002)
        began = time.process_time()
        found = await execution.inspect(10_000)
        spent = time.process_time() - began
    assert local(found)["total"] in (14_997, 15_000)
    assert spent < 1


# ── values ──────────────────────────────────────────────────────────────────────────────────────
def ran(*_: object) -> NoReturn:
    raise SystemExit("code of a value was run")


@attrs.define
class Holder:
    inside: object

    __repr__ = ran


def lying_values() -> dict[str, tuple[object, object]]:
    """Values of which every method ends the process, and what is shown of them; made here, where pytest does not look at them."""
    every = dict.fromkeys(("__repr__", "__str__", "__getattr__", "__len__", "__iter__", "__getitem__", "__eq__", "__hash__"), ran)
    cls = property(ran)
    liar = type("Liar", (), {**every, "__bool__": ran, "__class__": cls, "__dict__": property(ran), "__module__": "m"})
    meta = type("Meta", (type,), {"__getattribute__": ran, "__eq__": ran, "__hash__": ran})
    of_meta = meta("OfMeta", (), {})
    text = type("Text", (str,), every)
    zone = type("Zone", (tzinfo,), {"utcoffset": ran, "tzname": ran, "dst": ran, "__module__": "m"})
    return {
        "object": (liar(), None),
        "metaclass": (object.__new__(of_meta), None),
        "list": (type("List", (list,), every)([1, 2]), [1, 2]),
        "dict": (type("Dict", (dict,), {**every, "items": ran, "keys": ran})(a=1), {"a": 1}),
        "str": (text("hello"), "hello"),
        "zone": (datetime(2027, 1, 1, tzinfo=zone()), "2027-01-01T00:00:00 <m.Zone>"),
        "attrs": (Holder(liar()), {"inside": "<m.Liar>"}),
        "nested": ({"k": [Holder(1)]}, {"k": [{"inside": 1}]}),
        "error": (ValueError("x", text("y")), {"args": ["x", "y"]}),
    }


@pytest.mark.parametrize("name", ["object", "metaclass", "list", "dict", "str", "zone", "attrs", "nested", "error"])
def test_no_code_of_a_value_is_run_to_show_it(name: str) -> None:
    value, shown = lying_values()[name]
    walked = walk(value)
    assert type(walked.value) in (NoneType, str, list, dict)
    assert walked.value == shown
    assert walked.opaque == (shown is None)


@pytest.mark.parametrize(
    "value",
    ["x" * 100_000, list(range(100_000)), {str(n): n for n in range(100_000)}, 1 << 100_000, b"x" * 100_000, [["y" * 999] * 9] * 9],
    ids=["text", "list", "dict", "int", "bytes", "nested"],
)
def test_a_value_is_cut_to_a_size(value: object) -> None:
    walked = walk(value)
    assert walked.cut
    assert len(json.dumps(walked.value)) < 4 * SIZE


def test_a_value_that_contains_itself_is_cut_in_depth() -> None:
    itself: list[object] = [1]
    itself.append(itself)
    assert walk(itself).value == [1, [1, [1, [1, ["…"]]]]]
