"""The contract of stores that keep schedules (H1, H5 to H7, H12): firing is compared and stored in one transaction."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from redrive.ports.store import Creator, NewExecution, Store, Turn
from redrive.ports.stored_schedules import ByHand, Firing, KeepsSchedules, LeftOut, StoredSchedule
from redrive.testing.contracts.lab import CANCEL, LEASE, SECOND, Lab, execution, in_lab, nothing_for, take

SLOT: Final = datetime(2030, 1, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)


def schedule(id: str = "nightly", **changes: Any) -> StoredSchedule:
    """A schedule of workflow ``w`` whose first slot is `SLOT`."""
    plain = StoredSchedule(id=id, workflow="w", spec="{}", input='{"order": 1}', next=SLOT, due=SLOT, created_at=SLOT)
    return attrs.evolve(plain, **changes)


def scheduled(slot: datetime = SLOT, id: str = "nightly") -> NewExecution:
    return execution(f"{id}@{slot.isoformat()}", creator=Creator.of_schedule(id))


def firing(slot: datetime = SLOT, id: str = "nightly", **changes: Any) -> Firing:
    """The firing of one slot; the next one is an hour later."""
    plain = Firing(
        schedule=id, version=1, slot=slot, next=slot + HOUR, due=slot + HOUR, starts=[scheduled(slot, id)], slots=[slot], alone=True
    )
    return attrs.evolve(plain, **changes)


async def keeping(lab: Lab, *schedules: StoredSchedule) -> tuple[Store, KeepsSchedules]:
    """The lab's store, as both that it is, with *schedules* in it."""
    store = await lab.open()
    assert isinstance(store, KeepsSchedules)
    for one in schedules:
        assert await store.put_schedule(one, None)
    return store, store


async def one(keeper: KeepsSchedules, id: str = "nightly") -> StoredSchedule:
    (found,) = await keeper.schedules([id])
    return found


async def executions(store: Store) -> int:
    """How many there are, up to a hundred."""
    return len((await store.find(limit=100)).executions)


async def ends(store: Store, id: str, status: Any = "completed", worker: str = "ada") -> None:
    claim = await take(store, worker, id)
    await store.commit(claim, Turn(expects=1, rows=['"end"'], status=status, outcome='{"ok": null}'))


class ScheduleContract:
    # ── what is kept ────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_schedule_comes_back_as_it_was_stored(self, lab: Lab) -> None:
        odd = schedule(
            "né\x1e';--\ud800",
            spec='{"cron": "\\u0000"}',
            attributes='{"a": 1}',
            timeout=timedelta(seconds=1.5),
            app="shop\n",
            declared_by="b-1",
            paused="",
            off=True,
            pause_after=3,
            next=SLOT + timedelta(microseconds=1),
            due=None,
        )
        _, keeper = await keeping(lab, schedule("z"), odd)
        (_, keeper) = await keeping(lab)
        assert await one(keeper, odd.id) == odd
        assert [kept.id for kept in await keeper.schedules()] == sorted((odd.id, "z"), key=lambda id: id.encode("utf-8", "surrogatepass"))
        assert await keeper.schedules(["nope"]) in ([], ())

    @in_lab
    async def test_of_two_changes_to_one_version_one_is_stored(self, lab: Lab) -> None:
        """H4."""
        _, keeper = await keeping(lab, schedule())
        results = await asyncio.gather(*(keeper.put_schedule(schedule(paused=f"by {number}"), 1) for number in range(8)))
        assert sorted(results) == [False] * 7 + [True]
        assert (await one(keeper)).version == 2
        assert not await keeper.put_schedule(schedule(), None)
        assert not await keeper.put_schedule(schedule("other"), 1)
        assert not await keeper.remove_schedule("nightly", 1)
        assert await keeper.remove_schedule("nightly", 2)
        assert not await keeper.schedules()

    @in_lab
    async def test_what_is_due_is_given_to_those_who_have_the_workflow(self, lab: Lab) -> None:
        """H8."""
        store, keeper = await keeping(lab)
        now = await store.now()
        for name, workflow, after in (("late", "w", -2), ("due", "w", 0), ("soon", "w", 5), ("strange", "x", -9)):
            await keeper.put_schedule(schedule(name, workflow=workflow, due=now + after * SECOND), None)
        await keeper.put_schedule(schedule("paused", due=None), None)
        due, following = await keeper.due_schedules(["w"], 10)
        assert ([each.id for each in due], following) == (["late", "due"], now + 5 * SECOND)
        due, following = await keeper.due_schedules(["w"], 1)
        assert [each.id for each in due] == ["late"]
        assert following is not None
        assert following <= now
        assert await keeper.due_schedules([], 10) in (([], None), ((), None))

    # ── firing ──────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_of_many_that_fire_one_slot_one_succeeds(self, lab: Lab) -> None:
        """H1."""
        store, keeper = await keeping(lab, schedule())
        (_, other) = await keeping(lab)
        results = await asyncio.gather(*(each.fire([firing()]) for each in (keeper, other) * 5))
        assert sorted(map(tuple, results)) == [(False,)] * 9 + [(True,)]
        assert await executions(store) == 1
        assert not await nothing_for(store, "ada")
        kept = await one(keeper)
        assert (kept.next, kept.due, kept.running) == (SLOT + HOUR, SLOT + HOUR, (scheduled().id,))
        assert (kept.last_slot, kept.last_execution, kept.version) == (SLOT, scheduled().id, 1)

    @in_lab
    async def test_a_firing_of_another_version_or_slot_writes_nothing(self, lab: Lab) -> None:
        store, keeper = await keeping(lab, schedule())
        stale = (firing(version=2), firing(SLOT + HOUR), firing(id="nobody's"), attrs.evolve(firing(), slot=None))
        assert list(await keeper.fire(stale)) == [False] * 4
        assert await executions(store) == 0
        assert await one(keeper) == schedule()

    @in_lab
    async def test_a_paused_schedule_fires_by_hand_only(self, lab: Lab) -> None:
        """H7."""
        _, keeper = await keeping(lab, schedule(paused="maintenance", due=None))
        assert list(await keeper.fire([firing()])) == [False]
        by_hand = firing(next=SLOT, due=None, starts=[execution("nightly!1", creator=Creator.of_schedule("nightly"))], slots=[None])
        assert list(await keeper.fire([by_hand])) == [True]
        assert (await one(keeper)).next == SLOT

    @in_lab
    async def test_many_are_fired_at_once_and_each_stands_alone(self, lab: Lab) -> None:
        """H12."""
        names = [f"s-{number:03}" for number in range(50)]
        store, keeper = await keeping(lab, *map(schedule, names))
        fired = await keeper.fire([firing(id=name, version=1 + (number % 10 == 3)) for number, name in enumerate(names)])
        assert list(fired) == [number % 10 != 3 for number in range(50)]
        assert await executions(store) == 45

    @in_lab
    async def test_an_execution_that_a_stranger_started_counts_as_a_failed_slot(self, lab: Lab) -> None:
        """H11."""
        store, keeper = await keeping(lab, schedule())
        await store.start(execution(scheduled().id))
        assert list(await keeper.fire([firing(running=())])) == [True]
        (left,) = await keeper.left_out("nightly", 10)
        assert (left.outcome, left.first, scheduled().id in left.why) == ("failed", SLOT, True)
        assert (await one(keeper)).next == SLOT + HOUR

    # ── one at a time ───────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_alone_means_that_no_execution_of_the_schedule_runs(self, lab: Lab) -> None:
        """H6."""
        store, keeper = await keeping(lab, schedule())
        await keeper.fire([firing()])
        later, running = SLOT + HOUR, (scheduled().id,)
        assert list(await keeper.fire([firing(later, running=running)])) == [False]
        assert list(await keeper.fire([firing(later, running=(), alone=False)])) == [False]  # it was computed from less than there is
        assert list(await keeper.fire([firing(later, running=running, alone=False)])) == [True]
        assert (await one(keeper)).running == (scheduled().id, scheduled(later).id)
        await store.claim("ada", LEASE, "b-1", ["w"], 10)

    @in_lab
    async def test_the_end_of_the_one_before_makes_a_waiting_schedule_due(self, lab: Lab) -> None:
        """H6, T3."""
        store, keeper = await keeping(lab, schedule())
        later, running = SLOT + HOUR, (scheduled().id,)
        await keeper.fire([firing()])
        waits = firing(later, running=running, starts=[], slots=[], next=later, due=None, waits=True)
        assert list(await keeper.fire([waits])) == [True]
        assert (await one(keeper)).due is None
        told = await store.wait_for_changes(0)
        await ends(store, *running)
        assert (await store.wait_for_changes(5, told)).schedules > told.schedules
        kept = await one(keeper)
        assert (kept.waits, kept.running, kept.due) == (True, (), await store.now())
        assert list(await keeper.fire([waits])) == [False]  # there is nothing to wait for
        assert list(await keeper.fire([firing(later, running=())])) == [True]

    @in_lab
    async def test_a_slot_may_wait_for_the_one_that_is_started_with_it(self, lab: Lab) -> None:
        store, keeper = await keeping(lab, schedule())
        assert list(await keeper.fire([firing(due=None, waits=True)])) == [True]
        assert (await one(keeper)).due is None
        await ends(store, scheduled().id)
        assert (await one(keeper)).due == await store.now()

    @in_lab
    async def test_one_that_was_asked_for_by_hand_waits_for_its_turn(self, lab: Lab) -> None:
        """H6."""
        store, keeper = await keeping(lab, schedule())
        await keeper.fire([firing()])
        asked = firing(SLOT + HOUR, running=(scheduled().id,), starts=[], slots=[], next=SLOT + HOUR, by_hand=[ByHand("nightly!1")])
        assert list(await keeper.fire([asked])) == [True]
        await ends(store, scheduled().id)
        kept = await one(keeper)
        assert (kept.by_hand, kept.due) == ((ByHand("nightly!1"),), await store.now())
        begun = execution("nightly!1", creator=Creator.of_schedule("nightly"))
        assert list(await keeper.fire([firing(SLOT + HOUR, starts=[begun], slots=[None], next=SLOT + HOUR, done=["nightly!1"])])) == [True]
        assert (await one(keeper)).by_hand == ()

    # ── failures ────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_failures_in_a_row_pause_it(self, lab: Lab) -> None:
        """H7."""
        store, keeper = await keeping(lab, schedule(pause_after=2))
        for number, status in enumerate(("failed", "completed", "failed", "cancelled", "compensation_failed")):
            slot = SLOT + number * HOUR
            assert (await one(keeper)).paused is None
            assert list(await keeper.fire([firing(slot)])) == [True]
            await ends(store, scheduled(slot).id, status)
        kept = await one(keeper)
        assert (kept.failures, kept.due, kept.version) == (2, None, 2)
        assert kept.paused is not None
        assert scheduled(SLOT + 4 * HOUR).id in kept.paused
        await keeper.put_schedule(attrs.evolve(kept, paused=None, due=SLOT), 2)
        assert (await one(keeper)).failures == 0

    @in_lab
    async def test_what_goes_on_after_its_end_runs_again(self, lab: Lab) -> None:
        """H6: one that is started anew counts, and stays the schedule's."""
        store, keeper = await keeping(lab, schedule())
        await keeper.fire([firing()])
        await ends(store, scheduled().id, "failed")
        await store.start(attrs.evolve(execution(scheduled().id, run="another"), restart=frozenset({"failed"})))
        assert (await one(keeper)).running == (scheduled().id,)
        snapshot = await store.read(scheduled().id)
        assert snapshot is not None
        assert snapshot.creator == Creator.of_schedule("nightly")
        await ends(store, scheduled().id)
        assert (await one(keeper)).running == ()

    @in_lab
    async def test_one_that_is_cancelled_before_it_began_ends_at_once(self, lab: Lab) -> None:
        """E3."""
        store, keeper = await keeping(lab, schedule())
        await keeper.fire([firing()])
        end = Turn(expects=1, rows=['"cancelled"'], status="cancelled", outcome='{"err": {}}')
        await store.send(scheduled().id, attrs.evolve(CANCEL, unbegun=end))
        assert (await one(keeper)).running == ()

    # ── slots without an execution ──────────────────────────────────────────────────────────────
    @in_lab
    async def test_slots_that_were_left_out_are_kept_newest_first_and_a_thousand_of_them(self, lab: Lab) -> None:
        """H5."""
        _, keeper = await keeping(lab, schedule())
        slots = [LeftOut(first=SLOT + n * HOUR, last=SLOT + n * HOUR, count=1, why=f"{n} \ud800") for n in range(1005)]
        assert list(await keeper.fire([firing(starts=[], slots=[], left_out=slots)])) == [True]
        kept = await keeper.left_out("nightly", 2000)
        assert [each.first for each in kept] == [each.first for each in reversed(slots[5:])]
        assert kept[0].why == "1004 \ud800"
        assert kept[0].at is not None
        assert len(await keeper.left_out("nightly", 3)) == 3
        assert await keeper.left_out("other", 3) in ([], ())
        assert (await one(keeper)).skips == 1005
        await keeper.fire([firing(SLOT + HOUR)])
        assert (await one(keeper)).skips == 0

    # ── who declares ────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_the_build_that_came_last_declares_while_it_is_there(self, lab: Lab) -> None:
        """H10: an old build beside a new one changes nothing; a roll-back takes effect once the new build is gone."""
        _, keeper = await keeping(lab)
        keep = timedelta(minutes=10)
        assert await keeper.declaring_build("shop", "old", keep) == "old"
        lab.pass_time(SECOND)
        assert await keeper.declaring_build("shop", "new", keep) == "new"
        assert await keeper.declaring_build("other", "old", keep) == "old"
        for _ in range(9):
            lab.pass_time(timedelta(minutes=1))
            assert await keeper.declaring_build("shop", "old", keep) == "new"
        lab.pass_time(timedelta(minutes=2))
        assert await keeper.declaring_build("shop", "old", keep) == "old"
        lab.pass_time(SECOND)
        assert await keeper.declaring_build("shop", "new", keep) == "new"
