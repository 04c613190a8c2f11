"""Purges: what a store forgets when it is asked to (F10)."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import attrs
import pytest

from redrive.ports.aside_values import HeldEvent, NewAside
from redrive.ports.purging import Purges, Retention
from redrive.ports.rewrites import NewAudit
from redrive.ports.store import Claim, Creator, Event, NewEvent, NextRun, Turn
from redrive.testing.contracts.lab import DAY, LEASE, SECOND, Lab, claimed, execution, in_lab, nothing_for, signal, take
from redrive_interpreter.errors import ExecutionNotFound

S = TypeVar("S")
ACT = NewAudit(verb="purge", by="ada", reason="too old")


async def ended(store: Any, id: str = "e-1", status: Any = "completed", **changes: Any) -> None:
    claim = await claimed(store, id, **changes)
    await store.commit(claim, Turn(expects=1, rows=['"end"'], status=status, outcome='{"ok": 1}'))


async def continued(store: Any, lab: Lab, runs: int, id: str = "e-1") -> Claim:
    """An execution in its run *runs*; each of the ones before took a day."""
    claim = await claimed(store, id)
    for number in range(2, runs + 1):
        lab.pass_time(DAY)
        turn = Turn(expects=1, rows=['"on"'], next_run=NextRun(run=f"{id} {number}", workflow="w", started=f'"run {number}"'))
        await store.commit(claim, turn)
        claim = attrs.evolve(claim, run=f"{id} {number}", number=number, length=1)
    return claim


async def all_ended(store: Any) -> Sequence[Any]:
    found: Sequence[Any] = await store.ended(await store.now() + 1000 * DAY, None, 1000)
    return found


def in_purging_lab(test: Callable[[S, Lab], Coroutine[Any, Any, None]]) -> Callable[[S, Lab], None]:
    """`in_lab`, for a store that can forget: one may do without."""

    async def tried(self: S, lab: Lab) -> None:
        if isinstance(await lab.open(), Purges):
            await test(self, lab)

    return in_lab(functools.wraps(test)(tried))


class PurgeContract:
    # ── executions ──────────────────────────────────────────────────────────────────────────────
    @in_purging_lab
    async def test_what_has_ended_is_listed_the_longest_ago_first_page_by_page(self, lab: Lab) -> None:
        store: Any = await lab.open()
        for number in range(5):
            await ended(store, f"e-{number}")
            lab.pass_time(SECOND)
        await claimed(store, "open")
        found = await all_ended(store)
        assert [one.id for one in found] == [f"e-{number}" for number in range(5)]
        assert (found[0].status, found[0].number, found[0].rows, found[0].workflow) == ("completed", 1, 2, "w")
        assert [one.id for one in await store.ended(found[3].ended_at, None, 10)] == ["e-0", "e-1", "e-2"]
        first = await store.ended(found[4].ended_at, None, 2)
        assert [one.id for one in await store.ended(found[4].ended_at, first[-1].place, 2)] == ["e-2", "e-3"]
        snapshot = await store.read("e-2")
        assert found[2].ended_at == snapshot.updated_at

    @in_purging_lab
    async def test_what_is_purged_is_forgotten_and_its_id_may_be_started_anew(self, lab: Lab) -> None:
        store: Any = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal(dedup="once"))
        await store.send("e-1", signal("late"))
        aside = [NewAside(name="a", data="1", sent_at=await store.now(), error="no")]
        events = [NewEvent(name="done", payload="1", key="k")]
        turn = Turn(
            expects=1, rows=['"end"'], status="completed", outcome='{"ok": 1}', aside=aside, events=events, seen=99, attributes='{"a": 1}'
        )
        await store.commit(claim, turn)
        assert await store.purge(await all_ended(store), ACT) == ["e-1"]
        store = await lab.open()
        assert await store.read("e-1") is None
        assert list((await store.find()).executions) == []
        assert list(await store.set_aside(None, 10)) == []
        assert list((await store.events(0, ["done"], 10))[1]) == []
        for ask in (store.history("e-1"), store.send("e-1", signal()), store.redeliver("e-1", None)):
            with pytest.raises(ExecutionNotFound):
                await ask
        assert list(await store.ends(["e-1"])) == []
        begun = await store.start(execution(input="2"))
        assert begun.created
        assert (begun.snapshot.number, begun.snapshot.input, begun.snapshot.attributes) == (1, "2", "{}")
        assert await store.history("e-1") == '["started"]'
        assert await store.send("e-1", signal(dedup="once"))
        again = await take(store)
        await store.commit(again, Turn(expects=1, rows=['"2"'], events=[NewEvent(name="done", payload="2", key="k")]))
        assert [event.payload for event in (await store.events(0, ["done"], 10))[1]] == ["2"]

    @in_purging_lab
    async def test_an_audit_row_says_who_purged_what_when_and_why(self, lab: Lab) -> None:
        store: Any = await lab.open()
        await ended(store, status="failed")
        (one,) = await all_ended(store)
        lab.pass_time(SECOND)
        await store.purge([one], ACT)
        (found,) = await store.audit("e-1", 10)
        assert (found.verb, found.by, found.reason) == ("purge", "ada", "too old")
        assert found.at >= one.ended_at + SECOND
        detail = json.loads(found.detail)
        assert (detail["workflow"], detail["status"], detail["number"]) == ("w", "failed", 1)
        await ended(store)
        await store.purge(await all_ended(store), attrs.evolve(ACT, reason="again"))
        assert [one.reason for one in await store.audit("e-1", 10)] == ["again"]

    @in_purging_lab
    async def test_only_what_is_as_it_was_chosen_is_purged(self, lab: Lab) -> None:
        """Restarted, restarted and ended again, or purged and started anew since."""
        store: Any = await lab.open()
        for id in ("open", "again", "anew", "same"):
            await ended(store, id, status="failed")
        lab.pass_time(SECOND)
        chosen = await all_ended(store)
        for id in ("open", "again"):
            await store.start(execution(id, run=f"second of {id}", restart=frozenset({"failed"})))
        claims = {claim.id: claim for claim in await store.claim("ada", LEASE, "b-1", ["w"], 10)}
        await store.commit(claims["again"], Turn(expects=1, rows=['"end"'], status="failed", outcome='{"ok": 1}'))
        assert list(await store.purge([one for one in chosen if one.id == "anew"], ACT)) == ["anew"]
        await store.start(execution("anew"))
        assert list(await store.purge(chosen, ACT)) == ["same"]
        assert {one.id for one in (await store.find()).executions} == {"open", "again", "anew"}

    @in_purging_lab
    async def test_what_handlers_have_still_to_do_is_kept_and_dead_letters_go(self, lab: Lab) -> None:
        """G5: at least once, also when the execution is gone."""
        store: Any = await lab.open()
        await store.claim("ada", LEASE, "b-1", ["none"], 1)
        await store.take_events("h", "done", "ada", 10)
        claim = await claimed(store)
        events = [NewEvent(name="done", payload=str(n), key=f"k{n}") for n in range(3)]
        await store.commit(claim, Turn(expects=1, rows=['"end"'], status="completed", outcome='{"ok": 1}', events=events))
        first, second, third = await store.take_events("h", "done", "ada", 10)
        await store.hold_events("ada", [held(first, dead=True), held(second, dead=False)])
        await store.purge(await all_ended(store), ACT)
        assert [event.seq for event in await store.take_events("h", "done", "ada", 10)] == [third.seq]
        assert [one.event.seq for one in await store.list_held("h", None, 10)] == [second.seq]

    @in_purging_lab
    async def test_a_timer_of_what_was_purged_disturbs_nobody(self, lab: Lab) -> None:
        store: Any = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"a"'], status="suspended", wake_at=await store.now() + DAY))
        await store.release([claim])
        await store.send("e-1", signal())
        claim = await take(store)
        await store.commit(claim, Turn(expects=2, rows=['"b"'], status="completed", outcome='{"ok": 1}', taken=10**9))
        await store.purge(await all_ended(store), ACT)
        assert await store.next_wake(["w"]) is None
        lab.pass_time(2 * DAY)
        assert await nothing_for(store, "ada")

    @in_purging_lab
    async def test_the_parent_was_told_and_others_are_untouched(self, lab: Lab) -> None:
        store: Any = await lab.open()
        parent = await claimed(store, "parent")
        creator = Creator(id="parent", run=parent.run, key="child")
        await store.start(execution("child", creator=creator))
        child = await take(store, "ada", "child")
        await store.commit(child, Turn(expects=1, rows=['"end"'], status="completed", outcome='{"ok": 1}'))
        before = await store.read("parent"), await store.history("parent")
        await store.purge(await all_ended(store), ACT)
        assert (await store.read("parent"), await store.history("parent")) == before
        assert [message.kind for message in (await store.load(parent)).inbox] == ["child"]

    @in_purging_lab
    async def test_a_thousand_rows_and_more_are_forgotten_at_once_and_their_room_bit_by_bit(self, lab: Lab) -> None:
        store: Any = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"row"'] * 1500))
        for at in range(5):
            await store.commit(claim, Turn(expects=1501 + at, rows=['"row"']))
        await store.commit(claim, Turn(expects=1506, rows=['"end"'], status="completed", outcome='{"ok": 1}'))
        assert await store.purge(await all_ended(store), ACT) == ["e-1"]
        with pytest.raises(ExecutionNotFound):
            await store.history("e-1")
        await store.start(execution())
        while await store.collect(2):
            pass
        assert await store.history("e-1") == '["started"]'

    # ── runs before the last ────────────────────────────────────────────────────────────────────
    @in_purging_lab
    async def test_old_runs_of_what_lives_are_purged_and_the_execution_goes_on(self, lab: Lab) -> None:
        store: Any = await lab.open()
        claim = await continued(store, lab, 5)
        now = await store.now()
        (found,) = await store.ended_runs(now - 2 * DAY + SECOND, None, 10)
        assert (found.id, found.workflow, found.first, found.last) == ("e-1", "w", 1, 2)
        assert now - 2 * DAY - SECOND < found.ended_at < now - 2 * DAY + SECOND
        assert await store.purge_runs([found], ACT) == 2
        assert await store.purge_runs([found], ACT) == 0
        while await store.collect(1):
            pass
        store = await lab.open()
        for run in (1, 2):
            with pytest.raises(ExecutionNotFound, match=f"its run {run} was purged"):
                await store.history("e-1", run)
        assert await store.history("e-1", 3) == '["run 3","on"]'
        assert await store.history("e-1") == '["run 5"]'
        snapshot = await store.read("e-1")
        assert (snapshot.number, snapshot.input) == (5, '{"order": 1}')
        await store.commit(claim, Turn(expects=1, rows=['"2"']))
        assert not (await store.start(execution())).created
        (rest,) = await store.ended_runs(now + DAY, None, 10)
        assert (rest.first, rest.last) == (3, 4)
        assert [json.loads(one.detail)["runs"] for one in await store.audit("e-1", 10)] == [[1, 2]]

    @in_purging_lab
    async def test_what_has_one_run_or_younger_ones_has_no_old_runs(self, lab: Lab) -> None:
        store: Any = await lab.open()
        await claimed(store, "one")
        await continued(store, lab, 2, "two")
        assert [one for one in await store.ended_runs(await store.now() - DAY, None, 10) if one.last >= one.first] == []

    @in_purging_lab
    async def test_an_execution_whose_old_runs_are_gone_is_purged_whole(self, lab: Lab) -> None:
        store: Any = await lab.open()
        claim = await continued(store, lab, 3)
        await store.purge_runs(await store.ended_runs(await store.now() + DAY, None, 10), ACT)
        await store.commit(claim, Turn(expects=1, rows=['"end"'], status="completed", outcome='{"ok": 1}'))
        assert await store.purge(await all_ended(store), ACT) == ["e-1"]
        assert (await store.start(execution())).created

    @in_purging_lab
    async def test_old_runs_come_execution_by_execution(self, lab: Lab) -> None:
        store: Any = await lab.open()
        for id in ("a", "b", "c"):
            await continued(store, lab, 2, id)
        later = await store.now() + DAY
        first = await store.ended_runs(later, None, 2)
        rest = await store.ended_runs(later, first[-1].place, 2)
        assert [one.id for one in (*first, *rest)] == ["a", "b", "c"]

    # ── retention ───────────────────────────────────────────────────────────────────────────────
    @in_purging_lab
    async def test_what_live_workers_state_counts_until_they_are_gone(self, lab: Lab) -> None:
        store: Any = await lab.open()
        week = Retention(frozenset({"w \N{SNOWMAN}"}), {"completed": timedelta(days=7), "failed": timedelta(microseconds=1)})
        await nothing_for(store, "ada")
        await store.state_retention("ada", week)
        await store.state_retention("comes", week)
        assert list(await store.retentions()) == [week, week]
        lab.pass_time(timedelta(minutes=2))
        await nothing_for(store, "ada")
        other: Any = await lab.open()
        assert list(await other.retentions()) == [week]
        month = Retention(frozenset({"w"}), {"completed": timedelta(days=30)})
        await store.state_retention("ada", month)
        assert list(await store.retentions()) == [month]
        await store.state_retention("ada", None)
        assert list(await store.retentions()) == []
        await store.state_retention("ada", month)
        lab.pass_time(timedelta(minutes=2))
        assert list(await store.retentions()) == []

    @in_purging_lab
    async def test_two_purges_at_once_take_each_execution_once(self, lab: Lab) -> None:
        store: Any = await lab.open()
        other: Any = await lab.open()
        for number in range(20):
            await ended(store, f"e-{number}")
        chosen = await all_ended(store)
        gone = await asyncio.gather(*(one.purge(chosen, ACT) for one in (store, other, store, other)))
        left = await all_ended(store)
        assert len(left) + sum(map(len, gone)) == 20
        assert sorted(id for each in gone for id in each) == sorted({id for each in gone for id in each})


def held(event: Event, *, dead: bool) -> HeldEvent:
    return HeldEvent(handler="h", event=event, attempts=1, error="no", dead=dead)
