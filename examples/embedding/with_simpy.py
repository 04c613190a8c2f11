"""The kernel in SimPy: workflows on simulated time. A month of sleeps and retries takes no time at all."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import simpy

from redrive_interpreter import (
    AbandonStep,
    ClearTimer,
    DeadlinePassed,
    Fact,
    Finished,
    Invocation,
    Machine,
    Request,
    Row,
    RunStep,
    SetTimer,
    Started,
    TimerFired,
    Verdict,
    step_results,
)  # fmt: skip
from redrive_interpreter.keys import DEADLINE

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
Process = Generator[simpy.Event, Any, None]


class Simulated:
    """One execution of *invocation* in *env*; a body of the step called x takes ``lasts(x)`` seconds of simulated time."""

    def __init__(self, env: simpy.Environment, invocation: Invocation[Any], lasts: Callable[[str], float], number: int = 1) -> None:
        self.rows: list[Row] = []
        self.done = env.event()
        self._env, self._lasts = env, lasts
        self._machine = Machine(invocation.workflow)
        self.tell(Started(id=f"o-{number}", run=UUID(int=number), args=invocation.args, kwargs=invocation.kwargs, at=self.now))

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self._env.now)

    @property
    def verdict(self) -> Verdict:
        return self._machine.verdict

    def tell(self, fact: Fact) -> None:
        requests = self._machine.receive(fact)
        self.rows += self._machine.take()
        for request in requests:
            self._carry_out(request)
        if isinstance(self.verdict, Finished) and not self.done.triggered:
            self.done.succeed(self.verdict)

    def _carry_out(self, request: Request) -> None:
        match request:
            case RunStep():
                self._env.process(self._body(request))
            case SetTimer(key, due):
                self._env.process(self._timer(DeadlinePassed(at=due) if key == DEADLINE else TimerFired(key, at=due)))
            case AbandonStep() | ClearTimer():
                pass  # a fact that comes too late changes nothing
            case _:
                raise NotImplementedError(request)

    def _timer(self, fact: TimerFired | DeadlinePassed) -> Process:
        yield self._env.timeout(max((fact.at - self.now).total_seconds(), 0.0))
        self.tell(fact)

    def _body(self, perform: RunStep) -> Process:
        waits = 0.0 if perform.due is None else (perform.due - self.now).total_seconds()
        yield self._env.timeout(max(waits, 0.0) + self._lasts(perform.step.step_id))
        codec = self._machine.codec
        try:
            args, kwargs = step_results.arguments_of(perform, codec)
            fact: Fact = step_results.succeeded(perform, perform.step.fn(*args, **kwargs), codec=codec, now=self.now)
        except Exception as error:
            fact = step_results.failed(perform, error, run=self._machine.info.run, codec=codec, now=self.now)
        self.tell(fact)
