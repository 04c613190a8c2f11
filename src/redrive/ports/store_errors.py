"""The errors of a store."""

from __future__ import annotations

from redrive_interpreter.errors import RedriveError


class StoreError(RedriveError):
    """The store cannot do it. *retry_helps* says whether the same call may work later."""

    def __init__(self, problem: str, *, retry_helps: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.retry_helps = problem, retry_helps


class LostClaim(StoreError):
    """Another worker owns the execution now; nothing was written."""


class Stale(StoreError):
    """The turn was computed from less than the store knows; nothing was written. Reload and compute it again."""


class Overdue(Stale):
    """The store's clock has reached the execution's deadline, and the turn does not take it; nothing was written."""


class UnusableStore(StoreError):
    """The database is not one of ours, is damaged, or has another schema; says which file and what to do."""
