"""The kernel under asyncio: bodies are tasks, and one coroutine takes their facts in turn, so there is one writer."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from redrive_interpreter import (
    AbandonStep,
    ClearTimer,
    DeadlinePassed,
    Fact,
    Finished,
    Invocation,
    Machine,
    Ok,
    Request,
    Row,
    RunStep,
    SetTimer,
    Signal,
    Signalled,
    Started,
    TimerFired,
    step_results,
)  # fmt: skip
from redrive_interpreter.keys import DEADLINE


class Engine:
    """One execution. *store* gets the rows of each turn, and must have kept them when it returns."""

    def __init__(self, invocation: Invocation[Any], store: Callable[[list[Row]], None]) -> None:
        self._machine, self._store = Machine(invocation.workflow), store
        self._facts: asyncio.Queue[Fact] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[None] | asyncio.TimerHandle] = {}
        self._facts.put_nowait(Started(id="o-1", run=uuid4(), args=invocation.args, kwargs=invocation.kwargs, at=datetime.now(UTC)))

    def signal(self, signal: Signal[Any], payload: Any) -> None:
        """From anywhere in the loop's thread: the fact waits for its turn."""
        self._facts.put_nowait(Signalled(signal.name, self._machine.codec.dump(payload, signal.type, signal.name), at=datetime.now(UTC)))

    async def run(self) -> Any:
        while not isinstance(self._machine.verdict, Finished):
            requests = self._machine.receive(await self._facts.get())
            self._store(self._machine.take())
            for request in requests:
                self._carry_out(request)
        outcome = self._machine.verdict.outcome
        return outcome.value if isinstance(outcome, Ok) else self._machine.verdict

    def _carry_out(self, request: Request) -> None:
        match request:
            case RunStep():
                self._running[request.key] = asyncio.create_task(self._body(request))
            case SetTimer(key, due):
                fact = DeadlinePassed(at=due) if key == DEADLINE else TimerFired(key, at=due)
                self._running[key] = asyncio.get_running_loop().call_later(_until(due), self._facts.put_nowait, fact)
            case AbandonStep(key) | ClearTimer(key):
                if (running := self._running.pop(key, None)) is not None:
                    running.cancel()
            case _:
                raise NotImplementedError(request)

    async def _body(self, perform: RunStep) -> None:
        await asyncio.sleep(_until(perform.due))
        codec = self._machine.codec
        try:
            args, kwargs = step_results.arguments_of(perform, codec)
            value = perform.step.fn(*args, **kwargs)
            value = await value if inspect.isawaitable(value) else value
        except Exception as error:
            fact: Fact = step_results.failed(perform, error, run=self._machine.info.run, codec=codec, now=datetime.now(UTC))
        else:
            fact = step_results.succeeded(perform, value, codec=codec, now=datetime.now(UTC))
        self._facts.put_nowait(fact)


def _until(due: datetime | None) -> float:
    return 0.0 if due is None else max((due - datetime.now(UTC)).total_seconds(), 0.0)
