"""A service belongs to the process and the event loop that opened it, and says so elsewhere, on every store (W10)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from redrive import AsyncDurableService, DurableService, Event, Flow, Signal, WrongContext, workflow
from redrive.stores.backends import open_url
from redrive.stores.memory import MemoryStore
from tests.postgres.server import Server

go = Signal("go", int)
done = Event("done", int)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork has nothing to be forked")


@workflow("context.plus_one")
def plus_one(n: int) -> Flow[int]:
    yield from ()
    return n + 1


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        return server.url(schema=request.getfixturevalue("schema"))
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/a.db"


CALLS: dict[str, Callable[[AsyncDurableService], Awaitable[Any]]] = {
    "start": lambda service: service.start(plus_one(1)),
    "execute": lambda service: service.execute(plus_one(1)),
    "result": lambda service: service.execution("before").result(timeout=20),
    "signal": lambda service: service.signal("before", go, 1),
    "cancel": lambda service: service.execution("before").cancel(),
    "info": lambda service: service.execution("before").info(),
    "history": lambda service: service.execution("before").history(),
    "attributes": lambda service: service.execution("before").attributes(),
    "retry_rollback": lambda service: service.operator.retry_rollback("before"),
    "stopped": lambda service: service.stopped(),
    "close": lambda service: service.close(),
}


def test_another_event_loop_is_told_so_at_once(url: str) -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    service = AsyncDurableService(url, [plus_one])
    try:
        first.run_until_complete(service.__aenter__())
        assert first.run_until_complete(service.execute(plus_one(1), id="before")) == 2

        async def elsewhere() -> None:
            for call in CALLS.values():
                with pytest.raises(WrongContext, match=r"another event loop.*make one for each loop"):
                    await asyncio.wait_for(call(service), 5)
            with pytest.raises(WrongContext):
                service.subscribe(done)

        second.run_until_complete(elsewhere())
        assert first.run_until_complete(service.execute(plus_one(2), id="after")) == 3, "and it is as it was"
        first.run_until_complete(service.close())
    finally:
        first.close()
        second.close()


def test_a_subscription_is_read_on_its_own_loop_only(url: str) -> None:
    async def main() -> None:
        async with AsyncDurableService(url, [plus_one]) as service:
            subscription = service.subscribe(done)
            await subscription.begun()
            said: list[BaseException] = []

            def on_another_thread() -> None:
                try:
                    asyncio.run(asyncio.wait_for(anext(subscription), 5))
                except BaseException as error:
                    said.append(error)

            await asyncio.to_thread(on_another_thread)
            assert [type(error) for error in said] == [WrongContext]

    asyncio.run(main())


def test_a_blocking_service_is_for_any_thread(url: str) -> None:
    with DurableService(url, [plus_one]) as service:
        got: list[int] = []
        threads = [threading.Thread(target=lambda n=n: got.append(service.execute(plus_one(n)))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == list(range(1, 9))


FORKED = """
import asyncio, json, multiprocessing, os, signal, sys
from redrive import AsyncDurableService, DurableService, WrongContext
from redrive.stores.backends import open_url
from tests.runtime.test_wrong_context import CALLS, plus_one
url, found = sys.argv[1], {}

def in_a_child(what, act):
    "What became of a child that did this, and then went on to its end."
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(8)
        try:
            act()
            said = "nothing"
        except BaseException as error:
            said = type(error).__name__
        os.write(writing, said.encode())
        os.close(writing)
        sys.exit(0)  # as a program ends: its threads are joined, its objects cleared away
    os.close(writing)
    said = os.read(reading, 1000).decode()
    os.close(reading)
    status = os.waitpid(pid, 0)[1]
    found[what] = said if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0 else f"{said}, and ended with {status}"

service = DurableService(url, [plus_one])
try:
    with service:
        service.execute(plus_one(1), id="before")
        handle = service.execution("before")
        for what, act in {
            "start": lambda: service.start(plus_one(2)), "execute": lambda: service.execute(plus_one(2)), "close": service.close,
            "result": lambda: handle.result(timeout=20), "info": handle.info, "cancel": handle.cancel, "history": handle.history,
            "retry_rollback": lambda: service.operator.retry_rollback("before"), "__enter__": service.__enter__,
            "store": lambda: asyncio.run(service.aio.store.read("before")) if not url.startswith("memory") else service.close(),
        }.items():
            in_a_child(what, act)

        def own():
            with DurableService(url, [plus_one]) as mine:
                assert mine.aio.worker_id != service.aio.worker_id
                assert mine.execute(plus_one(5)) == 6
        in_a_child("own", own)

        def leave():
            with service:
                pass
        process = multiprocessing.get_context("fork").Process(target=service.start, args=(plus_one(9),))
        process.start()
        process.join(8)
        found["multiprocessing"] = "hangs" if process.exitcode is None else f"ended with {process.exitcode}"
        found["after"] = [service.execute(plus_one(n)) for n in range(20)] == [n + 1 for n in range(20)]
        if os.fork() == 0:
            signal.alarm(8)
            sys.exit(7)  # leaves the block
        found["left"] = os.waitstatus_to_exitcode(os.wait()[1])
        found["still"] = service.execute(plus_one(40)) == 41
finally:
    if service._process.is_ours:
        print(json.dumps(found), flush=True)
"""


def test_a_forked_child_is_told_so_at_once_and_harms_nobody(url: str) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED, url], capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    own, after = found.pop("own"), {name: found.pop(name) for name in ("multiprocessing", "after", "left", "still")}
    assert found == dict.fromkeys(found, "WrongContext")
    assert own == "nothing", "a service that is made after the fork works"
    assert after == {"multiprocessing": "ended with 1", "after": True, "left": 7, "still": True}
    assert "make one here, after the fork" in done.stderr


MADE_BEFORE = """
import os, sys
from redrive import DurableService
from tests.runtime.test_wrong_context import plus_one
service = DurableService(sys.argv[1], [plus_one])  # as a module does that a server loads before it forks
for n in range(2):
    if os.fork() == 0:
        with service:
            print(service.aio.worker_id, service.execute(plus_one(n), id=f"e{n}"), flush=True)
        sys.exit(0)
sys.exit(any(os.wait()[1] for _ in range(2)))
"""


def test_a_service_that_is_made_before_a_fork_and_opened_after_it_is_a_worker_of_its_own(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MADE_BEFORE, url], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    workers, results = zip(*(line.split() for line in done.stdout.splitlines()), strict=True)
    assert (len(set(workers)), sorted(results)) == (2, ["1", "2"])


def test_a_named_store_in_memory_is_not_carried_into_a_child() -> None:
    store = open_url("memory://kept-by-its-process")
    assert isinstance(store, MemoryStore)
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writing, b"same" if open_url("memory://kept-by-its-process") is store else b"another")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 10) == b"another"
    assert open_url("memory://kept-by-its-process") is store
