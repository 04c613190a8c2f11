"""The rules of claims: which executions a worker may take, in which order, and what a dead worker leaves.

1.  An execution is *due* once its ``wake_us`` has come, if nobody owns it.
2.  A worker may claim what is due, of a workflow that it lists, unless its build has parked it. A worker that has room for turns
    only leaves what wants nothing but a body (`wants_a_body`). Those due longest come first.
3.  What its build parked it may *retry* once it is due and the park opens for it (`parking`); those parked longest come first.
    A quarter of a claim's limit, one at least, is kept for these, and they get what the others leave.
4.  What is due and of a workflow that no live worker lists is parked for everybody, unless it is parked already.
5.  A worker lives until its lease has passed, and a lease ends no later than its length from now: if the clock goes back,
    nobody lives longer for it. A store may know better from evidence (`redrive.ports.liveness`).
6.  The executions of a dead worker lose their owner. If one was due, its recoveries and the deaths of the worker's
    build rise by one; a worker that comes back takes its deaths back.

Stores look for candidates by indexes of their own; `choose` says which of all executions they have to find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import attrs

from redrive.ports.store import Claim
from redrive.status import PARKED, PENDING, RUNNING
from redrive.stores.ledger.parking import Deaths, reserved, trials

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from redrive.stores.ledger.parking import Parked


class Identified(Protocol):
    """The columns of an execution that a claim shows."""

    @property
    def id(self) -> str: ...
    @property
    def workflow(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def recoveries(self) -> int: ...


class Candidate(Protocol):
    """An execution that may be claimed, as the rules see it."""

    @property
    def workflow(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def owner(self) -> str | None: ...
    @property
    def wake_us(self) -> int | None: ...
    @property
    def deadline_us(self) -> int | None: ...
    @property
    def parks(self) -> Mapping[str, Parked]:
        """By build."""
        ...

    @property
    def has_messages(self) -> bool: ...
    @property
    def has_cancel(self) -> bool:
        """True if a cancel lies in the inbox."""
        ...


C = TypeVar("C", bound=Candidate)


@attrs.frozen(kw_only=True)
class Claimant:
    """A worker that claims. The store first heard of it at *started_us*; of *turns_only* it runs no bodies."""

    worker: str
    build: str
    workflows: frozenset[str]
    started_us: int = 0
    turns_only: frozenset[str] = frozenset()


@attrs.frozen
class Found:
    """The columns of an execution that is to be claimed, as it was before. *rested*: the fence under which its owner gave it back
    at rest."""

    id: str
    workflow: str
    run: str
    number: int
    length: int
    fence: int
    recoveries: int
    rested: int = 0
    in_family: bool = False
    queue: str | None = None
    partition: str = ""


def claim_of(execution: Identified, worker: str, fence: int) -> Claim:
    """The claim of *worker* to an execution that nobody has parked or died of."""
    return Claim(
        id=execution.id,
        worker=worker,
        fence=fence,
        workflow=execution.workflow,
        run=execution.run,
        number=execution.number,
        length=execution.length,
        recoveries=execution.recoveries,
    )


def claim_found(found: Found, worker: str, deaths: Deaths | None = None, parked: Parked | None = None) -> Claim:
    """The claim by which *worker* takes what it *found*; *deaths* and *parked* are those of its build."""
    tried = trials(found.number, found.length, deaths, parked)
    return attrs.evolve(
        claim_of(found, worker, found.fence + 1),
        deaths=tried.deaths,
        tries=tried.tries,
        parked=tried.parked,
        at_rest=found.rested == found.fence > 0,
        in_family=found.in_family,
        queue=found.queue,
        partition=found.partition,
    )


# ── what a worker may take ──────────────────────────────────────────────────────────────────────
def is_due(execution: Candidate, now_us: int) -> bool:
    return execution.owner is None and execution.wake_us is not None and execution.wake_us <= now_us


def wants_a_body(execution: Candidate, now_us: int) -> bool:
    """True if all that is due is a body, or a first turn: no message, no deadline."""
    if execution.deadline_us is not None and execution.deadline_us <= now_us:
        return False
    if execution.status == PENDING:
        return not execution.has_cancel
    return execution.status == RUNNING and not execution.has_messages


def fits(claimant: Claimant, execution: Candidate) -> bool:
    """True if *claimant* may claim *execution* when it is due."""
    return execution.workflow in claimant.workflows and claimant.build not in execution.parks


def may_claim(claimant: Claimant, execution: Candidate, now_us: int) -> bool:
    if not is_due(execution, now_us) or not fits(claimant, execution):
        return False
    return execution.workflow not in claimant.turns_only or not wants_a_body(execution, now_us)


def retry_us(claimant: Claimant, execution: Candidate) -> int | None:
    """When *claimant* may retry what its build has parked; None: it has not, or the claimant may not."""
    parked = execution.parks.get(claimant.build)
    if parked is None or execution.owner is not None or execution.wake_us is None or execution.workflow not in claimant.workflows:
        return None
    opens_us = parked.opens_us(claimant.worker, claimant.started_us)
    return None if opens_us == float("inf") else max(int(opens_us), execution.wake_us)


def is_unlisted(execution: Candidate, listed: frozenset[str], now_us: int) -> bool:
    """True if *execution* is to be parked for everybody; *listed*: the workflows that live workers list."""
    return is_due(execution, now_us) and execution.status != PARKED and execution.workflow not in listed


def longest_parked(claimant: Claimant, executions: Iterable[C], now_us: int) -> list[C]:
    """Of *executions* those that *claimant* may retry now, the longest parked first."""
    ready = [one for one in executions if (at := retry_us(claimant, one)) is not None and at <= now_us]
    return sorted(ready, key=lambda one: one.parks[claimant.build].parked_us)


def kept_for_retries(limit: int, retries: int, ready: Sequence[object]) -> int:
    """How many of a claim's *limit* are kept for those that are *ready* to be retried."""
    return min(reserved(limit, retries), len(ready))


def choose(claimant: Claimant, executions: Iterable[C], now_us: int, limit: int, retries: int) -> tuple[list[C], list[C]]:
    """Of all *executions*, those that *claimant* takes since they are due, and those that it retries, in their order."""
    every = list(executions)
    ready = longest_parked(claimant, every, now_us)[:retries]
    due = sorted((one for one in every if may_claim(claimant, one, now_us)), key=lambda one: one.wake_us or 0)
    due = due[: limit - kept_for_retries(limit, retries, ready)]
    return due, ready[: limit - len(due)]


def next_wake(claimant: Claimant, executions: Iterable[Candidate], dead: frozenset[str], *, retries: bool) -> int | None:
    """When `choose` is next worth a call; *dead* workers own nothing any more. With *retries*, also for what it may retry."""
    wakes: list[int | None] = []
    for one in executions:
        if (one.owner is None or one.owner in dead) and fits(claimant, one):
            wakes.append(one.wake_us)
        if retries:
            wakes.append(retry_us(claimant, one))
    return min((us for us in wakes if us is not None), default=None)


# ── workers that die ────────────────────────────────────────────────────────────────────────────
class Mortal(Protocol):
    """An execution whose owner died, as the rules see it."""

    @property
    def number(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def wake_us(self) -> int | None: ...
    @property
    def recoveries(self) -> int: ...


@attrs.frozen
class Expired:
    """An execution after its owner's death; *deaths* are those of the owner's build."""

    recoveries: int
    deaths: Deaths | None


def lease_end(expires_us: int, lease_us: int, now_us: int) -> int:
    return min(expires_us, now_us + lease_us)


def expire(execution: Mortal, deaths: Deaths | None, worker: str, now_us: int) -> Expired:
    """Take *execution* from *worker*, its owner, which has died; *deaths* are those of the worker's build so far."""
    if execution.wake_us is None or execution.wake_us > now_us:
        return Expired(execution.recoveries, deaths)
    before = Deaths(number=execution.number, length=execution.length, count=0) if deaths is None else deaths
    return Expired(execution.recoveries + 1, before.one_more(execution.number, execution.length, worker))


def take_back(deaths: Deaths, worker: str) -> Deaths:
    """*deaths* after *worker* came back: it was not dead."""
    if deaths.worker != worker or not deaths.count:
        return deaths
    return attrs.evolve(deaths, count=deaths.count - 1, worker=None)
