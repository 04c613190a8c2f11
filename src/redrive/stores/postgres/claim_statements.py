"""Claims: who owns what, and until when; all times are the server's.

1.  A worker's heartbeat comes before the dead are buried: a late one keeps the executions that no other worker has taken.
2.  An owner that no row of `workers` knows is dead, too.
3.  Parked executions have an index of their own, which is looked into only after something was parked (the counter
    `parks`), or by a build that has not looked yet: ten thousand of them cost a claim nothing.
4.  What was due stays so when the clock goes back: the first claim since then sees to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import attrs

from redrive.ports.parks import NewPark
from redrive.ports.store import NO_ROOM, Claim
from redrive.stores.change_notifier import WORK
from redrive.stores.common import nobody_has
from redrive.stores.ledger.claim_rules import Found, claim_found
from redrive.stores.ledger.parking import Deaths, Parked, reserved
from redrive.stores.postgres import park_statements
from redrive.stores.postgres.admission_statements import admit, next_admission, recheck
from redrive.stores.postgres.limits import LONG
from redrive.stores.postgres.parameters import SEPARATOR, from_text, maybe_text, numbers, to_text
from redrive.stores.postgres.session import Cursor, Session, Sessions
from redrive.stores.postgres.session_witness import Evidence, Witness, WorkerRow

_EVER: Final = 2**62


@attrs.define(eq=False)
class Memo:
    """Facts that a store remembers to save itself a look; may be forgotten at any time."""

    latest_us: int = 0
    """The latest time that was seen."""
    nothing_parked: dict[tuple[str, tuple[str, ...]], int] = attrs.Factory(dict[tuple[str, tuple[str, ...]], int])
    """By build and workflows: the count of parks at which nothing parked was claimable for them."""
    nothing_to_retry: dict[str, int] = attrs.Factory(dict[str, int])
    """By build: the count of parks at which it had parked nothing."""

    rechecked_us: int = 0
    """When lanes and tickets were last looked at again."""
    evidence: dict[str, Evidence] = attrs.Factory(dict[str, Evidence])
    """By worker: what its claims show of it. The one thing here that is not to be forgotten."""
    witness: Witness = attrs.Factory(Witness)

    def saw(self, now_us: int) -> None:
        self.latest_us = max(self.latest_us, now_us)


@attrs.define(eq=False)
class Claiming:
    """One call of `claim`."""

    session: Session
    memo: Memo
    worker: str
    lease_us: int
    build: str
    workflows: tuple[str, ...]
    limit: int
    holds: Sequence[str] | None
    retries: int = 0
    turns_only: frozenset[str] = frozenset()
    room: Mapping[str, int] = NO_ROOM
    now_us: int = 0
    news: int = 0
    expired: list[tuple[str, str]] = attrs.Factory(list[tuple[str, str]])
    """Whom this call has found dead, and why."""
    unlisted: list[tuple[str, int, list[str]]] = attrs.Factory(list[tuple[str, int, list[str]]])
    """What was parked because no live worker lists its workflow: the workflow, how many, and some of their ids."""
    parks: bool = False
    """Whether something parked may have become claimable."""

    async def run(self) -> list[Claim]:
        session, worker = self.session, to_text(self.worker)
        # What was seen before the time is asked for is earlier, unless the clock went back.
        seen_us = self.memo.latest_us
        beat = await session.run("latest_beat")
        now = await session.run("now")
        latest_us = max(seen_us, (await beat.fetchall())[0][0])
        ((self.now_us,),) = await now.fetchall()
        session.allow(LONG)  # it answers: what a dead worker owned may be much
        # The owners first: the row of a worker that owned something by then is still there, unless the worker has left.
        found_owners = await session.run("owners")
        beaten = await self._beat()
        found_workers = await session.run("workers")
        found_due = await session.run("due_workflows")
        found_parks = await session.run("parks")
        owners = {owner for (owner,) in await found_owners.fetchall()}
        is_new = await beaten.fetchall() == [(True,)]
        workers = [WorkerRow(*row) for row in await found_workers.fetchall()]
        due = await _names(found_due)
        ((parks,),) = await found_parks.fetchall()

        self.memo.latest_us = self.now_us
        if latest_us > self.now_us:
            await session.run("keep_due", self.now_us, latest_us)
            await session.run("clock_went_back", self.now_us)
            workers = [WorkerRow(*row) for row in await (await session.run("workers")).fetchall()]
        dead = await self._expire(owners, workers)
        if self.news:  # the executions of the dead have no owner now
            due = await _names(await session.run("due_workflows"))
        if is_new:
            await session.run("take_back_deaths", worker)
        if self.holds is not None:
            await session.run("let_go", worker, SEPARATOR.join(map(to_text, self.holds)))
            self.parks = True
        listed = [json.loads(row.workflows) for row in workers if row.id not in dead]
        await self._park_unlisted(due, frozenset(name for names in listed for name in names))
        claims = await self._take(parks)
        if self.parks:
            await session.run("raise_parks")
        return claims

    async def _beat(self) -> Cursor:
        listing = json.dumps(sorted(self.workflows))
        shown = self.memo.evidence.get(self.worker)
        evidence = (None, None, 0, None) if shown is None else (shown.life, shown.server_us, shown.stall_us, shown.text)
        return await self.session.run(
            "heartbeat", to_text(self.worker), self.now_us, self.lease_us, to_text(self.build), listing, *evidence, self._served
        )

    @property
    def _served(self) -> str:
        return json.dumps(sorted(self.room)) if self.room else "[]"

    @property
    def kept(self) -> int:
        """How many of its limit are kept for what it admits."""
        return reserved(self.limit, sum(self.room.values())) if self.room else 0

    async def admit(self, session: Session, limit: int) -> list[Claim]:
        """Admit up to *limit* from the worker's queues, and claim what it has the code of.

        In a transaction of its own: queues and lanes are locked first.
        """
        if self.now_us - self.memo.rechecked_us >= self.lease_us or self.now_us < self.memo.rechecked_us:
            self.memo.rechecked_us = self.now_us
            await recheck(session, self.room)
        admitted = await admit(session, self.room, limit)
        if not admitted:
            return []
        self.news |= WORK
        names = SEPARATOR.join(map(to_text, self.workflows))
        asked = to_text(self.worker), names, _EVER, to_text(self.build), numbers(admitted)
        rows = sorted(await (await session.run("claim_admitted", *asked)).fetchall())
        return [self._claim(*row[1:]) for row in rows]

    async def _expire(self, owners: set[str], workers: Sequence[WorkerRow]) -> set[str]:
        """Disown what the dead had; who they are, also those whom another one is just burying."""
        dead = [(owner, "") for owner in owners - {row.id for row in workers}]
        me, witness, found = to_text(self.worker), self.memo.witness, set[str]()
        for row in workers:
            if row.id == me:
                continue
            if witness.is_dead(row):
                buried, why = await self.session.run("expire_dead", row.id, row.life), "its session has ended, and it is not back"
            elif row.expires_us <= self.now_us and not witness.may_stall(row, self.now_us):
                buried, why = await self.session.run("expire", row.id, self.now_us), "its lease has passed"
            else:
                continue
            found.add(row.id)
            witness.forget(row)
            for name, build in await buried.fetchall():
                dead.append((name, build))
                self.expired.append((from_text(name), why))
        if dead:
            ids, builds = SEPARATOR.join(id for id, _ in dead), SEPARATOR.join(build for _, build in dead)
            await self.session.run("disown_dead", ids, self.now_us, builds)
            await self.session.run("forget_old_deaths")
            self.parks = True
            self.news |= WORK
        return found

    async def _park_unlisted(self, due: Sequence[str], listed: frozenset[str]) -> None:
        for workflow in due:
            name = from_text(workflow)
            if name not in listed:
                parked = await self.session.run("park_due", workflow, self.now_us, to_text(nobody_has(name)))
                ((count, ids, placed),) = await parked.fetchall()
                if placed:
                    await self.session.run("idle_tickets", placed)
                if count:
                    self.parks = True
                    self.unlisted.append((name, count, [from_text(id) for id in ids.split(SEPARATOR)]))

    async def _take(self, parks: int) -> list[Claim]:
        claims, memo = list[tuple[int, Claim]](), self.memo
        wanted = self.limit - self.kept
        share = reserved(wanted, self.retries)
        nothing_parked = not self.parks and memo.nothing_parked.get((self.build, self.workflows)) == parks
        nothing_to_retry = not self.parks and memo.nothing_to_retry.get(self.build) == parks
        retried = [] if nothing_to_retry else await self._ask("claim_retries", share)
        limit = wanted - len(retried)
        if not nothing_parked:
            claims += await self._ask("claim_parked", limit)
        claims += await self._ask("claim_due", limit - len(claims), but=self.turns_only)
        if self.turns_only:
            claims += await self._ask("claim_turns", limit - len(claims), but=frozenset(self.workflows) - self.turns_only)
        if share and not nothing_to_retry and not retried:
            await self.session.run("forget_old_parks", to_text(self.build))
        elif share and len(retried) == share:
            retried += await self._ask("claim_retries", min(self.retries - share, limit - len(claims)))
        return [claim for found in (claims, retried) for _, claim in sorted(found, key=lambda claim: claim[0])]

    async def _ask(self, query: str, limit: int, *, but: frozenset[str] = frozenset()) -> list[tuple[int, Claim]]:
        if limit <= 0:
            return []
        names = SEPARATOR.join(to_text(name) for name in self.workflows if name not in but)
        rows = await self.session.run(query, to_text(self.worker), names, self.now_us, to_text(self.build), limit)
        return [(row[0], self._claim(*row[1:])) for row in await rows.fetchall()]

    def _claim(
        self,
        id: str,
        workflow: str,
        run: str,
        number: int,
        length: int,
        fence: int,
        recoveries: int,
        rested: int,
        in_family: bool,
        queue: str | None,
        partition: str | None,
        kind: Any,
        tries: int,
        *died: Any,
    ) -> Claim:
        deaths = None if died[0] is None else Deaths(number=died[0], length=died[1], count=died[2], parks=died[3])
        parked = None if kind is None else Parked(kind=kind, reason="", parked_us=0, tries=tries)
        it = Found(from_text(id), from_text(workflow), from_text(run), number, length, fence, recoveries, rested, in_family)
        it = it if queue is None else attrs.evolve(it, queue=from_text(queue), partition=from_text(partition or ""))
        return claim_found(it, self.worker, deaths, parked)


async def _names(found: Cursor) -> list[str]:
    return [name for (name,) in await found.fetchall()]


async def release(sessions: Sessions, claims: Sequence[Claim], parked: NewPark | None, at_rest: bool) -> None:
    if not claims:
        return
    ids = SEPARATOR.join(to_text(claim.id) for claim in claims)
    fences = ",".join(str(claim.fence) for claim in claims)
    owners = SEPARATOR.join(to_text(claim.worker) for claim in claims)
    if parked is None:
        await sessions.rows("release", ids, fences, owners, at_rest)
    else:
        await sessions.transact(partial(park_statements.park, new=parked, claims=(ids, fences, owners)))


async def deregister_worker(session: Session, worker: str) -> None:
    await (await session.run("now")).fetchall()
    session.allow(LONG)  # it answers: what the worker owns may be much
    # In this order, as who buries the dead.
    await session.run("remove_worker", to_text(worker))
    await session.run("disown", to_text(worker))
    await session.run("raise_parks")


async def next_wake(
    sessions: Sessions, memo: Memo, workflows: tuple[str, ...], build: str, worker: str | None, queues: Sequence[str] = ()
) -> int | None:
    key = (build, workflows)
    names = SEPARATOR.join(map(to_text, workflows))
    seen = memo.nothing_parked.get(key, -1)
    ((now_us, due_us, orphans_us, count, parked_us, has_parked, retry_us),) = await sessions.rows(
        "next_wake", names, to_text(build), seen, maybe_text(worker), memo.nothing_to_retry.get(build, -1)
    )
    memo.saw(now_us)
    if parked_us is None:
        # None where nothing parked is claimable, or where it was so at this count already.
        memo.nothing_parked[key] = count
    if has_parked is False:
        memo.nothing_to_retry[build] = count
    if worker is None:
        retry_us = None
    admission_us = await next_admission(sessions, queues) if queues else None
    return min((us for us in (due_us, orphans_us, parked_us, retry_us, admission_us) if us is not None), default=None)
