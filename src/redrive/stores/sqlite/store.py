"""The SQLite store: one writer thread, one reader thread, and a file that other processes may use as well."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal

from redrive.counting import counted
from redrive.home import Process
from redrive.ports.answer import Answer
from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.ends import End
from redrive.ports.finding import EVERYTHING, MOST_COUNTED, Behind, Count, FoundPage, StoredFilter
from redrive.ports.parks import NewPark
from redrive.ports.queue_port import PartitionState, QueueLimits, QueuePlace, QueueState, WorkflowQueue
from redrive.ports.rewrites import Audit, Hold, Rewrite
from redrive.ports.store import (
    NO_ROOM,
    ChangeCounts,
    Claim,
    ClaimedState,
    CommitResult,
    Event,
    Json,
    Message,
    NewExecution,
    NewMessage,
    Snapshot,
    StartResult,
    StoreError,
    Turn,
)
from redrive.ports.stored_schedules import Firing, LeftOut, StoredSchedule
from redrive.ports.workers import KnownWorker
from redrive.stores.change_notifier import ChangeNotifier
from redrive.stores.common import log_unlisted
from redrive.stores.sqlite import (
    aside_rows,
    event_rows,
    inbox_rows,
    queue_rows,
    read_rows,
    rewrite_rows,
    schedule_rows,
    search_rows,
    start_rows,
    turn_rows,
)
from redrive.stores.sqlite import claim_rows as owning
from redrive.stores.sqlite.column_values import from_us, maybe_from_us, to_us
from redrive.stores.sqlite.connection_threads import ConnectionThread, WriterThread
from redrive.stores.sqlite.database_file import connect
from redrive.stores.sqlite.file_lifeline import SQLiteLifeline
from redrive.stores.sqlite.file_purging import PurgesSQLite
from redrive.stores.sqlite.jobs import Memo
from redrive.stores.sqlite.lock_witness import Evidence
from redrive.stores.sqlite.transactions import Session

log: Final = logging.getLogger("redrive.stores.sqlite")
PATIENCE: Final = timedelta(seconds=10)
_MICROSECOND: Final = timedelta(microseconds=1)
_SHORT: Final = 65_536
"""Characters that can be written without holding up others."""
_FEW_ROWS: Final = 200
"""Rows of a history that can be read without holding up others."""


def _size(turn: Turn) -> int:
    size = sum(map(len, turn.rows))
    if not (turn.events or turn.outgoing or turn.children or turn.attributes or turn.outcome or turn.aside):
        return size
    others = [event.payload for event in turn.events] + [outgoing.message.data for outgoing in turn.outgoing]
    others += [child.execution.input + child.execution.started for child in turn.children]
    others += [one.data + one.error for one in turn.aside]
    return size + sum(map(len, others)) + len(turn.attributes or "") + len(turn.outcome or "")


def _wall_us() -> int:
    return time.time_ns() // 1000


class SQLiteStore(PurgesSQLite):
    """A `Store` in the SQLite file at *path*, which is created where it is missing, its directory not.

    With *synchronous* ``full``, the default, what was acknowledged survives power loss; with ``normal`` it survives
    the death of the process. A locked database or a full disk is tried again for *patience*. With *on_the_spot*, short
    reads and a few short writes at a time are done on the caller's thread while they take less than a millisecond;
    without, never.
    *clock* gives the time. A relative *path* is one from the folder that the process is in when the store is opened; *path* is absolute
    from then on.
    """

    def __init__(
        self,
        path: str,
        *,
        synchronous: Literal["full", "normal"] = "full",
        patience: timedelta = PATIENCE,
        on_the_spot: bool = True,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.path = path
        self._synchronous, self._patience, self._on_the_spot = synchronous, patience.total_seconds(), on_the_spot
        self._clock_us = _wall_us if clock is None else lambda: to_us(clock())
        self._notifier = ChangeNotifier(self._look_up)
        self._memo = Memo()
        self._threads: tuple[WriterThread, ConnectionThread] | None = None
        self._process = Process("this store")

    async def open(self) -> None:
        if self._threads is not None:
            return
        self._process = Process("this store")
        self._settle_path()
        reader = ConnectionThread(f"redrive reader {self.path}", partial(self._connect, "BEGIN"), on_the_spot=self._on_the_spot)
        writer = WriterThread(
            f"redrive writer {self.path}",
            partial(self._connect, "BEGIN IMMEDIATE"),
            self._notifier,
            on_the_spot=self._on_the_spot,
            reader=reader,
        )
        await writer.open()
        try:
            await reader.open()
        except BaseException:
            await writer.close()
            raise
        self._threads = (writer, reader)

    async def close(self) -> None:
        self._process.check()
        threads, self._threads = self._threads, None
        if threads is not None:
            # The writer last: the last connection to close brings the log into the database.
            await threads[1].close()
            await threads[0].close()

    def _settle_path(self) -> None:
        self.path = os.path.abspath(self.path)

    def _connect(self, begin: Literal["BEGIN", "BEGIN IMMEDIATE"]) -> Session:
        db = connect(self.path, synchronous=self._synchronous, patience=self._patience)
        return Session(db, self.path, begin=begin, clock_us=self._clock_us, memo=self._memo, patience=self._patience)

    @property
    def _writer(self) -> WriterThread:
        return self._open_threads()[0]

    @property
    def _reader(self) -> ConnectionThread:
        return self._open_threads()[1]

    def _open_threads(self) -> tuple[WriterThread, ConnectionThread]:
        if self._threads is None:
            raise StoreError(f"{self.path}: the store is not open")
        self._process.check()
        return self._threads

    async def now(self) -> datetime:
        return from_us(self._clock_us())

    # ── from outside ────────────────────────────────────────────────────────────────────────────
    async def start(self, new: NewExecution, *, claim_for: str | None = None, first: Turn | None = None) -> StartResult:
        size = len(new.input) + len(new.started) + (0 if first is None else _size(first))
        do = self._writer.do_soon if size < _SHORT else self._writer.do
        return await do(start_rows.start, new, claim_for, first)

    async def send(self, id: str, message: NewMessage) -> bool:
        do = self._writer.do_soon if len(message.data) < _SHORT else self._writer.do
        return await do(turn_rows.send, id, message)

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
        asked = worker, lease // _MICROSECOND, build, tuple(workflows), limit, holds, retries, frozenset(turns_only), room
        claims, expired, unlisted = await self._writer.do(owning.claim, *asked)
        for buried, fate, left in expired:
            log.warning(
                "worker %s is taken for dead: %s; it leaves %s with something to do", buried, fate.value, counted(left, "execution")
            )
        for parked in unlisted:
            log_unlisted(log, *parked)
        return claims

    def lifeline(self, worker: str, lease: timedelta, max_stall: timedelta) -> SQLiteLifeline:
        """See `HasLifelines`."""
        return SQLiteLifeline(self.path, self._synchronous, worker, lease, max_stall, self._clock_us, self._show)

    def _show(self, worker: str, evidence: Evidence | None) -> None:
        if evidence is None:
            self._memo.evidence.pop(worker, None)
        else:
            self._memo.evidence[worker] = evidence

    async def load(self, claim: Claim) -> ClaimedState:
        do = self._reader.do_at_once if claim.length < _FEW_ROWS else self._reader.do
        return await do(read_rows.load, claim)

    def commit(self, claim: Claim, turn: Turn) -> Answer[CommitResult]:
        do = self._writer.do_soon if _size(turn) < _SHORT else self._writer.do
        return do(turn_rows.commit, claim, turn)

    async def release(self, claims: Sequence[Claim], *, parked: NewPark | None = None, at_rest: bool = False) -> None:
        await self._writer.do(owning.release, claims, parked, at_rest)

    async def poll_inboxes(self, worker: str, after: int) -> tuple[int, Mapping[str, Sequence[Message]]]:
        return await self._reader.do_at_once(inbox_rows.poll_inboxes, worker, after)

    async def next_wake(
        self, workflows: Sequence[str], build: str = "", worker: str | None = None, queues: Sequence[str] = ()
    ) -> datetime | None:
        return maybe_from_us(await self._reader.do_at_once(owning.next_wake, build, tuple(workflows), worker, queues))

    async def deregister_worker(self, worker: str) -> None:
        await self._writer.do(owning.deregister_worker, worker)

    # ── queues ──────────────────────────────────────────────────────────────────────────────────
    async def declare(
        self, worker: str, build: str, queues: Mapping[str, QueueLimits | None], workflows: Mapping[str, WorkflowQueue]
    ) -> None:
        """See `KeepsQueues`, for this and the next."""
        await self._writer.do(queue_rows.declare, worker, build, queues, workflows)

    async def workflow_queue(self, workflow: str) -> WorkflowQueue | None:
        return await self._reader.do_at_once(queue_rows.workflow_queue, workflow)

    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueState]:
        return await self._reader.do(queue_rows.states, names)

    async def queue_partitions(self, queue: str, limit: int, after: str | None = None) -> Sequence[PartitionState]:
        return await self._reader.do(queue_rows.partitions, queue, limit, after)

    async def queue_place(self, id: str) -> QueuePlace | None:
        return await self._reader.do(queue_rows.place, id)

    async def limit_queue(self, queue: str, limits: QueueLimits | None) -> None:
        await self._writer.do(queue_rows.limit, queue, limits)

    async def pause_queue(self, queue: str, reason: str | None) -> None:
        await self._writer.do(queue_rows.pause, queue, reason)

    # ── for readers ─────────────────────────────────────────────────────────────────────────────
    async def read(self, id: str) -> Snapshot | None:
        return await self._reader.do_at_once(read_rows.snapshot, id)

    async def ends(self, ids: Sequence[str]) -> Sequence[End]:
        """See `ReadsEnds`."""
        return await self._reader.do_at_once(read_rows.ends, ids)

    async def find(self, filter: StoredFilter = EVERYTHING, *, after: str | None = None, limit: int = 100) -> FoundPage:
        return await self._reader.do(search_rows.find, filter, after, limit)

    async def count(self, filter: StoredFilter = EVERYTHING, by: str | None = None, most: int = MOST_COUNTED) -> Mapping[str, Count]:
        return await self._reader.do(search_rows.count, filter, by, most)

    async def behind(self, attribute: str | None, limit: int) -> Sequence[Behind]:
        return await self._reader.do(search_rows.behind, attribute, limit)

    async def catch_up(self, found: Sequence[tuple[Behind, tuple[str, ...]]]) -> None:
        await self._writer.do(search_rows.catch_up, found)

    async def workers(self) -> Sequence[KnownWorker]:
        return await self._reader.do(read_rows.workers)

    async def history(self, id: str, run: int = -1) -> Json:
        return await self._reader.do(read_rows.history, id, run)

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    async def events(self, after: int | None, names: Sequence[str], limit: int) -> tuple[int, Sequence[Event]]:
        return await self._reader.do(event_rows.events, after, names, limit)

    async def take_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[Event]:
        mine = await self._reader.do(event_rows.newer_events, handler, event, worker, limit)
        return mine if mine is not None else await self._writer.do(event_rows.take_events, handler, event, worker, limit)

    async def events_done(self, handler: str, worker: str, through: int) -> None:
        await self._writer.do(event_rows.events_done, handler, worker, through)

    # ── what operators do ───────────────────────────────────────────────────────────────────────
    async def rewrite(self, id: str, change: Rewrite) -> Snapshot:
        return await self._writer.do(rewrite_rows.rewrite, id, change)

    async def hold(self, id: str, change: Hold) -> bool:
        return await self._writer.do(rewrite_rows.hold, id, change)

    async def operated(self, after: int | None) -> tuple[int, Sequence[str]]:
        return await self._reader.do_at_once(rewrite_rows.operated, after)

    async def audit(self, id: str | None, limit: int) -> Sequence[Audit]:
        return await self._reader.do(rewrite_rows.audit, id, limit)

    # ── what is kept for people ─────────────────────────────────────────────────────────────────
    async def set_aside(self, id: str | None, limit: int) -> Sequence[Aside]:
        return await self._reader.do(aside_rows.set_aside, id, limit)

    async def redeliver(self, id: str, seqs: Sequence[int] | None) -> int:
        return await self._writer.do(aside_rows.redeliver, id, seqs)

    async def drop_aside(self, id: str, seqs: Sequence[int] | None) -> int:
        return await self._writer.do(aside_rows.drop_aside, id, seqs)

    async def hold_events(self, worker: str, held: Sequence[HeldEvent]) -> None:
        await self._writer.do(aside_rows.hold_events, worker, held)

    async def held_events(self, handler: str, event: str, worker: str, limit: int) -> Sequence[HeldEvent]:
        return await self._reader.do(aside_rows.held_events, handler, event, worker, limit)

    async def held_done(self, handler: str, worker: str, seq: int) -> None:
        await self._writer.do(aside_rows.held_done, handler, worker, seq)

    async def list_held(self, handler: str | None, dead: bool | None, limit: int) -> Sequence[HeldEvent]:
        return await self._reader.do(aside_rows.list_held, handler, dead, limit)

    async def retry_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        return await self._writer.do(aside_rows.retry_held, handler, seqs)

    async def drop_held(self, handler: str, seqs: Sequence[int] | None) -> int:
        return await self._writer.do(aside_rows.drop_held, handler, seqs)

    # ── schedules ───────────────────────────────────────────────────────────────────────────────
    async def schedules(self, ids: Sequence[str] | None = None, *, after: str = "", limit: int = 1000) -> Sequence[StoredSchedule]:
        return await self._reader.do(schedule_rows.schedules, ids, after, limit)

    async def due_schedules(self, workflows: Sequence[str], limit: int) -> tuple[Sequence[StoredSchedule], datetime | None]:
        return await self._reader.do_at_once(schedule_rows.due_schedules, tuple(workflows), limit)

    async def put_schedule(self, new: StoredSchedule, expects: int | None) -> bool:
        return await self._writer.do(schedule_rows.put_schedule, new, expects)

    async def remove_schedule(self, id: str, expects: int) -> bool:
        return await self._writer.do(schedule_rows.remove_schedule, id, expects)

    async def fire(self, firings: Sequence[Firing]) -> Sequence[bool]:
        return await self._writer.do(start_rows.fire, firings)

    async def left_out(self, id: str, limit: int) -> Sequence[LeftOut]:
        return await self._reader.do(schedule_rows.left_out, id, limit)

    async def declaring_build(self, app: str, build: str, keep: timedelta) -> str:
        return await self._writer.do(schedule_rows.declaring_build, app, build, keep // _MICROSECOND)

    async def wait_for_changes(self, timeout: float, since: ChangeCounts | None = None) -> ChangeCounts:
        return await self._notifier.wait(timeout, since)

    def _look_up(self) -> None:
        """Have the writer see that somebody waits for news."""
        if self._threads is not None:
            self._threads[0].watch()
