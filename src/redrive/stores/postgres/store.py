"""The PostgreSQL store: a pool of connections, groups of plain writes, and one connection that listens."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import attrs

from redrive.home import Place
from redrive.ports.answer import Answer
from redrive.ports.ends import End
from redrive.ports.inside import AsyncCursor, Cursor, Standing
from redrive.ports.parks import NewPark
from redrive.ports.store import (
    NO_ROOM,
    ChangeCounts,
    Claim,
    ClaimedState,
    CommitResult,
    Event,
    Json,
    LostClaim,
    Message,
    NewExecution,
    NewMessage,
    Snapshot,
    StartResult,
    StoreError,
    Turn,
)
from redrive.ports.workers import KnownWorker
from redrive.stores.change_notifier import WORK, ChangeNotifier
from redrive.stores.common import log_unlisted
from redrive.stores.ledger.reach import AskedStart, AskedTurn
from redrive.stores.postgres import claim_statements as owning
from redrive.stores.postgres import (
    event_statements,
    inbox_statements,
    read_statements,
    start_statements,
    transactional_start,
    turn_statements,
)
from redrive.stores.postgres.address import Address, parse
from redrive.stores.postgres.connection_pool import check, connect, make_pool, parameters
from redrive.stores.postgres.fast_statements import (
    AskedSend,
    is_plain,
    size_of,
    write_queued_starts,
    write_signals,
    write_starts,
    write_turns,
)
from redrive.stores.postgres.find_statements import FindsInPostgres
from redrive.stores.postgres.groups import Group, Job
from redrive.stores.postgres.inbox_statements import Mailbox
from redrive.stores.postgres.kept_verbs import KeptVerbs
from redrive.stores.postgres.limits import MIGRATE_WITHIN, limited
from redrive.stores.postgres.notifications import News
from redrive.stores.postgres.parameters import from_us, maybe_from_us, to_key
from redrive.stores.postgres.postgres_errors import as_store_error
from redrive.stores.postgres.queries import queries
from redrive.stores.postgres.queue_mixin import QueueVerbs
from redrive.stores.postgres.schema import bring_up_to_date
from redrive.stores.postgres.schema_purging import PurgesPostgres
from redrive.stores.postgres.schema_rewrites import PostgresRewrites
from redrive.stores.postgres.schema_schedules import PostgresSchedules
from redrive.stores.postgres.session import FAILURES, Session, Sessions
from redrive.stores.postgres.session_lifeline import PostgresLifeline
from redrive.stores.postgres.session_witness import Evidence

log: Final = logging.getLogger("redrive.stores.postgres")
_MICROSECOND: Final = timedelta(microseconds=1)
_LANES: Final = 2
"""Groups of turns at a time: one is computed here while the server writes the other."""
_ALONE: Final = 2
"""Starts that wait for a transaction of the user's at a time: others have connections left."""
_LOADS_AT_ONCE: Final = 50
"""Histories in one answer: some are long."""
_READS_AT_ONCE: Final = 200
_CLOSE_WITHIN: Final = 5.0
"""Seconds for what was asked before the store was closed."""


def _size_of_start(new: NewExecution, first: Turn | None) -> int:
    return len(new.input) + len(new.started) + (0 if first is None else size_of(first))


async def _read(session: Session, jobs: Sequence[Job[str]]) -> Sequence[tuple[Snapshot | None]]:
    return await read_statements.read_all(session, [job.asked for job in jobs])


async def _load(session: Session, jobs: Sequence[Job[Claim]]) -> Sequence[ClaimedState | LostClaim]:
    return await read_statements.load_all(session, [job.asked for job in jobs])


@attrs.frozen(eq=False)
class _Opened:
    sessions: Sessions
    news: News
    mailbox: Mailbox
    turns: Group[AskedTurn]
    long_turns: Group[AskedTurn]
    loads: Group[Claim]
    starts: Group[AskedStart]
    queued_starts: Group[AskedStart]
    long_starts: Group[AskedStart]
    signals: Group[AskedSend]
    reads: Group[str]
    place: Place
    alone: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(_ALONE))


class PostgresStore(FindsInPostgres, PurgesPostgres, PostgresRewrites, PostgresSchedules, QueueVerbs, KeptVerbs):
    """A `Store` in the PostgreSQL database at *url*, in a schema of its own; used on the event loop that opened it.

    Besides libpq's, the URL takes ``schema=`` (``redrive``), ``migrate=false`` (tables are neither created nor changed),
    ``pgbouncer=true`` (the server's sessions keep nothing between transactions) and ``connections=`` (6, at most).
    Raises ValueError for a URL that says something else.
    """

    def __init__(self, url: str) -> None:
        self.address: Address = parse(url)
        parameters(self.address)
        self._notifier = ChangeNotifier()
        self._memo = owning.Memo()
        self._serial = itertools.count()
        self._only_asks = False
        self._state: _Opened | None = None

    def only_ask(self) -> None:
        """See `OnlyAsks`."""
        self._only_asks = True
        self.address = attrs.evolve(self.address, migrate=False)

    async def open(self) -> None:
        if self._state is not None:
            return
        address = self.address
        try:
            connection = await connect(address)
            try:
                with limited(connection) as limit:
                    await check(connection, address)
                    limit.allow(MIGRATE_WITHIN)  # it answers
                    await bring_up_to_date(connection, address)
            finally:
                await connection.close()
        except FAILURES as error:
            raise as_store_error(error, address.shown) from error
        sessions = Sessions(make_pool(address), queries(address.schema), address)
        await sessions.pool.open()
        news = News(sessions, self._notifier, only_asks=self._only_asks)
        try:
            await news.open()
        except BaseException as error:
            await news.close()
            await sessions.pool.close()
            if isinstance(error, FAILURES):
                raise as_store_error(error, address.shown) from error
            raise
        self._state = _Opened(
            sessions=sessions,
            news=news,
            mailbox=Mailbox(sessions),
            turns=Group(sessions, partial(write_turns, told=self._told), self._commit_long, lanes=_LANES),
            long_turns=Group(sessions, self._write_long, self._commit_alone, lanes=1),
            loads=Group(sessions, _load, self._load_alone, lanes=1, most=_LOADS_AT_ONCE),
            starts=Group(sessions, partial(write_starts, told=self._told), self._start_long, lanes=1, impatient=True),
            queued_starts=Group(sessions, partial(write_queued_starts, told=self._told), self._start_long, lanes=1, impatient=True),
            long_starts=Group(sessions, self._write_long_starts, self._start_alone, lanes=1),
            signals=Group(sessions, partial(write_signals, told=self._told), self._send_alone, lanes=1),
            reads=Group(sessions, _read, self._read_alone, lanes=1, most=_READS_AT_ONCE),
            place=Place("this store"),
        )

    async def close(self) -> None:
        state = self._state
        if state is None:
            return
        state.place.check()
        groups = (
            state.turns,
            state.long_turns,
            state.loads,
            state.starts,
            state.queued_starts,
            state.long_starts,
            state.signals,
            state.reads,
        )
        late = asyncio.get_running_loop().call_later(_CLOSE_WITHIN, self._refuse, groups)
        try:
            for group in groups:
                await group.close()
            await state.news.close()
        finally:
            late.cancel()
        if self._state is state:
            self._state = None
            await state.sessions.close()

    def _refuse(self, groups: Sequence[Group[Any]]) -> None:
        for group in groups:
            group.refuse(StoreError(f"{self.address.shown}: the store is being closed, and does not answer"))

    @property
    def _open(self) -> _Opened:
        if self._state is None:
            raise StoreError(f"{self.address.shown}: the store is not open")
        self._state.place.check()
        return self._state

    @property
    def _sessions(self) -> Sessions:
        return self._open.sessions

    def _told(self, now_us: int, news: int) -> None:
        """Take note of what was written, when, and whom it concerns."""
        self._memo.saw(now_us)
        if self._state is not None:
            self._state.news.tell(news)

    async def now(self) -> datetime:
        ((now_us,),) = await self._open.sessions.rows("now")
        return from_us(now_us)

    # ── from outside ────────────────────────────────────────────────────────────────────────────
    async def start(self, new: NewExecution, *, claim_for: str | None = None, first: Turn | None = None) -> StartResult:
        asked: AskedStart = (new, claim_for, None if claim_for is None else first)
        plain = new.first_message is None and new.creator is None and not (new.history or new.searchable)
        if new.queue is not None and plain and new.dedup is None:
            queued: StartResult = await self._open.queued_starts.do((new, None, None), new.id, _size_of_start(new, None))
            return queued
        plain = plain and new.queue is None
        if plain and (first is None or (is_plain(first) and first.attributes is None)):
            begun: StartResult = await self._open.starts.do(asked, new.id, _size_of_start(new, first))
            return begun
        return await self._start_long(asked)

    async def _start_long(self, asked: AskedStart) -> StartResult:
        new, _, first = asked
        begun: StartResult = await self._open.long_starts.do(asked, new.id, _size_of_start(new, first))
        return begun

    async def _start_alone(self, asked: AskedStart) -> StartResult:
        async def run() -> tuple[list[StartResult | None], int, int]:
            async with self._open.alone, self._open.sessions.session() as session:
                return await session.transact(partial(start_statements.start_all, asked=[asked]))

        (begun,), news, now_us = await self._open.sessions.patiently(run)
        self._told(now_us, news)
        assert begun is not None
        return begun

    async def _write_long_starts(self, session: Session, jobs: Sequence[Job[AskedStart]]) -> Sequence[StartResult | None]:
        answers, news, now_us = await session.transact(partial(start_statements.start_all, asked=[job.asked for job in jobs]))
        self._told(now_us, news)
        return answers

    def start_in(self, cursor: Cursor, new: NewExecution) -> Standing | None:
        """See `StartsInside`. The store need not be open, and *cursor* may be of any driver: it must be of the same database."""
        return transactional_start.start_in(cursor, self.address.schema, new)

    async def start_in_async(self, cursor: AsyncCursor, new: NewExecution) -> Standing | None:
        """See `StartsInside`: the same on the caller's event loop."""
        return await transactional_start.start_in_async(cursor, self.address.schema, new)

    async def send(self, id: str, message: NewMessage) -> bool:
        if message.kind == "signal":
            key = next(self._serial) if message.dedup is None else (id, to_key(message.dedup))
            landed: bool = await self._open.signals.do((id, message), key, len(message.data))
            return landed
        return await self._send_alone((id, message))

    async def _send_alone(self, asked: AskedSend) -> bool:
        async def run(session: Session) -> tuple[bool, int, int]:
            return await inbox_statements.send(session, *asked)

        landed, news, now_us = await self._open.sessions.transact(run)
        self._told(now_us, news)
        return landed

    # ── for workers ─────────────────────────────────────────────────────────────────────────────
    async def claim(
        self,
        worker: str,
        lease: timedelta,
        build: str,
        workflows: Sequence[str],
        limit: int,
        *,
        holds: Sequence[str] | None = None,
        retries: int = 0,
        turns_only: Sequence[str] = (),
        room: Mapping[str, int] = NO_ROOM,
    ) -> Sequence[Claim]:
        async def run(session: Session) -> tuple[list[Claim], owning.Claiming]:
            asked = worker, lease // _MICROSECOND, build, tuple(workflows), limit, holds, retries, frozenset(turns_only), room
            claiming = owning.Claiming(session, self._memo, *asked)
            return await claiming.run(), claiming

        claims, claiming = await self._open.sessions.transact(run)
        if claiming.kept and len(claims) < limit:
            claims += await self._open.sessions.transact(partial(claiming.admit, limit=limit - len(claims)))
        self._told(0, claiming.news)
        for buried, why in claiming.expired:
            log.warning("worker %s is taken for dead: %s", buried, why)
        for parked in claiming.unlisted:
            log_unlisted(log, *parked)
        return claims

    def lifeline(self, worker: str, lease: timedelta, max_stall: timedelta) -> PostgresLifeline:
        """See `HasLifelines`."""
        return PostgresLifeline(self.address, worker, lease, max_stall, self._memo.witness, self._show)

    def _show(self, worker: str, evidence: Evidence | None) -> None:
        if evidence is None:
            self._memo.evidence.pop(worker, None)
        else:
            self._memo.evidence[worker] = evidence

    async def load(self, claim: Claim) -> ClaimedState:
        loaded: ClaimedState = await self._open.loads.do(claim, claim)
        return loaded

    async def _load_alone(self, claim: Claim) -> ClaimedState | LostClaim:
        async def run() -> ClaimedState | LostClaim:
            async with self._open.sessions.session() as session:
                return (await read_statements.load_all(session, [claim]))[0]

        return await self._open.sessions.patiently(run)

    def commit(self, claim: Claim, turn: Turn) -> Answer[CommitResult]:
        group = self._open.turns if is_plain(turn) else self._open.long_turns
        return group.do((claim, turn), claim.id, size_of(turn))

    async def _commit_long(self, asked: AskedTurn) -> CommitResult:
        claim, turn = asked
        committed: CommitResult = await self._open.long_turns.do(asked, claim.id, size_of(turn))
        return committed

    async def _commit_alone(self, asked: AskedTurn) -> CommitResult:
        (answer,), news, now_us = await self._open.sessions.transact(partial(turn_statements.commit_all, asked=[asked]))
        self._told(now_us, news)
        if isinstance(answer, StoreError):
            raise answer
        assert answer is not None
        return answer

    async def _write_long(self, session: Session, jobs: Sequence[Job[AskedTurn]]) -> Sequence[CommitResult | StoreError | None]:
        answers, news, now_us = await session.transact(partial(turn_statements.commit_all, asked=[job.asked for job in jobs]))
        self._told(now_us, news)
        return answers

    async def release(self, claims: Sequence[Claim], *, parked: NewPark | None = None, at_rest: bool = False) -> None:
        await owning.release(self._open.sessions, claims, parked, at_rest)
        self._told(0, WORK)

    async def poll_inboxes(self, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
        return await self._open.mailbox.poll_inboxes(worker, after)

    async def next_wake(
        self, workflows: Sequence[str], build: str = "", worker: str | None = None, queues: Sequence[str] = ()
    ) -> datetime | None:
        return maybe_from_us(await owning.next_wake(self._open.sessions, self._memo, tuple(workflows), build, worker, queues))

    async def deregister_worker(self, worker: str) -> None:
        await self._open.sessions.transact(partial(owning.deregister_worker, worker=worker))
        self._open.mailbox.forget(worker)
        self._told(0, WORK)

    # ── for readers ─────────────────────────────────────────────────────────────────────────────
    async def read(self, id: str) -> Snapshot | None:
        job = self._open.reads.do(id, next(self._serial))
        try:
            (found,) = await job
        except asyncio.CancelledError:
            job.over = True  # nobody waits for it
            raise
        snapshot: Snapshot | None = found
        return snapshot

    async def _read_alone(self, id: str) -> tuple[Snapshot | None]:
        async def run() -> tuple[Snapshot | None]:
            async with self._open.sessions.session() as session:
                return (await read_statements.read_all(session, [id]))[0]

        return await self._open.sessions.patiently(run)

    async def ends(self, ids: Sequence[str]) -> Sequence[End]:
        """See `ReadsEnds`."""
        return await read_statements.ends(self._open.sessions, ids)

    def _asking(self) -> tuple[Sessions, str]:
        return self._open.sessions, self.address.schema

    async def workers(self) -> Sequence[KnownWorker]:
        return await read_statements.workers(self._open.sessions)

    async def history(self, id: str, run: int = -1) -> Json:
        return await read_statements.history(self._open.sessions, id, run)

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    async def events(self, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[Event]]:
        return await event_statements.events(self._open.sessions, after, names, limit)

    async def take_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[Event]:
        return await event_statements.take_events(self._open.sessions, handler, event, worker, limit)

    async def events_done(self, handler: str, worker: str, through: int) -> None:
        await event_statements.events_done(self._open.sessions, handler, worker, through)

    async def wait_for_changes(self, timeout: float, since: ChangeCounts | None = None) -> ChangeCounts:
        return await self._notifier.wait(timeout, since)
