"""Pauses: a flag in the store that holds an execution back."""

from __future__ import annotations

import attrs
import pytest

from redrive.ports.rewrites import Hold, NewAudit
from redrive.ports.store import LostClaim, NewMessage, Stale, Turn
from redrive.testing.contracts.lab import CANCEL, LEASE, SECOND, Lab, claimed, execution, in_lab, park, signal, take
from redrive.testing.contracts.rewrite_contract import read, rewritten
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound


def pause() -> Hold:
    return Hold(paused=True, audit=NewAudit(verb="pause", by="ada"))


def resume() -> Hold:
    return Hold(paused=False, audit=NewAudit(verb="resume", by="ada"))


class HoldContract:
    @in_lab
    async def test_a_paused_execution_is_never_due_and_takes_messages(self, lab: Lab) -> None:
        """F8."""
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended", wake_at=await store.now() + SECOND))
        await store.release([claim])
        assert await store.hold("e-1", pause())
        assert not await store.hold("e-1", pause()), "it is so already"
        paused = await read(store)
        assert (paused.status, paused.wake_at, paused.owner) == ("paused", None, None)
        await store.send("e-1", signal(dedup="once"))
        await store.send("e-1", NewMessage(kind="child", name="c"))
        lab.pass_time(5 * SECOND)
        assert not await store.claim("ada", LEASE, "b-1", ["w"], 10)
        assert await store.next_wake(["w"]) is None
        assert (await read(store)).status == "paused"
        assert await store.hold("e-1", resume())
        assert not await store.hold("e-1", resume())
        after = await read(store)
        assert (after.status, after.wake_at) == ("running", await store.now())
        assert [message.kind for message in (await store.load(await take(store))).inbox] == ["signal", "child"]
        assert [act.verb for act in await store.audit("e-1", 10)] == ["pause", "resume"]

    @in_lab
    async def test_its_owner_keeps_it_and_its_turns_are_refused(self, lab: Lab) -> None:
        """F8: what bodies gave goes into the inbox."""
        store = await lab.open()
        claim = await claimed(store)
        first = Turn(expects=1, rows=['"asked"'])
        await store.commit(claim, first)
        await store.hold("e-1", pause())
        assert await store.commit(claim, first) is not None, "a repeat is answered as before"
        for turn in (Turn(expects=2, rows=['"answered"']), Turn(expects=2, status="completed", outcome='{"ok": 1}'), Turn(expects=2)):
            with pytest.raises(Stale):
                await store.commit(claim, turn)
        loaded = await store.load(claim)
        assert (loaded.paused, loaded.history) == (True, '["started","asked"]')
        held = Turn(expects=2, held=[NewMessage(kind="answer", name="k", data='{"ok": 1}', dedup="held:k")])
        await store.commit(claim, held)
        await store.commit(claim, held)
        loaded = await store.load(claim)
        assert [(message.kind, message.name) for message in loaded.inbox] == [("answer", "k")]
        assert (await read(store)).wake_at is None
        await store.hold("e-1", resume())
        loaded = await store.load(claim)
        assert not loaded.paused
        seq = loaded.inbox[0].seq
        await store.commit(claim, Turn(expects=2, rows=['"answered"'], taken=seq, seen=seq, status="completed", outcome='{"ok": 1}'))
        with pytest.raises(ExecutionFinished):
            await store.hold("e-1", pause())
        with pytest.raises(ExecutionNotFound):
            await store.hold("nobody", pause())

    @in_lab
    async def test_a_cancel_ends_a_pause(self, lab: Lab) -> None:
        """F8."""
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended"))
        await store.release([claim])
        await store.hold("e-1", pause())
        await store.send("e-1", CANCEL)
        assert (await read(store)).status == "cancelling"
        assert not await store.hold("e-1", pause()), "what is being cancelled is not held up"
        assert [message.kind for message in (await store.load(await take(store))).inbox] == ["cancel"]

    @in_lab
    async def test_a_pending_one_stays_pending_and_waits_for_its_time(self, lab: Lab) -> None:
        """F8."""
        store = await lab.open()
        later = await store.now() + 60 * SECOND
        await store.start(execution(not_before=later))
        await store.hold("e-1", pause())
        lab.pass_time(SECOND)
        await store.hold("e-1", attrs.evolve(resume(), status="pending", wake_at=later))
        after = await read(store)
        assert (after.status, after.wake_at) == ("pending", later)
        await store.hold("e-1", pause())
        unbegun = Turn(expects=1, rows=['"cancel"', '"ended"'], status="cancelled", outcome='{"err": 1}')
        await store.send("e-1", attrs.evolve(CANCEL, unbegun=unbegun))
        assert (await read(store)).status == "cancelled"

    @in_lab
    async def test_a_rewrite_of_a_paused_one_leaves_it_paused(self, lab: Lab) -> None:
        """F8; one that ends it ends the pause."""
        store = await lab.open()
        claim = await claimed(store)
        await store.hold("e-1", pause())
        after = await store.rewrite("e-1", rewritten(await read(store)))
        assert (after.status, after.wake_at, after.owner) == ("paused", None, None)
        with pytest.raises(LostClaim):
            await store.load(claim)
        assert not await store.claim("ada", LEASE, "b-1", ["w"], 10)
        ended = await store.rewrite("e-1", rewritten(after, status="failed", outcome='{"err": 1}'))
        assert ended.status == "failed"

    @in_lab
    async def test_a_worker_that_parks_what_was_paused_leaves_it_paused(self, lab: Lab) -> None:
        """F8."""
        store = await lab.open()
        claim = await claimed(store)
        await store.hold("e-1", pause())
        await store.release([claim], parked=park())
        after = await read(store)
        assert (after.status, [one.build for one in after.parks]) == ("paused", ["b-1"])
        await store.hold("e-1", attrs.evolve(resume(), status="parked"))
        assert (await read(store)).status == "parked"
        assert not await store.claim("ada", LEASE, "b-1", ["w"], 10)
        assert (await take(store, "bob", build="b-2")).id == "e-1"
