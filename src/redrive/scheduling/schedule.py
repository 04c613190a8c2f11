"""Schedules as users declare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, overload

from redrive.scheduling.slot_names import check_schedule_id
from redrive.scheduling.spec import CatchUp, Overlap, Spec
from redrive_interpreter.commands.child_workflows import place_of
from redrive_interpreter.commands.conditions import given_attributes
from redrive_interpreter.commands.durations import Duration, positive_duration
from redrive_interpreter.commands.workflows import Invocation
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.frozen import Frozen, put

if TYPE_CHECKING:
    from typing import Unpack

    from redrive_interpreter.commands.child_workflows import PlaceInQueue
    from redrive_interpreter.commands.conditions import Equals
    from redrive_interpreter.commands.queue_values import Queue

R_co = TypeVar("R_co", covariant=True)


class ScheduleOptions(TypedDict, total=False):
    """How a schedule fires, apart from its cadence.

    *timezone* is that of ``cron=`` and of *exclude* (dates without slots). *overlap* says what a slot does while an execution
    of the schedule has not ended: ``skip`` records it as skipped, ``queue`` and ``cancel`` wait for the end (``cancel`` asks
    for it), ``allow`` starts. *catch_up* says what becomes of slots that no worker was there for: ``skip`` records them,
    ``once`` runs the newest, ``all`` runs up to 1,000. *jitter* delays each slot by a fixed part of it. Slots lie from
    *start_at* to *end_at*. After *pause_after* failures in a row the schedule is paused. *timeout*, *attributes*, *queue*,
    *partition* and *priority* are those of its executions.
    """

    timezone: str
    overlap: Overlap
    catch_up: CatchUp
    jitter: Duration
    exclude: Iterable[date]
    start_at: datetime | None
    end_at: datetime | None
    pause_after: int | None
    timeout: Duration | None
    attributes: Mapping[Any, Any] | Iterable[Equals[Any]] | None
    queue: Queue | str | None
    partition: str | None
    priority: int


class Schedule(Frozen, Generic[R_co]):
    """A workflow with its arguments that is started again and again: ``Schedule("nightly", report("eu"), cron="30 2 * * *")``.

    *id* has up to 200 bytes; the execution of a slot is called ``<id>@<slot in UTC>``. Give *cron* (five fields, or six with
    seconds first; names, ``L``, ``LW`` and ``#`` work) or *every* (a second at least, from *start_at* or the first ``ensure``
    on). The other options are those of `ScheduleOptions`. Raises `DefinitionError`.
    """

    __slots__ = ("attributes", "id", "invocation", "place", "spec", "timeout")
    id: str
    invocation: Invocation[R_co]
    spec: Spec
    timeout: timedelta | None
    attributes: Mapping[Any, Any]
    place: PlaceInQueue

    @overload
    def __init__(self, id: str, invocation: Invocation[R_co], /, *, cron: str, **options: Unpack[ScheduleOptions]) -> None: ...
    @overload
    def __init__(self, id: str, invocation: Invocation[R_co], /, *, every: Duration, **options: Unpack[ScheduleOptions]) -> None: ...
    def __init__(
        self,
        id: str,
        invocation: Invocation[R_co],
        /,
        *,
        cron: str | None = None,
        every: Duration | None = None,
        timezone: str = "UTC",
        overlap: Overlap = "skip",
        catch_up: CatchUp = "once",
        jitter: Duration = 0,
        exclude: Iterable[date] = (),
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        pause_after: int | None = None,
        timeout: Duration | None = None,
        attributes: Mapping[Any, Any] | Iterable[Equals[Any]] | None = None,
        queue: Queue | str | None = None,
        partition: str | None = None,
        priority: int = 0,
    ) -> None:
        put(self, "id", check_schedule_id(id))
        if not isinstance(invocation, Invocation):
            raise InvalidDefinition(f"schedule {id!r} takes an invocation, like report('eu'), not {invocation!r}")
        put(self, "invocation", invocation)
        spec = Spec.of(
            cron=cron,
            every=every,
            timezone=timezone,
            overlap=overlap,
            catch_up=catch_up,
            jitter=jitter,
            exclude=exclude,
            start_at=start_at,
            end_at=end_at,
            pause_after=pause_after,
        )
        put(self, "spec", spec)
        put(self, "timeout", positive_duration(timeout, "timeout"))
        put(self, "attributes", given_attributes(attributes))
        put(self, "place", place_of(invocation, queue, partition, priority, f"schedule {id!r}"))
