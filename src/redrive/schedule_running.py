"""Schedules in a service: it declares its own, and its worker fires those of its workflows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from redrive.schedule_definitions import Definition
    from redrive.schedules import Schedules
    from redrive.scheduling.schedule import Schedule
    from redrive.service import AsyncDurableService
    from redrive.worker.scheduler import Scheduler
    from redrive_interpreter.commands.workflows import Workflow


def declared_by(service: AsyncDurableService, schedules: Iterable[Schedule[Any]], app: str | None) -> list[Definition]:
    """The schedules that *app* declares. Raises `InvalidDefinition`, also for schedules without an app, and `CodecError`."""
    if schedules == ():
        return []
    from redrive.schedule_definitions import by_id
    from redrive.schedules import define

    found = by_id(schedules)
    if found and app is None:
        raise InvalidDefinition("schedules= needs app=, the name under which they are declared: app='shop'")
    return [define(schedule, service, app) for schedule in found.values()]


class RunsSchedules:
    """The side of a service that has to do with schedules."""

    _scheduler: Scheduler | None = None

    @property
    def schedules(self) -> Schedules:
        """The schedules of the store: make them, look at them, pause, trigger and backfill them."""
        from redrive.schedules import Schedules

        return Schedules(cast("AsyncDurableService", self))

    async def _start_scheduler(self, workflows: Mapping[str, Workflow[..., Any]]) -> None:
        """Declare what the service declares, and fire the schedules of *workflows* from now on."""
        from redrive.ports.stored_schedules import KeepsSchedules
        from redrive.worker.scheduler import Scheduler

        service = cast("AsyncDurableService", self)
        store: object = service.store
        if isinstance(store, KeepsSchedules):
            self._scheduler = Scheduler(
                service.store, service.codec, workflows, service._clock, build=service.build, app=service.app, declared=service._declared
            )
            await self._scheduler.start()
        elif service._declared:
            raise InvalidDefinition(f"{type(store).__name__} keeps no schedules")

    async def _stop_scheduler(self) -> None:
        if self._scheduler is not None:
            await self._scheduler.stop()

    def _look_at_schedules(self) -> None:
        if self._scheduler is not None:
            self._scheduler.wake()
