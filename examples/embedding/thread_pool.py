"""The kernel over a pool of threads: bodies run in it, and only the thread that called `run` touches the machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
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
    step_results,
)  # fmt: skip
from redrive_interpreter.keys import DEADLINE


def run(invocation: Invocation[Any], facts: SimpleQueue[Fact], store: Callable[[list[Row]], None], workers: int = 4) -> Any:
    """Run *invocation* to its end. Other threads may put facts (`Signalled`, `CancelRequested`) into *facts* at any time."""
    machine = Machine(invocation.workflow)
    fact: Fact = Started(id="o-1", run=uuid4(), args=invocation.args, kwargs=invocation.kwargs, at=datetime.now(UTC))
    waiting: dict[Key, RunStep] = {}  # for their time: retries
    with ThreadPoolExecutor(workers) as pool:
        while True:
            requests = machine.receive(fact)
            store(machine.take())
            for request in requests:
                if isinstance(request, RunStep):
                    waiting[request.key] = request
                elif isinstance(request, AbandonStep):
                    waiting.pop(request.key, None)  # a body that runs already runs on: its answer is dropped
            if isinstance(machine.verdict, Finished):
                return machine.verdict.outcome.value if isinstance(machine.verdict.outcome, Ok) else machine.verdict
            fact = _next(machine, waiting, facts, pool)


def _next(machine: Machine[Any], waiting: dict[Key, RunStep], facts: SimpleQueue[Fact], pool: ThreadPoolExecutor) -> Fact:
    """Begin the bodies whose time has come, and wait for the next fact: one from outside, or a timer that fires."""
    while True:
        now = datetime.now(UTC)
        for key in [key for key, perform in waiting.items() if perform.due is None or perform.due <= now]:
            pool.submit(_body, machine, waiting.pop(key), facts)
        due = min([*machine.timers.values(), *(perform.due or now for perform in waiting.values())], default=None)
        try:  # facts before timers: a signal that came in time ends a wait, however late we look
            return facts.get(timeout=None if due is None else max((due - now).total_seconds(), 0.0))
        except Empty:
            fired = min(machine.timers, key=lambda key: machine.timers[key], default=None)
            if fired is not None and machine.timers[fired] <= (now := datetime.now(UTC)):
                return DeadlinePassed(at=now) if fired == DEADLINE else TimerFired(fired, at=now)


def _body(machine: Machine[Any], perform: RunStep, facts: SimpleQueue[Fact]) -> None:
    codec, run = machine.codec, machine.info.run  # neither changes while the run lives
    try:
        args, kwargs = step_results.arguments_of(perform, codec)
        value = perform.step.fn(*args, **kwargs)
    except Exception as error:
        facts.put(step_results.failed(perform, error, run=run, codec=codec, now=datetime.now(UTC)))
    else:
        facts.put(step_results.succeeded(perform, value, codec=codec, now=datetime.now(UTC)))
