"""Reads histories and tells how executions stand, without holding up the event loop.

1.  An execution that the worker here has in memory, at rest, is not replayed: its machine is asked.
2.  Where the rows say it all, nothing is replayed either. What is replayed or long is worked on in a thread, under a watchdog.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redrive.patience import patiently
from redrive.status import PENDING, RUNNING
from redrive.stored import Origin
from redrive_interpreter.history.rows import Started

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.info import ExecutionInfo, Standing
    from redrive.inspecting import Inspection
    from redrive.ports.aside_values import Aside
    from redrive.ports.store import Snapshot, Store
    from redrive.worker.apart import Apart
    from redrive.worker.loop import Worker
    from redrive.worker.watchdog import Watch, Watchdog
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.rows import Row

T = TypeVar("T")
SHORT: Final = 20_000
"""Characters of a history up to which its rows are read on the event loop: that takes some 3 ms."""


class Inspector:
    """Looks at the executions in *store*. *limit*: seconds of processor time that a workflow may use between two commands."""

    def __init__(self, store: Store, codec: JsonCodec, limit: float) -> None:
        self._store = store
        self._codec = codec
        self._limit = limit
        self._apart: Apart | None = None
        self._watchdog: Watchdog | None = None

    async def rows(self, id: str, run: int = -1) -> list[Row]:
        """The rows of a run. Raises `ExecutionNotFound`."""
        text, origin = await patiently(lambda: self._store.history(id, run)), Origin.of(id, self._store)
        return origin.rows(text) if len(text) <= SHORT else await self._lane.run(lambda _: origin.rows(text), contextvars.copy_context())

    async def info(
        self, snapshot: Snapshot, workflow: Workflow[..., Any] | None, worker: Worker | None, aside: Sequence[Aside]
    ) -> ExecutionInfo:
        """How the execution stands; *worker* is the one of this service, *aside* what the execution has aside."""
        from redrive.info import info_of, needs_replay, replayed, waits_in_queue
        from redrive.service_queues import place_in_queue

        text = await patiently(lambda: self._store.history(snapshot.id, -1))
        short, origin = len(text) <= SHORT, Origin.of(snapshot.id, self._store)
        rows = origin.rows(text) if short else await self._lane.run(lambda _: origin.rows(text), contextvars.copy_context())
        standing = None if worker is None else _at_rest(worker, snapshot, len(rows))
        reasons: Mapping[str, str] = {} if worker is None else worker.starved(snapshot.id)

        queue = await place_in_queue(self._store, snapshot)
        due = snapshot.owner is None and snapshot.status in (PENDING, RUNNING) and not queue
        reason = worker.room.why_not(snapshot.workflow) if worker is not None and due else ""

        def told(watch: Watch | None) -> ExecutionInfo:
            known = standing
            if known is None and workflow is not None and watch is not None and needs_replay(snapshot, rows, workflow):
                known = replayed(snapshot.id, workflow, rows, self._codec, watch)
            made = info_of(snapshot, rows, workflow, self._codec, known, reasons, reason, origin, aside)
            return made if not queue else waits_in_queue(made, queue)

        if short and (standing is not None or not needs_replay(snapshot, rows, workflow)):
            return told(None)
        return await self._lane.run(told, contextvars.copy_context())

    async def inspect(
        self, snapshot: Snapshot, row: int | None, run: int, given: Workflow[..., Any] | None, listed: Mapping[str, Workflow[..., Any]]
    ) -> Inspection:
        """Where the execution stood after *row* of a run, by the workflow *given*, if that is what it ran, or by one of those *listed*.

        Raises `ValueError` if the run has no such row, `ExecutionNotFound` of a run that there is not.
        """
        from redrive.inspecting import inspected

        text = await patiently(lambda: self._store.history(snapshot.id, run))
        number, origin = snapshot.number if run == -1 else run, Origin.of(snapshot.id, self._store)

        def told(watch: Watch) -> Inspection:
            rows = origin.rows(text)
            name = rows[0].workflow if isinstance(rows[0], Started) else snapshot.workflow
            workflow = given if given is not None and given.name == name else listed.get(name)
            return inspected(snapshot, number, rows, row, workflow, self._codec, watch)

        return await self._lane.run(told, contextvars.copy_context())

    async def work(self, id: str, call: Callable[[Watch], T]) -> T:
        """The result of *call*, which replays the execution *id*: in a thread, under the watchdog."""
        return await self._lane.run(call, contextvars.copy_context())

    def attributes(self, snapshot: Snapshot) -> dict[str, Any]:
        from redrive.info import loaded_attributes

        return loaded_attributes(snapshot, self._codec, Origin.of(snapshot.id, self._store))

    def close(self) -> None:
        if self._apart is not None and self._watchdog is not None:
            self._apart.close()
            self._watchdog.close()

    @property
    def _lane(self) -> Apart:
        if self._apart is None:
            from redrive.worker.apart import Apart
            from redrive.worker.watchdog import Watchdog

            self._watchdog = Watchdog(self._limit)
            self._apart = Apart(self._watchdog, asyncio.get_running_loop())
        return self._apart


def _at_rest(worker: Worker, snapshot: Snapshot, rows: int) -> Standing | None:
    """How the machine in the worker's memory stands, if it is where the rows end."""
    from redrive.info import Standing

    live = worker.lives.get(snapshot.id)
    if live is None or live.machine is None or live.driving or live.length != rows or live.claim.run != snapshot.run:
        return None
    machine = live.machine
    return Standing(tuple(machine.pending), dict(machine.timers), machine.in_doubt)
