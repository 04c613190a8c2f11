"""Queues of executions: who comes when, what is lent, and what people see and change (rules Q5 to Q15)."""

from __future__ import annotations

import attrs

from redrive.ports.queue_port import RateLimit
from redrive.testing.contracts.lab import SECOND, Lab, in_lab
from redrive.testing.contracts.queue_lab import (
    admit,
    admitted,
    asked,
    bear,
    declare,
    end,
    keeps,
    opened,
    places,
    queued,
)


class QueueOrderContract:
    # ── Q5, Q6, Q7, Q8: order ───────────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_lower_priority_number_comes_sooner_then_the_order_of_the_starts(self, lab: Lab) -> None:
        """Q5."""
        store = await opened(lab, concurrency=1)
        for id, priority in (("a", 1), ("b", 0), ("c", -1), ("d", 0), ("e", -1)):
            await store.start(queued(id, priority=priority))
        found: list[str] = []
        for _ in range(5):
            (claim,) = await admit(store)
            found.append(claim.id)
            await end(store, claim)
        assert found == ["c", "e", "b", "d", "a"]

    @in_lab
    async def test_partitions_take_turns(self, lab: Lab) -> None:
        """Q6: one behind another's many waits for one turn of each at most."""
        store = await opened(lab, concurrency=2)
        for n in range(30):
            await store.start(queued(f"many-{n}", partition="many"))
        claims = await admit(store)
        await store.start(queued("one", partition="one"))
        await store.start(queued("two", partition="two"))
        found: list[str] = []
        for _ in range(4):
            await end(store, claims.pop())
            new = await admit(store)
            found += [claim.id for claim in new]
            claims += new
        assert {"one", "two"} <= set(found[:3])

    @in_lab
    async def test_turns_are_taken_within_one_admission_too(self, lab: Lab) -> None:
        """Q6."""
        store = await opened(lab)
        for n in range(6):
            for partition in ("a", "b", "c"):
                await store.start(queued(f"{partition}-{n}", partition=partition))
        assert sorted(await admitted(store, limit=6, room={"q": 6})) == ["a-0", "a-1", "b-0", "b-1", "c-0", "c-1"]

    @in_lab
    async def test_a_partition_that_was_idle_gets_no_credit_for_it(self, lab: Lab) -> None:
        """Q6."""
        store = await opened(lab, concurrency=1)
        for n in range(40):
            await store.start(queued(f"busy-{n}", partition="busy"))
        for _ in range(20):
            await end(store, *await admit(store))
        for n in range(20):
            await store.start(queued(f"new-{n}", partition="new"))
        found: list[str] = []
        for _ in range(8):
            claims = await admit(store)
            found += [claim.id.partition("-")[0] for claim in claims]
            await end(store, *claims)
        assert found.count("busy") >= 3

    @in_lab
    async def test_nothing_starves_behind_higher_priorities(self, lab: Lab) -> None:
        """Q7: every tenth admission goes to what waits longest."""
        store = await opened(lab, concurrency=1)
        await store.start(queued("patient", priority=9, partition="p"))
        found: list[str] = []
        for n in range(12):
            lab.pass_time(SECOND)
            await store.start(queued(f"urgent-{n}", partition="u" if n % 2 else "p"))
            await store.start(queued(f"urgent-too-{n}", partition="u"))
            claims = await admit(store)
            found += [claim.id for claim in claims]
            await end(store, *claims)
        assert "patient" in found[:11]

    @in_lab
    async def test_a_full_partition_and_a_paused_or_full_queue_delay_no_other(self, lab: Lab) -> None:
        """Q8."""
        store = await opened(lab, partition_concurrency=1)
        await declare(store, queue="full", concurrency=1)
        await declare(store, queue="paused")
        await keeps(store).pause_queue("paused", "by hand")
        for n in range(10):
            await store.start(queued(f"p-{n}", partition="p"))
            await store.start(queued(f"full-{n}", queue="full"))
            await store.start(queued(f"paused-{n}", queue="paused"))
        room = {"q": 50, "full": 50, "paused": 50}
        assert sorted(await admitted(store, room=room)) == ["full-0", "p-0"]
        await store.start(queued("stranger", partition="s"))
        assert await admitted(store, room=room) == ["stranger"]
        assert await store.next_wake(["w"], queues=["q", "full", "paused"]) is None

    # ── Q9: lending ─────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_parent_that_waits_lends_its_place_to_its_child(self, lab: Lab) -> None:
        """Q9: a family cannot deadlock in its own queue, three deep."""
        store = await opened(lab, concurrency=1, partition_concurrency=1)
        await store.start(queued("top", partition="p"))
        await store.start(queued("stranger", partition="p"))
        claims = await admit(store)
        for depth in range(3):
            (claim,) = claims
            assert claim.in_family
            await bear(store, claim, f"child-{depth}", waits=True, partition="p")
            claims = await admit(store)
            assert [one.id for one in claims] == [f"child-{depth}"]
            assert await admitted(store) == []
        assert (await places(store))[1] == 4
        await end(store, *claims)
        assert [id for id in await admitted(store) if id != "child-1"] == []

    @in_lab
    async def test_a_child_that_nobody_waits_for_needs_a_place_of_its_own(self, lab: Lab) -> None:
        """Q9, Q2."""
        store = await opened(lab, concurrency=1)
        await store.start(queued("top"))
        (top,) = await admit(store)
        top = await bear(store, top, "child", waits=False)
        assert await admitted(store) == []
        top = await asked(store, top, awaits=["child"])
        assert await admitted(store) == ["child"]

    @in_lab
    async def test_a_wait_that_was_cut_lends_nothing_any_more(self, lab: Lab) -> None:
        """Q9, Q2."""
        store = await opened(lab, concurrency=1)
        await store.start(queued("top"))
        (top,) = await admit(store)
        top = await bear(store, top, "child", waits=True)
        await asked(store, top, awaits=[])
        assert await admitted(store) == []

    @in_lab
    async def test_a_place_is_lent_to_one_at_a_time(self, lab: Lab) -> None:
        """Q9: in the order of Q5."""
        store = await opened(lab, concurrency=1)
        await store.start(queued("top"))
        (top,) = await admit(store)
        top = await bear(store, top, "a", waits=False)
        top = await bear(store, top, "b", waits=False, priority=-1)
        await asked(store, top, awaits=["a", "b"])
        (first,) = await admit(store)
        assert first.id == "b"
        await end(store, first)
        assert "a" in await admitted(store)

    @in_lab
    async def test_a_child_in_another_partition_needs_none_in_the_queue(self, lab: Lab) -> None:
        """Q9: but one in its partition."""
        store = await opened(lab, concurrency=2, partition_concurrency=1)
        await store.start(queued("top", partition="p"))
        await store.start(queued("busy", partition="o"))
        claims = {claim.id: claim for claim in await admit(store)}
        await bear(store, claims["top"], "child", waits=True, partition="o")
        assert await admitted(store) == []
        await end(store, claims["busy"])
        assert await admitted(store) == ["child"]

    @in_lab
    async def test_a_grandchild_through_another_queue_and_one_without_borrows_too(self, lab: Lab) -> None:
        """Q9: through any queues."""
        store = await opened(lab, concurrency=1)
        await declare(store, queue="o", concurrency=1)
        room = {"q": 50, "o": 50}
        await store.start(queued("top"))
        (claim,) = await admit(store, room=room)
        await bear(store, claim, "plain", waits=True, queue=None)
        (claim,) = await admit(store, room=room)
        assert (claim.id, claim.in_family) == ("plain", True)
        await bear(store, claim, "other", waits=True, queue="o")
        (claim,) = await admit(store, room=room)
        assert claim.id == "other"
        await bear(store, claim, "deep", waits=True)
        assert await admitted(store, room=room) == ["deep"]

    @in_lab
    async def test_the_place_of_a_lender_that_ends_passes_to_its_borrower(self, lab: Lab) -> None:
        """Q3."""
        store = await opened(lab, concurrency=1, partition_concurrency=1)
        await store.start(queued("top"))
        await store.start(queued("next"))
        (top,) = await admit(store)
        top = await bear(store, top, "child", waits=True)
        (child,) = await admit(store)
        await end(store, top)
        assert await admitted(store) == []
        assert await places(store) == (1, 1)
        await end(store, child)
        assert await admitted(store) == ["next"]

    @in_lab
    async def test_a_pause_holds_for_borrowers_and_a_rate_counts_them(self, lab: Lab) -> None:
        """Q9."""
        store = await opened(lab, concurrency=1, rate=RateLimit(limit=2, per=60 * SECOND))
        await store.start(queued("top"))
        (top,) = await admit(store)
        await keeps(store).pause_queue("q", "")
        top = await bear(store, top, "a", waits=True)
        assert await admitted(store) == []
        await keeps(store).pause_queue("q", None)
        (first,) = await admit(store)
        await end(store, first)
        await bear(store, attrs.evolve(top), "b", waits=True)
        assert "b" not in await admitted(store)
        lab.pass_time(60 * SECOND)
        assert "b" in await admitted(store)
