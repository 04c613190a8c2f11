"""Ownership: one worker at a time, fences, leases, parking."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from redrive.ports.parks import EVERYBODY
from redrive.ports.store import LostClaim, Turn
from redrive.ports.workers import KnowsWorkers
from redrive.testing.contracts.lab import CANCEL, DAY, LEASE, SECOND, Lab, claimed, execution, in_lab, nothing_for, park, signal, take

MICROSECOND = timedelta(microseconds=1)


class ClaimContract:
    @in_lab
    async def test_an_execution_is_claimed_once(self, lab: Lab) -> None:
        store, other = await lab.open(), await lab.open()
        claim = await claimed(store)
        assert (claim.workflow, claim.run, claim.number, claim.length, claim.recoveries) == ("w", "run of e-1", 1, 1, 0)
        assert await nothing_for(store, "ada")
        assert await nothing_for(other, "bob")
        found = await other.read("e-1")
        assert found is not None
        assert (found.owner, found.status) == ("ada", "pending")

    @in_lab
    async def test_the_longest_due_are_claimed_first_and_not_more_than_wanted(self, lab: Lab) -> None:
        store = await lab.open()
        now = await store.now()
        for n in (3, 1, 4, 2, 5):
            await store.start(execution(f"e-{n}", workflow=f"w-{n % 2}", not_before=now + n * SECOND))
        lab.pass_time(4 * SECOND)
        first = await store.claim("ada", LEASE, "b-1", ["w-0", "w-1"], 3)
        second = await store.claim("ada", LEASE, "b-1", ["w-0", "w-1"], 3)
        assert [claim.id for claim in first] == ["e-1", "e-2", "e-3"]
        assert [claim.id for claim in second] == ["e-4"]

    @in_lab
    async def test_only_listed_workflows_are_claimed(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution("x", workflow="x"))
        await store.start(execution("y", workflow="y"))
        assert [claim.id for claim in await store.claim("ada", LEASE, "b-1", ["y"], 10)] == ["y"]
        assert list(await store.claim("ada", LEASE, "b-1", [], 10)) == []

    @in_lab
    async def test_the_next_claim_says_that_all_was_at_rest_when_it_was_given_back(self, lab: Lab) -> None:
        """E3: that no body had begun can be seen by nobody but the owner who gives it back."""
        store = await lab.open()
        claim = await claimed(store)
        assert not claim.at_rest
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        await store.release([claim], at_rest=True)
        claim = await take(store, "bob")
        assert claim.at_rest
        await store.release([claim])
        claim = await take(store, "ada")
        assert not claim.at_rest, "bob may have begun it"
        await store.release([attrs.evolve(claim, fence=claim.fence - 1)], at_rest=True)
        await store.release([claim], at_rest=True)
        assert (await take(store, "ada")).at_rest
        lab.pass_time(2 * LEASE)
        assert not (await take(store, "bob")).at_rest, "ada died, and may have begun it"

    @in_lab
    async def test_a_retry_of_what_is_parked_says_so_too(self, lab: Lab) -> None:
        """E3: by any worker."""
        store = await lab.open()
        claim = await claimed(store)
        await store.release([claim], parked=park())
        claim = await take(store, "bob", build="b-2")
        await store.release([claim], at_rest=True)
        lab.pass_time(SECOND)
        (claim,) = await store.claim("eve", LEASE, "b-1", ["w"], 10, retries=10)
        assert (claim.parked, claim.at_rest) == ("diverged", True)

    @in_lab
    async def test_what_a_dead_worker_leaves_of_a_workflow_that_nobody_lists_is_parked_at_once(self, lab: Lab) -> None:
        store = await lab.open()
        await claimed(store, worker="dead")
        lab.pass_time(2 * LEASE)
        assert await nothing_for(store, "ada", workflow="v")
        snapshot = await store.read("e-1")
        assert snapshot is not None
        assert (snapshot.status, list(snapshot.parked)) == ("parked", [EVERYBODY])

    @in_lab
    async def test_a_worker_without_room_for_bodies_takes_only_what_has_a_turn_to_compute(self, lab: Lab) -> None:
        store = await lab.open()
        now = await store.now()
        for id in ("new", "cancelled", "greeted", "runs", "signalled", "sleeps", "late", "other"):
            await store.start(execution(id, workflow="x" if id == "other" else "w", deadline=now + SECOND if id == "late" else None))
        for claim in await store.claim("ada", LEASE, "b-1", ["w", "x"], 10):
            if claim.id in ("runs", "signalled", "late"):
                await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=now))
            elif claim.id == "sleeps":
                await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended", wake_at=now + SECOND))
            await store.release([claim])
        await store.send("cancelled", CANCEL)
        await store.send("greeted", signal("hello"))
        await store.send("signalled", signal("hello"))

        async def taken(*turns_only: str) -> set[str]:
            claims = await store.claim("bob", LEASE, "b-1", ["w", "x"], 10, turns_only=turns_only)
            await store.release(claims)
            return {claim.id for claim in claims}

        assert await taken("w") == {"cancelled", "signalled", "other"}
        lab.pass_time(SECOND)
        assert await taken("w", "x") == {"cancelled", "signalled", "sleeps", "late"}
        assert len(await taken()) == 8

    @in_lab
    async def test_a_dead_workers_executions_go_on_elsewhere(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        lab.pass_time(LEASE)
        taken = await take(store, "bob")
        assert taken.fence > claim.fence
        assert (taken.length, taken.recoveries) == (2, 1)

    @in_lab
    async def test_a_live_worker_keeps_its_executions(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        for _ in range(10):
            lab.pass_time(LEASE * 3 / 4 - MICROSECOND)
            assert await nothing_for(store, "ada")
            assert await nothing_for(store, "bob")
        await store.commit(claim, Turn(expects=1, rows=['"asked"']))

    @in_lab
    async def test_a_worker_that_was_late_keeps_what_nobody_took(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        lab.pass_time(DAY)
        assert await nothing_for(store, "ada")
        assert await nothing_for(store, "bob")
        await store.commit(claim, Turn(expects=1, rows=['"asked"']))

    @in_lab
    async def test_a_dead_worker_is_found_within_a_lease_when_the_clock_goes_back(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=await store.now() - DAY))
        lab.pass_time(-DAY / 2)
        assert await nothing_for(store, "bob")
        lab.pass_time(LEASE)
        await take(store, "bob")

    @in_lab
    async def test_what_was_due_at_once_stays_due_when_the_clock_goes_back(self, lab: Lab) -> None:
        store = await lab.open()
        now = await store.now()
        running = await claimed(store, "running", worker="dead")
        await store.commit(running, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        asleep = await claimed(store, "asleep", worker="bob")
        await store.commit(asleep, Turn(expects=1, rows=['"asked"'], wake_at=now + 10 * SECOND, status="suspended"))
        await store.release([asleep])
        await store.start(execution("new"))
        await store.start(execution("delayed", not_before=now + SECOND / 2))
        lab.pass_time(-DAY)
        assert [claim.id for claim in await store.claim("ada", LEASE, "b-1", ["w"], 10)] == ["new"]
        lab.pass_time(LEASE)
        assert [claim.id for claim in await store.claim("ada", LEASE, "b-1", ["w"], 10)] == ["running"]
        lab.pass_time(DAY)
        assert [claim.id for claim in await store.claim("ada", LEASE, "b-1", ["w"], 10)] == ["delayed", "asleep"]

    @in_lab
    async def test_nobody_loses_a_claim_when_the_clock_goes_forward_by_a_day(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        lab.pass_time(DAY)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        assert await nothing_for(store, "ada")
        assert await nothing_for(store, "bob")
        await store.load(claim)

    @in_lab
    async def test_a_worker_that_lost_its_claim_writes_nothing(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        lab.pass_time(LEASE)
        await take(store, "bob")
        assert await nothing_for(store, "ada")
        before = await store.read("e-1")
        with pytest.raises(LostClaim):
            await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="completed", outcome="{}"))
        with pytest.raises(LostClaim):
            await store.load(claim)
        await store.release([claim], parked=park("diverged", "b-1"))
        assert await store.read("e-1") == before
        assert await store.history("e-1") == '["started"]'

    @in_lab
    async def test_an_old_fence_does_not_count_for_the_same_worker(self, lab: Lab) -> None:
        store = await lab.open()
        old = await claimed(store)
        await store.release([old])
        new = await take(store)
        with pytest.raises(LostClaim):
            await store.commit(old, Turn(expects=1, rows=['"asked"']))
        await store.commit(new, Turn(expects=1, rows=['"asked"']))

    @in_lab
    async def test_a_released_execution_is_claimed_when_it_is_due(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        now = await store.now()
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended", wake_at=now + DAY))
        before = await store.read("e-1")
        await store.release([claim])
        after = await store.read("e-1")
        assert before is not None
        assert after is not None
        assert (after.owner, after.status, after.wake_at, after.recoveries) == (None, "suspended", now + DAY, 0)
        with pytest.raises(LostClaim):
            await store.commit(claim, Turn(expects=2))
        assert await nothing_for(store, "bob")
        lab.pass_time(DAY)
        assert (await take(store, "bob")).recoveries == 0

    @in_lab
    async def test_a_retired_workers_executions_are_nobodys_at_once(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.deregister_worker("ada")
        assert (await take(store, "bob")).recoveries == 0
        with pytest.raises(LostClaim):
            await store.commit(claim, Turn(expects=1))

    @in_lab
    async def test_what_slept_while_its_worker_died_counts_no_recovery(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended", wake_at=await store.now() + DAY))
        lab.pass_time(LEASE)
        assert await nothing_for(store, "bob")
        lab.pass_time(DAY)
        assert (await take(store, "bob")).recoveries == 0

    @in_lab
    async def test_recoveries_are_counted_until_the_history_grows(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        for n in range(1, 4):
            lab.pass_time(LEASE)
            claim = await take(store, f"worker {n}")
            assert claim.recoveries == n
            await store.commit(claim, Turn(expects=1, wake_at=await store.now()))
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        lab.pass_time(LEASE)
        assert (await take(store, "last")).recoveries == 1

    # ── parking ─────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_build_that_parked_an_execution_never_gets_it_again_and_others_do(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.release([claim], parked=park("diverged at charge", "b-1"))
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.parked, found.owner) == ("parked", {"b-1": "diverged at charge"}, None)
        assert await nothing_for(store, "ada", build="b-1")
        assert await nothing_for(store, "eve", build="b-1")
        fitting = await take(store, "bob", build="b-2")
        await store.commit(fitting, Turn(expects=1, rows=['"asked"'], status="suspended"))
        now = await store.read("e-1")
        assert now is not None
        assert now.status == "suspended"
        await store.send("e-1", signal())
        await store.release([fitting])
        assert await nothing_for(store, "ada", build="b-1")
        await take(store, "bob", build="b-2")

    @in_lab
    async def test_each_build_parks_for_itself(self, lab: Lab) -> None:
        store = await lab.open()
        await store.release([await claimed(store)], parked=park("one", "b-1"))
        await store.release([await take(store, build="b-2")], parked=park("two", "b-2"))
        found = await store.read("e-1")
        assert found is not None
        assert found.parked == {"b-1": "one", "b-2": "two"}
        await take(store, build="b-3")

    @in_lab
    async def test_a_parked_execution_keeps_its_status_when_it_is_cancelled(self, lab: Lab) -> None:
        store = await lab.open()
        await store.release([await claimed(store)], parked=park("diverged", "b-1"))
        await store.send("e-1", CANCEL)
        found = await store.read("e-1")
        assert found is not None
        assert found.status == "parked"
        assert [message.kind for message in (await store.load(await take(store, build="b-2"))).inbox] == ["cancel"]

    @in_lab
    async def test_the_workers_are_known_with_what_they_list_and_until_when(self, lab: Lab) -> None:
        store = await lab.open()
        if not isinstance(store, KnowsWorkers):
            return  # a store may do without
        assert await store.workers() == []
        before = await store.now()
        assert await nothing_for(store, "ada")
        assert await nothing_for(store, "bob \N{SNOWMAN}", workflow="other")
        known = {worker.id: worker for worker in await store.workers()}
        assert {id: set(worker.workflows) for id, worker in known.items()} == {"ada": {"w"}, "bob \N{SNOWMAN}": {"other"}}
        after = await store.now()
        assert all(worker.alive and before + LEASE <= worker.expires_at <= after + LEASE for worker in known.values())
        await store.deregister_worker("ada")
        assert [worker.id for worker in await store.workers()] == ["bob \N{SNOWMAN}"]
        lab.pass_time(2 * LEASE)
        later = await store.now()
        assert all(not worker.alive and worker.expires_at < later for worker in await store.workers())

    @in_lab
    async def test_the_workers_are_known_with_build_heartbeat_and_load(self, lab: Lab) -> None:
        store = await lab.open()
        if not isinstance(store, KnowsWorkers):
            return  # a store may do without
        before = await store.now()
        await claimed(store, "e-1")
        await store.start(execution("e-2"))
        await store.claim("ada", LEASE, "b-1", ["w"], 10)
        (ada,) = await store.workers()
        assert (ada.build, ada.executions) == ("b-1", 2)
        assert ada.started_at is not None
        assert ada.heartbeat_at is not None
        assert before <= ada.started_at <= ada.heartbeat_at <= await store.now()

    @in_lab
    async def test_what_no_worker_has_the_code_for_is_parked_until_one_comes(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution())
        assert await nothing_for(store, "ada", workflow="other")
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.parked) == ("parked", {"*": "no worker has workflow 'w'"})
        assert await nothing_for(store, "ada", workflow="other")
        claim = await take(store, "bob")
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="running"))
        now = await store.read("e-1")
        assert now is not None
        assert (now.status, now.parked) == ("running", {})

    @in_lab
    async def test_what_another_live_worker_has_the_code_for_is_left_alone(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "bob")
        await store.start(execution())
        assert await nothing_for(store, "ada", workflow="other")
        found = await store.read("e-1")
        assert found is not None
        assert found.status == "pending"
        lab.pass_time(LEASE)
        assert await nothing_for(store, "ada", workflow="other")
        later = await store.read("e-1")
        assert later is not None
        assert later.status == "parked"

    @in_lab
    async def test_what_is_not_due_is_not_parked(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution(not_before=await store.now() + DAY))
        assert await nothing_for(store, "ada", workflow="other")
        found = await store.read("e-1")
        assert found is not None
        assert found.status == "pending"

    # ── when to ask ─────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_the_next_wake_is_the_earliest_of_what_could_be_claimed(self, lab: Lab) -> None:
        store = await lab.open()
        now = await store.now()
        assert await store.next_wake(["w"]) is None
        await store.start(execution("later", not_before=now + 2 * DAY))
        await store.start(execution("sooner", not_before=now + DAY))
        await store.start(execution("other", workflow="other", not_before=now + SECOND))
        assert await store.next_wake(["w"]) == now + DAY
        assert await store.next_wake(["w", "other"]) == now + SECOND
        assert await store.next_wake([]) is None
        lab.pass_time(DAY)
        claim = await take(store, id="sooner")
        assert await store.next_wake(["w"]) == now + 2 * DAY
        await store.commit(claim, Turn(expects=1, wake_at=now + SECOND))
        lab.pass_time(LEASE)
        assert await store.next_wake(["w"]) == now + SECOND

    @in_lab
    async def test_what_a_build_parked_does_not_wake_it(self, lab: Lab) -> None:
        store = await lab.open()
        await store.release([await claimed(store)], parked=park("diverged", "b-1"))
        assert await store.next_wake(["w"], "b-1") is None
        assert await store.next_wake(["w"], "b-2") is not None

    @in_lab
    async def test_a_worker_comes_by_what_it_was_given_and_does_not_know_of(self, lab: Lab) -> None:
        store = await lab.open()
        known, lost = await claimed(store, "known"), await claimed(store, "lost")
        other = await claimed(store, "other's", worker="bob")
        assert await nothing_for(store, "ada")
        (again,) = await store.claim("ada", LEASE, "b-1", ["w"], 10, holds=["known"])
        assert (again.id, again.recoveries) == ("lost", 0)
        assert again.fence > lost.fence
        for claim in (known, again, other):
            await store.commit(claim, Turn(expects=1, rows=['"asked"'], wake_at=await store.now()))
        with pytest.raises(LostClaim):
            await store.commit(lost, Turn(expects=2, rows=['"asked"'], wake_at=await store.now()))
