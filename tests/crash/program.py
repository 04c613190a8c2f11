"""The program that is killed: step, step, sleep, signal, step, rollback. Every effect leaves a line in a file."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from redrive import DurableService, Flow, Rollback, Signal, Sleep, WaitSignal, current_step, step, workflow

ID = "crash/1"
go = Signal("go", str)
EXPECTED = "first second Ada third undone=['first']"
STEPS = {"first", "second", "third", "unfirst"}


class Files:
    """Where effects and acknowledgements of this process go; each line is on disk, or not there, whatever kills us."""

    effects = Path()
    acks = Path()


def _append(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{text}\n".encode())
    finally:
        os.close(handle)


def _effect(name: str) -> str:
    _append(Files.effects, f"{name} {current_step().idempotency_key}")
    return name


@step
def unfirst(result: str) -> None:
    _effect("unfirst")


@step(undo=unfirst)
def first() -> str:
    return _effect("first")


@step
async def second(after: str) -> str:
    return _effect("second")


@step
def third(by: str) -> str:
    return _effect("third")


@workflow("crash.program", signals=[go])
def program() -> Flow[str]:
    one = yield from first()
    two = yield from second(one)
    yield from Sleep(0.02)
    by = yield from WaitSignal(go)
    three = yield from third(by)
    undone = yield from Rollback("all of it")
    return f"{one} {two} {by} {three} undone={[str(key) for key in undone]}"


def run(folder: Path) -> str:
    """One life of the process: start (or find) the execution, signal it once, wait for its result."""
    Files.effects, Files.acks = folder / "effects", folder / "acks"
    with DurableService(
        f"sqlite:///{folder / 'crash.db'}", workflows=[program], lease=timedelta(seconds=0.25), grace=timedelta(0)
    ) as service:
        execution = service.start(program(), id=ID)
        _append(Files.acks, "started")
        execution.signal(go, "Ada", key="once")
        _append(Files.acks, "signalled")
        result = execution.result(timeout=30)
        _append(Files.acks, f"result {result}")
        return result
