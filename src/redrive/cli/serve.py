"""`redrive worker`: run a worker until a signal stops it; it finishes the bodies that run, or ends at once at a second signal."""

from __future__ import annotations

import asyncio
import gc

from redrive import AsyncDurableService
from redrive.cli.cli_errors import DONE, FAILED, CommandError
from redrive.cli.logs import start_logging
from redrive.cli.stopping import StopSignals, end_what_is_left, say


async def serve(service: AsyncDurableService, log_level: str | None = None) -> int:
    """Run *service* as a worker until SIGTERM or SIGINT; *log_level* is ``info`` by default."""
    # The process is a worker and nothing else. It makes small objects all the time and keeps many of them: with Python's own
    # thresholds (700, 10, 10), it spent a fifth of its time looking for garbage that is hardly ever there.
    gc.set_threshold(10_000, 50, 50)
    start_logging(log_level, "info")
    told = asyncio.Event()
    with StopSignals(told, service.grace.total_seconds()):
        async with service:
            say(f"redrive: working on {service!r}; Ctrl-C or SIGTERM to stop")
            waits = [asyncio.ensure_future(told.wait()), asyncio.ensure_future(service.stopped())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            broken = waits[1].result() if waits[1].done() else None
            for wait in waits:
                wait.cancel()
        await end_what_is_left(DONE if broken is None else FAILED)
    if broken is not None:
        raise CommandError(f"the body of a step ended the worker: {broken!r}", "nothing of that attempt is recorded: it runs again", FAILED)
    return DONE
