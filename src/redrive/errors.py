"""Errors at the surface of a service; the kernel's errors are under `redrive_interpreter.errors`.

RedriveError
├── ExecutionEnded                      an execution ended without a result: raised by `Execution.result`
│   ├── ExecutionFailed
│   ├── ExecutionCancelled
│   └── CompensationFailed
├── WorkflowTimeout (TimeoutError)      the cause of an execution that failed at its deadline
├── OperationRefused (ValueError)       an act of an operator that would not do what it says
├── UndeclaredSignal (ValueError)       a signal that the workflow does not list in ``signals=``
├── DamagedData (ValueError)            what a store keeps of an execution cannot be read
├── ScheduleNotFound (LookupError)
├── ScheduleBusy                        an execution of the schedule has not ended, and its overlap is ``skip``
├── ServiceClosed (RuntimeError)        the service is not open (any more), or its worker was stopped
└── WrongContext (RuntimeError)         a service or store that was opened on another event loop, or before a fork
"""

from __future__ import annotations

import contextlib

from redrive_interpreter.errors import RedriveError
from redrive_interpreter.raised import recorded_traceback


class ExecutionEnded(RedriveError):
    """An execution ended without a result.

    *type*, *message* and *traceback* are those of the error that ended it; *cause* is that error itself where the
    workflow declares it in ``raises=`` (and for errors of redrive's own), else None. Printed with its traceback, the
    error shows that of the workflow, and of the step that failed in it, first.
    """

    _says = "ended"
    id: str
    type: str
    message: str
    traceback: str
    cause: BaseException | None

    def __init__(self, id: str, type: str = "", message: str = "", traceback: str = "", cause: BaseException | None = None) -> None:
        super().__init__(id, type, message, traceback, cause)
        self.id, self.type, self.message, self.traceback, self.cause = id, type, message, traceback, cause
        recorded = recorded_traceback(traceback)
        self.__cause__ = cause or recorded
        if cause is not None and cause.__cause__ is None:
            with contextlib.suppress(Exception):  # whatever the user's class allows
                cause.__cause__ = recorded

    def __str__(self) -> str:
        why = ": ".join(part for part in (self.type, self.message) if part)
        return f"execution {self.id!r} {self._says}" + (f": {why}" if why else "")


class ExecutionFailed(ExecutionEnded):
    """The execution failed."""

    _says = "failed"


class ExecutionCancelled(ExecutionEnded):
    """The execution was cancelled; *message* is the reason."""

    _says = "was cancelled"

    @property
    def reason(self) -> str:
        return self.message

    def __str__(self) -> str:
        return f"execution {self.id!r} was cancelled" + (f": {self.message}" if self.message else "")


class CompensationFailed(ExecutionEnded):
    """An undo of the execution failed after its retries; `operator.retry_rollback` runs the remaining undos."""

    _says = "could not be rolled back"


class WorkflowTimeout(RedriveError, TimeoutError):
    """The deadline of an execution passed before it ended."""


class UndeclaredSignal(RedriveError, ValueError):
    """A signal that its receiver's workflow does not list in ``signals=``; nothing was sent."""

    workflow: str
    signal: str
    declared: tuple[str, ...]

    def __init__(self, workflow: str, signal: str, declared: tuple[str, ...] = ()) -> None:
        super().__init__(workflow, signal, declared)
        self.workflow, self.signal, self.declared = workflow, signal, declared

    def __str__(self) -> str:
        listed = ", ".join(map(repr, self.declared)) or "no signals at all"
        return f"workflow {self.workflow!r} takes no signal {self.signal!r}; it declares {listed}"


class DamagedData(RedriveError, ValueError):
    """The *column* of an execution in *store* cannot be read: it was changed from outside.

    Nothing else is touched by it: other executions, and what else is kept of this one, are as they were.
    """

    id: str
    store: str
    column: str
    problem: str

    def __init__(self, id: str, store: str, column: str, problem: str) -> None:
        super().__init__(id, store, column, problem)
        self.id, self.store, self.column, self.problem = id, store, column, problem

    def __str__(self) -> str:
        return f"execution {self.id!r} in {self.store}: its {self.column} is damaged: {self.problem}; put back what a backup has of it"


class ScheduleNotFound(RedriveError, LookupError):
    """There is no schedule with this id."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"there is no schedule {self.id!r}"


class ScheduleBusy(RedriveError):
    """The schedule cannot start an execution now: *running* have not ended, and it does not let them overlap."""

    id: str
    running: tuple[str, ...]
    problem: str

    def __init__(self, id: str, running: tuple[str, ...], problem: str = "") -> None:
        super().__init__(id, running, problem)
        self.id, self.running, self.problem = id, running, problem

    def __str__(self) -> str:
        return f"schedule {self.id!r}: {self.problem or f'execution {self.running[0]!r} has not ended'}"


class ServiceClosed(RedriveError, RuntimeError):
    """The service is not open: use it inside ``with`` (or ``async with``)."""

    def __init__(self, problem: str = "the service is not open: use it inside `with` or `async with`") -> None:
        super().__init__(problem)


class WrongContext(RedriveError, RuntimeError):
    """A service or a store is used on another event loop than the one that opened it, or in a process that was forked since."""


def stopped_by(error: BaseException) -> ServiceClosed:
    """The error for callers that wait when the body of a step has ended the worker."""
    return ServiceClosed(f"the worker stopped: the body of a step raised {error!r}")


class OperationRefused(RedriveError, ValueError):
    """An operator's act that was refused: nothing was stored. *instead* names the key or the verb that would do."""

    id: str
    verb: str
    problem: str
    instead: str

    def __init__(self, id: str, verb: str, problem: str, instead: str = "") -> None:
        super().__init__(id, verb, problem, instead)
        self.id, self.verb, self.problem, self.instead = id, verb, problem, instead

    def __str__(self) -> str:
        return f"{self.verb} of execution {self.id!r}: {self.problem}" + (f"; {self.instead}" if self.instead else "")
