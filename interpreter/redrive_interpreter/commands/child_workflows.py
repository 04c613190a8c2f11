"""Commands about other executions: children, and the next run of the same execution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar, Unpack

import attrs

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Command, building
from redrive_interpreter.commands.conditions import Equals, given_attributes
from redrive_interpreter.commands.durations import Duration, optional_duration, optional_moment, positive_duration
from redrive_interpreter.commands.messaging import target_of
from redrive_interpreter.commands.queue_values import Queue, checked_partition, checked_priority, queue_name
from redrive_interpreter.commands.retry import Retry, policies_of
from redrive_interpreter.commands.steps import undo_id_of
from redrive_interpreter.commands.workflows import Invocation, Workflow
from redrive_interpreter.errors import InvalidDefinition, InvalidDuration
from redrive_interpreter.frozen import put
from redrive_interpreter.keys import check_name

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

OnParentClose: TypeAlias = Literal["cancel", "abandon", "wait"]
_ON_PARENT_CLOSE: Final = ("cancel", "abandon", "wait")


@attrs.frozen(slots=False)
class ChildRef(Generic[R_co]):
    """A child execution.

    A value: it can be passed to steps, kept, and sent. It is stored as its id alone, without its workflow.
    """

    id: str
    workflow_name: str = ""

    @classmethod
    def of(cls, id: str, workflow: Workflow[..., R]) -> ChildRef[R]:
        """The child *id* of *workflow*, which tells the type of its result and the errors it declares."""
        made: ChildRef[R] = ChildRef(id, workflow.name)
        put(made, "_workflow", workflow)
        return made

    @property
    def workflow(self) -> Workflow[..., R_co] | None:
        """The child's workflow, where it is known."""
        known: Workflow[..., R_co] | None = self.__dict__.get("_workflow")
        return known

    @property
    def result_type(self) -> Any:
        """The type of the child's result; ``Any`` where its workflow is not known."""
        return Any if self.workflow is None else self.workflow.result_type

    @property
    def raises(self) -> tuple[type[BaseException], ...]:
        """The errors that the child's workflow declares."""
        return () if self.workflow is None else self.workflow.raises


class ChildOptions(TypedDict, total=False):
    """How a child is started: the options of a service's ``start``, and those of a step.

    *id* is the execution's; without one it derives from the run and the command's key. *timeout* is the
    deadline of the child, over all its runs; *delay* and *start_at* are when it begins.

    *retry* starts a child that ended ``failed`` again (which then must not have given children of its own a fixed *id*: those
    of its first run still have it): the same id, a new run, and a deadline of its own. Its policies
    judge the child's own failure, by the errors that its workflow declares; one that was cancelled, or whose
    undos failed, is not started again, nor is one that fails in a later run of the parent (ContinueAs).
    Between two attempts it counts as running: it can be cancelled and sent signals.

    *queue*, *partition* and *priority* (lower is sooner) are those of a service's ``start``: by default those of its workflow.
    """

    id: str | None
    on_parent_close: OnParentClose
    timeout: Duration | None
    attributes: Mapping[Any, Any] | Iterable[Equals[Any]] | None
    delay: Duration | None
    start_at: datetime | None
    retry: Retry | Sequence[Retry] | None
    undo: Any
    queue: Queue | str | None
    partition: str | None
    priority: int


class _Start(Command[T]):
    __slots__ = (
        "attributes",
        "child_id",
        "delay",
        "invocation",
        "on_parent_close",
        "partition",
        "priority",
        "queue",
        "retry",
        "start_at",
        "timeout",
        "undo",
        "undo_id",
        "wait_timeout",
    )
    _uncompared = frozenset({"partition", "priority", "queue", "retry", "undo", "undo_id"})
    invocation: Invocation[Any]
    child_id: str | None
    on_parent_close: OnParentClose
    timeout: timedelta | None
    attributes: Mapping[Any, Any]
    delay: timedelta | None
    start_at: datetime | None
    retry: tuple[Retry, ...]
    undo: Any
    undo_id: str | None
    wait_timeout: timedelta | None
    queue: str | None
    partition: str
    priority: int


class StartChild(_Start[T]):
    """Start a child, exactly once, without waiting for its end; the answer is a `ChildRef`."""

    __slots__ = ()
    kind: ClassVar[str] = kinds.START_CHILD

    def __init__(self: StartChild[ChildRef[R]], invocation: Invocation[R], /, **options: Unpack[ChildOptions]) -> None:
        _fill(self, invocation, **options)


class RunChild(_Start[T]):
    """Start a child, exactly once, and wait for its result.

    Raises `ChildFailed` in the workflow, and `ChildTimeout` after *wait_timeout*; the child then continues. When the command is
    cut, the child is cancelled and awaited.
    """

    __slots__ = ()
    kind: ClassVar[str] = kinds.RUN_CHILD

    def __init__(self, invocation: Invocation[T], /, *, wait_timeout: Duration | None = None, **options: Unpack[ChildOptions]) -> None:
        _fill(self, invocation, wait_timeout=wait_timeout, **options)


class WaitChild(Command[T]):
    """Wait for the result of a child; raises `ChildFailed`, or `ChildTimeout` after *timeout* in the workflow.

    When the command is cut, it only stops waiting.
    """

    __slots__ = ("ref", "timeout")
    kind: ClassVar[str] = kinds.WAIT_CHILD
    ref: ChildRef[Any]
    timeout: timedelta | None

    def __init__(self, ref: ChildRef[T], /, timeout: Duration | None = None) -> None:
        building(self)
        if not isinstance(ref, ChildRef):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"WaitChild: {ref!r} is not a ChildRef; yield a StartChild to get one")
        put(self, "ref", ref)
        put(self, "timeout", optional_duration(timeout, "WaitChild timeout"))


class CancelChild(Command[None]):
    """Ask a child to cancel, without waiting for its end."""

    __slots__ = ("reason", "ref")
    kind: ClassVar[str] = kinds.CANCEL_CHILD
    ref: ChildRef[Any]
    reason: str

    def __init__(self, ref: ChildRef[Any] | str, /, reason: str = "") -> None:
        building(self)
        put(self, "ref", ref if isinstance(ref, ChildRef) else ChildRef[Any](target_of(ref)))
        put(self, "reason", reason)


class ContinueAs(Command[T]):
    """Continue as the next run of the same execution, with new input and an empty history.

    Only at the root of a workflow, as ``return (yield from ContinueAs(…))``.
    """

    __slots__ = ("invocation",)
    kind: ClassVar[str] = kinds.CONTINUE_AS
    invocation: Invocation[Any]

    def __init__(self, invocation: Invocation[T], /) -> None:
        building(self)
        put(self, "invocation", _checked(invocation, "ContinueAs"))


def _fill(
    child: _Start[Any],
    invocation: object,
    id: str | None = None,
    on_parent_close: OnParentClose = "cancel",
    timeout: Duration | None = None,
    attributes: Mapping[Any, Any] | Iterable[Equals[Any]] | None = None,
    delay: Duration | None = None,
    start_at: datetime | None = None,
    retry: Retry | Sequence[Retry] | None = None,
    undo: Any = None,
    wait_timeout: Duration | None = None,
    queue: Queue | str | None = None,
    partition: str | None = None,
    priority: int = 0,
) -> None:
    building(child)
    what = type(child).__name__
    if on_parent_close not in _ON_PARENT_CLOSE:
        raise InvalidDefinition(f"{what}: on_parent_close is one of {', '.join(_ON_PARENT_CLOSE)}, not {on_parent_close!r}")
    if delay is not None and start_at is not None:
        raise InvalidDuration(f"{what}: give delay= or start_at=, not both")
    put(child, "invocation", _checked(invocation, what))
    put(child, "child_id", None if id is None else check_name(id, "execution id"))
    put(child, "on_parent_close", on_parent_close)
    put(child, "timeout", positive_duration(timeout, f"{what} timeout"))
    put(child, "attributes", given_attributes(attributes))
    put(child, "delay", optional_duration(delay, f"{what} delay"))
    put(child, "start_at", optional_moment(start_at, f"{what} start_at"))
    put(child, "retry", policies_of(retry, what))
    put(child, "undo", undo)
    put(child, "undo_id", undo_id_of(undo, what))
    put(child, "wait_timeout", optional_duration(wait_timeout, f"{what} wait_timeout"))
    place = place_of(child.invocation, queue, partition, priority, what)
    put(child, "queue", place.queue)
    put(child, "partition", place.partition)
    put(child, "priority", place.priority)


@attrs.frozen
class PlaceInQueue:
    """Where in which queue an execution waits to be admitted; in none if *queue* is None."""

    queue: str | None = None
    partition: str = ""
    priority: int = 0


NO_QUEUE: Final = PlaceInQueue()


def place_of(invocation: Invocation[Any], queue: Queue | str | None, partition: str | None, priority: int, what: str) -> PlaceInQueue:
    """The place that *invocation* gets: what is given here comes before what its workflow says.

    Raises `InvalidDefinition` where the partition cannot be found, and for a partition or priority without a queue.
    """
    workflow = invocation.workflow
    name = queue_name(workflow.queue if queue is None else queue, what)
    if name is None:
        if partition is not None or priority:
            raise InvalidDefinition(f"{what}: partition= and priority= are places in a queue, and {workflow.name} is in none: give queue=")
        return NO_QUEUE
    if partition is None and workflow.partition is not None:
        partition = workflow.partition.of(workflow.signature, invocation.args, invocation.kwargs, f"workflow {workflow.name}")
    return PlaceInQueue(name, checked_partition(partition or "", what), checked_priority(priority, what))


def _checked(invocation: object, what: str) -> Invocation[Any]:
    if not isinstance(invocation, Invocation):
        hint = "call the workflow first" if callable(invocation) else "call a @workflow to get one"
        raise InvalidDefinition(f"{what}: {invocation!r} is not an invocation; {hint}")
    return invocation  # pyright: ignore[reportUnknownVariableType]
