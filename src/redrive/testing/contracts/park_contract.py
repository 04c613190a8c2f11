"""Parks: who may try again and when, what counts as a death, and what a cancel does to what is parked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import attrs

from redrive.ports.store import Claim, Creator, NewChild, NewMessage, Outgoing, Store, Turn
from redrive.testing.contracts.lab import CANCEL, DAY, LEASE, SECOND, Lab, claimed, execution, in_lab, nothing_for, park, signal, take

ANEW = park(kind="killed", anew=True, retry_after=10 * SECOND, rest=5 * SECOND)
ENDS = Turn(expects=1, rows=['"cancel"', '"ended"'], status="cancelled", outcome='{"err": "cancelled"}')
CANCEL_ANYHOW = attrs.evolve(CANCEL, unbegun=ENDS)


async def retried(store: Store, worker: str, build: str = "b-1", retries: int = 10) -> list[Claim]:
    return list(await store.claim(worker, LEASE, build, ["w"], 10, retries=retries))


class ParkContract:
    @in_lab
    async def test_a_park_is_kept_with_its_kind_its_time_and_how_often_it_was_met(self, lab: Lab) -> None:
        store = await lab.open()
        await store.release([await claimed(store)], parked=ANEW)
        lab.pass_time(DAY)
        (claim,) = await retried(store, "ada")
        assert (claim.tries, claim.parked) == (1, "killed")
        await store.release([claim], parked=ANEW)
        found = await store.read("e-1")
        assert found is not None
        (kept,) = found.parks
        now = await store.now()
        assert (kept.build, kept.kind, kept.reason, kept.at, kept.tries) == ("b-1", "killed", "diverged", now, 2)
        assert kept.retry_at == now + 10 * SECOND

    @in_lab
    async def test_a_worker_that_starts_later_may_try_once_what_its_build_parked(self, lab: Lab) -> None:
        """D2."""
        store = await lab.open()
        await store.release([await claimed(store)], parked=park())
        lab.pass_time(SECOND)
        assert await nothing_for(store, "bob"), "not unless it asks for it"
        (claim,) = await retried(store, "bob")
        await store.release([claim], parked=park())
        lab.pass_time(LEASE / 2)
        assert await retried(store, "bob") == []
        assert await retried(store, "ada") == [], "nor the one that met it first"
        lab.pass_time(SECOND)
        (claim,) = await retried(store, "eve")
        assert claim.tries == 2

    @in_lab
    async def test_a_worker_that_was_there_already_may_try_once_when_its_time_has_come(self, lab: Lab) -> None:
        """D2: whatever the build says, the code may be another one."""
        store = await lab.open()
        assert await nothing_for(store, "bob")
        await store.release([await claimed(store)], parked=park(retry_after=3 * SECOND))
        assert await store.next_wake(["w"], "b-1", "bob") == await store.now() + 3 * SECOND
        assert await retried(store, "bob") == []
        lab.pass_time(3 * SECOND)
        assert await retried(store, "ada") == []
        (claim,) = await retried(store, "bob")
        await store.release([claim], parked=park(retry_after=3 * SECOND))
        lab.pass_time(5 * SECOND)
        assert await retried(store, "bob") == [] == await retried(store, "ada"), "all have met it"
        assert await store.next_wake(["w"], "b-1", "bob") is None

    @in_lab
    async def test_what_says_nothing_of_the_code_is_tried_again_by_all_when_it_has_rested(self, lab: Lab) -> None:
        store = await lab.open()
        await store.release([await claimed(store)], parked=ANEW)
        assert await store.next_wake(["w"], "b-1", "ada") == await store.now() + 10 * SECOND
        lab.pass_time(SECOND)
        assert await retried(store, "bob") == [], "it started later, and the park rests"
        lab.pass_time(4 * SECOND)
        (claim,) = await retried(store, "bob")
        await store.release([claim], parked=ANEW)
        lab.pass_time(9 * SECOND)
        assert await retried(store, "ada") == []
        lab.pass_time(SECOND)
        (claim,) = await retried(store, "ada")
        assert claim.tries == 2

    @in_lab
    async def test_no_more_are_tried_again_than_wanted_the_longest_parked_first(self, lab: Lab) -> None:
        store = await lab.open()
        for id in ("one", "two", "three"):
            await store.release([await claimed(store, id)], parked=park())
            lab.pass_time(SECOND)
        await store.start(execution("new"))
        assert [claim.id for claim in await retried(store, "bob", retries=2)] == ["new", "one", "two"]
        assert [claim.id for claim in await store.claim("bob", LEASE, "b-1", ["w"], 0, retries=2)] == []
        assert [claim.id for claim in await retried(store, "bob")] == ["three"]

    @in_lab
    async def test_a_worker_that_always_has_enough_to_do_gets_to_what_is_parked_all_the_same(self, lab: Lab) -> None:
        """D2: a quarter of each claim that asks for retries is kept for them, one at least."""
        store = await lab.open()
        for id in ("one", "two", "three", "four"):
            await store.release([await claimed(store, id)], parked=park())
            lab.pass_time(SECOND)
        for n in range(20):
            await store.start(execution(f"new-{n:02}"))
        ids = [claim.id for claim in await store.claim("bob", LEASE, "b-1", ["w"], 1, retries=10)]
        assert ids == ["one"]
        ids = [claim.id for claim in await store.claim("bob", LEASE, "b-1", ["w"], 8, retries=10)]
        assert ids == [*(f"new-{n:02}" for n in range(6)), "two", "three"]
        ids = [claim.id for claim in await store.claim("bob", LEASE, "b-1", ["w"], 8)]
        assert ids == [f"new-{n:02}" for n in range(6, 14)], "it did not ask for retries"

    @in_lab
    async def test_a_commit_ends_the_park_of_its_workers_build(self, lab: Lab) -> None:
        store = await lab.open()
        await store.release([await claimed(store)], parked=park())
        await store.release([await take(store, "eve", build="b-2")], parked=park("differs", "b-2"))
        lab.pass_time(SECOND)
        (claim,) = await retried(store, "bob")
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended", wake_at=await store.now()))
        await store.release([claim])
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.parked) == ("suspended", {"b-2": "differs"})
        assert (await take(store, "ada")).tries == 0

    @in_lab
    async def test_what_others_went_on_with_is_tried_again_as_well(self, lab: Lab) -> None:
        """The new code was taken back: workers that start with the old one may try."""
        store = await lab.open()
        await store.release([await claimed(store)], parked=park())
        newer = await take(store, "eve", build="b-2")
        await store.commit(newer, Turn(expects=1, rows=['"asked"'], status="suspended", wake_at=await store.now()))
        await store.release([newer])
        lab.pass_time(SECOND)
        (claim,) = await retried(store, "bob")
        await store.commit(claim, Turn(expects=2, rows=['"asked"'], status="running", wake_at=await store.now()))
        await store.release([claim])
        await take(store, "ada")

    # ── deaths ──────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_each_build_counts_its_own_deaths(self, lab: Lab) -> None:
        """E7."""
        store = await lab.open()
        await claimed(store)
        for n in (1, 2):
            lab.pass_time(LEASE)
            assert (await take(store, f"worker {n}")).deaths == n
        lab.pass_time(LEASE)
        other = await take(store, "other", build="b-2")
        assert (other.deaths, other.recoveries) == (0, 3)
        lab.pass_time(LEASE)
        again = await take(store, "last")
        assert (again.deaths, again.recoveries) == (3, 4)

    @in_lab
    async def test_a_worker_that_comes_back_was_not_dead(self, lab: Lab) -> None:
        """E7: only deaths count."""
        store = await lab.open()
        await claimed(store)
        lab.pass_time(LEASE)
        claim = await take(store, "bob")
        assert claim.deaths == 1
        assert await nothing_for(store, "ada")
        await store.release([claim])
        back = await take(store, "bob")
        assert (back.deaths, back.recoveries) == (0, 1)

    @in_lab
    async def test_a_park_begins_the_count_of_deaths_anew(self, lab: Lab) -> None:
        """E7."""
        store = await lab.open()
        await claimed(store)
        lab.pass_time(LEASE)
        await store.release([await take(store, "bob")], parked=ANEW)
        lab.pass_time(10 * SECOND)
        (claim,) = await retried(store, "eve")
        assert (claim.deaths, claim.tries, claim.parked) == (0, 1, "killed")
        await store.commit(claim, Turn(expects=1, wake_at=await store.now()))
        lab.pass_time(LEASE)
        probation = await take(store, "last")
        assert (probation.deaths, probation.tries, probation.parked) == (1, 1, "killed")

    @in_lab
    async def test_a_new_row_makes_earlier_deaths_and_parks_for_them_void(self, lab: Lab) -> None:
        store = await lab.open()
        await store.release([await claimed(store)], parked=ANEW)
        lab.pass_time(10 * SECOND)
        (claim,) = await retried(store, "eve")
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        lab.pass_time(LEASE)
        after = await take(store, "last")
        assert (after.deaths, after.tries, after.parked) == (1, 0, None)

    # ── cancels ─────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_cancel_of_what_is_parked_is_seen_from_outside(self, lab: Lab) -> None:
        """E3."""
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        await store.release([claim], parked=park())
        await store.send("e-1", CANCEL_ANYHOW)
        assert not await store.send("e-1", attrs.evolve(CANCEL_ANYHOW, data="another"))
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.cancel) == ("parked", CANCEL.data)

    @in_lab
    async def test_what_never_began_and_is_parked_is_cancelled_at_once(self, lab: Lab) -> None:
        """E3."""
        store = await lab.open()
        await store.start(execution("e-1", first_message=signal()))
        assert await nothing_for(store, "ada", workflow="other")
        assert await store.send("e-1", CANCEL_ANYHOW)
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.outcome, found.length, found.unread, found.parks) == ("cancelled", ENDS.outcome, 3, 1, ())
        assert (found.owner, found.wake_at, found.cancel) == (None, None, None)
        assert await store.history("e-1") == '["started","cancel","ended"]'
        assert not await store.send("e-1", CANCEL_ANYHOW), "a repeat"
        assert await nothing_for(store, "bob")

    @in_lab
    async def test_what_is_pending_is_cancelled_at_once(self, lab: Lab) -> None:
        """E3: before its time, and with no worker's help."""
        store, other = await lab.open(), await lab.open()
        for id, before in (("due", None), ("later", await store.now() + DAY)):
            await store.start(execution(id, not_before=before))
            await other.send(id, signal())
            seen = told = await store.wait_for_changes(0)
            assert await store.send(id, CANCEL_ANYHOW)
            while told.ends == seen.ends:  # hears of the signal, too
                told = await asyncio.wait_for(store.wait_for_changes(60, told), 10)
            found = await other.read(id)
            assert found is not None
            assert (found.status, found.outcome, found.wake_at, found.unread) == ("cancelled", ENDS.outcome, None, 1)
            assert await other.history(id) == '["started","cancel","ended"]'
            assert not await store.send(id, CANCEL_ANYHOW), "a repeat"
        lab.pass_time(DAY)
        assert await nothing_for(store, "bob")
        assert (await store.start(execution("later", run="second", restart=frozenset({"cancelled"})))).created
        assert await store.send("later", CANCEL_ANYHOW)
        found = await store.read("later")
        assert found is not None
        assert (found.status, found.number, found.length) == ("cancelled", 2, 3)

    @in_lab
    async def test_a_parent_is_told_of_a_child_that_is_cancelled_before_it_began(self, lab: Lab) -> None:
        """E10: by somebody, or by the very turn that starts it."""
        store, other = await lab.open(), await lab.open()
        parent = await claimed(store, "parent")

        def child(id: str) -> NewChild:
            creator = Creator(id="parent", run="run of parent", key=id)
            return NewChild(execution=execution(id, creator=creator), answer_to=id)

        children, cancels = [child("one"), child("two")], [Outgoing(target="one", message=CANCEL_ANYHOW)]
        turn = Turn(expects=1, rows=['"asked"'], children=children, outgoing=cancels, status="suspended")
        committed = await store.commit(parent, turn)
        assert sorted((message.kind, message.name) for message in committed.inbox) == [
            ("answer", "one"),
            ("answer", "two"),
            ("child", "one"),
        ]
        await other.send("two", CANCEL_ANYHOW)
        told = [message.name for message in (await store.load(parent)).inbox if message.kind == "child"]
        assert told == ["one", "two"]

    @in_lab
    async def test_what_is_being_tried_gets_its_cancel_as_a_message(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store, "begins")
        assert await store.send("begins", CANCEL_ANYHOW)
        assert [message.kind for message in (await store.load(claim)).inbox] == ["cancel"]
        await store.release([await claimed(store, "tried")], parked=park())
        claim = await take(store, "eve", "tried", build="b-2")
        assert await store.send("tried", CANCEL_ANYHOW)
        assert [message.kind for message in (await store.load(claim)).inbox] == ["cancel"]

    @in_lab
    async def test_a_child_that_nobody_has_the_code_for_is_cancelled_with_its_parents_turn(self, lab: Lab) -> None:
        """E10: a parent that waits for the end of its child is told."""
        store = await lab.open()
        parent = await claimed(store, "parent")
        creator = Creator(id="parent", run="run of parent", key="child")
        child = NewChild(execution=execution("child", workflow="unknown", creator=creator))
        await store.commit(parent, Turn(expects=1, rows=['"asked"'], children=[child], wake_at=await store.now()))
        assert await nothing_for(store, "ada")
        cancels = [Outgoing(target="child", message=CANCEL_ANYHOW)]
        committed = await store.commit(parent, Turn(expects=2, rows=['"cut"'], outgoing=cancels, wake_at=await store.now()))
        assert [(message.kind, message.name) for message in committed.inbox] == [("child", "child")]
        found = await store.read("child")
        assert found is not None
        assert found.status == "cancelled"

    @in_lab
    async def test_a_cancel_lets_what_says_nothing_of_the_code_be_tried_at_once(self, lab: Lab) -> None:
        """E3: the first code that fits carries it out, and this one may."""
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        await store.release([claim], parked=attrs.evolve(ANEW, retry_after=timedelta(days=1)))
        lab.pass_time(SECOND)
        assert await retried(store, "ada") == []
        await store.send("e-1", NewMessage(kind="cancel", data=CANCEL.data))
        (again,) = await retried(store, "ada")
        assert [message.kind for message in (await store.load(again)).inbox] == ["cancel"]
