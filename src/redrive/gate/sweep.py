"""All live executions of a store, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from redrive.codec import from_json
from redrive.gate.check import Problem, check
from redrive.gate.report import Report
from redrive.ports.store import Store
from redrive.stores.live_executions import reader_of
from redrive_interpreter import Codec, CodecError, ExecutionNotFound, Workflow

Progress: TypeAlias = Callable[[Report, int], None]
"""Called after each execution with the report so far and the number of executions."""


async def sweep(
    workflows: Mapping[str, Workflow[..., Any]],
    store: Store | str,
    codec: Codec,
    *,
    limit: int | None = None,
    progress: Progress = lambda report, total: None,
) -> Report:
    """Replay the live executions of *store* on *workflows*, the newest *limit* of them; nothing is written anywhere."""
    reader = reader_of(store)
    report = Report()
    await reader.open()
    try:
        began = time.perf_counter()
        living = await reader.living(limit)
        for execution in living:
            try:
                stored = from_json(await reader.rows(execution))
            except ExecutionNotFound:  # purged since the list was made
                continue
            except CodecError as error:
                problem = Problem(standing="breaking", cause="unreadable history", detail=str(error), sign="damaged")
                report.add(execution.workflow, execution.id, 0, problem)
                continue
            name = stored[0].get("workflow", execution.workflow) if stored else execution.workflow
            report.add(name, execution.id, len(stored), check(workflows, stored, codec))
            report.seconds = time.perf_counter() - began
            progress(report, len(living))
    finally:
        await reader.close()
    return report
