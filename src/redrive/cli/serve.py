"""`redrive worker`: work until told to stop, then finish what is under way; told twice, end at once."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys

from redrive import AsyncDurableService
from redrive.cli.complaints import DONE, FAILED, Complaint
from redrive.cli.logs import start_logging


async def serve(service: AsyncDurableService, log_level: str | None = None) -> int:
    """Run *service* as a worker until SIGTERM or SIGINT; *log_level* is ``info`` by default."""
    # The process is a worker and nothing else. It makes small objects all the time and keeps many of them: with Python's own
    # thresholds (700, 10, 10), a fifth of its time went into looking for garbage that is hardly ever there.
    gc.set_threshold(10_000, 50, 50)
    start_logging(log_level, "info")
    told = asyncio.Event()

    def stop(number: int) -> None:
        if told.is_set():
            os._exit(128 + number)  # nothing stored is lost: that is what the rest is for
        told.set()
        print("redrive: finishing what is under way; once more to end at once", file=sys.stderr, flush=True)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(stop, number))
    async with service:
        print(f"redrive: working on {service!r}; Ctrl-C or SIGTERM to stop", file=sys.stderr, flush=True)
        waits = [asyncio.ensure_future(told.wait()), asyncio.ensure_future(service.stopped())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        broken = waits[1].result() if waits[1].done() else None
        for wait in waits:
            wait.cancel()
    if broken is not None:
        raise Complaint(f"the body of a step ended the worker: {broken!r}", "nothing of that attempt is recorded: it runs again", FAILED)
    return DONE
