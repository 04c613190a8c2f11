"""The schedules of a blocking service: ``service.schedules``. No logic of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from redrive.execution import Execution

if TYPE_CHECKING:
    from redrive.blocking import DurableService
    from redrive.schedule_info import ScheduleInfo
    from redrive.scheduling.schedule import Schedule, ScheduleOptions
    from redrive.scheduling.spec import Overlap
    from redrive_interpreter.commands.durations import Duration
    from redrive_interpreter.commands.workflows import Invocation

R = TypeVar("R")


class BlockingSchedules:
    """The schedules of a store, for code without asyncio; `Schedules` explains each method."""

    def __init__(self, service: DurableService) -> None:
        self._service = service

    @overload
    def ensure(self, id: str, invocation: Invocation[R], /, *, cron: str, **options: Unpack[ScheduleOptions]) -> Schedule[R]: ...
    @overload
    def ensure(self, id: str, invocation: Invocation[R], /, *, every: Duration, **options: Unpack[ScheduleOptions]) -> Schedule[R]: ...
    def ensure(self, id: str, invocation: Invocation[Any], /, **options: Any) -> Schedule[Any]:
        """Make the schedule, or change it to what is given here; what it is already is left alone, however often this is called.

        Another input or option keeps its next slot, another cadence computes it from now, and what is paused stays paused.
        Raises `InvalidDefinition`, also for a schedule that an app declares, and `CodecError`.
        """
        return self._service._call(self._service.aio.schedules.ensure(id, invocation, **options))

    def update(self, id: str, **changes: Any) -> None:
        """Change some of the options of a schedule; what is not given stays. See `Schedules.update`."""
        self._service._call(self._service.aio.schedules.update(id, **changes))

    def remove(self, id: str) -> None:
        """Forget a schedule; its executions stay, and go on. Raises `ScheduleNotFound`, and `InvalidDefinition` for a declared one."""
        self._service._call(self._service.aio.schedules.remove(id))

    def get(self, id: str, *, skipped: int = 10) -> ScheduleInfo:
        """How a schedule stands, with the last slots that were *skipped*. Raises `ScheduleNotFound`."""
        return self._service._call(self._service.aio.schedules.get(id, skipped=skipped))

    def list(self, *, skipped: int = 10) -> Sequence[ScheduleInfo]:
        """All schedules, in the order of their ids."""
        return self._service._call(self._service.aio.schedules.list(skipped=skipped))

    def upcoming(self, id: str, n: int = 10) -> Sequence[datetime]:
        """The next *n* slots, the first one that was neither started nor skipped included. Raises `ScheduleNotFound`."""
        return self._service._call(self._service.aio.schedules.upcoming(id, n))

    def pause(self, id: str, reason: str = "") -> None:
        """No slots until `resume`; `trigger` works. Raises `ScheduleNotFound`."""
        self._service._call(self._service.aio.schedules.pause(id, reason))

    def resume(self, id: str) -> None:
        """Go on with the next slot from now; what came meanwhile was not missed. Raises `ScheduleNotFound`."""
        self._service._call(self._service.aio.schedules.resume(id))

    @overload
    def trigger(self, schedule: Schedule[R], /) -> Execution[R]: ...
    @overload
    def trigger(self, schedule: str, /) -> Execution[Any]: ...
    def trigger(self, schedule: Schedule[Any] | str, /) -> Execution[Any]:
        """Start an execution of the schedule now, also while it is paused; `ScheduleBusy` where one runs and that is to be skipped.

        With ``queue`` and ``cancel`` it begins when the one before has ended, and `Execution.result` waits for it.
        """
        return Execution(self._service._call(self._service.aio.schedules.trigger(schedule)), self._service._call)

    def backfill(self, id: str, *, since: datetime, until: datetime, overlap: Overlap | None = None) -> Sequence[str]:
        """Run the slots from *since* to *until* (both included) that did not run; the ids of their executions.

        They run one after another (``queue``), or as *overlap* says: ``allow`` all at once, ``skip`` and ``cancel`` one of them.
        Raises `ScheduleNotFound`, and `InvalidDefinition` for more than 10,000 slots.
        """
        return self._service._call(self._service.aio.schedules.backfill(id, since=since, until=until, overlap=overlap))
