"""Schedules from outside: ``service.schedules``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, cast, overload
from uuid import uuid4

import attrs

from redrive.codec.searchable import searchable
from redrive.errors import ScheduleBusy, ScheduleNotFound
from redrive.execution import AsyncExecution
from redrive.options import known
from redrive.ports.ends import ends_of
from redrive.ports.stored_schedules import ByHand, Firing, KeepsSchedules, LeftOut, StoredSchedule
from redrive.schedule_definitions import TRIES, Definition, change, with_due
from redrive.schedule_info import ScheduleInfo, info_of
from redrive.scheduling.cadence import slots_between
from redrive.scheduling.schedule import Schedule
from redrive.scheduling.slot_names import check_schedule_id, slot_id, trigger_id
from redrive.scheduling.spec import Spec
from redrive.worker import outbox
from redrive.worker.scheduler import new_execution
from redrive_interpreter.commands.child_workflows import place_of
from redrive_interpreter.commands.conditions import given_attributes
from redrive_interpreter.commands.durations import duration, moment, positive_duration
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound, InvalidDefinition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redrive.ports.finding import Searchable
    from redrive.ports.store import ExecutionStatus, NewExecution, Store
    from redrive.scheduling.schedule import ScheduleOptions
    from redrive.scheduling.spec import CatchUp, Overlap
    from redrive.service import AsyncDurableService
    from redrive_interpreter.commands.conditions import Equals
    from redrive_interpreter.commands.durations import Duration
    from redrive_interpreter.commands.queue_values import Queue
    from redrive_interpreter.commands.workflows import Invocation, Workflow

R = TypeVar("R")
MOST_AT_ONCE: Final = 10_000
"""Slots that one backfill may run."""
_PAGE: Final = 200


class _Keep:
    """The default of an option that stays as it is."""

    def __repr__(self) -> str:
        return "<as it is>"


_KEEP: Final[Any] = _Keep()


class Schedules:
    """The schedules of a store: ``service.schedules``."""

    def __init__(self, service: AsyncDurableService) -> None:
        self._service = service

    # ── definitions ─────────────────────────────────────────────────────────────────────────────
    @overload
    async def ensure(self, id: str, invocation: Invocation[R], /, *, cron: str, **options: Unpack[ScheduleOptions]) -> Schedule[R]: ...
    @overload
    async def ensure(
        self, id: str, invocation: Invocation[R], /, *, every: Duration, **options: Unpack[ScheduleOptions]
    ) -> Schedule[R]: ...
    async def ensure(self, id: str, invocation: Invocation[Any], /, **options: Any) -> Schedule[Any]:
        """Make the schedule, or change it to what is given here; what it is already is left alone, however often this is called.

        Another input or option keeps its next slot, another cadence computes it from now, and what is paused stays paused.
        Raises `InvalidDefinition`, also for a schedule that an app declares, and `CodecError`.
        """
        schedule: Schedule[Any] = Schedule(id, invocation, **options)
        definition, now = define(schedule, self._service), self._service._clock.now()

        def ensured(standing: StoredSchedule | None) -> StoredSchedule | None:
            _refuse_declared(standing)
            return definition.stored(standing, now, self._service.codec)

        await change(self._store, id, ensured)
        return schedule

    async def update(
        self,
        id: str,
        *,
        invocation: Invocation[Any] | None = None,
        cron: str | None = None,
        every: Duration | None = None,
        timezone: str = _KEEP,
        overlap: Overlap = _KEEP,
        catch_up: CatchUp = _KEEP,
        jitter: Duration = _KEEP,
        exclude: Iterable[date] = _KEEP,
        start_at: datetime | None = _KEEP,
        end_at: datetime | None = _KEEP,
        pause_after: int | None = _KEEP,
        timeout: Duration | None = _KEEP,
        attributes: Mapping[Any, Any] | Iterable[Equals[Any]] | None = _KEEP,
        queue: Queue | str | None = _KEEP,
        partition: str | None = None,
        priority: int = 0,
    ) -> None:
        """Change some of the options of a schedule; what is not given stays. `ensure` explains when the next slot moves.

        Raises `ScheduleNotFound` and what `ensure` raises.
        """
        service = self._service
        changes = {
            "timezone": timezone,
            "overlap": overlap,
            "catch_up": catch_up,
            "jitter": jitter,
            "exclude": exclude,
            "start_at": start_at,
            "end_at": end_at,
            "pause_after": pause_after,
        }
        given = {name: value for name, value in changes.items() if value is not _KEEP}
        codec, now = service.codec, service._clock.now()

        def updated(standing: StoredSchedule | None) -> StoredSchedule | None:
            found = _there(standing, id)
            _refuse_declared(found)
            old = Spec.load(found.spec)
            spec = old.changed(cron=cron, every=every, **given)
            new, following = found, found.next
            if spec.keeps_the_slots_of(old):
                spec = attrs.evolve(spec, anchor=old.anchor)
            else:
                spec = spec.from_(now)
                following = spec.cadence().after(now)
            if invocation is not None:
                workflow = known(service.workflows, invocation.workflow)
                input = codec.dump_call(workflow.signature, invocation.args, invocation.kwargs, f"workflow {workflow.name}")
                new = attrs.evolve(new, workflow=workflow.name, input=codec.to_json(input))
            if queue is not _KEEP or partition is not None or priority:
                if invocation is None:
                    raise InvalidDefinition("update: queue=, partition= and priority= are given with invocation=, which they are places of")
                place = place_of(invocation, None if queue is _KEEP else queue, partition, priority, f"schedule {id!r}")
                new = attrs.evolve(new, queue=place.queue, partition=place.partition, priority=place.priority)
            if timeout is not _KEEP:
                new = attrs.evolve(new, timeout=positive_duration(timeout, "timeout"))
            if attributes is not _KEEP:
                named = given_attributes(attributes)
                new = attrs.evolve(new, attributes=codec.to_json(outbox.attributes_of(named, codec)), searchable=texts_by_name(named))
            new = with_due(attrs.evolve(new, spec=spec.dump(), next=following, pause_after=spec.pause_after), spec)
            return None if new == found else new

        await change(self._store, check_schedule_id(id), updated)

    async def remove(self, id: str) -> None:
        """Forget a schedule; its executions stay, and go on. Raises `ScheduleNotFound`, and `InvalidDefinition` for a declared one."""
        for _ in range(TRIES):
            stored = await self._stored(id)
            _refuse_declared(None if stored.off else stored)
            if await self._store.remove_schedule(id, stored.version):
                return
        raise ScheduleBusy(id, (), "it is being changed by others all the time")

    # ── looking ─────────────────────────────────────────────────────────────────────────────────
    async def get(self, id: str, *, skipped: int = 10) -> ScheduleInfo:
        """How a schedule stands, with the last slots that were *skipped*. Raises `ScheduleNotFound`."""
        return (await self._infos([await self._stored(id)], skipped))[0]

    async def list(self, *, skipped: int = 10) -> Sequence[ScheduleInfo]:
        """All schedules, in the order of their ids."""
        found: list[ScheduleInfo] = []
        after = ""
        while page := await self._store.schedules(after=after, limit=_PAGE):
            found += await self._infos(page, skipped)
            after = page[-1].id
        return found

    async def upcoming(self, id: str, n: int = 10) -> Sequence[datetime]:
        """The next *n* slots, the first one that was neither started nor skipped included. Raises `ScheduleNotFound`."""
        stored = await self._stored(id)
        if stored.next is None or stored.off:
            return ()
        return slots_between(Spec.load(stored.spec).cadence(), stored.next, datetime.max.replace(tzinfo=stored.next.tzinfo), n)

    # ── steering ────────────────────────────────────────────────────────────────────────────────
    async def pause(self, id: str, reason: str = "") -> None:
        """No slots until `resume`; `trigger` works. Raises `ScheduleNotFound`."""

        def paused(standing: StoredSchedule | None) -> StoredSchedule | None:
            found = _there(standing, id)
            return None if found.paused is not None else attrs.evolve(found, paused=reason, due=None)

        await change(self._store, check_schedule_id(id), paused)

    async def resume(self, id: str) -> None:
        """Go on with the next slot from now; what came meanwhile was not missed. Raises `ScheduleNotFound`."""
        now = self._service._clock.now()

        def resumed(standing: StoredSchedule | None) -> StoredSchedule | None:
            found = _there(standing, id)
            if found.paused is None:
                return None
            spec = Spec.load(found.spec)
            return with_due(attrs.evolve(found, paused=None, waits=False, next=spec.cadence().after(now)), spec)

        await change(self._store, check_schedule_id(id), resumed)

    @overload
    async def trigger(self, schedule: Schedule[R], /) -> AsyncExecution[R]: ...
    @overload
    async def trigger(self, schedule: str, /) -> AsyncExecution[Any]: ...
    async def trigger(self, schedule: Schedule[Any] | str, /) -> AsyncExecution[Any]:
        """Start an execution of the schedule now, also while it is paused.

        If one has not ended, that is as *overlap* says: `ScheduleBusy` is raised for ``skip``; with ``queue`` and ``cancel`` it
        begins when that has ended, and `result` waits for it. Raises `ScheduleNotFound`, and `InvalidDefinition` if the
        workflow is not known here.
        """
        id = schedule.id if isinstance(schedule, Schedule) else schedule
        name = trigger_id(id, uuid4())
        await self._by_hand(id, [ByHand(name)], None)
        return _Triggered(self._service, id, name, schedule.invocation.workflow if isinstance(schedule, Schedule) else None)

    async def backfill(self, id: str, *, since: datetime, until: datetime, overlap: Overlap | None = None) -> Sequence[str]:
        """Run the slots from *since* to *until* (both included) that did not run; the ids of their executions.

        They run one after another (``queue``), or as *overlap* says: ``allow`` all at once, ``skip`` and ``cancel`` one of them.
        Raises `ScheduleNotFound`, and `InvalidDefinition` for more than 10,000 slots.
        """
        stored = await self._stored(id)
        cadence = Spec.load(stored.spec).cadence()
        slots = slots_between(cadence, moment(since, "since"), min(moment(until, "until"), self._service._clock.now()), MOST_AT_ONCE + 1)
        if len(slots) > MOST_AT_ONCE:
            raise InvalidDefinition(f"schedule {id!r} has more than {MOST_AT_ONCE:,} slots from {since} to {until}: backfill them in parts")
        there = await asyncio.gather(*(self._service.store.read(slot_id(id, slot)) for slot in slots))
        asked = [ByHand(slot_id(id, slot), slot) for slot, found in zip(slots, there, strict=True) if found is None]
        return await self._by_hand(id, asked, overlap or "queue") if asked else ()

    async def _by_hand(self, id: str, asked: Sequence[ByHand], overlap: Overlap | None) -> Sequence[str]:
        """Start executions that no slot asks for, or have them wait; the ids of those that are started or wait."""
        service = self._service
        for _ in range(TRIES):
            stored = await self._stored(id)
            spec, now = Spec.load(stored.spec), service._clock.now()
            ended = {name for name, _, _ in await ends_of(cast("Store", self._store), stored.running)} if stored.running else set[str]()
            running = [name for name in stored.running if name not in ended]
            rule, workflow = overlap or spec.overlap, self._workflow(stored)
            if overlap is None and rule == "skip" and running:
                raise ScheduleBusy(id, tuple(running))
            firing = _asked_for(stored, spec, rule, asked, running, workflow, now)
            (fired,) = await self._store.fire([firing])
            if fired:
                if rule == "cancel":
                    await self._cancel(running)
                service._look()
                return [*(new.id for new in firing.starts), *(one.id for one in firing.by_hand)]
        raise ScheduleBusy(id, (), "it is being changed by others all the time")

    async def _cancel(self, ids: Sequence[str]) -> None:
        for id in ids:
            try:
                await self._service._cancel(id, "another execution of its schedule was asked for")
            except (ExecutionFinished, ExecutionNotFound):
                continue  # it has ended meanwhile, which is what was wanted

    # ── what they have in common ────────────────────────────────────────────────────────────────
    @property
    def _store(self) -> KeepsSchedules:
        self._service._check_open()
        store: object = self._service.store
        if not isinstance(store, KeepsSchedules):
            raise InvalidDefinition(f"{type(store).__name__} keeps no schedules")
        return store

    async def _stored(self, id: str) -> StoredSchedule:
        found = await self._store.schedules([check_schedule_id(id)])
        return _there(found[0] if found else None, id)

    def _workflow(self, stored: StoredSchedule) -> Workflow[..., Any]:
        workflow = self._service.workflows.get(stored.workflow)
        if workflow is None:
            from redrive_interpreter.commands.workflows import Workflow

            workflow = Workflow(stored.workflow)
        return workflow

    async def _infos(self, page: Sequence[StoredSchedule], skipped: int) -> Sequence[ScheduleInfo]:
        store, now = self._service.store, await self._service.store.now()
        ended = {id for id, _, _ in await ends_of(store, [id for stored in page for id in stored.running])}
        left_out = await asyncio.gather(*(self._store.left_out(stored.id, skipped) for stored in page))
        lasts = await asyncio.gather(*(store.read(stored.last_execution) for stored in page if stored.last_execution is not None))
        status: dict[str, ExecutionStatus] = {snapshot.id: snapshot.status for snapshot in lasts if snapshot is not None}
        return [
            info_of(stored, slots, status.get(stored.last_execution or ""), [id for id in stored.running if id not in ended], now)
            for stored, slots in zip(page, left_out, strict=True)
        ]


class _Triggered(AsyncExecution[Any]):
    """The handle of an execution that may have to wait until it is started: its schedule has it meanwhile."""

    __slots__ = ("_schedule",)

    def __init__(self, service: AsyncDurableService, schedule: str, id: str, workflow: Workflow[..., Any] | None) -> None:
        super().__init__(service, id, workflow, checked=True)
        self._schedule = schedule

    async def result(self, timeout: float | timedelta | None = None) -> Any:
        limit = None if timeout is None else max(0.0, duration(timeout, "timeout").total_seconds())
        until = asyncio.timeout(limit)
        try:
            async with until:
                await self._begun()
        except TimeoutError as error:
            if not until.expired():
                raise
            raise TimeoutError(
                f"execution {self.id!r} has not begun: schedule {self._schedule!r} starts it after the one before"
            ) from error
        when = until.when()
        return await super().result(None if when is None else max(0.001, when - asyncio.get_running_loop().time()))

    async def _begun(self) -> None:
        store: Any = self._service.store
        seen = await store.wait_for_changes(0)
        while await store.read(self.id) is None:
            found = await store.schedules([self._schedule])
            if not found or all(one.id != self.id for one in found[0].by_hand):
                return  # nobody is going to start it, or somebody just has
            seen = await store.wait_for_changes(1.0, seen)


def texts_by_name(attributes: Mapping[Any, Any]) -> Searchable:
    """The texts by which *attributes* are searched, in the order of their names."""
    return tuple(sorted((name, tuple(texts)) for name, texts in searchable(attributes)))


def define(schedule: Schedule[Any], service: AsyncDurableService, app: str | None = None) -> Definition:
    """*schedule* with its input encoded by the workflow as *service* knows it. Raises `InvalidDefinition` and `CodecError`."""
    invocation, codec = schedule.invocation, service.codec
    workflow = known(service.workflows, invocation.workflow)
    return Definition(
        schedule,
        workflow,
        codec.dump_call(workflow.signature, invocation.args, invocation.kwargs, f"workflow {workflow.name}"),
        outbox.attributes_of(schedule.attributes, codec),
        texts_by_name(schedule.attributes),
        app,
        None if app is None else service.build,
    )


def _asked_for(
    stored: StoredSchedule,
    spec: Spec,
    rule: Overlap,
    asked: Sequence[ByHand],
    running: Sequence[str],
    workflow: Workflow[..., Any],
    now: datetime,
) -> Firing:
    """Executions that were asked for by hand, as the *rule* for overlaps has it."""
    starts: list[NewExecution] = []
    slots: list[datetime | None] = []
    waiting: list[ByHand] = []
    left_out: list[LeftOut] = []
    free = not running and not stored.by_hand
    for one in reversed(asked) if rule == "cancel" else asked:
        if rule == "allow" or (free and not starts):
            starts.append(new_execution(stored, workflow, one.id, one.slot, now))
            slots.append(one.slot)
        elif rule == "queue" or (rule == "cancel" and not starts and not waiting):
            waiting.append(one)
        else:
            slot = one.slot or now
            left_out.append(LeftOut(first=slot, last=slot, count=1, why="another execution of the schedule had not ended"))
    return Firing(
        schedule=stored.id,
        version=stored.version,
        slot=stored.next,
        next=stored.next,
        due=None if stored.waits else with_due(stored, spec).due,
        running=stored.running,
        starts=starts,
        slots=slots,
        by_hand=waiting,
        left_out=left_out,
        alone=rule != "allow",
        waits=stored.waits,
    )


def _there(stored: StoredSchedule | None, id: str) -> StoredSchedule:
    if stored is None:
        raise ScheduleNotFound(id)
    return stored


def _refuse_declared(stored: StoredSchedule | None) -> None:
    if stored is not None and stored.app is not None:
        raise InvalidDefinition(f"app {stored.app!r} declares schedule {stored.id!r}: change it there, and restart its workers")
