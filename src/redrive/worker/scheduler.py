"""Firing schedules: looks at those that are due, has it decided what becomes of their slots, and stores that.

1.  It looks when the store tells of a change, when the next schedule is due, and now and then anyhow (W6). No worker is special:
    of those that look at one slot at once, one succeeds (H1).
2.  A worker looks at schedules of its own workflows only; others are late, not lost (H8).
3.  A slot whose input today's types cannot take is recorded as failed, and the schedule goes on (H11).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from redrive.codec import from_json
from redrive.ports.creators import Creator
from redrive.ports.ends import ends_of
from redrive.ports.store import NewExecution, StoreError
from redrive.ports.stored_schedules import Firing, KeepsSchedules, LeftOut, StoredSchedule
from redrive.schedule_definitions import Definition, reconcile, with_due
from redrive.scheduling.decisions import Decision, decide
from redrive.scheduling.slot_names import slot_id
from redrive.scheduling.spec import Spec
from redrive.worker import outbox
from redrive_interpreter.commands.child_workflows import PlaceInQueue
from redrive_interpreter.errors import CodecError, ExecutionFinished, ExecutionNotFound

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.ports.store import Store
    from redrive.worker.clock import Clock
    from redrive_interpreter.commands.workflows import Workflow

log: Final = logging.getLogger("redrive.schedules")
AT_ONCE: Final = 200
"""Schedules that are fired in one transaction."""
LOOK_EVERY: Final = 5.0
"""Seconds between two looks where nothing was told (W6)."""
DECLARE_EVERY: Final = 60.0
"""Seconds between two times at which a worker says that its build is there."""
SHORTEST_WAIT: Final = 0.002
"""Seconds until the next look at a schedule that is due by the clock here, and not yet by the store's."""
load_spec: Final = lru_cache(maxsize=20_000)(Spec.load)


class Scheduler:
    """Fires the schedules of *workflows*, and declares *declared* for *app*; to be woken when schedules have changed."""

    def __init__(
        self,
        store: Store,
        codec: JsonCodec,
        workflows: Mapping[str, Workflow[..., Any]],
        clock: Clock,
        *,
        build: str,
        app: str | None = None,
        declared: Sequence[Definition] = (),
    ) -> None:
        assert isinstance(store, KeepsSchedules)
        self._store: Store = store
        self._schedules: KeepsSchedules = store
        self._codec, self._workflows, self._clock = codec, workflows, clock
        self._names = tuple(workflows)
        self._build, self._app, self._declared = build, app, declared
        self._woken = asyncio.Event()
        self._declare_at = 0.0
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Declare what this build declares, and begin to look."""
        await self._declare()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        self._stopping = True  # a driver of the database may swallow that the task was told to stop
        self.wake()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def wake(self) -> None:
        self._woken.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping:
            self._woken.clear()
            try:
                if loop.time() >= self._declare_at:
                    await self._declare()
                wait = await self.look()
            except StoreError as error:
                log.warning("schedules: %s", error)
                wait = 1.0
            except Exception:  # a scheduler that stopped looking would say nothing of it
                log.exception("schedules: looking at what is due failed, and goes on")
                wait = 1.0
            if wait <= 0:
                await asyncio.sleep(0)  # a store that answers at once must not keep others from their turn
                continue
            if self._stopping:
                return
            try:
                async with asyncio.timeout(min(wait, LOOK_EVERY)):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _declare(self) -> None:
        if self._app is None:
            return
        self._declare_at = asyncio.get_running_loop().time() + DECLARE_EVERY
        await reconcile(self._schedules, self._app, self._build, self._declared, self._clock.now(), self._codec)

    async def look(self) -> float:
        """Fire what is due; how many seconds until the next look is worth it."""
        due, following = await self._schedules.due_schedules(self._names, AT_ONCE)
        if not due:
            return LOOK_EVERY if following is None else max(self._clock.seconds_to(following), SHORTEST_WAIT)
        await self._clock.ask(self._store)
        now = self._clock.now()
        ended = await self._ended(due)
        firings: list[Firing] = []
        cancels: list[str] = []
        for schedule in due:
            running = [id for id in schedule.running if id not in ended]
            found = self._firing(schedule, now, running)
            if found is not None:
                firing, cancel = found
                firings.append(firing)
                cancels += running if cancel else []
        fired = await self._schedules.fire(firings) if firings else ()
        for id in cancels:
            await self._cancel(id)
        return 0.0 if any(fired) else 0.05

    async def _ended(self, due: Sequence[StoredSchedule]) -> set[str]:
        running = [id for schedule in due for id in schedule.running]
        return {id for id, _, _ in await ends_of(self._store, running)} if running else set()

    def _firing(self, schedule: StoredSchedule, now: datetime, running: Sequence[str]) -> tuple[Firing, bool] | None:
        """The firing of *schedule*, and whether its running executions are to be cancelled; None if there is nothing to do."""
        spec = load_spec(schedule.spec)
        if schedule.by_hand and not running:
            return self._by_hand(schedule, spec, now), False
        if schedule.paused is not None or schedule.off or schedule.next is None:
            return self._nothing(schedule, spec), False
        busy = running[0] if running else None
        decision = decide(schedule.id, spec, schedule.next, now, busy=busy, waited=schedule.waits)
        if decision is None:
            return (self._nothing(schedule, spec), False) if schedule.due is not None and schedule.due <= now else None
        return self._decided(schedule, spec, decision, now), decision.cancel

    def _by_hand(self, schedule: StoredSchedule, spec: Spec, now: datetime) -> Firing:
        """Start the first of those that were asked for by hand."""
        first = schedule.by_hand[0]
        new, refused = self.execution(schedule, first.id, first.slot, now)
        return Firing(
            schedule=schedule.id,
            version=schedule.version,
            slot=schedule.next,
            next=schedule.next,
            due=with_due(schedule, spec).due,
            running=schedule.running,
            starts=[] if new is None else [new],
            slots=[] if new is None else [first.slot],
            left_out=[] if new is not None else [LeftOut(first=now, last=now, count=1, why=refused, outcome="failed")],
            done=[first.id],
            alone=True,
            waits=schedule.waits and new is not None,
        )

    def _nothing(self, schedule: StoredSchedule, spec: Spec) -> Firing:
        """Nothing is to be done yet: only the time of the next look is set right."""
        return Firing(
            schedule=schedule.id,
            version=schedule.version,
            slot=schedule.next,
            next=schedule.next,
            due=with_due(schedule, spec).due,
            running=schedule.running,
        )

    def _decided(self, schedule: StoredSchedule, spec: Spec, decision: Decision, now: datetime) -> Firing:
        starts: list[NewExecution] = []
        slots: list[datetime | None] = []
        left_out = [LeftOut(first=each.first, last=each.last, count=each.count, why=each.why) for each in decision.skipped]
        for slot in decision.slots:
            new, refused = self.execution(schedule, slot_id(schedule.id, slot), slot, now)
            if new is None:
                left_out.append(LeftOut(first=slot, last=slot, count=1, why=refused, outcome="failed"))
            else:
                starts.append(new)
                slots.append(slot)
        waits = decision.waits and (bool(starts) or not decision.slots)
        return Firing(
            schedule=schedule.id,
            version=schedule.version,
            slot=schedule.next,
            next=decision.next,
            due=None if waits else spec.due(schedule.id, decision.next),
            running=schedule.running,
            starts=starts,
            slots=slots,
            left_out=left_out,
            alone=decision.alone,
            waits=waits,
        )

    def execution(self, schedule: StoredSchedule, id: str, slot: datetime | None, now: datetime) -> tuple[NewExecution | None, str]:
        """The execution of a slot, or why there can be none."""
        workflow, input = self._workflows[schedule.workflow], from_json(schedule.input)
        try:
            self._codec.load_call(workflow.signature, input, f"workflow {workflow.name}")
        except CodecError as error:
            return None, f"its start is refused: {error}"
        return new_execution(schedule, workflow, id, slot, now), ""

    async def _cancel(self, id: str) -> None:
        message = outbox.cancel_message("the next slot of its schedule is due", "cancel", self._clock.now())
        try:
            await self._store.send(id, message)
        except (ExecutionFinished, ExecutionNotFound):
            return  # it has ended meanwhile, which is what was wanted


def new_execution(schedule: StoredSchedule, workflow: Workflow[..., Any], id: str, slot: datetime | None, now: datetime) -> NewExecution:
    """The execution of one slot of *schedule*, or of a trigger."""
    return outbox.new_execution(
        id,
        workflow,
        from_json(schedule.input),
        now,
        timeout=schedule.timeout,
        attributes=from_json(schedule.attributes),
        texts=schedule.searchable,
        place=PlaceInQueue(schedule.queue, schedule.partition, schedule.priority),
        scheduled_for=slot,
        creator=Creator.of_schedule(schedule.id),
    )
