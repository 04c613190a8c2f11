"""Admission: which tickets of a queue get a place now. The store locks and reads what `QueueFacts` says, and writes the `Admission`.

1.  Lanes (the partitions of a queue) are taken by priority of their first ticket, then in turns: by a virtual time that rises with
    each ticket a lane gets (`tag`), and that no lane lags behind (`floor`): one that was idle gets no credit for it.
2.  Every tenth admission goes to the oldest ticket of the lane that waits longest, whatever its priority: nothing starves.
3.  A lane that cannot get a place is put aside (`FULL`, `LATER`) until a ticket of it ends, or its next token is due. What the
    states say may be out of date; the counts of tickets are the truth, and nothing is admitted without them.
4.  A ticket that had a place and waits for it *again* (it was parked, and fits now) comes first, and needs no token.
5.  A *borrower* uses the place of an execution that waits for it: it needs none of its own in the queue, and in the lender's
    partition none there either. Tokens it needs.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

import attrs

from redrive.stores.ledger.rates import Bucket, length_us, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redrive.ports.queue_port import QueueLimits

READY: Final = "ready"
FULL: Final = "full"
LATER: Final = "later"
IDLE: Final = "idle"
LENDERS: Final = 1000
"""Lenders that are looked at by one admission, at most."""
EVERY: Final = 10
"""Admissions, of which one goes to the ticket that waits longest."""
_MANY: Final = 2**62
OWN_PLACE: Final = 0
BORROWS_IN_QUEUE: Final = 1
BORROWS_ALL: Final = 2
"""What a ticket borrows: nothing, its place in the queue, or that and its place in the partition."""


@attrs.frozen
class WaitingTicket:
    seq: int
    priority: int
    since_us: int


@attrs.frozen
class Borrower:
    """A ticket of *partition* that may use the place of the ticket *lender*, which is in *lender_partition*."""

    seq: int
    partition: str
    lender: int
    lender_partition: str


@attrs.define
class LaneFacts:
    """A lane that is locked. *heads* are its first tickets, as many as were asked for or all (then not *more*), *elders* the
    oldest ones, *held* those that have a place in the partition, counted up to its limit."""

    partition: str
    level: int
    tag: int
    oldest_us: int
    held: int = 0
    heads: list[WaitingTicket] = attrs.Factory(list[WaitingTicket])
    elders: list[WaitingTicket] = attrs.Factory(list[WaitingTicket])
    more: bool = False
    begun: Sequence[Bucket] = ()


@attrs.define
class QueueFacts:
    """A queue that is locked. *active* have a place in it, counted up to its limit; *again* are the tickets that wait for theirs
    again, and *borrowers* those that have somebody to borrow from, in their order; one for each lender that has not lent yet."""

    limits: QueueLimits
    paused: bool
    floor: int
    turn: int
    active: int
    lanes: Sequence[LaneFacts] = ()
    begun: Sequence[Bucket] = ()
    again: Sequence[int] = ()
    borrowers: Sequence[Borrower] = ()


@attrs.define
class LaneChange:
    """What a lane becomes. *empty*: nothing more was seen to wait there; the store looks again under a stronger lock."""

    partition: str
    state: str
    level: int
    tag: int
    oldest_us: int
    due_us: int | None = None
    empty: bool = False
    begun: int = 0


@attrs.define
class Admission:
    """*admitted* get a place, in this order; *again* get theirs back; *borrowed* (ticket, lender, how much) use another's.

    *due_us*: before that there is no token for the queue. *begun* is how many took a token.
    """

    admitted: list[int] = attrs.Factory(list[int])
    again: list[int] = attrs.Factory(list[int])
    borrowed: list[tuple[Borrower, int]] = attrs.Factory(list[tuple[Borrower, int]])
    lanes: list[LaneChange] = attrs.Factory(list[LaneChange])
    floor: int = 0
    turn: int = 0
    due_us: int = 0
    begun: int = 0


@attrs.define(eq=False)
class _Lane:
    """A lane while it is admitted from: *places* more may be held in it, and *tokens* more begin.

    *next_us* is when the next token is due.
    """

    facts: LaneFacts
    places: int
    tokens: int
    next_us: int | None
    got: int = 0

    @property
    def is_open(self) -> bool:
        return self.places > 0 and self.tokens > 0 and bool(self.facts.heads)

    @property
    def sort_key(self) -> tuple[int, int, str]:
        return (self.facts.level, self.facts.tag, self.facts.partition)

    @property
    def oldest_us(self) -> int:
        facts = self.facts
        return min((ticket.since_us for ticket in (*facts.elders[:1], *facts.heads)), default=facts.oldest_us)

    def take(self, seq: int, floor: int) -> int:
        """Take the ticket *seq*; gives back the virtual time at which it begins."""
        facts = self.facts
        facts.heads = [one for one in facts.heads if one.seq != seq]
        facts.elders = [one for one in facts.elders if one.seq != seq]
        began = max(facts.tag, floor)
        facts.tag, self.tokens, self.got = began + 1, self.tokens - 1, self.got + 1
        facts.level = facts.heads[0].priority if facts.heads else facts.level
        return began

    def change(self, limits: QueueLimits, now_us: int) -> LaneChange:
        facts, due_us = self.facts, None
        if self.tokens <= 0 and self.places > 0:
            begun = [*facts.begun, *([Bucket(now_us, now_us, self.got)] if self.got else ())]
            due_us = tokens(limits.partition_rate, begun, now_us, 1).next_us
        state = FULL if self.places <= 0 else LATER if due_us is not None else READY
        return LaneChange(
            facts.partition, state, facts.level, facts.tag, self.oldest_us, due_us, not facts.heads and not facts.more, self.got
        )


def admit(queue: QueueFacts, room: int, now_us: int) -> Admission:
    """Give a place to up to *room* tickets."""
    made = Admission(floor=queue.floor, turn=queue.turn)
    if queue.paused or room <= 0:
        return made
    limits = queue.limits
    places = room if limits.concurrency is None else max(0, limits.concurrency - queue.active)
    made.again = list(queue.again[: min(room, places)])
    room, places = room - len(made.again), places - len(made.again)
    left = tokens(limits.rate, queue.begun, now_us, room)
    made.due_us = left.next_us or 0
    lanes = {facts.partition: _lane(facts, limits, now_us) for facts in queue.lanes}
    wanted = min(room, left.count)
    for borrower in queue.borrowers:
        if made.begun < wanted and _borrow(made, borrower, lanes[borrower.partition]):
            made.begun += 1
    _take_turns(made, list(lanes.values()), min(wanted - made.begun, places))
    made.lanes = [lane.change(limits, now_us) for lane in lanes.values()]
    if limits.rate is not None and made.begun:
        made.due_us = tokens(limits.rate, [*queue.begun, Bucket(now_us, now_us, made.begun)], now_us, 1).next_us or 0
    return made


def _lane(facts: LaneFacts, limits: QueueLimits, now_us: int) -> _Lane:
    places = _MANY if limits.partition_concurrency is None else max(0, limits.partition_concurrency - facts.held)
    left = tokens(limits.partition_rate, facts.begun, now_us, _MANY)
    return _Lane(facts, places, left.count, left.next_us)


def _borrow(made: Admission, borrower: Borrower, lane: _Lane) -> bool:
    same = borrower.partition == borrower.lender_partition
    if lane.tokens <= 0 or (lane.places <= 0 and not same):
        return False
    lane.take(borrower.seq, made.floor)
    lane.places -= 0 if same else 1
    made.borrowed.append((borrower, BORROWS_ALL if same else BORROWS_IN_QUEUE))
    return True


def _take_turns(made: Admission, lanes: Iterable[_Lane], most: int) -> None:
    waiting = [lane for lane in lanes if lane.is_open]
    heap = [(*lane.sort_key, lane) for lane in waiting]
    heapq.heapify(heap)
    for _ in range(most):
        # What was taken since a lane came into the heap has moved it on.
        while heap and (not heap[0][3].is_open or heap[0][:3] != heap[0][3].sort_key):
            moved = heapq.heappop(heap)[3]
            if moved.is_open:
                heapq.heappush(heap, (*moved.sort_key, moved))
        if not heap:
            return
        lane, ticket = heap[0][3], heap[0][3].facts.heads[0]
        if (made.turn + 1) % EVERY == 0:
            lane = min((one for one in waiting if one.is_open), key=lambda one: (one.oldest_us, one.facts.partition))
            ticket = lane.facts.elders[0] if lane.facts.elders else lane.facts.heads[0]
        made.floor = max(made.floor, lane.take(ticket.seq, made.floor))
        lane.places -= 1
        made.turn += 1
        made.begun += 1
        made.admitted.append(ticket.seq)


def next_us(limits: QueueLimits, due_us: int, now_us: int, *, waits: bool, borrows: bool, later: Iterable[int | None]) -> int | None:
    """When the next admission may succeed: *waits* and *borrows* say whether something could be admitted now but for the rate, whose
    next token is due at *due_us*; *later* are the times at which something else may be."""
    window = 0 if limits.rate is None else length_us(limits.rate)
    token_us = now_us if due_us > now_us + window else max(due_us, 0)  # the clock went back
    found = [at_us for at_us in later if at_us is not None]
    return min([*found, *((token_us or now_us,) if waits or borrows else ())], default=None)
