"""What several tests of the runtime need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redrive import AsyncExecution, ExecutionInfo


async def standing(execution: AsyncExecution[Any], *statuses: str) -> ExecutionInfo:
    """Its info, once it has one of *statuses*."""
    while (info := await execution.info()).status not in statuses:
        await asyncio.sleep(0.002)
    return info


async def true(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds."""
    while not condition():
        await asyncio.sleep(0.002)
