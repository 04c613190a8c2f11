"""Inboxes: what is sent is kept, in order, and wakes whom it must."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from redrive.ports.store import LostClaim, NewEvent, NewMessage, NextRun, Stale, Turn
from redrive.testing.contracts.lab import CANCEL, DAY, LEASE, SECOND, Lab, claimed, execution, in_lab, nothing_for, signal, take
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound


class InboxContract:
    @in_lab
    async def test_messages_are_kept_in_the_order_of_storing(self, lab: Lab) -> None:
        store, other = await lab.open(), await lab.open()
        await store.start(execution())
        for n in range(6):
            assert await (store, other)[n % 2].send("e-1", signal(data=str(n)))
        inbox = (await store.load(await take(store))).inbox
        assert [message.data for message in inbox] == ["0", "1", "2", "3", "4", "5"]
        assert [message.seq for message in inbox] == sorted({message.seq for message in inbox})

    @in_lab
    async def test_turns_take_portions_of_what_waits_and_lose_nothing(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended"))
        for n in range(9):
            await store.send("e-1", signal(data=str(n)))
        left, expects = list((await store.load(claim)).inbox), 2
        seen = left[-1].seq
        while len(left) > 3:
            taken, left = left[1].seq, left[2:]
            assert (
                await store.commit(claim, Turn(expects=expects, rows=['"taken"'], taken=taken, seen=seen, status="suspended"))
            ).inbox == ()
            expects += 1
            assert list((await store.load(claim)).inbox) == left
            snapshot = await store.read("e-1")
            assert snapshot is not None
            assert snapshot.wake_at == await store.now(), "what is left is due"
        await store.send("e-1", signal(data='"late"'))
        committed = await store.commit(claim, Turn(expects=expects, rows=['"taken"'], taken=left[0].seq, seen=seen))
        assert [message.data for message in committed.inbox] == ['"late"'], "what was not seen is told, and nothing else"
        await store.commit(claim, Turn(expects=expects + 1, status="completed", seen=committed.inbox[-1].seq, unread=7))
        ended = await store.read("e-1")
        assert ended is not None
        assert ended.unread == 7 + 2 + 1

    @in_lab
    async def test_a_cancel_that_was_seen_and_not_taken_shows_until_it_is(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        for new in (signal(), signal(), CANCEL, signal()):
            await store.send("e-1", new)
        inbox = (await store.load(claim)).inbox
        seen, expects = inbox[-1].seq, 1
        for message in inbox:
            turn = Turn(expects=expects, rows=['"taken"'], taken=message.seq, seen=seen, status="suspended")
            await store.commit(claim, turn)
            snapshot = await store.read("e-1")
            assert snapshot is not None
            assert snapshot.status == ("cancelling" if message.seq < inbox[2].seq else "suspended")
            expects += 1

    @in_lab
    async def test_equal_messages_both_count(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution())
        await store.send("e-1", signal())
        await store.send("e-1", signal())
        assert len((await store.load(await take(store))).inbox) == 2

    @in_lab
    async def test_a_dedup_key_lands_once_for_the_life_of_an_execution(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        assert await store.send("e-1", signal(dedup="key:approved:1"))
        assert not await store.send("e-1", signal(dedup="key:approved:1"))
        (message,) = (await store.load(claim)).inbox
        await store.commit(claim, Turn(expects=1, rows=['"signalled"'], taken=message.seq, seen=message.seq))
        assert not await store.send("e-1", signal(dedup="key:approved:1"))
        assert await store.send("e-1", signal(dedup="key:approved:2"))
        await store.start(execution("e-2"))
        assert await store.send("e-2", signal(dedup="key:approved:1"))

    @in_lab
    async def test_stored_times_never_decrease_when_the_clock_goes_back(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal())
        lab.pass_time(-DAY)
        await store.send("e-1", signal())
        lab.pass_time(DAY * 2)
        await store.send("e-1", signal())
        first, second, third = (await store.load(claim)).inbox
        assert first.stored_at == second.stored_at
        assert third.stored_at == first.stored_at + DAY

    @in_lab
    async def test_an_unknown_execution_takes_nothing(self, lab: Lab) -> None:
        store = await lab.open()
        for message in (signal(), CANCEL, NewMessage(kind="retry_rollback")):
            with pytest.raises(ExecutionNotFound):
                await store.send("nobody", message)

    @in_lab
    async def test_an_ended_execution_takes_nothing_but_repeats(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal(dedup="once"))
        (message,) = (await store.load(claim)).inbox
        await store.commit(claim, Turn(expects=1, taken=message.seq, seen=message.seq, status="completed"))
        assert not await store.send("e-1", signal(dedup="once"))
        for message_ in (signal(), signal(dedup="twice"), CANCEL, NewMessage(kind="retry_rollback")):
            with pytest.raises(ExecutionFinished):
                await store.send("e-1", message_)

    @in_lab
    async def test_a_message_wakes_what_nobody_owns(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended"))
        await store.release([claim])
        assert await nothing_for(store, "bob")
        await store.send("e-1", signal())
        await take(store, "bob")

    @in_lab
    async def test_a_message_shows_in_the_mail_of_its_owner(self, lab: Lab) -> None:
        store = await lab.open()
        await claimed(store, "e-1")
        await claimed(store, "e-2")
        await claimed(store, "e-3", "bob")
        newest, mail = await store.poll_inboxes("ada", 0)
        assert mail == {}
        await store.send("e-1", signal(data="1"))
        await store.send("e-3", signal(data="2"))
        await store.send("e-1", signal(data="3"))
        later, mail = await store.poll_inboxes("ada", newest)
        assert {id: [message.data for message in messages] for id, messages in mail.items()} == {"e-1": ["1", "3"]}
        assert (await store.poll_inboxes("ada", later)) == (later, {})
        await store.send("e-2", signal(data="4"))
        last, mail = await store.poll_inboxes("ada", later)
        assert list(mail) == ["e-2"]
        assert last == mail["e-2"][0].seq > later

    @in_lab
    async def test_mail_numbers_are_not_used_again_once_messages_are_taken(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal())
        newest, _ = await store.poll_inboxes("ada", 0)
        await store.commit(claim, Turn(expects=1, rows=['"signalled"'], taken=newest, seen=newest))
        assert await store.poll_inboxes("ada", newest) == (newest, {})
        await store.send("e-1", signal())
        later, mail = await store.poll_inboxes("ada", newest)
        assert later > newest
        assert list(mail) == ["e-1"]

    @in_lab
    async def test_a_message_that_its_owner_died_with_goes_to_the_next(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal())
        (message,) = (await store.load(claim)).inbox
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended", seen=message.seq))
        lab.pass_time(LEASE)
        taken = await take(store, "bob")
        assert (await store.load(taken)).inbox == (message,)

    @in_lab
    async def test_messages_sent_at_once_from_many_stores_all_land(self, lab: Lab) -> None:
        stores = [await lab.open() for _ in range(3)]
        await stores[0].start(execution())
        landed = await asyncio.gather(*(stores[n % 3].send("e-1", signal(data=str(n), dedup=str(n % 10))) for n in range(30)))
        assert sum(landed) == 10
        assert len((await stores[0].load(await take(stores[0]))).inbox) == 10

    # ── cancel, retry_rollback ──────────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_cancel_changes_the_status_and_is_accepted_once(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution(not_before=await store.now() + DAY))
        assert await store.send("e-1", CANCEL)
        assert not await store.send("e-1", CANCEL)
        found = await store.read("e-1")
        assert found is not None
        assert found.status == "cancelling"
        claim = await take(store)
        (message,) = (await store.load(claim)).inbox
        assert (message.kind, message.data) == ("cancel", CANCEL.data)
        await store.commit(claim, Turn(expects=1, rows=['"cancelled"'], status="cancelling", taken=message.seq, seen=message.seq))
        assert not await store.send("e-1", CANCEL)
        await store.commit(claim, Turn(expects=2, status="cancelled", taken=message.seq, seen=message.seq))
        assert not await store.send("e-1", CANCEL)

    @in_lab
    async def test_a_first_turn_is_refused_while_a_cancel_is_unseen(self, lab: Lab) -> None:
        """Nothing of it may show: what never began emits nothing. So it is with the first turn of a later run."""
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", CANCEL)
        event = NewEvent(name="x", payload="1", key="k")
        with pytest.raises(Stale):
            await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended", events=[event]))
        (message,) = (await store.load(claim)).inbox
        await store.commit(claim, Turn(expects=1, rows=['"cancelled"'], status="cancelled", taken=message.seq, seen=message.seq))

        claim = await claimed(store, "e-2")
        next_run = NextRun(run="second", workflow="w", started='"again"')
        await store.commit(claim, Turn(expects=1, rows=['"continues"'], next_run=next_run, wake_at=await store.now()))
        await store.send("e-2", CANCEL)
        claim = attrs.evolve(claim, run="second", number=2, length=1)
        with pytest.raises(Stale):
            await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended", events=[event]))
        assert (await store.events(0, ["x"], 10))[1] == ()

    @in_lab
    async def test_an_unseen_cancel_keeps_its_status(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"first"'], status="suspended"))
        await store.send("e-1", CANCEL)
        committed = await store.commit(claim, Turn(expects=2, rows=['"asked"'], status="suspended"))
        assert [message.kind for message in committed.inbox] == ["cancel"]
        found = await store.read("e-1")
        assert found is not None
        assert found.status == "cancelling"

    @in_lab
    async def test_a_failed_compensation_can_be_tried_again(self, lab: Lab) -> None:
        store = await lab.open()
        again = NewMessage(kind="retry_rollback", dedup="try 2")
        claim = await claimed(store)
        assert not await store.send("e-1", NewMessage(kind="retry_rollback"))
        await store.commit(claim, Turn(expects=1, status="compensation_failed", outcome='{"err": {}}'))
        with pytest.raises(ExecutionFinished):
            await store.send("e-1", signal())
        lab.pass_time(SECOND)
        assert await store.send("e-1", again)
        assert not await store.send("e-1", again)
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.outcome) == ("running", None)
        with pytest.raises(LostClaim):
            await store.commit(claim, Turn(expects=1))
        assert [message.kind for message in (await store.load(await take(store))).inbox] == ["retry_rollback"]

    # ── news ────────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_waiter_is_told_of_a_message_sent_by_another_store(self, lab: Lab) -> None:
        store, other = await lab.open(), await lab.open()
        await store.start(execution())
        seen = await store.wait_for_changes(0)
        waiting = asyncio.create_task(store.wait_for_changes(60, seen))
        await asyncio.sleep(0)
        await other.send("e-1", signal())
        assert await asyncio.wait_for(waiting, 10) != seen

    @in_lab
    async def test_news_between_two_waits_is_not_missed(self, lab: Lab) -> None:
        store = await lab.open()
        seen = await store.wait_for_changes(0)
        await store.start(execution())
        assert await asyncio.wait_for(store.wait_for_changes(60, seen), 10) != seen

    @in_lab
    async def test_without_news_a_wait_ends_after_its_timeout(self, lab: Lab) -> None:
        store = await lab.open()
        seen = await store.wait_for_changes(0)
        assert await store.wait_for_changes(0.01, seen) == seen
