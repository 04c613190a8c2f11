"""The events that the shell tells the life of an execution.

Beside these, it takes the store's answer to a commit (`redrive.ports.store.CommitResult`), and the fact that an attempt became
(`Answered`, `Retrying`, or `AttemptStarted` for an attempt at most once that is about to begin).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

if TYPE_CHECKING:
    from redrive.ports.store import CommitResult, Message, StoreError
    from redrive.worker.life.actions import Action
    from redrive.worker.life.turn import Draft
    from redrive_interpreter.history.rows import Answered, AttemptStarted, Retrying


class Signal:
    """An event without values of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class _Turn(Signal): ...


class _Wanted(Signal): ...


class _TooLong(Signal): ...


class _Abandoned(Signal): ...


class _Lost(Signal): ...


class _StopBodies(Signal): ...


class _GiveBack(Signal): ...


class _Parked(Signal): ...


class _Touched(Signal): ...


TURN: Final = _Turn("TURN")
"""Compute the next turn; the answer to `Compute` and `Wake`."""
WANTED: Final = _Wanted("WANTED")
"""The execution has just arrived, or its lost commit is to be tried again: begin to drive it."""
TOO_LONG: Final = _TooLong("TOO_LONG")
"""The turn held up the event loop and was broken off."""
ABANDONED: Final = _Abandoned("ABANDONED")
"""The worker does not wait any more for the turn that is computed apart, or a signal of the operating system ended it."""
LOST: Final = _Lost("LOST")
"""Another worker owns the execution."""
STOP_BODIES: Final = _StopBodies("STOP_BODIES")
"""The worker stops, and the time of grace is over."""
GIVE_BACK: Final = _GiveBack("GIVE_BACK")
"""The execution is to be nobody's."""
PARKED: Final = _Parked("PARKED")
"""The store has been told of a park, or cannot be."""


TOUCHED: Final = _Touched("TOUCHED")
"""Operators did something to the execution: it may be paused, or continue."""


@attrs.frozen
class Loaded:
    """The rows of the history as JSON values, the whole *inbox*, whether the replay is a *long* one, and whether no turn is to be
    computed: the execution is *paused*."""

    history: list[Any]
    inbox: Sequence[Message]
    long: bool = False
    paused: bool = False


@attrs.frozen
class AttributesRead:
    """The attributes that the store has."""

    attributes: dict[str, Any]


@attrs.frozen
class Refused:
    """The store refused what it was asked for last, and asking again does not help now."""

    error: StoreError


@attrs.frozen
class Computed:
    """The turn that was computed apart."""

    draft: Draft | None
    actions: list[Action]


@attrs.frozen
class Failed:
    """The code of the workflow cannot continue from its history, or its data cannot be read."""

    error: BaseException


@attrs.frozen
class Mail:
    """Messages that were stored, oldest first; some may be known already."""

    messages: Sequence[Message]


@attrs.frozen
class TimerDue:
    """A timer, or the next attempt of a step, is due."""

    due: datetime
    key: str


@attrs.frozen
class NoThread:
    """The worker stops, and the body of *key* still waits for a thread."""

    key: str


if TYPE_CHECKING:
    Event: TypeAlias = (
        Answered
        | AttemptStarted
        | AttributesRead
        | CommitResult
        | Computed
        | Failed
        | Loaded
        | Mail
        | NoThread
        | Refused
        | Retrying
        | Signal
        | TimerDue
    )
