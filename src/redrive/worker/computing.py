"""Computes turns: on the event loop, under the watchdog, or apart from it where that would hold up others."""

from __future__ import annotations

import logging
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive.codec import from_json
from redrive.worker import reporting
from redrive.worker.apart import LONG, Gone, LaidBy
from redrive.worker.gc_pause import LEAST_ROW, no_collection
from redrive.worker.restore import begin, go_on
from redrive.worker.turn import compute
from redrive_interpreter.history.row_json import load_row

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.worker.active_execution import ActiveExecution
    from redrive.worker.apart import Apart
    from redrive.worker.clock import Clock
    from redrive.worker.timers import Timers
    from redrive.worker.turn import Draft
    from redrive.worker.watchdog import Watch

log: Final = logging.getLogger("redrive.worker")


@attrs.define(kw_only=True)
class Computing:
    """What it takes to compute turns. Workflows run in *context*; *watch* is that of the event loop."""

    codec: JsonCodec
    clock: Clock
    timers: Timers
    context: Context
    watch: Watch
    lane: Apart

    async def parsed(self, history: str) -> list[Any]:
        """The rows of a stored history as JSON values. Raises `Gone` if the worker stops."""
        if len(history) > LONG:
            return await self.lane.run(lambda _: from_json(history), self.context.copy())
        with no_collection(len(history)):
            rows: list[Any] = from_json(history)
        return rows

    def replay(self, live: ActiveExecution, history: list[Any]) -> None:
        """Give *live* its machine."""
        self.context.run(self._replay, live, history, self.watch)

    def compute(self, live: ActiveExecution) -> Draft | None:
        """The next turn of *live*; None if there is nothing to store."""
        return self.context.run(self._compute, live, self.timers, self.watch)

    async def compute_apart(self, live: ActiveExecution, history: list[Any] | None) -> Draft | None:
        """The same in a thread, after a replay of *history* where there is no machine. Raises `Gone` if the worker stops."""
        work, timers = live.set_apart(), LaidBy()

        def computed(watch: Watch) -> Draft | None:
            if history is not None:
                self._replay(work, history, watch)
            return self._compute(work, timers, watch)

        try:
            draft = await self.lane.run(computed, self.context.copy())
        except Gone:
            live.machine, live.gone = None, True  # the thread may still be at it
            raise
        except BaseException:
            live.join(work)
            raise
        live.join(work)
        for due, key in timers.set_:
            self.timers.set(due, live, key)
        if live.machine is not None:
            for key, due in live.machine.timers.items():  # what rang meanwhile found no machine
                self.timers.set(due, live, key)
        return draft

    def _replay(self, live: ActiveExecution, history: list[Any], watch: Watch) -> None:
        with no_collection(len(history) * LEAST_ROW):
            rows = [load_row(row) for row in history]
            if len(rows) == 1:
                watch.during(live.id, None, begin, live, rows[0], self.codec, self.clock.now(), watch)
            else:
                watch.during(live.id, None, go_on, live, rows, self.codec, watch)
        if live.orphan:
            live.orphan = False
            reporting.taken_over(live)

    def _compute(self, live: ActiveExecution, timers: Timers | LaidBy, watch: Watch) -> Draft | None:
        given = live.facts and live.facts.copy()
        try:
            return watch.during(live.id, live.machine, compute, live, self.clock.now(), self.codec, timers, log.warning)
        except BaseException:
            live.facts = given  # messages and timers come again from the store; what bodies gave is nowhere else
            raise
