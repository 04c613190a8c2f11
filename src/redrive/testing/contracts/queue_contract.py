"""Queues of executions: that no place is given above a limit, and none is ever lost (rules Q1 to Q4)."""

from __future__ import annotations

import attrs

from redrive.ports.queue_port import QueueLimits, RateLimit
from redrive.ports.store import FINAL, Claim, NextRun, Turn
from redrive.testing.contracts.lab import DAY, LEASE, SECOND, Lab, in_lab, park, signal
from redrive.testing.contracts.queue_lab import (
    admit,
    admitted,
    asked,
    declare,
    end,
    keeps,
    opened,
    places,
    queued,
    state,
)


class QueuePlaceContract:
    # ── Q1: beginning and place ─────────────────────────────────────────────────────────────────
    @in_lab
    async def test_an_execution_in_a_queue_begins_when_it_is_admitted(self, lab: Lab) -> None:
        """Q1."""
        store = await opened(lab, concurrency=1)
        begun = await store.start(queued("a"), claim_for="ada")
        await store.start(queued("b"))
        assert begun.created
        assert begun.claim is None
        assert await admitted(store, room={}) == []
        assert await store.next_wake(["w"]) is None
        assert await store.next_wake(["w"], queues=["q"]) is not None
        assert await admitted(store) == ["a"]
        assert await admitted(store) == []
        waiting = await store.read("b")
        assert waiting is not None
        assert (waiting.status, waiting.queue, waiting.partition, waiting.wake_at, waiting.owner) == ("pending", "q", "", None, None)
        assert await store.next_wake(["w"], queues=["q"]) is None, "the queue is full"

    @in_lab
    async def test_a_first_turn_given_with_a_start_into_a_queue_is_ignored(self, lab: Lab) -> None:
        """Q1."""
        store = await opened(lab)
        await admitted(store)
        begun = await store.start(queued("a"), claim_for="ada", first=Turn(expects=1, rows=['"asked"']))
        assert (begun.claim, begun.committed) == (None, None)
        (claim,) = await admit(store)
        assert claim.length == 1

    @in_lab
    async def test_it_holds_its_place_until_it_ends_also_while_it_sleeps_and_as_its_next_run(self, lab: Lab) -> None:
        """Q1."""
        store = await opened(lab, concurrency=1)
        for id in ("a", "b"):
            await store.start(queued(id))
        (claim,) = await admit(store)
        claim = await asked(store, claim)
        assert await admitted(store) == []
        await store.commit(claim, Turn(expects=2, next_run=NextRun(run="r-2", workflow="w", started='"again"')))
        claim = attrs.evolve(claim, run="r-2", number=2, length=1)
        assert await admitted(store) == []
        await store.release([claim])
        assert await admitted(store) == []
        assert await places(store) == (1, 1)
        snapshot = await store.read("a")
        assert snapshot is not None
        assert snapshot.queue == "q"

    @in_lab
    async def test_a_delay_comes_before_the_queue(self, lab: Lab) -> None:
        """Q1."""
        store = await opened(lab, concurrency=1)
        now = await store.now()
        await store.start(queued("late", not_before=now + 10 * SECOND))
        await store.start(queued("first"))
        assert await admitted(store) == ["first"]
        assert await store.next_wake(["w"], queues=["q"]) == now + 10 * SECOND
        lab.pass_time(10 * SECOND)
        await store.start(queued("last"))
        assert await admitted(store) == []
        found = await store.read("first")
        assert found is not None
        await end(store, Claim(id="first", worker="ada", fence=1, workflow="w", run=found.run, number=1, length=1))
        assert await admitted(store) == ["late"]

    @in_lab
    async def test_what_needs_no_queue_is_started_and_claimed_as_ever(self, lab: Lab) -> None:
        store = await opened(lab, concurrency=1)
        await admitted(store)
        begun = await store.start(queued("plain", queue=None), claim_for="ada")
        assert begun.claim is not None
        assert not begun.claim.in_family
        assert begun.snapshot.queue is None
        assert await places(store) == (0, 0)

    @in_lab
    async def test_a_parked_execution_frees_its_place_in_the_queue_and_keeps_that_in_its_partition(self, lab: Lab) -> None:
        """Q1: one stranded execution never stops strangers."""
        store = await opened(lab, concurrency=1, partition_concurrency=1)
        await store.start(queued("stuck", partition="p"))
        (claim,) = await admit(store)
        await store.start(queued("same", partition="p"))
        await store.start(queued("other", partition="o"))
        assert await admitted(store) == []
        await store.release([claim], parked=park())
        assert await admitted(store) == ["other"]
        assert (await state(store)).idle == 1

    @in_lab
    async def test_what_was_parked_and_fits_waits_for_its_place_ahead_of_all_never_admitted(self, lab: Lab) -> None:
        """Q1, Q2."""
        store = await opened(lab, concurrency=1)
        await store.start(queued("stuck"))
        (claim,) = await admit(store)
        await store.release([claim], parked=park())
        await store.start(queued("next"))
        await store.start(queued("later"))
        (nxt,) = await admit(store)
        (tried,) = await store.claim("bob", LEASE, "b-2", ["w"], 10)
        assert tried.id == "stuck"
        committed = await store.commit(tried, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        assert committed.waits_for_place
        waiting = await store.read("stuck")
        assert waiting is not None
        assert (waiting.status, waiting.owner, waiting.length) == ("pending", None, 2), "the turn is stored; nothing of it begins"
        await store.send("stuck", signal())
        assert await admitted(store, "bob", build="b-2") == []
        await end(store, nxt)
        assert await admitted(store, "bob", build="b-2") == ["stuck"]
        assert await admitted(store, "bob", build="b-2") == []

    @in_lab
    async def test_what_was_parked_and_fits_goes_on_where_there_is_room_and_takes_no_token(self, lab: Lab) -> None:
        """Q1, Q4."""
        store = await opened(lab, concurrency=2, rate=RateLimit(limit=1, per=DAY))
        await store.start(queued("stuck"))
        (claim,) = await admit(store)
        await store.release([claim], parked=park())
        (tried,) = await store.claim("bob", LEASE, "b-2", ["w"], 10)
        committed = await store.commit(tried, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        assert not committed.waits_for_place
        assert (await state(store)).idle == 0

    # ── Q2: never above the limit ───────────────────────────────────────────────────────────────
    @in_lab
    async def test_two_admitters_admit_no_more_than_one_would(self, lab: Lab) -> None:
        """Q2."""
        store = await opened(lab, concurrency=3, partition_concurrency=2)
        other = await lab.open()
        for n in range(8):
            await store.start(queued(f"e-{n}", partition="p" if n < 6 else "o"))
        found = [*await admitted(store, "ada", 2), *await admitted(other, "bob"), *await admitted(store, "ada")]
        assert len(found) == 3
        assert await places(store) == (5, 3)
        held = {one.partition: one.held for one in await keeps(store).queue_partitions("q", 10)}
        assert max(held.values()) <= 2

    @in_lab
    async def test_a_lower_limit_admits_nothing_until_enough_have_ended(self, lab: Lab) -> None:
        """Q2, Q12."""
        store = await opened(lab, concurrency=3)
        for n in range(6):
            await store.start(queued(f"e-{n}"))
        claims = await admit(store)
        assert len(claims) == 3
        await keeps(store).limit_queue("q", QueueLimits(concurrency=1))
        await end(store, claims[0], claims[1])
        assert await admitted(store) == []
        await end(store, claims[2])
        assert await admitted(store) == ["e-3"]

    @in_lab
    async def test_a_dead_workers_execution_goes_on_under_the_same_place(self, lab: Lab) -> None:
        """Q3: it is neither lost nor taken twice."""
        store = await opened(lab, concurrency=1)
        await store.start(queued("a"))
        await store.start(queued("b"))
        await admit(store)
        lab.pass_time(2 * LEASE)
        (claim,) = await admit(store, "bob")
        assert claim.id == "a"
        assert await places(store) == (1, 1)
        await end(store, claim)
        assert await admitted(store, "bob") == ["b"]

    # ── Q3: no leak ─────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_the_commit_that_ends_it_gives_its_place_back(self, lab: Lab) -> None:
        """Q3: whatever the end."""
        store = await opened(lab, concurrency=1, partition_concurrency=1)
        statuses = sorted(FINAL)
        for n in range(len(statuses) + 1):
            await store.start(queued(f"e-{n}", partition="p"))
        for n, status in enumerate(statuses):
            (claim,) = await admit(store)
            assert claim.id == f"e-{n}"
            await end(store, await asked(store, claim), status=status)
        assert await admitted(store) == [f"e-{len(statuses)}"]
        assert await places(store) == (0, 1)

    @in_lab
    async def test_the_same_commit_again_gives_nothing_back_twice(self, lab: Lab) -> None:
        """Q3, W5."""
        store = await opened(lab, concurrency=2)
        for n in range(4):
            await store.start(queued(f"e-{n}"))
        first, _ = await admit(store)
        await end(store, first)
        await end(store, first)
        assert await admitted(store) == ["e-2"]
        assert await places(store) == (1, 2)

    @in_lab
    async def test_a_restart_waits_in_the_queue_that_it_names(self, lab: Lab) -> None:
        """Q1, Q3: queue, partition and priority are decided anew."""
        store = await opened(lab, concurrency=1)
        await declare(store, queue="o")
        await store.start(queued("a"))
        (claim,) = await admit(store)
        await end(store, claim, status="failed")
        again = attrs.evolve(queued("a", queue="o", partition="p"), run="r-2", restart=frozenset({"failed"}))
        assert (await store.start(again)).created
        assert await places(store) == (0, 0)
        assert await admitted(store) == []
        snapshot = await store.read("a")
        assert snapshot is not None
        assert (snapshot.queue, snapshot.partition, snapshot.status) == ("o", "p", "pending")
        assert await admitted(store, room={"o": 10}) == ["a"]
        assert (await store.start(again)).created, "a repeat"
        assert await places(store, "o") == (0, 1)

    @in_lab
    async def test_a_restart_out_of_its_queue_needs_no_place(self, lab: Lab) -> None:
        """Q1."""
        store = await opened(lab, concurrency=1)
        await store.start(queued("a"))
        (claim,) = await admit(store)
        await end(store, claim, status="failed")
        await store.start(attrs.evolve(queued("a", queue=None), run="r-2", restart=frozenset({"failed"})))
        assert await admitted(store, room={}) == ["a"]
        assert await places(store) == (0, 0)

    # ── Q4: rates ───────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_no_more_begin_in_a_window_than_the_rate_allows(self, lab: Lab) -> None:
        """Q4: however fast they end."""
        store = await opened(lab, rate=RateLimit(limit=3, per=60 * SECOND))
        for n in range(9):
            await store.start(queued(f"e-{n}"))
        now = await store.now()
        first = await admit(store, limit=8)
        assert [claim.id for claim in first] == ["e-0", "e-1", "e-2"]
        await end(store, *first)
        assert await admitted(store) == []
        assert await store.next_wake(["w"], queues=["q"]) == now + 60 * SECOND
        lab.pass_time(59 * SECOND)
        assert await admitted(store) == []
        lab.pass_time(SECOND)
        assert await admitted(store, limit=2) == ["e-3", "e-4"]
        assert await admitted(store) == ["e-5"]

    @in_lab
    async def test_a_window_slides(self, lab: Lab) -> None:
        """Q4: two now and one later are never four within a window."""
        store = await opened(lab, rate=RateLimit(limit=3, per=60 * SECOND))
        await store.start(queued("a"))
        assert await admitted(store) == ["a"]
        lab.pass_time(40 * SECOND)
        for n in range(6):
            await store.start(queued(f"e-{n}"))
        assert await admitted(store) == ["e-0", "e-1"]
        lab.pass_time(20 * SECOND)
        assert await admitted(store) == ["e-2"]
        lab.pass_time(39 * SECOND)
        assert await admitted(store) == []
        lab.pass_time(SECOND)
        assert await admitted(store) == ["e-3", "e-4"]

    @in_lab
    async def test_a_partition_at_its_rate_delays_no_other(self, lab: Lab) -> None:
        """Q4, Q8."""
        store = await opened(lab, partition_rate=RateLimit(limit=1, per=60 * SECOND))
        for n in range(20):
            await store.start(queued(f"e-{n}", partition="p"))
        assert await admitted(store) == ["e-0"]
        await store.start(queued("stranger", partition="s"))
        assert await admitted(store) == ["stranger"]
        assert await admitted(store) == []
        lab.pass_time(60 * SECOND)
        assert await admitted(store) == ["e-1"]

    @in_lab
    async def test_an_even_rate_spreads_what_begins(self, lab: Lab) -> None:
        """Q4."""
        store = await opened(lab, rate=RateLimit(limit=6, per=60 * SECOND, spread=True))
        for n in range(4):
            await store.start(queued(f"e-{n}"))
        assert await admitted(store) == ["e-0"]
        lab.pass_time(9 * SECOND)
        assert await admitted(store) == []
        lab.pass_time(SECOND)
        assert await admitted(store) == ["e-1"]

    @in_lab
    async def test_a_clock_that_goes_back_by_a_day_stalls_a_queue_for_one_window_at_most(self, lab: Lab) -> None:
        """Q4, T4: and one that goes forward lets no more begin."""
        per = 60 * SECOND
        store = await opened(lab, rate=RateLimit(limit=1, per=per), partition_rate=RateLimit(limit=1, per=per))
        for n in range(4):
            await store.start(queued(f"e-{n}", partition="p"))
        assert await admitted(store) == ["e-0"]
        lab.pass_time(-DAY)
        assert await admitted(store) == []
        lab.pass_time(per)
        wake = await store.next_wake(["w"], queues=["q"])
        assert wake is not None
        assert wake <= await store.now()
        assert await admitted(store) == ["e-1"]
        lab.pass_time(DAY)
        assert await admitted(store) == ["e-2"]
        assert await admitted(store) == []
