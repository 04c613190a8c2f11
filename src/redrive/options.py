"""The parts of a service: its options, and its workflows by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict, cast

from redrive.entrances import is_number
from redrive_interpreter.commands.durations import positive_duration
from redrive_interpreter.commands.workflows import Workflow
from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from redrive.codec.hooks import Converting
    from redrive.ports.store import Store
    from redrive.scheduling.schedule import Schedule
    from redrive_interpreter.commands.queue_values import Queue


class ListOfAny(Protocol):
    """A list of objects, as mypy sees ``flows = [one, other]``: it finds no common type of two workflows."""

    def __iter__(self) -> Iterator[object]: ...
    def append(self, item: object, /) -> None: ...


class SetOfAny(Protocol):
    """A set of objects; see `ListOfAny`."""

    def __iter__(self) -> Iterator[object]: ...
    def add(self, item: object, /) -> None: ...


Workflows: TypeAlias = "Iterable[Workflow[..., Any]] | ListOfAny | SetOfAny"
"""What ``workflows=`` takes: functions under ``@workflow``."""


Served: TypeAlias = "list[Queue | str] | list[Queue] | list[str] | tuple[Queue | str, ...] | None"
"""What ``queues=`` takes."""


class ServiceOptions(TypedDict, total=False):
    """The options of a service, as `AsyncDurableService` explains them."""

    worker: bool
    build: str | None
    converter: Converting | None
    resources: Any
    lease: float | timedelta
    grace: float | timedelta
    max_threads: int
    concurrency: int
    cache: int
    max_bytes: int
    max_recoveries: int
    max_stall: float | timedelta
    turn_limit: float | timedelta
    retention: timedelta | Mapping[str, timedelta] | None
    schedules: Iterable[Schedule[Any]]
    app: str | None
    queues: Served


def registered(workflows: Workflows) -> dict[str, Workflow[..., Any]]:
    """*workflows* by name. Raises `InvalidDefinition` for two of one name, and for what is not a workflow."""
    if isinstance(workflows, Workflow):
        raise InvalidDefinition(f"workflows= takes a list: write workflows=[{workflows.name}]")
    found: dict[str, Workflow[..., Any]] = {}
    for given in workflows:
        if not isinstance(given, Workflow):
            raise InvalidDefinition(f"workflows= takes functions under @workflow, not {given!r}")
        workflow = cast("Workflow[..., Any]", given)
        known = found.setdefault(workflow.name, workflow)
        if known is not workflow and known.fn is not workflow.fn:
            raise InvalidDefinition(f"two workflows are called {workflow.name!r}: give one of them another name")
    return found


def checked_store(store: Store) -> Store:
    """*store*; raises `InvalidDefinition` for what is none."""
    if not hasattr(store, "commit"):
        raise InvalidDefinition(f"a service takes a store, or the URL of one like 'sqlite:///orders.db', not {store!r}")
    return store


def more_than_zero(value: float | timedelta, what: str) -> timedelta:
    """*value* as a timedelta; raises `InvalidDuration` unless it is more than zero."""
    made = positive_duration(value, what)
    assert made is not None
    return made


def known(workflows: Mapping[str, Workflow[..., Any]], workflow: Workflow[..., Any]) -> Workflow[..., Any]:
    """The definition in *workflows* of the name of *workflow*, else the one given. Raises `InvalidDefinition` if both have code."""
    found = workflows.get(workflow.name)
    if found is None:
        return workflow
    if found.fn is not None and workflow.fn is not None and found.fn is not workflow.fn:
        raise InvalidDefinition(f"two functions are called {workflow.name!r}: the one given is not the one of this service")
    return found


def limits(max_threads: int, concurrency: int, cache: int, max_recoveries: int) -> dict[str, int]:
    """The limits of a worker, by name. Raises `InvalidDefinition` if there is nothing that it could do."""
    given = {"max_threads": max_threads, "concurrency": concurrency, "cache": cache, "max_recoveries": max_recoveries}
    if wrong := [name for name, value in given.items() if not is_number(value)]:
        raise InvalidDefinition(f"{wrong[0]}= takes a whole number, not {given[wrong[0]]!r}")
    if min(max_threads, concurrency, cache) < 1 or max_recoveries < 0:
        raise InvalidDefinition(f"a service needs at least one of each: {given}")
    return given
