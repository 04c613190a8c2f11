"""E8: the cost of a replay grows with the length of the history, and no faster."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any
from uuid import UUID

import pytest

from redrive_interpreter import (
    All,
    Answered,
    Emit,
    Event,
    Flow,
    Key,
    Machine,
    Note,
    Ok,
    Row,
    Signal,
    Signalled,
    Spawn,
    Started,
    Step,
    WaitSignal,
    Workflow,
    replay,
    workflow,
)
from tests.interpreter.shop import charge, refund

T0 = datetime(2027, 1, 1, tzinfo=UTC)
tick = Signal("tick", int)
told = Event("told", int)


@workflow("linear.steps")
def steps(count: int) -> Flow[int]:
    """Each leaves an undo in the log."""
    for n in range(count):
        yield from charge(n).options(undo=refund)
    return count


@workflow("linear.signals")
def signals(count: int) -> Flow[int]:
    for _ in range(count):
        yield from WaitSignal(tick)
        yield from Emit(told, 1)
        yield from Note("one more")
    return count


@workflow("linear.unread")
def unread(count: int) -> Flow[int]:
    yield from Step("ping", abs, -1)
    for _ in range(count):
        yield from WaitSignal(tick)
    return count


@workflow("linear.branches")
def branches(count: int) -> Flow[int]:
    yield from All.of([charge(n) for n in range(count)])
    return count


@workflow("linear.tasks")
def tasks(count: int) -> Flow[int]:
    started = []
    for n in range(count):
        started.append((yield from Spawn(charge(n))))
    yield from Step("ping", abs, -1)
    return len(started)


def history(code: Workflow[[int], Any], count: int) -> list[Row]:
    machine: Machine[Any] = Machine(code)
    machine.receive(Started(id="x", run=UUID(int=1), args=(count,), at=T0))
    for _ in range(10 * count + 10):
        if machine.finished is not None:
            break
        waiting = [key for key, wait in machine.pending.items() if wait.ended_by == "body"]
        if code is unread and machine.unread < count and waiting:
            machine.receive(Signalled("tick", 1, at=T0))
        elif waiting:
            machine.receive(Answered(Key(waiting[0]), Ok(1), at=T0))
        else:
            machine.receive(Signalled("tick", 1, at=T0))
    assert machine.finished is not None
    return machine.take()


def calls(work: Callable[[], object]) -> int:
    """Calls of Python and C functions while *work* runs."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


def seconds(work: Callable[[], object]) -> float:
    """The least processor time of a few tries."""
    tries: list[float] = []
    for _ in range(3):
        began = time.process_time()
        work()
        tries.append(time.process_time() - began)
    return min(tries)


@pytest.mark.parametrize("code", [steps, signals, unread, branches, tasks], ids=lambda code: code.name)
def test_a_replay_is_linear_in_the_length_of_the_history(code: Workflow[[int], Any]) -> None:
    short, long = history(code, 150), history(code, 1200)
    growth = len(long) / len(short)
    for cost, most in ((calls, 1.05), (seconds, 3.0)):  # times: machines are busy, and quadratic would be eight times as much
        ratio = cost(lambda: replay(code, long).machine.close()) / cost(lambda: replay(code, short).machine.close())
        assert ratio < most * growth, f"{len(long):,} rows cost {ratio:.1f} times as much as {len(short):,}"
