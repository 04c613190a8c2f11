"""The threads of sync bodies: as many as are needed, up to the limit."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

from redrive.worker.threads import Threads

LIMIT = 4


def handed_over(threads: Threads, body: Any) -> asyncio.Future[Any]:
    """The result of *body*, run by *threads*."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(value: Any, error: BaseException | None) -> None:
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    threads.run(body, contextvars.copy_context(), done)
    return future


async def test_bodies_that_wait_for_each_other_run_side_by_side_whatever_ran_before() -> None:
    threads = Threads(LIMIT, asyncio.get_running_loop())
    try:
        for count in (1, 2, LIMIT) * 50:
            barrier = threading.Barrier(count, timeout=10)
            brief = [handed_over(threads, threading.get_ident) for _ in range(count)]
            together = [handed_over(threads, barrier.wait) for _ in range(count)]
            assert sorted(await asyncio.gather(*together)) == list(range(count))
            await asyncio.gather(*brief)
    finally:
        threads.close()


async def test_bodies_one_after_another_share_a_thread() -> None:
    threads = Threads(LIMIT, asyncio.get_running_loop())
    try:
        assert len({await handed_over(threads, threading.get_ident) for _ in range(20)}) == 1
    finally:
        threads.close()


async def test_there_are_never_more_threads_than_the_limit() -> None:
    threads = Threads(LIMIT, asyncio.get_running_loop())
    try:
        used = await asyncio.gather(*(handed_over(threads, threading.get_ident) for _ in range(500)))
        assert 1 <= len(set(used)) <= LIMIT
    finally:
        threads.close()


async def test_what_a_body_raises_is_told_and_its_thread_goes_on() -> None:
    threads = Threads(1, asyncio.get_running_loop())

    def fails() -> None:
        raise ValueError("no")

    try:
        (error,) = await asyncio.gather(handed_over(threads, fails), return_exceptions=True)
        assert isinstance(error, ValueError)
        assert await handed_over(threads, lambda: "on") == "on"
    finally:
        threads.close()
