"""Rewrites: the edited history is the next number, the old one stays, and what the world said is put back."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from redrive.ports.rewrites import NewAudit, PutBack, Rewrite
from redrive.ports.store import Creator, LostClaim, NewEvent, NewMessage, Outgoing, Snapshot, Stale, Store, Turn
from redrive.testing.contracts.lab import CANCEL, LEASE, SECOND, Lab, claimed, execution, in_lab, park, signal, take
from redrive_interpreter.errors import ExecutionFinished, ExecutionNotFound

FAILED = Turn(expects=2, rows=['"answered"', '"ended"'], status="failed", outcome='{"err": 1}', unread=3)


def rewritten(snapshot: Snapshot, **changes: Any) -> Rewrite:
    """The history of *snapshot* cut to two rows, to go on at once."""
    plain = Rewrite(
        number=snapshot.number,
        length=snapshot.length,
        before=snapshot.status,
        rows=['"started"', '"asked"'],
        run=snapshot.run,
        status="running",
        audit=NewAudit(verb="retry", by="ada", reason="crm was down", detail='{"key": "quote"}'),
    )
    return attrs.evolve(plain, **changes)


async def failed(store: Store, **changes: Any) -> Snapshot:
    """An execution that ended ``failed``, of four rows."""
    claim = await claimed(store, **changes)
    await store.commit(claim, Turn(expects=1, rows=['"asked"']))
    await store.commit(claim, FAILED)
    return await read(store)


async def read(store: Store, id: str = "e-1") -> Snapshot:
    snapshot = await store.read(id)
    assert snapshot is not None
    return snapshot


async def inbox_of(store: Store) -> list[tuple[str, str, str]]:
    loaded = await store.load(await take(store))
    return [(message.kind, message.name, message.data) for message in loaded.inbox]


class RewriteContract:
    @in_lab
    async def test_the_edited_history_is_the_next_number_and_the_old_one_stays_readable(self, lab: Lab) -> None:
        """F1."""
        store = await lab.open()
        before = await failed(store)
        after = await store.rewrite("e-1", rewritten(before))
        assert (after.number, after.length, after.status, after.outcome, after.unread) == (2, 2, "running", None, 0)
        assert (after.run, after.input, after.created_at) == (before.run, before.input, before.created_at)
        assert await store.history("e-1") == '["started","asked"]'
        assert await store.history("e-1", 1) == '["started","asked","answered","ended"]'
        claim = await take(store)
        assert (claim.number, claim.length, claim.recoveries) == (2, 2, 0)
        await store.commit(claim, attrs.evolve(FAILED, status="completed", outcome='{"ok": 1}'))
        assert await store.history("e-1", 2) == '["started","asked","answered","ended"]'

    @in_lab
    async def test_who_did_what_and_why_is_kept(self, lab: Lab) -> None:
        """F1."""
        store = await lab.open()
        before = await failed(store)
        assert await store.audit("e-1", 10) == []
        change = rewritten(before)
        await store.rewrite("e-1", change)
        (act,) = await store.audit("e-1", 10)
        assert (act.execution, act.verb, act.by, act.reason, act.detail) == ("e-1", "retry", "ada", "crm was down", '{"key": "quote"}')
        assert (act.key, act.at) == (change.audit.key, await store.now())
        await store.rewrite("e-1", rewritten(await read(store), audit=NewAudit(verb="no\0pe", by="\ud800", reason="")))
        assert [act.verb for act in await store.audit(None, 10)] == ["retry", "no\0pe"]
        assert [(act.verb, act.by) for act in await store.audit("e-1", 1)] == [("no\0pe", "\ud800")], "the newest"
        assert await store.audit("other", 10) == []

    @in_lab
    async def test_a_message_of_an_operator_is_audited_with_it(self, lab: Lab) -> None:
        """C2: retry_rollback."""
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"ended"'], status="compensation_failed", outcome='{"err": 1}'))
        message = NewMessage(kind="retry_rollback", audit=NewAudit(verb="retry_rollback", by="ada"))
        assert await store.send("e-1", message)
        assert [(act.verb, act.by) for act in await store.audit("e-1", 10)] == [("retry_rollback", "ada")]

    @in_lab
    async def test_workers_hear_of_it(self, lab: Lab) -> None:
        """F4: bodies under way are told to stop."""
        store = await lab.open()
        before = await failed(store)
        newest, none = await store.operated(None)
        assert list(none) == []
        assert list((await store.operated(newest))[1]) == []
        await store.rewrite("e-1", rewritten(before))
        await store.rewrite("e-1", rewritten(await read(store)))
        later, ids = await store.operated(newest)
        assert list(ids) == ["e-1"]
        assert later > newest
        assert (await store.operated(later))[0] == later

    @in_lab
    async def test_an_execution_that_has_gone_on_is_not_rewritten(self, lab: Lab) -> None:
        """F4."""
        store = await lab.open()
        before = await failed(store)
        changes: tuple[dict[str, Any], ...] = ({"number": 2}, {"length": 3}, {"before": "running"})
        for change in changes:
            with pytest.raises(Stale):
                await store.rewrite("e-1", rewritten(before, **change))
        assert await read(store) == before
        assert await store.audit("e-1", 10) == []
        with pytest.raises(ExecutionNotFound):
            await store.rewrite("nobody", rewritten(before))

    @in_lab
    async def test_a_rewrite_that_is_sent_again_lands_once(self, lab: Lab) -> None:
        """W5."""
        store = await lab.open()
        change = rewritten(await failed(store))
        first = await store.rewrite("e-1", change)
        assert await store.rewrite("e-1", change) == first
        claim = await take(store)
        await store.commit(claim, Turn(expects=2, rows=['"more"']))
        again = await store.rewrite("e-1", change)
        assert (again.number, again.length) == (2, 3)
        assert len(await store.audit("e-1", 10)) == 1

    @in_lab
    async def test_the_owner_loses_its_claim(self, lab: Lab) -> None:
        """F4: by the fence; a repeat of what it had committed is refused as well."""
        store = await lab.open()
        claim = await claimed(store)
        turn = Turn(expects=1, rows=['"asked"'], status="suspended")
        await store.commit(claim, turn)
        after = await store.rewrite("e-1", rewritten(await read(store), rows=['"started"']))
        assert after.owner is None
        for late in (turn, Turn(expects=1, rows=['"other"']), Turn(expects=2, rows=['"more"'])):
            with pytest.raises(LostClaim):
                await store.commit(claim, late)
        with pytest.raises(LostClaim):
            await store.load(claim)
        await store.release([claim], parked=park())
        assert (await take(store)).fence == claim.fence + 2
        assert await store.history("e-1") == '["started"]'

    @in_lab
    async def test_what_had_ended_waits_for_messages_and_timers_again(self, lab: Lab) -> None:
        """F5."""
        store = await lab.open()
        before = await failed(store)
        with pytest.raises(ExecutionFinished):
            await store.send("e-1", signal())
        due = await store.now() + 5 * SECOND
        after = await store.rewrite("e-1", rewritten(before, status="suspended", wake_at=due))
        assert (after.status, after.wake_at) == ("suspended", due)
        assert not await store.claim("ada", LEASE, "b-1", ["w"], 10)
        lab.pass_time(5 * SECOND)
        claim = await take(store)
        await store.send("e-1", signal())
        assert len((await store.load(claim)).inbox) == 1

    @in_lab
    async def test_what_is_put_back_comes_before_what_is_unread_with_its_time(self, lab: Lab) -> None:
        """F13."""
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal(data='"taken"'))
        taken = (await store.load(claim)).inbox[0]
        await store.commit(claim, Turn(expects=1, rows=['"signalled"'], taken=taken.seq, seen=taken.seq))
        lab.pass_time(SECOND)
        await store.send("e-1", signal(data='"unread"'))
        (unread,) = (await store.load(claim)).inbox
        back = [
            PutBack(kind="signal", name="approved", data='"taken"', stored_at=taken.stored_at),
            PutBack(kind="retrying", name="quote", data='{"n": 1}', stored_at=taken.stored_at),
        ]
        await store.rewrite("e-1", rewritten(await read(store), rows=['"started"'], back=back))
        claim = await take(store)
        inbox = (await store.load(claim)).inbox
        assert [(message.kind, message.data) for message in inbox] == [
            ("signal", '"taken"'),
            ("retrying", '{"n": 1}'),
            ("signal", '"unread"'),
        ]
        assert [message.stored_at for message in inbox] == [taken.stored_at, taken.stored_at, unread.stored_at]
        assert [message.seq for message in inbox] == sorted({message.seq for message in inbox})
        await store.commit(claim, Turn(expects=1, rows=['"signalled"'], taken=inbox[0].seq, seen=inbox[-1].seq))
        assert [message.data for message in (await store.load(claim)).inbox] == ['{"n": 1}', '"unread"']
        await store.send("e-1", signal(data='"new"'))
        assert [message.data for message in (await store.poll_inboxes("ada", inbox[-1].seq))[1]["e-1"]] == ['"new"']

    @in_lab
    async def test_answers_to_what_is_not_asked_any_more_are_deleted(self, lab: Lab) -> None:
        """F13."""
        store = await lab.open()
        await store.start(execution())
        for kind, name in (
            ("answer", "kept"),
            ("answer", "gone"),
            ("child", "c-1"),
            ("child", "c-2"),
            ("signal", "gone"),
            ("attempt", "gone"),
        ):
            await store.send("e-1", NewMessage(kind=kind, name=name))  # type: ignore[arg-type]
        await store.rewrite("e-1", rewritten(await read(store), asked=frozenset({"kept"}), children=frozenset({"c-1"})))
        assert await inbox_of(store) == [("answer", "kept", "null"), ("child", "c-1", "null"), ("signal", "gone", "null")]

    @in_lab
    async def test_messages_that_came_since_it_was_looked_at_are_kept(self, lab: Lab) -> None:
        """F4: the inbox is not compared."""
        store = await lab.open()
        before = await read_started(store)
        await store.send("e-1", signal(dedup="once"))
        after = await store.rewrite("e-1", rewritten(before))
        assert after.wake_at == await store.now()
        assert await inbox_of(store) == [("signal", "approved", '"Ada"')]
        assert not await store.send("e-1", signal(dedup="once")), "keys stay for the execution's life"

    @in_lab
    async def test_a_cancel_that_lies_there_is_accepted_for_the_new_number(self, lab: Lab) -> None:
        """E3."""
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended"))
        await store.send("e-1", CANCEL)
        after = await store.rewrite("e-1", rewritten(await read(store)))
        assert after.status == "cancelling"
        assert not await store.send("e-1", CANCEL), "a second one is a repeat"
        claim = await take(store)
        with pytest.raises(Stale):
            await store.commit(claim, attrs.evolve(FAILED, expects=2))

    @in_lab
    async def test_a_cancelled_execution_is_reopened_and_can_be_cancelled_again(self, lab: Lab) -> None:
        """F5; the cancel that is in the edited history counts."""
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended"))
        await store.send("e-1", CANCEL)
        seq = (await store.load(claim)).inbox[0].seq
        rows = ['"cancel"', '"ended"']
        await store.commit(claim, Turn(expects=2, rows=rows, taken=seq, seen=seq, status="cancelled", outcome='{"err": 1}'))
        kept = await store.rewrite("e-1", rewritten(await read(store), rows=['"started"', '"cancel"'], cancelled=True, status="cancelling"))
        assert kept.status == "cancelling"
        assert not await store.send("e-1", CANCEL)
        await store.rewrite("e-1", rewritten(await read(store)))
        assert await store.send("e-1", CANCEL)
        assert (await read(store)).status == "cancelling"

    @in_lab
    async def test_parks_and_deaths_end(self, lab: Lab) -> None:
        """F5: retry of a parked execution."""
        store = await lab.open()
        claim = await claimed(store)
        await store.release([claim], parked=park())
        assert not await store.claim("ada", LEASE, "b-1", ["w"], 10)
        after = await store.rewrite("e-1", rewritten(await read(store)))
        assert (after.status, after.parks, after.recoveries) == ("running", (), 0)
        claim = await take(store)
        assert (claim.tries, claim.deaths, claim.parked) == (0, 0, None)

    @in_lab
    async def test_it_sets_deadline_and_attributes(self, lab: Lab) -> None:
        store = await lab.open()
        before = await failed(store, attributes='{"a": 1}', deadline=None)
        later = await store.now() + 60 * SECOND
        after = await store.rewrite("e-1", rewritten(before, deadline=later, attributes='{"a": 2}'))
        assert (after.deadline, after.attributes) == (later, '{"a": 2}')
        after = await store.rewrite("e-1", rewritten(after))
        assert (after.deadline, after.attributes) == (None, '{"a": 2}')

    @in_lab
    async def test_one_that_ends_the_execution_tells_its_parent_and_cancels_its_children(self, lab: Lab) -> None:
        """force_fail."""
        store = await lab.open()
        creator = Creator(id="parent", run="run of parent", key="__start_child")
        claim = await claimed(store, creator=creator)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended"))
        await store.start(execution("parent"))
        await store.start(execution("child"))
        await store.send("e-1", signal())
        cancel = Outgoing(target="child", message=CANCEL)
        gone = Outgoing(target="nobody", message=CANCEL)
        forced = rewritten(await read(store), status="failed", outcome='{"err": 7}', outgoing=[cancel, gone])
        after = await store.rewrite("e-1", forced)
        assert (after.status, after.outcome, after.owner, after.wake_at, after.unread) == ("failed", '{"err": 7}', None, None, 1)
        claims = {claim.id: claim for claim in await store.claim("ada", LEASE, "b-1", ["w"], 10)}
        assert set(claims) == {"parent", "child"}
        (told,) = (await store.load(claims["parent"])).inbox
        assert (told.kind, told.name, told.data) == ("child", "e-1", '{"status": "failed", "outcome": {"err": 7}}')
        assert [message.kind for message in (await store.load(claims["child"])).inbox] == ["cancel"]

    @in_lab
    async def test_an_event_that_the_same_run_emits_again_lands_once(self, lab: Lab) -> None:
        """Events are unique by execution, run and key: whatever the run's number is."""
        store = await lab.open()
        claim = await claimed(store)
        emitted = NewEvent(name="shipped", payload="1", key="__emit")
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], events=[emitted]))
        after = await store.rewrite("e-1", rewritten(await read(store), rows=['"started"']))
        claim = await take(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], events=[emitted]))
        assert len((await store.events(0, ["shipped"], 10))[1]) == 1
        await store.rewrite("e-1", rewritten(await read(store), rows=['"started"'], run="another"))
        claim = await take(store)
        assert claim.run == "another" != after.run
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], events=[emitted]))
        assert len((await store.events(0, ["shipped"], 10))[1]) == 2

    @in_lab
    async def test_a_copy_begins_with_the_history_it_is_given(self, lab: Lab) -> None:
        """F7."""
        store = await lab.open()
        await failed(store)
        back = [PutBack(kind="answer", name="reserve", data='{"ok": 1}', stored_at=await store.now())]
        act = NewAudit(verb="fork", by="ada", detail='{"copy": "e-2"}')
        new = execution("e-2", copy_of="e-1", history=['"asked"', '"forked"'], back=back, audit=act, attributes='{"a": 1}')
        begun = await store.start(new)
        assert (begun.created, begun.snapshot.status, begun.snapshot.length, begun.snapshot.number) == (True, "pending", 3, 1)
        again = await store.start(new)
        assert again.created
        assert await store.history("e-2") == '["started","asked","forked"]'
        assert [one.execution for one in await store.audit(None, 10)] == ["e-2", "e-1"]
        claim = await take(store, id="e-2")
        assert (claim.id, claim.length, claim.number) == ("e-2", 3, 1)
        assert [(message.kind, message.name) for message in (await store.load(claim)).inbox] == [("answer", "reserve")]
        await store.commit(claim, Turn(expects=3, rows=['"more"'], status="suspended"))
        other = attrs.evolve(new, run="another", audit=NewAudit(verb="fork"))
        assert not (await store.start(other)).created
        assert len(await store.audit(None, 10)) == 2

    @in_lab
    async def test_a_copy_that_is_cancelled_has_something_to_undo(self, lab: Lab) -> None:
        """E3: it never began, and its history did: the turn that ends what never ran is not for it."""
        store = await lab.open()
        await store.start(execution("e-2", history=['"asked"']))
        unbegun = Turn(expects=1, rows=['"cancel"', '"ended"'], status="cancelled", outcome='{"err": 1}')
        await store.send("e-2", attrs.evolve(CANCEL, unbegun=unbegun))
        assert (await read(store, "e-2")).status == "cancelling"
        assert [message.kind for message in (await store.load(await take(store, id="e-2"))).inbox] == ["cancel"]


async def read_started(store: Store) -> Snapshot:
    await store.start(execution())
    return await read(store)
