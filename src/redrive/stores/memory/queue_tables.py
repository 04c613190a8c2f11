"""Queues in the memory store: tickets, lanes, and what is declared. Used under the store's lock."""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from redrive.ports.queue_port import QueueLimits, QueueNotFound, RateLimit, WorkflowQueue
from redrive.stores.ledger import admission, rates
from redrive.stores.ledger.admission import FULL, IDLE, LATER, READY, Admission, Borrower, LaneFacts, QueueFacts, WaitingTicket
from redrive.stores.ledger.lending import Kin, find_lenders
from redrive.stores.ledger.queue_limits import REMEMBERED_US, Declaration, declared, dump_limits, in_force, load_limits
from redrive.stores.ledger.rates import Bucket
from redrive.stores.ledger.unit_of_work import FIRST

if TYPE_CHECKING:
    from redrive.stores.ledger.unit_of_work import Join, UnitOfWork
    from redrive.stores.memory.record import Record

_ELDERS: Final = 2


@attrs.define(eq=False)
class Ticket:
    """The ticket of execution *id*; see the tables of the databases."""

    seq: int
    id: str
    queue: str
    partition: str
    priority: int
    since_us: int
    due_us: int | None = None
    held_us: int | None = None
    idle: bool = False
    again: bool = False
    borrowed: int = admission.OWN_PLACE
    lender: int | None = None
    lent_to: int | None = None


@attrs.define(eq=False)
class Lane:
    state: str
    level: int
    tag: int
    oldest_us: int
    due_us: int | None = None
    waiting: list[tuple[int, int]] = attrs.Factory(list[tuple[int, int]])
    """Priority and seq of what waits, in order."""
    by_age: list[int] = attrs.Factory(list[int])
    held: set[int] = attrs.Factory(set[int])
    begun: list[Bucket] = attrs.Factory(list[Bucket])


@attrs.define(eq=False)
class Queue:
    limits: str = "{}"
    override: str | None = None
    paused: str | None = None
    is_declared: bool = False
    floor: int = 0
    turn: int = 0
    due_us: int = 0
    lanes: dict[str, Lane] = attrs.Factory(dict[str, Lane])
    begun: list[Bucket] = attrs.Factory(list[Bucket])
    declarations: dict[str, Declaration] = attrs.Factory(dict[str, Declaration])

    @property
    def in_force(self) -> QueueLimits:
        return load_limits(self.override or self.limits)


@attrs.define(eq=False)
class QueueTables:
    records: Mapping[str, Record]
    queues: dict[str, Queue] = attrs.Factory(dict[str, Queue])
    workflows: dict[str, WorkflowQueue] = attrs.Factory(dict[str, WorkflowQueue])
    of: dict[str, Ticket] = attrs.Factory(dict[str, Ticket])
    """Tickets by execution."""
    tickets: dict[int, Ticket] = attrs.Factory(dict[int, Ticket])
    holders: dict[tuple[str, str], str] = attrs.Factory(dict[tuple[str, str], str])
    waits: dict[str, tuple[str, ...]] = attrs.Factory(dict[str, tuple[str, ...]])
    """The children that each execution waits for."""
    _seqs: Iterator[int] = attrs.Factory(lambda: itertools.count(1))

    def queue(self, name: str) -> Queue:
        return self.queues.setdefault(name, Queue())

    def known(self, name: str) -> Queue:
        """A queue that was declared. Raises `QueueNotFound`."""
        found = self.queues.get(name)
        if found is None or not found.is_declared:
            raise QueueNotFound(name)
        return found

    # ── for the rules of the ledger ─────────────────────────────────────────────────────────────
    def read_places(self, work: UnitOfWork) -> None:
        work.holders = dict(self.holders)
        for execution in work.held_back:
            ticket = self.of.get(execution.id)
            if ticket is not None and self._root(ticket).idle:
                work.idle.add(ticket.id)
                limits = self.queue(ticket.queue).in_force
                if limits.concurrency is not None:
                    work.free_places.setdefault(ticket.queue, max(0, limits.concurrency - self.active(ticket.queue)))

    def write(self, work: UnitOfWork) -> None:
        now_us = work.now_us
        for execution in work.left:
            self.leave(execution.id)
        for join in work.joined:
            self._join(join, now_us)
        for execution in work.idled:
            self.park(execution.id)
        for execution in work.resumed:
            if (ticket := self.of.get(execution.id)) is not None:
                for one in (ticket, self._root(ticket)):
                    one.idle = one.again = False
        for execution in work.again:
            self.of[execution.id].again = True
        for execution in work.first_in_line:
            self._come_first(self.of[execution.id], now_us)
        for execution, ids in work.awaits:
            self._wait_for(execution.id, ids)

    def _join(self, join: Join, now_us: int) -> None:
        execution = join.execution
        assert execution.queue is not None
        since_us = now_us if join.due_us is None else join.due_us
        ticket = Ticket(next(self._seqs), execution.id, execution.queue, execution.partition, join.priority, since_us, join.due_us)
        self.of[execution.id] = self.tickets[ticket.seq] = ticket
        self.queue(ticket.queue)
        if ticket.due_us is None:
            self._wait(ticket, now_us)
        if join.dedup is not None:
            self.holders[ticket.queue, join.dedup] = execution.id

    def _wait(self, ticket: Ticket, now_us: int) -> None:
        queue = self.queue(ticket.queue)
        lane = queue.lanes.get(ticket.partition)
        if lane is None:
            lane = queue.lanes[ticket.partition] = Lane(IDLE, ticket.priority, queue.floor, now_us)
        if lane.state == IDLE:
            lane.state, lane.level, lane.tag, lane.oldest_us = READY, ticket.priority, max(lane.tag, queue.floor), now_us
        lane.level = min(lane.level, ticket.priority)
        insort(lane.waiting, (ticket.priority, ticket.seq))
        insort(lane.by_age, ticket.seq)

    def _wait_no_more(self, ticket: Ticket) -> None:
        lane = self.queue(ticket.queue).lanes[ticket.partition]
        del lane.waiting[bisect_left(lane.waiting, (ticket.priority, ticket.seq))]
        del lane.by_age[bisect_left(lane.by_age, ticket.seq)]

    def _come_first(self, ticket: Ticket, now_us: int) -> None:
        if ticket.held_us is None and ticket.due_us is None:
            self._wait_no_more(ticket)
            ticket.priority = FIRST
            self._wait(ticket, now_us)
        ticket.priority = FIRST

    def leave(self, id: str) -> None:
        """Delete the ticket and the dedup key of an execution: it has ended."""
        self.holders = {key: holder for key, holder in self.holders.items() if holder != id}
        self.waits.pop(id, None)
        ticket = self.of.pop(id, None)
        if ticket is None:
            return
        del self.tickets[ticket.seq]
        if ticket.held_us is None:
            if ticket.due_us is None:
                self._wait_no_more(ticket)
                lane = self.queue(ticket.queue).lanes[ticket.partition]
                lane.state = lane.state if lane.waiting else IDLE
            return
        lane = self.queue(ticket.queue).lanes[ticket.partition]
        lane.held.discard(ticket.seq)
        lender = None if ticket.lender is None else self.tickets.get(ticket.lender)
        held = (one for one in self.tickets.values() if one.lender == ticket.seq and one.held_us is not None)
        heir = min(held, key=lambda one: one.seq, default=None)
        if heir is not None:  # the place is passed on
            heir.borrowed, heir.lender = ticket.borrowed, ticket.lender
            if heir.borrowed < admission.BORROWS_ALL:
                self.queue(heir.queue).lanes[heir.partition].held.add(heir.seq)
            if lender is not None:
                lender.lent_to = heir.seq
        elif lender is not None:
            lender.lent_to, lender.idle = None, self.records[lender.id].is_parked
        for one in self.tickets.values():
            if one.lender == ticket.seq:
                one.lender = None
        lane.state = READY if lane.state == FULL else lane.state

    def park(self, id: str) -> None:
        """The execution is parked: nobody need wait for its place in the queue, unless somebody uses it."""
        ticket = self.of.get(id)
        if ticket is None or ticket.held_us is None:
            return
        user = None if ticket.lent_to is None else self.tickets.get(ticket.lent_to)
        if user is None or user.idle:
            ticket.idle, ticket.again = True, False
        if ticket.borrowed:
            self._root(ticket).idle = True

    def _root(self, ticket: Ticket) -> Ticket:
        while ticket.borrowed and ticket.lender is not None:
            ticket = self.tickets[ticket.lender]
        return ticket

    def _wait_for(self, id: str, ids: Sequence[str]) -> None:
        before, self.waits[id] = self.waits.get(id, ()), tuple(ids)
        search = find_lenders(id, sorted(set(before) - set(ids)))
        asked = next(search)
        while True:
            try:
                asked = search.send(self._kin(asked))
            except StopIteration as end:
                for seq, lender in end.value.items():
                    self.tickets[seq].lender = lender
                return

    def _kin(self, id: str) -> Kin | None:
        record, ticket = self.records.get(id), self.of.get(id)
        if record is None:
            return None
        creator, waits = None if record.creator is None else record.creator.id, self.waits.get(id, ())
        if ticket is None:
            return Kin(0, creator, waits)
        return Kin(ticket.seq, creator, waits, ticket.seq, ticket.queue, ticket.held_us is not None)

    # ── admission ───────────────────────────────────────────────────────────────────────────────
    def active(self, name: str) -> int:
        lanes = self.queue(name).lanes.values()
        held = (self.tickets[seq] for lane in lanes for seq in lane.held)
        return sum(not ticket.borrowed and not ticket.idle for ticket in held)

    def admit(self, room: Mapping[str, int], limit: int, now_us: int) -> list[str]:
        """Admit up to *limit* executions from the queues of *room*; their ids, in order."""
        found: list[str] = []
        for name in sorted(room):
            most = min(room[name], limit - len(found))
            if most > 0 and name in self.queues:
                found += self._admit(name, self.queues[name], most, now_us)
        return found

    def _admit(self, name: str, queue: Queue, room: int, now_us: int) -> list[str]:
        limits = queue.in_force
        self._keep_time(name, queue, limits, now_us)
        facts = self._facts(name, queue, limits, room)
        made = admission.admit(facts, room, now_us)
        admitted = self._hold(queue, made, now_us)
        for change in made.lanes:
            lane = queue.lanes[change.partition]
            lane.state = change.state if lane.waiting else IDLE
            lane.level, lane.tag, lane.oldest_us, lane.due_us = change.level, change.tag, change.oldest_us, change.due_us
            if change.begun and limits.partition_rate is not None:
                lane.begun = _with(lane.begun, rates.counted(limits.partition_rate, lane.begun, now_us, change.begun))
        if made.begun and limits.rate is not None:
            queue.begun = _with(queue.begun, rates.counted(limits.rate, queue.begun, now_us, made.begun))
        if not facts.paused:
            queue.floor, queue.turn, queue.due_us = made.floor, made.turn, made.due_us
        return admitted

    def _keep_time(self, name: str, queue: Queue, limits: QueueLimits, now_us: int) -> None:
        for ticket in [one for one in self.of.values() if one.due_us is not None and one.due_us <= now_us and one.queue == name]:
            ticket.due_us, ticket.since_us = None, now_us
            self._wait(ticket, now_us)
        window = 0 if limits.partition_rate is None else rates.length_us(limits.partition_rate)
        for lane in queue.lanes.values():
            if lane.state == LATER and lane.due_us is not None and (lane.due_us <= now_us or lane.due_us > now_us + window):
                lane.state = READY
            lane.begun = _young(lane.begun, limits.partition_rate, now_us)
        queue.begun = _young(queue.begun, limits.rate, now_us)

    def _facts(self, name: str, queue: Queue, limits: QueueLimits, room: int) -> QueueFacts:
        facts = QueueFacts(limits, queue.paused is not None, queue.floor, queue.turn, 0, begun=queue.begun)
        if facts.paused:
            return facts
        facts.active = 0 if limits.concurrency is None else self.active(name)
        again = [ticket for ticket in self.of.values() if ticket.again and ticket.queue == name]
        facts.again = [ticket.seq for ticket in sorted(again, key=lambda one: (one.priority, one.seq))]
        facts.borrowers = self._borrowers(name)
        partitions = {one.partition for one in facts.borrowers}
        if limits.concurrency is None or facts.active < limits.concurrency:
            partitions |= {partition for partition, lane in queue.lanes.items() if lane.state == READY}
        facts.lanes = [self._lane(partition, queue.lanes[partition], room) for partition in sorted(partitions)]
        return facts

    def _lane(self, partition: str, lane: Lane, room: int) -> LaneFacts:
        most = max(2, room + 1)
        heads = [self._waiting(seq) for _, seq in lane.waiting[:most]]
        elders = [self._waiting(seq) for seq in lane.by_age[:_ELDERS]]
        more = len(lane.waiting) > most
        return LaneFacts(partition, lane.level, lane.tag, lane.oldest_us, len(lane.held), heads, elders, more, lane.begun)

    def _waiting(self, seq: int) -> WaitingTicket:
        ticket = self.tickets[seq]
        return WaitingTicket(seq, ticket.priority, ticket.since_us)

    def _borrowers(self, name: str) -> list[Borrower]:
        found: dict[int, Borrower] = {}
        asking = [one for one in self.of.values() if one.lender is not None and one.held_us is None and one.due_us is None]
        for ticket in sorted(asking, key=lambda one: (one.priority, one.seq)):
            lender = self.tickets.get(ticket.lender or 0)
            if ticket.queue == name and lender is not None and lender.held_us is not None and lender.lent_to is None:
                found.setdefault(lender.seq, Borrower(ticket.seq, ticket.partition, lender.seq, lender.partition))
        return list(found.values())

    def _hold(self, queue: Queue, made: Admission, now_us: int) -> list[str]:
        for seq in made.again:
            self.tickets[seq].idle = self.tickets[seq].again = False
        held = [*((one.seq, one.lender, what) for one, what in made.borrowed), *((seq, None, admission.OWN_PLACE) for seq in made.admitted)]
        for seq, lender, borrowed in held:
            ticket = self.tickets[seq]
            self._wait_no_more(ticket)
            ticket.held_us, ticket.lender, ticket.borrowed = now_us, lender, borrowed
            if lender is not None:
                self.tickets[lender].lent_to = seq
            if borrowed < admission.BORROWS_ALL:
                queue.lanes[ticket.partition].held.add(seq)
        return [self.tickets[seq].id for seq in (*made.again, *(seq for seq, *_ in held))]

    def next_us(self, name: str, now_us: int) -> int | None:
        """When something may next be admitted from queue *name*."""
        queue = self.queues.get(name)
        if queue is None or queue.paused is not None:
            return None
        limits = queue.in_force
        full = limits.concurrency is not None and self.active(name) >= limits.concurrency
        mine = [ticket for ticket in self.of.values() if ticket.queue == name]
        waits = any(lane.state == READY for lane in queue.lanes.values()) or any(ticket.again for ticket in mine)
        later = [lane.due_us for lane in queue.lanes.values() if lane.state == LATER]
        later += [ticket.due_us for ticket in mine if ticket.held_us is None]
        borrows = bool(self._borrowers(name))
        return admission.next_us(limits, queue.due_us, now_us, waits=waits and not full, borrows=borrows, later=later)

    # ── what is declared ────────────────────────────────────────────────────────────────────────
    def declare(self, build: str, queues: Mapping[str, QueueLimits | None], workflows: Mapping[str, WorkflowQueue], now_us: int) -> None:
        for name, limits in queues.items():
            queue = self.queue(name)
            queue.is_declared = True
            if limits is None:
                continue
            queue.declarations[build] = declared(queue.declarations.get(build), build, dump_limits(limits), now_us)
            kept = {key: one for key, one in queue.declarations.items() if one.seen_us >= now_us - REMEMBERED_US}
            queue.declarations = kept
            becomes = in_force(list(kept.values()), now_us)
            if becomes != queue.limits:
                queue.limits = becomes
                self.look_again(queue)
        self.workflows.update(workflows)

    def look_again(self, queue: Queue) -> None:
        """The limits have changed: what was full may not be."""
        queue.due_us = 0
        for lane in queue.lanes.values():
            lane.state = READY if lane.state in (FULL, LATER) else lane.state

    def override(self, name: str, limits: QueueLimits | None) -> None:
        queue = self.known(name)
        queue.override = None if limits is None else dump_limits(limits)
        self.look_again(queue)


def _with(begun: Sequence[Bucket], bucket: Bucket) -> list[Bucket]:
    return [*(one for one in begun if one.since_us != bucket.since_us), bucket]


def _young(begun: Sequence[Bucket], rate: RateLimit | None, now_us: int) -> list[Bucket]:
    """Those that still count; what is later than now is of now: the clock went back."""
    window = 0 if rate is None else rates.kept_us(rate)
    return [Bucket(min(one.since_us, now_us), min(one.at_us, now_us), one.count) for one in begun if one.at_us > now_us - window]
