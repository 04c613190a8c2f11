"""The kernel in a plain loop: one execution, its history in a JSON file. Kill it anywhere and call `run` again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from redrive_interpreter import (
    AbandonStep,
    DeadlinePassed,
    Fact,
    Finished,
    Invocation,
    Key,
    Machine,
    Ok,
    Row,
    RunStep,
    Started,
    TimerFired,
    dump_row,
    load_row,
    replay,
    step_results,
)  # fmt: skip
from redrive_interpreter.keys import DEADLINE


def run(invocation: Invocation[Any], path: Path, *, sleep: Callable[[float], None] = time.sleep) -> Any:
    """Begin *invocation*, or go on with it where *path* says it stopped; give back its result."""
    history: list[Row] = [load_row(row) for row in json.loads(path.read_text())] if path.exists() else []
    if history:
        replayed = replay(invocation.workflow, history)
        machine, requests = replayed.machine, replayed.requests
        history += replayed.rows
    else:
        machine = Machine(invocation.workflow)
        requests = machine.receive(Started(id=path.stem, run=uuid4(), args=invocation.args, kwargs=invocation.kwargs, at=datetime.now(UTC)))
    performs: dict[Key, RunStep] = {}
    while True:
        history += machine.take()
        save(path, history)  # rows before requests
        for request in requests:
            if isinstance(request, RunStep):
                performs[request.key] = request
            elif isinstance(request, AbandonStep):
                performs.pop(request.key, None)
        if isinstance(machine.verdict, Finished):
            return machine.verdict.outcome.value if isinstance(machine.verdict.outcome, Ok) else machine.verdict
        requests = machine.receive(next_fact(machine, performs, sleep))


def next_fact(machine: Machine[Any], performs: dict[Key, RunStep], sleep: Callable[[float], None]) -> Fact:
    """Wait for what is due first, a body or a timer, and say what came of it."""
    began = datetime.min.replace(tzinfo=UTC)
    dues = {key: perform.due or began for key, perform in performs.items()}
    dues.update(machine.timers)
    key = min(dues, key=lambda key: dues[key])  # nothing due: it waits for a signal, and this loop has nobody to send one
    sleep(max((dues[key] - datetime.now(UTC)).total_seconds(), 0.0))
    if key not in performs:
        return DeadlinePassed(at=datetime.now(UTC)) if key == DEADLINE else TimerFired(key, at=datetime.now(UTC))
    perform, now = performs.pop(key), datetime.now(UTC)
    try:
        args, kwargs = step_results.arguments_of(perform, machine.codec)
        value = perform.step.fn(*args, **kwargs)
        return step_results.succeeded(perform, value, codec=machine.codec, now=datetime.now(UTC))
    except Exception as error:
        return step_results.failed(perform, error, run=machine.info.run, codec=machine.codec, now=now)


def save(path: Path, history: list[Row]) -> None:
    path.with_suffix(".new").write_text(json.dumps([dump_row(row) for row in history]))
    os.replace(path.with_suffix(".new"), path)
