"""From schedules as users write them to schedules as they are stored: what a definition changes, and what it leaves."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive.codec import from_json, to_json
from redrive.ports.store import StoreError
from redrive.ports.stored_schedules import KeepsSchedules, StoredSchedule
from redrive.scheduling.schedule import Schedule
from redrive.scheduling.spec import Spec
from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.ports.finding import Searchable
    from redrive_interpreter.commands.workflows import Workflow

log: Final = logging.getLogger("redrive.schedules")
TRIES: Final = 100
"""Changes to one schedule by others that are made room for."""
BUILDS_KEPT: Final = timedelta(minutes=10)
"""How long a build without a worker still keeps older ones from declaring schedules."""

Change = Callable[["StoredSchedule | None"], "StoredSchedule | None"]
"""What becomes of a schedule as it is stored; None leaves it."""


def by_id(schedules: Iterable[Schedule[Any]]) -> Mapping[str, Schedule[Any]]:
    """*schedules* by id. Raises `InvalidDefinition` for two of one id, and for what is none."""
    if isinstance(schedules, Schedule):
        raise InvalidDefinition(f"schedules= takes a list: write schedules=[{schedules.id}]")
    found: dict[str, Schedule[Any]] = {}
    for schedule in schedules:
        if not isinstance(schedule, Schedule):
            raise InvalidDefinition(f"schedules= takes schedules, like Schedule('nightly', report(), every=3600), not {schedule!r}")
        if found.setdefault(schedule.id, schedule) is not schedule:
            raise InvalidDefinition(f"two schedules are called {schedule.id!r}")
    return found


@attrs.frozen
class Definition:
    """A schedule with its input as it is stored. *app* and *build* are those that declare it."""

    schedule: Schedule[Any]
    workflow: Workflow[..., Any]
    input: Any
    attributes: dict[str, Any]
    texts: Searchable
    app: str | None = None
    build: str | None = None

    def stored(self, standing: StoredSchedule | None, now: datetime, codec: JsonCodec) -> StoredSchedule | None:
        """The schedule to store in place of *standing*; None where nothing changes (H4): a new input or another option keeps the next
        slot, another cadence computes it from *now*, and what is paused stays so."""
        spec = self.schedule.spec
        if standing is not None and (old := Spec.load(standing.spec)).keeps_the_slots_of(spec):
            spec, following = attrs.evolve(spec, anchor=old.anchor), standing.next
            if standing.off:
                following = spec.cadence().after(now)
        else:
            spec = spec.from_(now)
            following = spec.cadence().after(now)
        timeout = self.schedule.timeout if self.schedule.timeout is not None else self.workflow.timeout
        if standing is not None and not standing.off and self._is(standing, spec, timeout, codec):
            return None
        made = StoredSchedule(
            id=self.schedule.id,
            workflow=self.workflow.name,
            spec=spec.dump(),
            input=to_json(self.input),
            attributes=to_json(self.attributes),
            searchable=self.texts,
            queue=self.schedule.place.queue,
            partition=self.schedule.place.partition,
            priority=self.schedule.place.priority,
            timeout=timeout,
            app=self.app,
            declared_by=self.build,
            next=following,
            paused=None if standing is None else standing.paused,
            waits=standing is not None and standing.waits,
            pause_after=spec.pause_after,
            created_at=now,
        )
        return with_due(made, spec)

    def _is(self, standing: StoredSchedule, spec: Spec, timeout: timedelta | None, codec: JsonCodec) -> bool:
        if (standing.workflow, standing.app, standing.timeout, standing.spec) != (self.workflow.name, self.app, timeout, spec.dump()):
            return False
        place = self.schedule.place
        if (standing.searchable, standing.queue, standing.partition, standing.priority) != (
            self.texts,
            place.queue,
            place.partition,
            place.priority,
        ):
            return False
        return codec.same(from_json(standing.attributes), self.attributes) and codec.same(from_json(standing.input), self.input)


def with_due(schedule: StoredSchedule, spec: Spec | None = None) -> StoredSchedule:
    """*schedule* with the time at which a worker has to look at it."""
    if schedule.paused is not None or schedule.off or schedule.waits:
        return attrs.evolve(schedule, due=None)
    return attrs.evolve(schedule, due=(spec or Spec.load(schedule.spec)).due(schedule.id, schedule.next))


async def change(store: KeepsSchedules, id: str, change: Change) -> StoredSchedule | None:
    """Store what *change* makes of the schedule *id*, computed anew while others change it too; what is stored then.

    Raises `StoreError` where others never leave it alone."""
    for tries in range(TRIES):
        found = await store.schedules([id])
        standing = found[0] if found else None
        new = change(standing)
        if new is None:
            return standing
        if await store.put_schedule(new, None if standing is None else standing.version):
            return new
        await asyncio.sleep(random.uniform(0, 0.002 * (tries + 1)))
    raise StoreError(f"schedule {id!r} is being changed by others all the time", retry_helps=True)


# ── declared schedules ──────────────────────────────────────────────────────────────────────────
async def reconcile(
    store: KeepsSchedules, app: str, build: str, definitions: Sequence[Definition], now: datetime, codec: JsonCodec
) -> bool:
    """Bring what *app* declares into the store, if *build* is the one that declares (H10); False if another does.

    What is no longer declared is switched off. Schedules that `ensure` or another app made are left alone, and logged.
    """
    if await store.declaring_build(app, build, BUILDS_KEPT) != build:
        return False
    for definition in definitions:
        await change(store, definition.schedule.id, lambda standing, it=definition: _declared(it, standing, now, codec))  # type: ignore[misc]
    declared = {definition.schedule.id for definition in definitions}
    after = ""
    while page := await store.schedules(after=after):
        for stored in page:
            if stored.app == app and not stored.off and stored.id not in declared:
                await change(store, stored.id, lambda standing: _switched_off(standing, app))
        after = page[-1].id
    return True


def _declared(it: Definition, standing: StoredSchedule | None, now: datetime, codec: JsonCodec) -> StoredSchedule | None:
    if standing is not None and standing.app != it.app:
        maker = "ensure made it" if standing.app is None else f"app {standing.app!r} declares it"
        log.error("app %r declares schedule %r, but %s: it is left as it is", it.app, standing.id, maker)
        return None
    return it.stored(standing, now, codec)


def _switched_off(standing: StoredSchedule | None, app: str) -> StoredSchedule | None:
    if standing is None or standing.app != app or standing.off:
        return None
    return attrs.evolve(standing, off=True, due=None)
