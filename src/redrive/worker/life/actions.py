"""The actions that the life of an execution asks of its shell. Each class is one kind of action, carried out by one function of the shell.

Beside these, a `redrive.ports.store.Turn` asks for it to be committed, a `SetTimer` of the machine for its timer, and a `NewAside`
for a note in the log that a signal was set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

if TYPE_CHECKING:
    from redrive.ports.aside_values import NewAside
    from redrive.ports.store import ExecutionStatus, Json, Turn
    from redrive_interpreter.history.requests import RunStep, SetTimer
    from redrive_interpreter.machine.machine import Machine


class Run:
    """Run the body of *perform*: an attempt whose `Asked` row is stored, and whose time has come.

    It is also the permit to do so: the executor must call `enter` just before it calls the body, and not call it if that says no.
    `withdraw` takes the permit back. *details* are the last heartbeat of the attempt before; *body* is the executor's.
    """

    __slots__ = ("_permit", "body", "details", "perform")

    def __init__(self, perform: RunStep, details: Any = None) -> None:
        self.perform = perform
        self.details = details
        self.body: Any = None
        self._permit = [None]

    def enter(self) -> bool:
        """The body is about to be called: False if it must not be. Any thread may ask."""
        try:
            self._permit.pop()  # one of two threads gets it
        except IndexError:
            return False
        return True

    withdraw = enter
    """See to it that a body which was not called yet never is; False if it was. Any thread may ask."""


@attrs.frozen
class Begin:
    """The start of the at-most-once attempt *run* is stored: its body may be called."""

    run: Run


@attrs.frozen
class Stop:
    """Nobody wants the result of *run* any more: tell its body, and do not wait for it."""

    run: Run


@attrs.frozen
class SetAlarm:
    """Send `TimerDue` for *key* at *due*, unless the execution has no such timer any more by then."""

    due: datetime
    key: str


@attrs.frozen
class Load:
    """Read history and inbox from the store; answer `Loaded` or `Refused`."""


@attrs.frozen
class ReadAttributes:
    """Read the execution's attributes from the store; answer `AttributesRead` or `Refused`."""


@attrs.frozen
class Compute:
    """Answer `TURN` at once, on the event loop, or with *apart* in a thread of its own: other executions go on meanwhile."""

    apart: bool = False


@attrs.frozen
class Wake:
    """Answer `TURN` in the next round of the event loop; with *later* after some seconds, since the store could not be asked."""

    later: bool = False


@attrs.frozen
class Close:
    """Close *machine*: its generators run their ``finally``."""

    machine: Machine[Any]


@attrs.frozen
class Leave:
    """The execution is not this worker's any more."""


@attrs.frozen
class Doubt:
    """The store may count executions as this worker's that the worker does not know of: an answer was lost."""


@attrs.frozen
class Release:
    """Tell the store that the execution has no owner any more; *at_rest*: that none of the bodies which it asks for had begun."""

    at_rest: bool = False


@attrs.frozen
class Park:
    """Hold the execution back in the store, because of *error*; answer `PARKED`."""

    error: BaseException


@attrs.frozen
class Ended:
    """The end of the execution is stored: tell those who wait for it, and the log."""

    status: ExecutionStatus
    outcome: Json


@attrs.frozen
class FindWorkflow:
    """Workflow *workflow* does not run here: see whether another worker lists it, for execution *id*."""

    id: str
    workflow: str


@attrs.frozen
class Note:
    """Log *text*, a format of the execution's id and *values*."""

    text: str
    values: tuple[Any, ...] = ()


@attrs.frozen
class TakenOver:
    """Log that this worker continues what another one left; *again* are the steps whose bodies run again."""

    again: Sequence[str]


@attrs.frozen
class LeaseLost:
    """Log that another worker has taken over; *stopped* are the steps whose bodies are told to stop."""

    stopped: Sequence[str]


LOAD: Final = Load()
READ_ATTRIBUTES: Final = ReadAttributes()
COMPUTE: Final = Compute()
COMPUTE_APART: Final = Compute(apart=True)
WAKE: Final = Wake()
WAKE_LATER: Final = Wake(later=True)
LEAVE: Final = Leave()
DOUBT: Final = Doubt()

if TYPE_CHECKING:
    Action: TypeAlias = (
        Begin
        | Close
        | Compute
        | Doubt
        | Ended
        | FindWorkflow
        | LeaseLost
        | Leave
        | Load
        | NewAside
        | Note
        | Park
        | ReadAttributes
        | Release
        | Run
        | SetAlarm
        | SetTimer
        | Stop
        | TakenOver
        | Turn
        | Wake
    )
