"""Sleep: waiting for a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, overload

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Command, building
from redrive_interpreter.commands.durations import Duration, duration, moment
from redrive_interpreter.errors import InvalidDuration
from redrive_interpreter.frozen import put


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
