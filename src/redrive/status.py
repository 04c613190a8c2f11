"""The statuses of an execution, and the transitions between them: everything that other modules know of a status.

A status stands in stored rows and never changes. `STATUSES` says what each one is, `TRANSITIONS` what moves an execution
from one to another. Stores, workers and the command line read these tables; a status is written out here and in SQL only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import attrs

ExecutionStatus: TypeAlias = Literal[
    "pending", "running", "suspended", "cancelling", "paused", "parked", "completed", "failed", "compensation_failed", "cancelled"
]

PENDING: Final = "pending"
RUNNING: Final = "running"
SUSPENDED: Final = "suspended"
CANCELLING: Final = "cancelling"
PAUSED: Final = "paused"
PARKED: Final = "parked"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
COMPENSATION_FAILED: Final = "compensation_failed"
CANCELLED: Final = "cancelled"


@attrs.frozen
class Status:
    """One status.

    An execution in a *final* one has ended: nobody owns it and it is never due. One that is *at work* has a turn or a body to
    run now. One that is *held back* waits for an operator or for other code, not for a worker. *routine*: most executions are
    in it, so the stores' indexes leave it out.
    """

    name: ExecutionStatus
    meaning: str
    final: bool = attrs.field(default=False, kw_only=True)
    at_work: bool = attrs.field(default=False, kw_only=True)
    held_back: bool = attrs.field(default=False, kw_only=True)
    routine: bool = attrs.field(default=False, kw_only=True)


STATUSES: Final[dict[ExecutionStatus, Status]] = {
    status.name: status
    for status in (
        Status(PENDING, "stored, and no turn has run", routine=True),
        Status(RUNNING, "a turn or a step's body runs, or is due", at_work=True, routine=True),
        Status(SUSPENDED, "waits for a timer, a signal, a child or a retry", routine=True),
        Status(CANCELLING, "a cancel was accepted; undos and cleanup run", at_work=True),
        Status(PAUSED, "held back by an operator", held_back=True),
        Status(PARKED, "held back until code that fits it arrives", held_back=True),
        Status(COMPLETED, "ended with a result", final=True),
        Status(FAILED, "ended with an error", final=True),
        Status(COMPENSATION_FAILED, "ended because an undo failed", final=True),
        Status(CANCELLED, "ended by a cancel", final=True),
    )
}

FINAL: Final[frozenset[ExecutionStatus]] = frozenset(name for name, status in STATUSES.items() if status.final)
LIVE: Final[tuple[ExecutionStatus, ...]] = tuple(name for name, status in STATUSES.items() if not status.final)
AT_WORK: Final[frozenset[ExecutionStatus]] = frozenset(name for name, status in STATUSES.items() if status.at_work)
HELD_BACK: Final[frozenset[ExecutionStatus]] = frozenset(name for name, status in STATUSES.items() if status.held_back)
ROUTINE: Final[frozenset[ExecutionStatus]] = frozenset(name for name, status in STATUSES.items() if status.routine)
CLAIMABLE: Final[frozenset[ExecutionStatus]] = frozenset(LIVE) - {PAUSED}
"""A worker may claim an execution in one of these when it is due."""
UNBEGUN: Final[frozenset[ExecutionStatus]] = frozenset({PENDING, PARKED, PAUSED})
"""An execution of which nothing ever ran is in one of these."""
TURN: Final[frozenset[ExecutionStatus]] = frozenset({RUNNING, SUSPENDED, CANCELLING, *FINAL})
"""The statuses that a turn may leave an execution in."""
RESTARTABLE: Final[frozenset[ExecutionStatus]] = frozenset({FAILED, CANCELLED})
"""The statuses that ``start(restart=…)`` may name."""

Restartable: TypeAlias = Literal["failed", "cancelled"]
Cause: TypeAlias = Literal[
    "start", "turn", "cancel", "cancel before the first turn", "park", "retry_rollback", "rewrite", "pause", "resume", "queue", "restart",
]  # fmt: skip


@attrs.frozen
class Transition:
    """*cause* moves an execution from one of *before* (None: there was none of its id) to one of *after*."""

    cause: Cause
    before: frozenset[ExecutionStatus | None]
    after: frozenset[ExecutionStatus]
    when: str

    def pairs(self) -> Iterator[tuple[ExecutionStatus | None, ExecutionStatus]]:
        """Each change of status that the transition allows."""
        return ((before, after) for before in self.before for after in self.after)


def _transition(cause: Cause, before: frozenset[ExecutionStatus] | None, after: frozenset[ExecutionStatus], when: str) -> Transition:
    return Transition(cause, frozenset({None}) if before is None else frozenset(before), after, when)


TRANSITIONS: Final = (
    _transition("start", None, frozenset({PENDING}), "a caller, or a turn of its parent, starts it"),
    _transition("turn", CLAIMABLE, TURN, "the worker that owns it commits a turn"),
    _transition("cancel", frozenset(LIVE) - {PARKED}, frozenset({CANCELLING}), "a cancel is stored; a parked execution stays parked"),
    _transition("cancel before the first turn", UNBEGUN, frozenset({CANCELLED}), "a cancel is stored and no worker owns it"),
    _transition("park", CLAIMABLE, frozenset({PARKED}), "its code does not fit, or killed its worker, or no worker has it"),
    _transition("retry_rollback", frozenset({COMPENSATION_FAILED}), frozenset({RUNNING}), "an operator has the undos tried again"),
    _transition("rewrite", frozenset(STATUSES), TURN, "an operator has an edited history made its next number; a paused one stays paused"),
    _transition("pause", CLAIMABLE - {CANCELLING}, frozenset({PAUSED}), "an operator holds it back"),
    _transition("resume", frozenset({PAUSED}), frozenset({PENDING, RUNNING, PARKED}), "an operator lets it go on"),
    _transition("queue", frozenset({*FINAL, PARKED}), frozenset({PENDING}), "it goes on in a queue, and has to wait for a place there"),
    _transition("restart", FINAL, frozenset({PENDING}), "a start names its status in restart=, or a child's next attempt begins"),
)
ALLOWED: Final = frozenset(pair for transition in TRANSITIONS for pair in transition.pairs())
"""Each change of status that a store may make, as (before, after)."""
