"""Every error of redrive, as one tree.

RedriveError
├── DefinitionError (ValueError)        you wrote it wrong: raised where it is written
│   ├── InvalidId ─ ReservedId
│   ├── InvalidDuration
│   ├── InvalidDefinition (TypeError)
│   └── WorkflowMisuse (TypeError)              found while the workflow runs; ends it as a bug, never thrown into it
├── HostError                           the host must act; the workflow never sees it
│   ├── Diverged                        the code no longer asks what the history says it asked
│   ├── UndecodableValue                      a stored value that today's types cannot read
│   └── UnexpectedFact                  a fact for a key never asked, or out of its place
├── CodecError (ValueError)             a value that cannot be stored, or cannot be read as its type
└── WorkflowError                       thrown into workflow code; `except Exception` catches it
    ├── StepFailed ─ StepTimeout, StepInterrupted
    ├── SignalTimeout, ChildFailed, ChildTimeout, UndeclaredError, NoBranch
    └── ExecutionNotFound, ExecutionFinished, ExecutionConflict
Cancelled (BaseException)               thrown into workflow code; `except Exception` does not catch it
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from redrive_interpreter.raised import recorded_traceback

if TYPE_CHECKING:
    from datetime import timedelta

    from redrive_interpreter.keys import Key

OWN_PACKAGES: Final = frozenset({"redrive", "redrive_interpreter"})
"""The packages of redrive's own errors. A name in ``redrive_shop`` is a user's."""

CancelledBy: TypeAlias = Literal["cancel", "deadline", "parent", "race", "sibling"]


class RedriveError(Exception):
    """The root of every error that redrive raises, `Cancelled` apart."""


# ── you wrote it wrong ──────────────────────────────────────────────────────────────────────────
class DefinitionError(RedriveError, ValueError):
    """A definition or a command that cannot mean anything."""


class InvalidId(DefinitionError):
    """An id or name that no history can hold."""

    what: str
    id: object
    problem: str

    def __init__(self, what: str, id: object, problem: str) -> None:
        super().__init__(what, id, problem)
        self.what, self.id, self.problem = what, id, problem

    def __str__(self) -> str:
        shown = repr(self.id)
        return f"{self.what} {shown if len(shown) < 80 else shown[:76] + '…'} {self.problem}"


class ReservedId(InvalidId):
    """An id that begins with ``__`` or ``rollback:``, which are redrive's own."""

    def __init__(
        self, what: str, id: object, problem: str = "begins with a prefix that redrive keeps for itself (__ and rollback:)"
    ) -> None:
        super().__init__(what, id, problem)


class InvalidDuration(DefinitionError):
    """A duration or a moment that no timer can be set to."""


class InvalidDefinition(DefinitionError, TypeError):
    """A function that cannot be a workflow or a step, or a call that its signature refuses."""


class WorkflowMisuse(DefinitionError, TypeError):
    """A workflow did what no workflow may; the execution ends ``failed``, as a bug of its code.

    *place* is the file and line of the user's code, as far as it is known.
    """

    problem: str
    place: str

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__(problem, place)
        self.problem, self.place = problem, place

    def __str__(self) -> str:
        return f"{self.problem} ({self.place})" if self.place else self.problem


# ── the host must act ───────────────────────────────────────────────────────────────────────────
class HostError(RedriveError):
    """An error for the host that drives the machine; user code never sees one."""


class UndecodableValue(HostError):
    """A stored value that the types of the code at hand cannot read: park, and wait for code that can."""


class UnexpectedFact(HostError):
    """A fact that cannot be about this run. The machine refuses it and stays as it was."""


# ── values ──────────────────────────────────────────────────────────────────────────────────────
class CodecError(RedriveError, ValueError):
    """A value that cannot be stored, or a stored one that cannot be read as its type.

    *where* names the step (or workflow, signal, event), *path* the place inside the value
    (``result.items[3].price``), *type* the type that was asked for.
    """

    where: str
    path: str
    type: str
    problem: str

    def __init__(self, where: str, path: str, type: str, problem: str) -> None:
        super().__init__(where, path, type, problem)
        self.where, self.path, self.type, self.problem = where, path, type, problem

    def __str__(self) -> str:
        return f"{self.where}: {self.path} ({self.type}): {self.problem}"


# ── thrown into workflows ───────────────────────────────────────────────────────────────────────
class WorkflowError(RedriveError):
    """An error that a workflow may catch and act upon."""


class StepFailed(WorkflowError):
    """A step failed for good, with an error that it had not declared in ``raises=``.

    *type*, *message* and *traceback* are those of the body's last exception, *attempts* how many began.
    """

    key: Key
    type: str
    message: str
    traceback: str
    attempts: int

    def __init__(self, key: Key, type: str, message: str, traceback: str = "", attempts: int = 1) -> None:
        super().__init__(key, type, message, traceback, attempts)
        self.key, self.type, self.message, self.traceback, self.attempts = key, type, message, traceback, attempts
        self.__cause__: BaseException | None = recorded_traceback(traceback)

    def __str__(self) -> str:
        tries = "" if self.attempts == 1 else f" after {self.attempts} attempts"
        return f"step {self.key} failed{tries}: {self.type}: {self.message}{self._advice()}"

    def _advice(self) -> str:
        """Advice on how to catch the error by its own class; empty for errors of redrive itself."""
        module, _, name = self.type.rpartition(".")
        own = module.partition(".")[0] in OWN_PACKAGES or (not module and not hasattr(builtins, name))
        return "" if own or type(self) is not StepFailed else f" (to catch {name} itself, declare it: @step(raises=[{name}]))"


class StepTimeout(StepFailed):
    """An attempt of a step took longer than its ``timeout``, or was silent for longer than its ``heartbeat``."""


class StepInterrupted(StepFailed):
    """An at-most-once step began and its outcome is not known: it may or may not have taken effect."""


class SignalTimeout(WorkflowError):
    """No signal came in time."""

    signal: str
    timeout: timedelta | None

    def __init__(self, signal: str, timeout: timedelta | None = None) -> None:
        super().__init__(signal, timeout)
        self.signal, self.timeout = signal, timeout

    def __str__(self) -> str:
        return f"no signal {self.signal!r} came" + ("" if self.timeout is None else f" within {self.timeout}")


class ChildFailed(WorkflowError):
    """A child execution ended without a result; *cause* is its error, rebuilt where its workflow declares it."""

    id: str
    status: str
    cause: BaseException | None

    def __init__(self, id: str, status: str, cause: BaseException | None = None) -> None:
        super().__init__(id, status, cause)
        self.id, self.status, self.cause = id, status, cause
        self.__cause__ = cause

    def __str__(self) -> str:
        return f"child {self.id!r} ended {self.status}" + ("" if self.cause is None else f": {self.cause}")


class ChildTimeout(WorkflowError):
    """A child execution did not end in time; it goes on."""

    id: str
    timeout: timedelta | None

    def __init__(self, id: str, timeout: timedelta | None = None) -> None:
        super().__init__(id, timeout)
        self.id, self.timeout = id, timeout

    def __str__(self) -> str:
        return f"child {self.id!r} did not end" + ("" if self.timeout is None else f" within {self.timeout}")


class UndeclaredError(WorkflowError):
    """An error that ended another execution, and that its workflow does not declare in ``raises=``.

    *type*, *message* and *traceback* are those of the exception there.
    """

    type: str
    message: str
    traceback: str

    def __init__(self, type: str, message: str, traceback: str = "") -> None:
        super().__init__(type, message, traceback)
        self.type, self.message, self.traceback = type, message, traceback
        self.__cause__: BaseException | None = recorded_traceback(traceback)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class NoBranch(WorkflowError):
    """No case of a `Switch` matched, and it has no ``otherwise``."""

    switch: str
    value: str

    def __init__(self, switch: str, value: str) -> None:
        super().__init__(switch, value)
        self.switch, self.value = switch, value

    def __str__(self) -> str:
        return f"switch {self.switch!r}: no case matches {self.value}"


class ExecutionError(WorkflowError):
    """Something about another execution, named by *id*."""

    id: str
    detail: str

    def __init__(self, id: str, detail: str = "") -> None:
        super().__init__(id, detail)
        self.id, self.detail = id, detail

    def __str__(self) -> str:
        return f"execution {self.id!r} {self._says}" + (f": {self.detail}" if self.detail else "")

    _says = ""


class ExecutionNotFound(ExecutionError):
    """There is no execution with this id."""

    _says = "does not exist"


class ExecutionFinished(ExecutionError):
    """The execution has ended: it takes no more signals."""

    _says = "has ended"


class ExecutionConflict(ExecutionError):
    """The id belongs to another workflow, another input or another creator."""

    _says = "exists already, and is not the one asked for"


class Cancelled(BaseException):
    """Cancellation, thrown at the yield where a workflow or branch stands, once in each scope.

    *by* says what asked for it: ``cancel`` (a person or another execution), ``deadline``, ``parent``,
    ``race`` (another branch was first) or ``sibling`` (another branch failed).
    """

    reason: str

    def __init__(self, reason: str = "", by: CancelledBy = "cancel") -> None:
        super().__init__(reason, by)
        self.reason, self.by = reason, by

    def __str__(self) -> str:
        by = "" if self.by == "cancel" else f" by {self.by}"
        return f"cancelled{by}" + (f": {self.reason}" if self.reason else "")
