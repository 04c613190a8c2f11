"""The demo's scenario: it starts an order, kills the worker three times, and checks the outcome.

The parent never runs a step. It starts workers as child processes, watches the database until the order is where the
next kill belongs, and kills with SIGKILL, which no process can catch.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import attrs

from redrive import AsyncDurableService, AsyncExecution
from redrive.cli.cli_errors import DONE, FAILED, CommandError
from redrive.cli.colors import Colors
from redrive.cli.demo import orders
from redrive.cli.execution_pages import View
from redrive.cli.formatting import span
from redrive.timeline import Timeline, timeline
from redrive_interpreter import kinds

ORDER: Final = "order-1"
APPROVER: Final = "Ada"
PATIENCE: Final = 30.0
"""Seconds to wait for each thing before the demo fails."""


@attrs.define
class Demo:
    """One run of the demo, in *directory*, which nothing else uses."""

    directory: Path
    colors: Colors
    began: float = attrs.field(factory=time.monotonic)
    kills: int = 0
    _worker: asyncio.subprocess.Process | None = None

    async def show(self) -> int:
        """Run the demo, print it, and give back the exit code."""
        os.environ[orders.DIRECTORY] = str(self.directory)
        self._print("bold", "One order: charge the card, sleep, wait for approval, tell everybody. Its worker dies three times.\n")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stop)
            client = AsyncDurableService(f"sqlite:///{orders.database()}", workflows=[orders.process_order], worker=False)
            service = await stack.enter_async_context(client)
            order = await service.start(orders.process_order(orders.Order("o-1", 900)), id=ORDER)
            self._say("stored", f"{ORDER} is started, and no worker runs yet")

            await self._work()
            await self._until(order, lambda line: bool(orders.payments().calls()), "the card is charged")
            await self._kill("in the middle of charge: the card is charged, the answer is lost")

            await self._work()
            await self._until(order, _waits_for(kinds.SLEEP), "the order sleeps")
            self._say("resumed", "charge ran again with the same idempotency key: the provider gave back the first charge")
            await self._kill("during the sleep")

            await self._work()
            await self._until(order, _waits_for(kinds.WAIT_SIGNAL), "the order waits for approval")
            self._say("resumed", "the sleep went on where it was, and is over")
            await self._kill("while the order waits for its approval")

            await self._work()
            await order.signal(orders.approved, APPROVER)
            self._say("signal", f"approved by {APPROVER}")
            result = await order.result(timeout=PATIENCE)
            self._say("result", repr(result))
            line = timeline(await order.history())
        self._print("", "")
        for text in View(self.colors, datetime.now(UTC)).timeline(line):
            self._print("", text)
        return self._verdict(result, line)

    # ── the stage ───────────────────────────────────────────────────────────────────────────────
    async def _work(self) -> None:
        command = [sys.executable, "-m", "redrive.cli", "worker", f"{orders.__name__}:service"]
        with (self.directory / "worker.log").open("ab") as log:
            self._worker = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log)
        self._say("worker", f"process {self._worker.pid} works")

    async def _kill(self, where: str) -> None:
        assert self._worker is not None
        self._worker.kill()
        await self._worker.wait()
        self.kills += 1
        self._say("kill -9", f"{self._worker.pid}, {where}", "red")

    async def _stop(self) -> None:
        """Stop the last worker as an orchestrator would: SIGTERM, then SIGKILL if it does not end."""
        worker, self._worker = self._worker, None
        if worker is None or worker.returncode is not None:
            return
        worker.terminate()
        try:
            await asyncio.wait_for(worker.wait(), 10)
        except (TimeoutError, asyncio.CancelledError):
            worker.kill()
            await worker.wait()

    async def _until(self, order: AsyncExecution[str], reached: Callable[[Timeline], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not reached(timeline(await order.history())):
            if self._worker is not None and self._worker.returncode is not None:
                raise CommandError(f"the worker ended by itself with {self._worker.returncode} before {what}", self._log(), FAILED)
            if time.monotonic() > end:
                raise CommandError(f"after {PATIENCE:.0f} s, still waiting for this: {what}", self._log(), FAILED)
            await asyncio.sleep(0.02)

    def _log(self) -> str:
        return (self.directory / "worker.log").read_text(errors="backslashreplace")[-3000:]

    # ── what is said ────────────────────────────────────────────────────────────────────────────
    def _verdict(self, result: str, line: Timeline) -> int:
        calls = orders.payments().calls()
        charged = [call for call in calls if call.charged]
        slept = next((e for e in line.entries if e.kind == kinds.SLEEP), None)
        duration = None if slept is None or slept.ended_at is None else slept.ended_at - slept.asked_at
        slept_for = "–" if duration is None else span(duration)
        one_key = len(calls) == 2 and len({call.key for call in calls}) == 1
        checks = [
            (self.kills == 3, f"{self.kills} workers were killed with SIGKILL, and nobody repaired anything"),
            (len(charged) == 1, f"the card was charged {_times(len(charged))}; the body of charge ran {_times(len(calls))}"),
            (one_key, f"each time with the same idempotency key, {calls[0].key if calls else '–'}"),
            (duration is not None and duration >= orders.SETTLE, f"the sleep of {span(orders.SETTLE)} took {slept_for}, across a restart"),
            (bool(charged) and result == f"{charged[0].charge_id} approved by {APPROVER}", f"the result is {result!r}"),
        ]
        self._print("", "")
        for good, text in checks:
            self._print("green" if good else "red", f"  {'✓' if good else '✗'} {text}")
        survived = all(good for good, _ in checks)
        took = span(timedelta(seconds=time.monotonic() - self.began))
        self._print("", "")
        self._print("green" if survived else "red", f"  {'The order survived.' if survived else 'SOMETHING IS OFF: see above.'} ({took})")
        return DONE if survived else FAILED

    def _say(self, what: str, text: str, style: str = "cyan") -> None:
        since = f"{time.monotonic() - self.began:5.1f} s"
        self._print("", f"{self.colors('dim', since)}  {self.colors(style, what.ljust(8))} {text}")

    def _print(self, style: str, text: str) -> None:
        print(self.colors(style, text) if style else text, flush=True)


def _waits_for(kind: str) -> Callable[[Timeline], bool]:
    return lambda line: any(entry.kind == kind for entry in line.open)


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
