"""The commands that stand alone: timers, signals, events, notes, undoing, and what a run may know of itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar, overload
from uuid import UUID

import attrs

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Branch, Command, Flow, building, performing
from redrive_interpreter.commands.durations import Duration, duration, moment, optional_duration, optional_moment
from redrive_interpreter.commands.messages import Attribute, Event, Payload, Signal, Source, event_of, sent_as, signal_of
from redrive_interpreter.commands.steps import Step
from redrive_interpreter.commands.switches import Switch
from redrive_interpreter.errors import InvalidDefinition, InvalidDuration
from redrive_interpreter.frozen import put
from redrive_interpreter.keys import Key, check_id, check_name
from redrive_interpreter.run_info import RunInfo

if TYPE_CHECKING:
    from redrive_interpreter.commands.child_workflows import ChildRef

__all__ = [
    "NOTHING",
    "Branch",
    "Command",
    "Commit",
    "Emit",
    "Flow",
    "Info",
    "NewId",
    "Note",
    "Now",
    "Patch",
    "Random",
    "Rollback",
    "SendSignal",
    "SetAttribute",
    "Sleep",
    "Step",
    "Switch",
    "WaitSignal",
    "performing",
]

T = TypeVar("T")
D = TypeVar("D")

NOTHING: Final = attrs.NOTHING
"""The default of a `WaitSignal` that has none."""


class Sleep(Command[None]):
    """Wait for *duration*, seconds or a timedelta, or until an aware datetime; survives restarts.

    Zero, negative and past mean now. Raises `InvalidDuration` for NaN, infinity, more than a thousand years, naive datetimes.
    """

    __slots__ = ("duration", "until")
    kind: ClassVar[str] = kinds.SLEEP
    duration: timedelta | None
    until: datetime | None

    @overload
    def __init__(self, seconds: Duration, /) -> None: ...
    @overload
    def __init__(self, /, *, until: datetime) -> None: ...
    def __init__(self, seconds: Duration | None = None, /, *, until: datetime | None = None) -> None:
        building(self)
        if (seconds is None) == (until is None):
            raise InvalidDuration("Sleep: give either a duration or until=, and only one of them")
        put(self, "duration", None if seconds is None else duration(seconds, "Sleep"))
        put(self, "until", None if until is None else moment(until, "Sleep until"))


class WaitSignal(Command[T]):
    """Wait for a signal; its answer is the payload.

    When *timeout* (seconds or a timedelta) has passed, or *until* is reached, `SignalTimeout` is raised, or
    *default* given back. A timeout of 0 takes what is there.
    """

    __slots__ = ("default", "signal", "timeout", "until")
    kind: ClassVar[str] = kinds.WAIT_SIGNAL
    signal: Source[Any]
    timeout: timedelta | None
    until: datetime | None
    default: Any

    @overload
    def __init__(self, signal: Source[T], /, *, timeout: Duration | None = None, until: datetime | None = None) -> None: ...
    @overload
    def __init__(
        self: WaitSignal[Any], signal: str, /, *, timeout: Duration | None = None, until: datetime | None = None, default: Any = ...
    ) -> None: ...
    @overload
    def __init__(
        self: WaitSignal[A | D], signal: Source[A], /, *, timeout: Duration | None = None, until: datetime | None = None, default: D
    ) -> None: ...
    def __init__(
        self,
        signal: Source[Any] | str,
        /,
        *,
        timeout: Duration | None = None,
        until: datetime | None = None,
        default: Any = NOTHING,
    ) -> None:
        building(self)
        if timeout is not None and until is not None:
            raise InvalidDuration("WaitSignal: give timeout= or until=, not both")
        if default is not NOTHING and timeout is None and until is None:
            raise InvalidDefinition("WaitSignal: a default needs a timeout= or until=, or it will never be used")
        put(self, "signal", signal_of(signal))
        put(self, "timeout", optional_duration(timeout, "WaitSignal timeout"))
        put(self, "until", optional_moment(until, "WaitSignal until"))
        put(self, "default", default)


A = TypeVar("A")


class Emit(Command[None]):
    """Tell the subscribers of an event, once for this command."""

    __slots__ = ("event", "payload")
    kind: ClassVar[str] = kinds.EMIT
    event: Event[Any]
    payload: Any

    @overload
    def __init__(self, event: Event[A], payload: Payload[A], /) -> None: ...
    @overload
    def __init__(self, event: Event[None], /) -> None: ...
    @overload
    def __init__(self, event: str, payload: object = None, /) -> None: ...
    def __init__(self, event: Event[Any] | str, payload: Any = None, /) -> None:
        building(self)
        put(self, "event", event_of(event))
        put(self, "payload", payload)


class SendSignal(Command[None]):
    """Send a signal to another execution, by its id or `ChildRef`.

    Raises `ExecutionNotFound` or `ExecutionFinished` in the workflow.
    """

    __slots__ = ("payload", "signal", "target")
    kind: ClassVar[str] = kinds.SEND_SIGNAL
    target: str
    signal: Source[Any]
    payload: Any

    @overload
    def __init__(self, target: str | ChildRef[Any], signal: Signal[A], payload: Payload[A], /) -> None: ...
    @overload
    def __init__(self, target: str | ChildRef[Any], signal: Signal[None], /) -> None: ...
    @overload
    def __init__(self, target: str | ChildRef[Any], signal: str, payload: object = None, /) -> None: ...
    def __init__(self, target: str | ChildRef[Any], signal: Signal[Any] | str, payload: Any = None, /) -> None:
        building(self)
        put(self, "target", target_of(target))
        put(self, "signal", sent_as(signal))
        put(self, "payload", payload)


class Rollback(Command[tuple[Key, ...]]):
    """Run the undos of what completed in this scope, newest first; its answer are the keys undone.

    With *on_error* ``"stop"`` an undo that fails ends the execution, ``compensation_failed``; ``"continue"`` tries them all first.
    """

    __slots__ = ("on_error", "reason")
    kind: ClassVar[str] = kinds.ROLLBACK
    reason: str
    on_error: Literal["stop", "continue"]

    def __init__(self, reason: str = "", on_error: Literal["stop", "continue"] = "stop") -> None:
        building(self)
        if on_error not in ("stop", "continue"):
            raise InvalidDefinition(f"Rollback: on_error is 'stop' or 'continue', not {on_error!r}")
        put(self, "reason", _text(reason, "Rollback reason"))
        put(self, "on_error", on_error)


class Commit(Command[None]):
    """The point of no return: the undos recorded so far in this scope are dropped."""

    __slots__ = ("reason",)
    kind: ClassVar[str] = kinds.COMMIT
    reason: str

    def __init__(self, reason: str = "") -> None:
        building(self)
        put(self, "reason", _text(reason, "Commit reason"))


class Note(Command[None]):
    """Write an entry into the audit trail; replay does not compare it."""

    __slots__ = ("data", "text")
    kind: ClassVar[str] = kinds.NOTE
    text: str
    data: Mapping[str, Any]

    def __init__(self, text: str, /, **data: object) -> None:
        building(self)
        put(self, "text", _text(text, "Note"))
        put(self, "data", data)


class Patch(Command[bool]):
    """True for runs that reach it first with this code, False for those recorded before it was written."""

    __slots__ = ("patch_id",)
    kind: ClassVar[str] = kinds.PATCH
    patch_id: str

    def __init__(self, id: str, /) -> None:
        building(self)
        put(self, "patch_id", check_id(id, "patch id"))


class Info(Command[RunInfo]):
    """What this run may know of itself."""

    __slots__ = ()
    kind: ClassVar[str] = kinds.INFO

    def __init__(self) -> None:
        building(self)


class Now(Command[datetime]):
    """The time of the fact that began this turn, in UTC; never decreases."""

    __slots__ = ()
    kind: ClassVar[str] = kinds.NOW

    def __init__(self) -> None:
        building(self)


class NewId(Command[UUID]):
    """A UUID that is the same on every replay; each *name* is a sequence of its own."""

    __slots__ = ("name",)
    kind: ClassVar[str] = kinds.NEW_ID
    name: str

    def __init__(self, name: str = "") -> None:
        building(self)
        put(self, "name", check_id(name, "NewId name") if name != "" else "")


class Random(Command[float]):
    """A number from 0 up to 1 that is the same on every replay."""

    __slots__ = ()
    kind: ClassVar[str] = kinds.RANDOM

    def __init__(self) -> None:
        building(self)


class SetAttribute(Command[None]):
    """Set a typed value that the outside can read and search while the execution runs."""

    __slots__ = ("attribute", "value")
    kind: ClassVar[str] = kinds.SET_ATTRIBUTE
    attribute: Attribute[Any]
    value: Any

    def __init__(self, attribute: Attribute[A], value: Payload[A], /) -> None:
        building(self)
        if not isinstance(attribute, Attribute):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"SetAttribute: {attribute!r} is not an Attribute")
        put(self, "attribute", attribute)
        put(self, "value", value)


def target_of(target: str | ChildRef[Any]) -> str:
    """The execution id that *target* is, or refers to."""
    return check_name(target if isinstance(target, str) else getattr(target, "id", target), "execution id")


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidDefinition(f"{what}: {value!r} is not a str")
    return value
