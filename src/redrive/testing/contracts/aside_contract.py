"""Contract of what a store keeps for operators: signals that were set aside (G6), and events whose handlers failed (G5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from redrive.ports.aside_values import HeldEvent, NewAside
from redrive.ports.store import Claim, Event, NewEvent, Store, Turn
from redrive.testing.contracts.lab import DAY, LEASE, SECOND, Lab, claimed, execution, in_lab, nothing_for, signal
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound


class AsideContract:
    # ── signals ─────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_what_a_turn_sets_aside_is_kept_with_it(self, lab: Lab) -> None:
        """S8."""
        store = await lab.open()
        claim, sent_at = await claimed(store), await store.now()
        lab.pass_time(SECOND)
        sent = (("a\x1e", "1"), ("b", '"2"'))
        new = [NewAside(name=name, data=data, sent_at=sent_at, error="not \ud800 a\0 text") for name, data in sent]
        turn = Turn(expects=1, rows=['"1"'], aside=new, status="suspended")
        await store.commit(claim, turn)
        await store.commit(claim, turn)  # W5
        kept = await (await lab.open()).set_aside("e-1", 10)
        assert [(one.execution, one.name, one.data, one.sent_at, one.error) for one in kept] == [
            ("e-1", one.name, one.data, one.sent_at, one.error) for one in new
        ]
        assert kept[0].at == sent_at + SECOND
        assert kept[0].seq < kept[1].seq
        assert await store.set_aside("e-1", 1) == kept[:1]
        assert await store.set_aside(None, 10) == kept
        assert await store.set_aside("another", 10) == kept[:0]

    @in_lab
    async def test_what_is_redelivered_is_in_the_inbox_and_aside_no_longer(self, lab: Lab) -> None:
        store = await lab.open()
        await set_aside(store, await claimed(store), "1", "2", "3")
        first, second, third = await store.set_aside("e-1", 10)
        lab.pass_time(SECOND)
        assert await store.redeliver("e-1", [second.seq, third.seq]) == 2
        assert await store.redeliver("e-1", [second.seq]) == 0
        assert list(await store.set_aside("e-1", 10)) == [first]
        _, mail = await store.poll_inboxes("ada", 0)
        assert [(message.kind, message.name, message.data, message.stored_at) for message in mail["e-1"]] == [
            ("signal", "approved", "2", await store.now()),
            ("signal", "approved", "3", await store.now()),
        ]
        assert await store.redeliver("e-1", None) == 1
        assert list(await store.set_aside(None, 10)) == []

    @in_lab
    async def test_what_is_redelivered_makes_the_execution_due(self, lab: Lab) -> None:
        """T3."""
        store = await lab.open()
        claim = await claimed(store)
        await set_aside(store, claim, "1")
        await store.release([claim])
        assert await nothing_for(store, "bob")
        await store.redeliver("e-1", None)
        assert not await nothing_for(store, "bob")

    @in_lab
    async def test_what_is_dropped_is_gone(self, lab: Lab) -> None:
        store = await lab.open()
        await set_aside(store, await claimed(store), "1", "2", "3")
        first, _, _ = await store.set_aside("e-1", 10)
        assert await store.drop_aside("e-1", [first.seq]) == 1
        assert await store.drop_aside("e-1", [first.seq]) == 0
        assert [one.data for one in await store.set_aside("e-1", 10)] == ["2", "3"]
        assert await store.drop_aside("e-1", None) == 2

    @in_lab
    async def test_only_a_living_execution_gets_what_was_set_aside(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await set_aside(store, await claimed(store), "1")
        await store.commit(claim, Turn(expects=2, rows=['"3"'], status="completed", outcome='{"ok": 1}'))
        with pytest.raises(ExecutionFinished):
            await store.redeliver("e-1", None)
        assert len(await store.set_aside("e-1", 10)) == 1
        for verb in (store.redeliver, store.drop_aside):
            with pytest.raises(ExecutionNotFound):
                await verb("nobody", None)

    @in_lab
    async def test_a_restart_keeps_what_was_set_aside(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await set_aside(store, await claimed(store), "1")
        await store.commit(claim, Turn(expects=2, rows=['"3"'], status="failed", outcome='{"ok": 1}'))
        await store.start(execution(run="again", restart=frozenset({"failed"})))
        assert await store.redeliver("e-1", None) == 1

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_an_event_that_is_held_counts_as_done_and_comes_again(self, lab: Lab) -> None:
        store = await lab.open()
        first, second = await emitted(store, "x1", "x2")
        now = await store.now()
        held = HeldEvent(handler="h", event=first, attempts=1, first_at=now, due=now + SECOND, error="boom \ud800")
        await store.hold_events("ada", [held])
        assert list(await store.take_events("h", "x", "ada", 10)) == [second]
        assert list(await store.held_events("h", "x", "ada", 10)) == [held]
        again = attrs.evolve(held, attempts=2, due=now + 2 * SECOND, error="again")
        await store.hold_events("ada", [again])
        assert list(await store.held_events("h", "x", "ada", 10)) == [again]
        await store.held_done("h", "ada", first.seq)
        assert list(await store.held_events("h", "x", "ada", 10)) == []

    @in_lab
    async def test_only_the_oldest_of_an_execution_comes_and_the_others_when_it_is_done(self, lab: Lab) -> None:
        store = await lab.open()
        events = await emitted(store, "x1", "x2")
        events += await emitted(store, "x3", id="e-2")
        now = await store.now()
        await store.hold_events("ada", [held_of(events[0], due=now + SECOND), held_of(events[1]), held_of(events[2], due=now)])
        assert seqs(await store.held_events("h", "x", "ada", 10)) == [events[2].seq, events[0].seq]
        assert seqs(await store.held_events("h", "x", "ada", 1)) == [events[2].seq]
        await store.hold_events("ada", [held_of(events[0], dead=True)])
        assert seqs(await store.held_events("h", "x", "ada", 10)) == [events[1].seq, events[2].seq]

    @in_lab
    async def test_what_is_held_belongs_to_the_worker_that_has_the_handler(self, lab: Lab) -> None:
        store, other = await lab.open(), await lab.open()
        (event,) = await emitted(store, "x1")
        await other.hold_events("bob", [held_of(event)])
        assert list(await store.list_held(None, None, 10)) == []
        await store.hold_events("ada", [held_of(event)])
        assert list(await other.held_events("h", "x", "bob", 10)) == []
        await other.hold_events("bob", [held_of(event, attempts=7)])
        await other.held_done("h", "bob", event.seq)
        assert [one.attempts for one in await store.list_held("h", None, 10)] == [1]
        assert await nothing_for(store, "ada")
        lab.pass_time(2 * LEASE)
        await other.take_events("h", "x", "bob", 10)
        assert seqs(await other.held_events("h", "x", "bob", 10)) == [event.seq]

    @in_lab
    async def test_the_dead_are_listed_and_come_again_when_somebody_says_so(self, lab: Lab) -> None:
        store = await lab.open()
        events = await emitted(store, "x1", "x2", "x3")
        now = await store.now()
        dead = [held_of(event, attempts=3, first_at=now, dead=True, error="no") for event in events[:2]]
        await store.hold_events("ada", [*dead, held_of(events[2], due=now + SECOND)])
        assert list(await store.list_held("h", True, 10)) == dead
        assert list(await store.list_held("h", True, 1)) == dead[:1]
        assert seqs(await store.list_held(None, False, 10)) == [events[2].seq]
        assert list(await store.list_held("another", None, 10)) == []
        assert await store.retry_held("h", [events[0].seq]) == 1
        assert list(await store.held_events("h", "x", "ada", 10)) == [attrs.evolve(dead[0], attempts=0, first_at=None, dead=False)]
        assert await store.retry_held("h", None) == 1
        assert await store.retry_held("h", [events[2].seq]) == 1
        assert [one.due for one in await store.list_held("h", False, 10)] == [None, None, None]

    @in_lab
    async def test_what_is_dropped_does_not_come_back(self, lab: Lab) -> None:
        store = await lab.open()
        events = await emitted(store, "x1", "x2", "x3")
        await store.hold_events("ada", [held_of(events[0], dead=True), held_of(events[1]), held_of(events[2], dead=True)])
        assert await store.drop_held("h", [events[1].seq]) == 1
        await store.hold_events("ada", [held_of(events[1], attempts=2)])  # the attempt that was under way failed
        assert seqs(await store.list_held("h", None, 10)) == [events[0].seq, events[2].seq]
        assert await store.drop_held("another", None) == 0
        assert await store.drop_held("h", None) == 2
        assert list(await store.list_held(None, None, 10)) == []
        assert list(await store.take_events("h", "x", "ada", 10)) == []

    @in_lab
    async def test_what_is_held_outlives_the_event_log(self, lab: Lab) -> None:
        store = await lab.open()
        (event,) = await emitted(store, "x1")
        await store.hold_events("ada", [held_of(event)])
        lab.pass_time(8 * DAY)
        await emitted(store, "x2", id="e-2")
        assert event not in (await store.events(0, ["x"], 10))[1]
        assert seqs(await store.held_events("h", "x", "ada", 10)) == [event.seq]


async def set_aside(store: Store, claim: Claim, *data: str) -> Claim:
    """A turn that sets aside signals called approved, and waits. Gives back the claim after it."""
    now = await store.now()
    new = [NewAside(name=signal().name, data=each, sent_at=now, error="cannot be read") for each in data]
    await store.commit(claim, Turn(expects=claim.length, rows=['"set aside"'], aside=new, status="suspended"))
    return attrs.evolve(claim, length=claim.length + 1)


async def emitted(store: Store, *events: str, id: str = "e-1") -> list[Event]:
    """Events of a new execution, which the handler h, in the hands of ada, has not done."""
    before = await store.take_events("h", "x", "ada", 100)
    new = [NewEvent(name=event[0], payload=event[1:], key=event) for event in events]
    await store.commit(await claimed(store, id), Turn(expects=1, rows=['"emitted"'], events=new, status="suspended"))
    return [event for event in await store.take_events("h", "x", "ada", 100) if event not in before]


def held_of(event: Event, **how: Any) -> HeldEvent:
    return attrs.evolve(HeldEvent(handler="h", event=event, attempts=1, error="no"), **how)


def seqs(held: Sequence[HeldEvent]) -> list[int]:
    return [one.event.seq for one in held]
