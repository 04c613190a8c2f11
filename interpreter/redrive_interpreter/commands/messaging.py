"""Messages between executions, and to subscribers: WaitSignal, SendSignal, Emit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, overload

import attrs

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Command, building
from redrive_interpreter.commands.durations import Duration, optional_duration, optional_moment
from redrive_interpreter.commands.messages import Event, Payload, Signal, Source, event_of, sent_as, signal_of
from redrive_interpreter.errors import InvalidDefinition, InvalidDuration
from redrive_interpreter.frozen import put
from redrive_interpreter.keys import check_name

if TYPE_CHECKING:
    from redrive_interpreter.commands.child_workflows import ChildRef

T = TypeVar("T")
D = TypeVar("D")
A = TypeVar("A")

NOTHING: Final = attrs.NOTHING
"""The default of a `WaitSignal` that has none."""


class WaitSignal(Command[T]):
    """Wait for a signal; the answer is its payload.

    When *timeout* (seconds or a timedelta) has passed, or *until* is reached, the workflow gets *default*, or `SignalTimeout`
    without one. A timeout of 0 takes a signal that is already there.
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


def target_of(target: str | ChildRef[Any]) -> str:
    """The execution id that *target* is, or refers to."""
    return check_name(target if isinstance(target, str) else getattr(target, "id", target), "execution id")
