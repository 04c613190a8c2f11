"""The deploy gate: the live executions of a SQLite store, read, loaded, decoded and replayed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from redrive.codec import JsonCodec, to_json
from redrive.gate import Report, sweep
from redrive.ports.store import NewExecution, Turn
from redrive.stores.sqlite import SQLiteStore
from redrive_interpreter import Answered, Key, Machine, Ok, Started, dump_row
from tests.benchmarks.program import steps
from tests.benchmarks.timing import Result, best

_T0 = datetime(2026, 1, 1, tzinfo=UTC)
_TARGET = 10.0
"""Microseconds a row: 100,000 rows a second."""


def measure(folder: Path) -> list[Result]:
    results: list[Result] = []
    for executions, done in ((1_000, 20), (4, 10_000)):
        path = folder / f"gate-{executions}.db"
        asyncio.run(_fill(path, executions, done))
        report = _swept(path)
        assert report.safe
        seconds = best(5, lambda path=path: _swept(path))  # type: ignore[misc]
        what = f"gate, {executions:,} live executions of {report.rows // executions:,} rows"
        results.append(Result(what, f"{report.rows / seconds:,.0f} rows a second", seconds / report.rows * 1e6, "µs", _TARGET, "a row"))
    return results


def _swept(path: Path) -> Report:
    return asyncio.run(sweep({steps.name: steps}, f"sqlite:///{path}", JsonCodec()))


async def _fill(path: Path, executions: int, done: int) -> None:
    """Executions that have *done* steps behind them and wait for the next."""
    store = SQLiteStore(str(path), synchronous="normal")
    await store.open()
    await store.claim("bench", timedelta(minutes=10), "", (), 0)
    for number in range(executions):
        machine = Machine(steps, JsonCodec())
        machine.receive(Started(id=f"e-{number}", run=UUID(int=number), args=(done + 1,), at=_T0, workflow=steps.name))
        for step in range(done):
            machine.receive(Answered(Key("add" if step == 0 else f"add#{step + 1}"), Ok(step + 1), at=_T0))
        first, *rows = [to_json(dump_row(row)) for row in machine.take()]
        new = NewExecution(id=f"e-{number}", workflow=steps.name, run=str(UUID(int=number)), input="{}", started=first)
        begun = await store.start(new, claim_for="bench")
        assert begun.claim is not None
        await store.commit(begun.claim, Turn(expects=1, rows=rows, status="suspended"))
        machine.close()
    await store.deregister_worker("bench")
    await store.close()
