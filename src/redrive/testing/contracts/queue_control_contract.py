"""Queues of executions: what people see and change, and what waits and ends (rules Q11 to Q15)."""

from __future__ import annotations

import attrs
import pytest

from redrive.ports.queue_port import PartitionState, QueueLimits, QueueNotFound, RateLimit, WorkflowQueue
from redrive.ports.store import NextRun, Stale, Turn
from redrive.testing.contracts.lab import CANCEL, DAY, LEASE, SECOND, Lab, in_lab, park
from redrive.testing.contracts.queue_lab import (
    UNBEGUN,
    admit,
    admitted,
    declare,
    end,
    keeps,
    opened,
    places,
    queued,
    state,
)


class QueueControlContract:
    # ── Q11: dedup ──────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_dedup_gives_back_the_one_that_has_not_ended(self, lab: Lab) -> None:
        """Q11."""
        store = await opened(lab)
        other = await lab.open()
        await store.start(queued("a", dedup="x"))
        again = await other.start(queued("b", dedup="x"))
        assert (again.created, again.snapshot.id) == (False, "a")
        assert await other.read("b") is None
        assert (await store.start(queued("c", dedup="y"))).created
        assert (await store.start(queued("a", dedup="z"))).snapshot.id == "a", "its id comes first"
        await declare(store, queue="o")
        assert (await store.start(queued("d", queue="o", dedup="x"))).created, "another queue"

    @in_lab
    async def test_dedup_is_free_in_the_commit_that_ends_its_holder(self, lab: Lab) -> None:
        """Q11: and kept through ContinueAs."""
        store = await opened(lab)
        await store.start(queued("a", dedup="x" * 300))
        (claim,) = await admit(store)
        await store.commit(claim, Turn(expects=1, next_run=NextRun(run="r-2", workflow="w", started='"again"')))
        assert not (await store.start(queued("b", dedup="x" * 300))).created
        await end(store, attrs.evolve(claim, run="r-2", number=2, length=1))
        assert (await store.start(queued("b", dedup="x" * 300))).created

    # ── Q12: pause and limits by hand ───────────────────────────────────────────────────────────
    @in_lab
    async def test_a_paused_queue_admits_nothing_until_it_is_resumed(self, lab: Lab) -> None:
        """Q12: what was admitted goes on."""
        store = await opened(lab, concurrency=2)
        for n in range(4):
            await store.start(queued(f"e-{n}"))
        first, _ = await admit(store)
        await keeps(store).pause_queue("q", "crm is down")
        await end(store, first)
        assert await admitted(store) == []
        assert (await state(store)).paused == "crm is down"
        await declare(store, concurrency=2, build="b-2")
        assert (await state(store)).paused == "crm is down", "it survives deploys"
        await keeps(store).pause_queue("q", None)
        assert await store.next_wake(["w"], queues=["q"]) is not None
        assert await admitted(store) == ["e-2"]

    @in_lab
    async def test_limits_by_hand_survive_deploys_and_end_with_a_reset(self, lab: Lab) -> None:
        """Q12."""
        store = await opened(lab, partition_concurrency=1)
        for n in range(6):
            await store.start(queued(f"e-{n}", partition="p"))
        await admit(store)
        await keeps(store).limit_queue("q", QueueLimits(partition_concurrency=3))
        await declare(store, partition_concurrency=1, build="b-2")
        found = await state(store)
        assert (found.limits.partition_concurrency, found.declared.partition_concurrency, found.overridden) == (3, 1, True)
        assert await store.next_wake(["w"], queues=["q"]) is not None
        assert await admitted(store) == ["e-1", "e-2"]
        await keeps(store).limit_queue("q", None)
        assert (await state(store)).limits == QueueLimits(partition_concurrency=1)
        assert await admitted(store) == []

    @in_lab
    async def test_a_queue_that_nobody_declared_cannot_be_limited(self, lab: Lab) -> None:
        store = await lab.open()
        with pytest.raises(QueueNotFound):
            await keeps(store).limit_queue("none", QueueLimits(concurrency=1))
        with pytest.raises(QueueNotFound):
            await keeps(store).pause_queue("none", "why")

    # ── Q13: what one sees ──────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_queue_says_what_waits_since_when_and_who_serves_it(self, lab: Lab) -> None:
        """Q13."""
        store = await opened(lab, concurrency=1, rate=RateLimit(limit=5, per=60 * SECOND))
        began = await store.now()
        for n in range(3):
            await store.start(queued(f"e-{n}", partition=f"p-{n % 2}"))
            lab.pass_time(SECOND)
        assert (await state(store)).served_by == 0
        await admit(store)
        found = await state(store)
        assert (found.waiting, found.held, found.oldest, found.begun, found.served_by) == (2, 1, began + SECOND, 1, 1)
        first = PartitionState(partition="p-1", waiting=1, held=0, oldest=began + SECOND)
        second = PartitionState(partition="p-0", waiting=1, held=1, oldest=began + 2 * SECOND)
        assert list(await keeps(store).queue_partitions("q", 1)) == [first]
        assert list(await keeps(store).queue_partitions("q", 9, "p-1")) == [second]
        lab.pass_time(3 * LEASE)
        assert (await state(store)).served_by == 0

    @in_lab
    async def test_an_execution_says_where_it_stands(self, lab: Lab) -> None:
        """Q13."""
        store = await opened(lab, concurrency=1)
        for n in range(4):
            await store.start(queued(f"e-{n}", priority=-n if n == 3 else 0))
        assert (await admitted(store)) == ["e-3"]
        place = await keeps(store).queue_place("e-2")
        assert place is not None
        assert (place.queue, place.held, place.ahead, place.waiting) == ("q", False, 2, 3)
        held = await keeps(store).queue_place("e-3")
        assert held is not None
        assert held.held
        assert await keeps(store).queue_place("nobody") is None

    @in_lab
    async def test_an_undeclared_queue_is_seen_while_something_waits_in_it(self, lab: Lab) -> None:
        """Q13."""
        store = await lab.open()
        await store.start(queued("a", queue="none"))
        (found,) = await keeps(store).queues()
        assert (found.name, found.waiting, found.served_by) == ("none", 1, 0)
        await declare(store, queue="none", concurrency=1)
        assert await admitted(store, room={"none": 5}) == ["a"]

    # ── Q14: cancel and deadline while it waits ─────────────────────────────────────────────────
    @in_lab
    async def test_a_cancel_ends_what_waits_at_once_without_a_place(self, lab: Lab) -> None:
        """Q14."""
        store = await opened(lab, concurrency=1, partition_concurrency=1)
        for id in ("a", "b", "c"):
            await store.start(queued(id, partition="p"))
        (a,) = await admit(store)
        await store.send("b", attrs.evolve(CANCEL, unbegun=UNBEGUN))
        ended = await store.read("b")
        assert ended is not None
        assert ended.status == "cancelled"
        assert await places(store) == (1, 1)
        await end(store, a)
        assert await admitted(store) == ["c"]

    @in_lab
    async def test_the_last_that_waited_may_be_cancelled_and_another_still_comes(self, lab: Lab) -> None:
        """Q14: no lost wake-up."""
        store = await opened(lab, partition_concurrency=1)
        await store.start(queued("a", partition="p"))
        await store.start(queued("b", partition="p"))
        (a,) = await admit(store)
        await store.send("b", attrs.evolve(CANCEL, unbegun=UNBEGUN))
        await end(store, a)
        await store.start(queued("c", partition="p"))
        assert await admitted(store) == ["c"]

    @in_lab
    async def test_a_deadline_ends_what_waits_and_nothing_of_it_begins(self, lab: Lab) -> None:
        """Q14, E4."""
        store = await opened(lab, concurrency=1)
        now = await store.now()
        await store.start(queued("a"))
        await store.start(queued("late", deadline=now + 5 * SECOND))
        (a,) = await admit(store)
        assert await store.next_wake(["w"], queues=["q"]) == now + 5 * SECOND
        lab.pass_time(5 * SECOND)
        (late,) = await admit(store)
        assert late.id == "late"
        with pytest.raises(Stale):
            await store.commit(late, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        await end(store, late, status="failed")
        assert await places(store) == (0, 1)
        await end(store, a)
        assert await places(store) == (0, 0)

    @in_lab
    async def test_a_clock_that_goes_back_begins_nothing_that_waits(self, lab: Lab) -> None:
        """Q2, T4: also not at its deadline."""
        store = await opened(lab, concurrency=1)
        now = await store.now()
        await store.start(queued("a"))
        await store.start(queued("late", deadline=now + 5 * SECOND))
        await admit(store)
        lab.pass_time(10 * SECOND)
        await store.claim("ada", LEASE, "b-1", ["w"], 0)
        lab.pass_time(-DAY)
        assert await admitted(store) == []
        assert await admitted(await lab.open(), "bob") == []

    @in_lab
    async def test_the_cancel_of_what_waits_again_is_carried_out_first_and_once_it_has_a_place(self, lab: Lab) -> None:
        """Q14."""
        store = await opened(lab, concurrency=1)
        await store.start(queued("stuck"))
        (claim,) = await admit(store)
        await store.release([claim], parked=park())
        await store.start(queued("next"))
        (nxt,) = await admit(store)
        (tried,) = await store.claim("bob", LEASE, "b-2", ["w"], 10)
        await store.commit(tried, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        await store.send("stuck", attrs.evolve(CANCEL, unbegun=UNBEGUN))
        waiting = await store.read("stuck")
        assert waiting is not None
        assert waiting.status == "cancelling"
        assert await admitted(store, "bob", build="b-2") == []
        await end(store, nxt)
        assert await admitted(store, "bob", build="b-2") == ["stuck"]

    # ── Q15: what is declared ───────────────────────────────────────────────────────────────────
    @in_lab
    async def test_the_limits_of_the_build_that_came_last_are_in_force(self, lab: Lab) -> None:
        """Q15: old and new workers side by side do not flap."""
        store = await opened(lab, concurrency=1)
        lab.pass_time(SECOND)
        await declare(store, build="b-2", worker="bob", concurrency=2)
        for _ in range(3):
            lab.pass_time(60 * SECOND)
            await declare(store, build="b-1", concurrency=1)
            assert (await state(store)).limits.concurrency == 2
            await declare(store, build="b-2", worker="bob", concurrency=2)
            assert (await state(store)).limits.concurrency == 2

    @in_lab
    async def test_a_roll_back_takes_effect(self, lab: Lab) -> None:
        """Q15: once the newer build has been gone for ten minutes."""
        store = await opened(lab, concurrency=1)
        lab.pass_time(SECOND)
        await declare(store, build="b-2", worker="bob", concurrency=2)
        for _ in range(12):
            lab.pass_time(60 * SECOND)
            await declare(store, build="b-1", concurrency=1)
        assert (await state(store)).limits.concurrency == 1

    @in_lab
    async def test_a_workflow_says_which_queue_it_has(self, lab: Lab) -> None:
        """Q1: for starts by name."""
        store = await lab.open()
        assert await keeps(store).workflow_queue("w") is None
        workflows = {"w": WorkflowQueue(queue="q", partitioned=True), "v": WorkflowQueue(queue=None)}
        await keeps(store).declare("ada", "b-1", {"q": QueueLimits()}, workflows)
        assert await keeps(store).workflow_queue("w") == workflows["w"]
        assert await keeps(store).workflow_queue("v") == workflows["v"]
