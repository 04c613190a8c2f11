"""The engines of examples/embedding run one workflow to the same end, each in its own world."""

from __future__ import annotations

import ast
import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Timer
from typing import Any

import pytest

from examples.embedding import function_handler, plain_loop, shop, thread_pool, with_asyncio
from examples.embedding.shop import paid, process_order
from redrive_interpreter import Fact, Finished, Flow, Ok, Row, Signalled, Sleep, drive, load_row, step, workflow

HOME = Path(__file__).parents[2] / "examples" / "embedding"
ENGINES = ["plain_loop.py", "with_asyncio.py", "thread_pool.py", "with_simpy.py", "function_handler.py"]
PARCEL = "parcel of hold-17-a+hold-17-b"


@pytest.fixture(autouse=True)
def calls() -> list[str]:
    shop.calls.clear()
    return shop.calls


class Crash(BaseException):
    """The process dies here."""


def lines_of_code(path: Path) -> int:
    """The lines that hold code: no blank lines, comments, docstrings or imports."""
    tree = ast.parse(path.read_text())
    skipped: set[int] = set()
    for node in ast.walk(tree):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if text or isinstance(node, (ast.Import, ast.ImportFrom)):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(path.read_text().splitlines(), 1)
    return sum(1 for number, line in lines if number not in skipped and line.strip() and not line.strip().startswith("#"))


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_less_than_sixty_lines(name: str) -> None:
    assert lines_of_code(HOME / name) < 60


def test_a_plain_loop_runs_a_workflow_to_its_end(tmp_path: Path, calls: list[str]) -> None:
    assert plain_loop.run(process_order("17", 0.01), tmp_path / "o-17.json") == f"{PARCEL}, paid by nobody"
    assert calls == ["reserve 17-a", "reserve 17-b", *["ship hold-17-a+hold-17-b"] * 2]
    rows = [load_row(row) for row in json.loads((tmp_path / "o-17.json").read_text())]
    assert drive(process_order, rows) == Finished(Ok(f"{PARCEL}, paid by nobody"))


def test_a_plain_loop_that_dies_at_any_save_goes_on_there(tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    save, path, deaths = plain_loop.save, tmp_path / "o-17.json", 0

    def save_and_die(where: Path, rows: list[Row]) -> None:
        before = len(json.loads(where.read_text())) if where.exists() else 0
        save(where, rows)
        if len(rows) > before:
            raise Crash

    monkeypatch.setattr(plain_loop, "save", save_and_die)
    while True:
        try:
            result = plain_loop.run(process_order("17", 0.01), path)
            break
        except Crash:
            deaths += 1
    assert (result, deaths > 5) == (f"{PARCEL}, paid by nobody", True)
    assert calls == ["reserve 17-a", "reserve 17-b", *["ship hold-17-a+hold-17-b"] * 2]


async def test_under_asyncio_a_signal_ends_the_wait() -> None:
    rows: list[Row] = []
    engine = with_asyncio.Engine(process_order("17", 0.01), rows.extend)
    engine.signal(paid, "Ada")
    assert await asyncio.wait_for(engine.run(), 10) == f"{PARCEL}, paid by Ada"
    assert drive(process_order, rows) == Finished(Ok(f"{PARCEL}, paid by Ada"))


@step
async def count(to: int) -> int:
    await asyncio.sleep(0)
    return to


@workflow("embedding.count")
def counts() -> Flow[int]:
    first = yield from count(1)
    yield from Sleep(0)
    return first + (yield from count(2))


async def test_under_asyncio_bodies_may_be_coroutines() -> None:
    assert await asyncio.wait_for(with_asyncio.Engine(counts(), lambda rows: None).run(), 10) == 3


def test_over_a_pool_of_threads_others_may_send_facts() -> None:
    facts: SimpleQueue[Fact] = SimpleQueue()
    rows: list[Row] = []
    later = Timer(0.05, lambda: facts.put(Signalled("orders.paid", "Ada", at=datetime.now(UTC))))
    later.start()
    assert thread_pool.run(process_order("17", 5 * 0.1), facts, rows.extend) == f"{PARCEL}, paid by Ada"
    later.join()
    assert drive(process_order, rows) == Finished(Ok(f"{PARCEL}, paid by Ada"))


def test_in_simpy_a_month_takes_no_time() -> None:
    simpy = pytest.importorskip("simpy", reason="the dev extra has simpy")
    from examples.embedding.with_simpy import BEGIN, Simulated

    month, env, began = timedelta(days=30).total_seconds(), simpy.Environment(), time.monotonic()
    orders = [Simulated(env, process_order(str(17 + n), month), lambda step: 60.0, n + 1) for n in range(3)]
    env.run(env.all_of([order.done for order in orders]))
    assert orders[0].verdict == Finished(Ok(f"{PARCEL}, paid by nobody"))
    assert timedelta(days=60) < orders[0].now - BEGIN < timedelta(days=60, minutes=10)
    assert time.monotonic() - began < 30
    assert [drive(process_order, order.rows) for order in orders] == [order.verdict for order in orders]


class Bucket:
    """Blobs by id, taken only from those who saw the one before."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def get(self, id: str) -> bytes:
        return self.blobs.get(id, b"")

    def put(self, id: str, blob: bytes, before: bytes) -> bool:
        if self.get(id) != before:
            return False
        self.blobs[id] = blob
        return True


def deliver(bucket: Bucket, *messages: function_handler.Message, times: int = 1) -> None:
    """Deliver *messages*, each as often as *times*, and those that come of them, earliest first."""
    todo: list[Any] = list(messages)
    far = datetime.max.replace(tzinfo=UTC)
    for _ in range(500):
        if not todo:
            return
        message = min(todo, key=lambda one: one.get("at") or far.replace(year=1))
        todo = [one for one in todo if one != message]
        time.sleep(max(0.0, ((message.get("at") or datetime.now(UTC)) - datetime.now(UTC)).total_seconds()))
        for _ in range(times):
            todo += [one for one in function_handler.handle(message, process_order, bucket.get, bucket.put) if one not in todo]
    pytest.fail("the messages never end")


@pytest.mark.parametrize("times", [1, 2])
def test_a_function_that_keeps_only_a_blob_runs_a_workflow_to_its_end(times: int, calls: list[str]) -> None:
    bucket = Bucket()
    start = {"id": "o-17", "start": ["17", 0.02]}
    deliver(bucket, start, {"id": "o-17", "signal": "orders.paid", "payload": "Ada", "at": datetime.now(UTC)}, times=1)
    deliver(bucket, start, times=times)
    rows = [load_row(row) for row in json.loads(bucket.blobs["o-17"])]
    assert drive(process_order, rows) == Finished(Ok(f"{PARCEL}, paid by Ada"))
    assert calls.count("reserve 17-a") == 1


def test_a_message_that_is_delivered_twice_changes_nothing(calls: list[str]) -> None:
    bucket = Bucket()
    first, second = function_handler.handle({"id": "o-17", "start": ["17", 60.0]}, process_order, bucket.get, bucket.put)
    assert function_handler.handle(first, process_order, bucket.get, bucket.put) == []
    stored = bucket.blobs["o-17"]
    assert function_handler.handle(first, process_order, bucket.get, bucket.put) == [second]
    assert (bucket.blobs["o-17"], calls) == (stored, ["reserve 17-a"])


def test_a_blob_that_another_delivery_has_replaced_is_read_again() -> None:
    bucket = Bucket()
    first, second = function_handler.handle({"id": "o-17", "start": ["17", 60.0]}, process_order, bucket.get, bucket.put)
    raced = False

    def put(id: str, blob: bytes, before: bytes) -> bool:
        nonlocal raced
        if not raced:
            raced = True
            function_handler.handle(second, process_order, bucket.get, bucket.put)
        return bucket.put(id, blob, before)

    [timer] = function_handler.handle(first, process_order, bucket.get, put)
    assert timer["timer"] == "__sleep"
