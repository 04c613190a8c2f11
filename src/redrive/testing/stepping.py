"""`step_context`: the context of a step's body, for a unit test of the body alone."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from redrive.step_context import StepContext, entered


@contextmanager
def step_context(
    *,
    execution_id: str = "test",
    run: UUID = UUID(int=0),  # noqa: B008
    key: str = "step",
    attempt: int = 1,
    deadline: datetime | None = None,
    idempotency_key: str | None = None,
    cancelled: bool = False,
    last_heartbeat: Any = None,
) -> Generator[StepContext]:
    """Inside the block `current_step()` gives a context with these values, as if a worker ran the body.

    The test may set ``cancelled`` of the context while the body runs, and read ``told``, the details of its last heartbeat.
    *idempotency_key* is derived from *run* and *key* unless it is given.
    """
    context = StepContext(execution_id, run, key, attempt, deadline, idempotency_key, last_heartbeat)
    context.cancelled = cancelled
    with entered(context):
        yield context
