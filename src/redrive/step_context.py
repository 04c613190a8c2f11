"""The context of a step's body while it runs."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

_current: Final[ContextVar[StepContext]] = ContextVar("redrive_step")


class StepContext:
    """One attempt of a step, as its body sees it.

    *attempt* counts from 1; *deadline* is when this attempt times out or the execution's deadline passes, whichever
    is sooner; *cancelled* turns true when nobody wants the result any more; *last_heartbeat* is what the attempt
    before this one said last, as far as this process knows.
    """

    __slots__ = ("_key", "_told", "attempt", "beat_at", "cancelled", "deadline", "execution_id", "key", "last_heartbeat", "run")

    def __init__(
        self, execution_id: str, run: UUID, key: str, attempt: int, deadline: datetime | None, override: str | None, last_heartbeat: Any
    ) -> None:
        self.execution_id = execution_id
        self.run = run
        self.key = key
        self.attempt = attempt
        self.deadline = deadline
        self.cancelled = False
        self.last_heartbeat = last_heartbeat
        self.beat_at = time.monotonic()
        self._key = override
        self._told: Any = None

    @property
    def idempotency_key(self) -> str:
        """The same text for every attempt of this step in this run, and for no other step."""
        return self._key if self._key is not None else str(uuid5(self.run, f"step:{self.key}"))

    def heartbeat(self, details: Any = None) -> None:
        """Say that the body is alive, and how far it is; from any thread."""
        self.beat_at = time.monotonic()
        self._told = details

    @property
    def told(self) -> Any:
        """The details of the last `heartbeat`."""
        return self._told

    def __repr__(self) -> str:
        return f"StepContext(execution_id={self.execution_id!r}, key={self.key!r}, attempt={self.attempt})"


def current_step() -> StepContext:
    """The attempt whose body is running here. Raises `LookupError` outside of a body."""
    try:
        return _current.get()
    except LookupError:
        raise LookupError(
            "current_step() is for the bodies of steps; no step runs here (a test of a body alone: `with redrive.testing.step_context():`)"
        ) from None


def enter(context: StepContext) -> None:
    """From now on, this context's body is the one of *context*."""
    _current.set(context)


@contextmanager
def entered(context: StepContext) -> Generator[None]:
    """Inside the block, the body that runs here is the one of *context*."""
    before = _current.set(context)
    try:
        yield
    finally:
        _current.reset(before)
