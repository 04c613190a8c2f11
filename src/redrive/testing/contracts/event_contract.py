"""Events: stored with their turn, read by position, handed to one live worker per handler."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from redrive.ports.store import Claim, Event, NewEvent, Store, Turn
from redrive.testing.contracts.lab import DAY, LEASE, Lab, claimed, in_lab, nothing_for

HOUR = DAY / 24


class EventContract:
    @in_lab
    async def test_events_are_read_by_name_and_position(self, lab: Lab) -> None:
        store = await lab.open()
        now = await store.now()
        start, none = await store.events(None, ["x"], 10)
        assert none == ()
        await emit(store, await claimed(store), "x1", "y2", "x3")
        end, events = await store.events(start, ["x"], 10)
        assert [(event.name, event.payload, event.execution, event.at) for event in events] == [
            ("x", "1", "e-1", now),
            ("x", "3", "e-1", now),
        ]
        assert payloads((await store.events(start, ["x", "y"], 10))[1]) == ["1", "2", "3"]
        assert await store.events(end, ["x", "y"], 10) == (end, ())
        assert await store.events(None, ["x"], 10) == (end, ())
        assert (await store.events(start, [], 10))[1] == ()

    @in_lab
    async def test_events_come_in_portions_and_none_is_left_out(self, lab: Lab) -> None:
        store = await lab.open()
        await emit(store, await claimed(store), "x1", "y2", "x3", "x4", "x5", "y6")
        position, read = 0, list[str]()
        for _ in range(10):
            position, events = await store.events(position, ["x"], 2)
            assert len(events) <= 2
            read += payloads(events)
        assert read == ["1", "3", "4", "5"]
        assert position == (await store.events(None, [], 0))[0]

    @in_lab
    async def test_one_key_is_one_event_in_a_run(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        event = NewEvent(name="x", payload="1", key="emit")
        await store.commit(claim, Turn(expects=1, rows=['"1"'], events=[event]))
        await store.commit(claim, Turn(expects=2, rows=['"2"'], events=[event, NewEvent(name="x", payload="2", key="emit#2")]))
        assert payloads((await store.events(0, ["x"], 10))[1]) == ["1", "2"]

    # ── durable handlers ────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_handler_gets_the_events_from_its_first_call_on(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        claim = await emit(store, claim, "x1")
        assert list(await store.take_events("h", "x", "ada", 10)) == []
        await emit(store, claim, "x2", "y3", "x4", "x5")
        assert payloads(await store.take_events("h", "x", "ada", 2)) == ["2", "4"]

    @in_lab
    async def test_events_come_again_until_they_are_done(self, lab: Lab) -> None:
        store = await lab.open()
        await store.take_events("h", "x", "ada", 10)
        await emit(store, await claimed(store), "x1", "x2", "x3")
        first = await store.take_events("h", "x", "ada", 10)
        assert await store.take_events("h", "x", "ada", 10) == first
        await store.events_done("h", "ada", first[1].seq)
        assert payloads(await store.take_events("h", "x", "ada", 10)) == ["3"]
        await store.events_done("h", "ada", first[0].seq)
        assert payloads(await store.take_events("h", "x", "ada", 10)) == ["3"]

    @in_lab
    async def test_a_handlers_events_stay_with_one_live_worker(self, lab: Lab) -> None:
        store, other = await lab.open(), await lab.open()
        assert await nothing_for(store, "bob")
        await store.take_events("h", "x", "ada", 10)
        await emit(store, await claimed(store), "x1", "x2")
        taken = await store.take_events("h", "x", "ada", 10)
        assert list(await other.take_events("h", "x", "bob", 10)) == []
        await other.events_done("h", "bob", taken[1].seq)
        assert payloads(await store.take_events("h", "x", "ada", 10)) == ["1", "2"]
        await store.events_done("h", "ada", taken[0].seq)
        lab.pass_time(LEASE)
        assert payloads(await other.take_events("h", "x", "bob", 10)) == ["2"]

    @in_lab
    async def test_a_retired_workers_events_go_elsewhere_at_once(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        await store.take_events("h", "x", "ada", 10)
        await emit(store, await claimed(store), "x1")
        await store.take_events("h", "x", "ada", 10)
        await store.deregister_worker("ada")
        assert payloads(await store.take_events("h", "x", "bob", 10)) == ["1"]

    @in_lab
    async def test_handlers_do_not_hinder_each_other(self, lab: Lab) -> None:
        store = await lab.open()
        await store.take_events("slow", "x", "ada", 10)
        await store.take_events("fast", "x", "ada", 10)
        await emit(store, await claimed(store), "x1")
        (event,) = await store.take_events("fast", "x", "ada", 10)
        await store.events_done("fast", "ada", event.seq)
        assert list(await store.take_events("fast", "x", "ada", 10)) == []
        assert payloads(await store.take_events("slow", "x", "ada", 10)) == ["1"]

    @in_lab
    async def test_old_events_are_dropped_once_all_handlers_have_done_them(self, lab: Lab) -> None:
        store = await lab.open()
        await store.take_events("h", "x", "ada", 10)
        claim = await emit(store, await claimed(store), "x1", "y2", "x3")
        lab.pass_time(7 * DAY)
        first, third = await store.take_events("h", "x", "ada", 10)
        await store.events_done("h", "ada", first.seq)
        claim = await emit(store, claim, "x4")
        assert payloads((await store.events(0, ["x", "y"], 10))[1]) == ["3", "4"]
        await store.events_done("h", "ada", third.seq)
        lab.pass_time(HOUR)
        await emit(store, claim, "y5")
        end, left = await store.events(0, ["x", "y"], 10)
        assert payloads(left) == ["4", "5"]
        lab.pass_time(8 * DAY)
        assert (await store.events(None, [], 0))[0] == end


async def emit(store: Store, claim: Claim, *events: str) -> Claim:
    """A turn that emits events; ``x1`` is one called x with the payload 1. Gives back the claim after it."""
    new = [NewEvent(name=event[0], payload=event[1:], key=event) for event in events]
    await store.commit(claim, Turn(expects=claim.length, rows=['"emitted"'], events=new))
    return attrs.evolve(claim, length=claim.length + 1)


def payloads(events: Sequence[Event]) -> list[str]:
    return [event.payload for event in events]
