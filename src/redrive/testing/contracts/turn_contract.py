"""Turns: whole or not at all, never from less than the store knows."""

from __future__ import annotations

import asyncio
import json

import attrs
import pytest

from redrive.ports.store import (
    Claim,
    Creator,
    LostClaim,
    Message,
    NewChild,
    NewEvent,
    NextRun,
    Outgoing,
    Overdue,
    Stale,
    Store,
    StoreError,
    Turn,
)
from redrive.testing.contracts.lab import CANCEL, DAY, LEASE, SECOND, Lab, claimed, execution, in_lab, nothing_for, park, signal, take

CREATOR = Creator(id="e-1", run="run of e-1", key="child")


async def _answer_to(store: Store, claim: Claim, turn: Turn) -> object:
    try:
        return await store.commit(claim, turn)
    except StoreError as error:
        return error


class TurnContract:
    @in_lab
    async def test_a_turn_changes_all_it_says_at_once(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.start(execution("e-2"))
        lab.pass_time(SECOND)
        now = await store.now()
        everything = Turn(
            expects=1,
            rows=['"a"', '{"b": [1, 2]}'],
            status="suspended",
            wake_at=now + DAY,
            events=[NewEvent(name="processed", payload="1", key="emit")],
            outgoing=[Outgoing(target="e-2", message=signal())],
            children=[NewChild(execution=execution("e-3", creator=CREATOR), answer_to="child")],
            attributes='{"state": "new"}',
            unread=3,
        )
        committed = await store.commit(claim, everything)
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.length, found.unread) == ("suspended", 3, 3)
        assert (found.attributes, found.updated_at) == ('{"state": "new"}', now)
        assert await store.history("e-1") == '["started","a",{"b": [1, 2]}]'
        assert [(message.kind, message.name, message.data) for message in committed.inbox] == [("answer", "child", '{"ok": null}')]
        assert len((await store.events(0, ["processed"], 10))[1]) == 1
        others = await store.claim("bob", SECOND, "b-1", ["w"], 10)
        assert {other.id: [m.kind for m in (await store.load(other)).inbox] for other in others} == {"e-2": ["signal"], "e-3": []}

    @in_lab
    async def test_the_outcome_is_kept_as_it_was_given(self, lab: Lab) -> None:
        store = await lab.open()
        outcome = json.dumps({"ok": {"text": "Zoë \ud800", "big": 2**70}})
        await store.commit(await claimed(store), Turn(expects=1, rows=['"ended"'], status="completed", outcome=outcome))
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.outcome, found.owner, found.wake_at) == ("completed", outcome, None, None)

    @in_lab
    async def test_a_big_value_comes_back_whole(self, lab: Lab) -> None:
        store = await lab.open()
        big = json.dumps("x" * 20_000_000)
        await store.commit(await claimed(store, input=big), Turn(expects=1, rows=[big], attributes=big, status="completed", outcome=big))
        found = await store.read("e-1")
        assert found is not None
        assert found.input == found.outcome == found.attributes == big
        assert await store.history("e-1") == f'["started",{big}]'

    @in_lab
    async def test_a_turn_may_change_nothing(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        assert (await store.commit(claim, Turn(expects=1))).inbox == ()
        assert await store.history("e-1") == '["started"]'

    @in_lab
    async def test_a_turn_with_another_length_is_refused(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"a"']))
        for turn in (
            Turn(expects=1, rows=['"b"']),
            Turn(expects=3, rows=['"b"']),
            Turn(expects=1),
            Turn(expects=0, rows=['"started"', '"c"']),
        ):
            with pytest.raises(Stale):
                await store.commit(claim, turn)
        assert await store.history("e-1") == '["started","a"]'

    @in_lab
    async def test_a_repeated_turn_takes_effect_once(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        turn = Turn(
            expects=1,
            rows=['"a"', '"b"'],
            status="suspended",
            events=[NewEvent(name="processed", payload="1", key="emit")],
            children=[NewChild(execution=execution("e-3", creator=CREATOR), answer_to="child")],
        )
        first = await store.commit(claim, turn)
        assert await store.commit(claim, turn) == first
        assert await store.history("e-1") == '["started","a","b"]'
        assert len((await store.events(0, ["processed"], 10))[1]) == 1
        assert len((await store.load(claim)).inbox) == 1

    @in_lab
    async def test_a_turn_that_goes_on_is_refused_once_the_stores_clock_has_reached_the_deadline(self, lab: Lab) -> None:
        """E4. Whatever else it does, and by no other clock; what was stored before, and what takes the deadline, is not."""
        store = await lab.open()
        await store.start(execution("other"))
        due = await store.now() + DAY
        await store.start(execution(deadline=due))
        claim = next(claim for claim in await store.claim("ada", LEASE, "b-1", ["w"], 10) if claim.id == "e-1")
        asked = Turn(expects=1, rows=['"asked"'], deadline=due)
        assert (await store.commit(claim, asked)).inbox == ()
        lab.pass_time(DAY)
        await store.commit(claim, asked)  # a repeat
        more = (
            Turn(expects=2, rows=['"more"'], deadline=due),
            Turn(expects=2, deadline=due, status="suspended"),
            Turn(expects=2, rows=['"ended"'], status="completed", outcome='{"ok": 7}', deadline=due),
            Turn(expects=2, rows=['"more"'], outgoing=[Outgoing(target="other", message=signal())], deadline=due),
            Turn(expects=2, rows=['"more"'], events=[NewEvent(name="x", payload="1", key="e")], deadline=due),
            Turn(expects=2, rows=['"next"'], next_run=NextRun(run="r-2", workflow="w", started='"started"'), deadline=due),
        )
        for turn in more:
            with pytest.raises(Overdue):
                await store.commit(claim, turn)
        await store.send("e-1", signal())
        with pytest.raises(Overdue):
            await store.commit(claim, Turn(expects=2, rows=['"more"'], seen=99, taken=99, deadline=due))
        assert await store.history("e-1") == '["started","asked"]'
        assert (await store.events(0, ["x"], 10))[1] == ()
        await store.commit(claim, Turn(expects=2, rows=['"passed"'], seen=99))
        lab.pass_time(-DAY)
        await store.commit(claim, Turn(expects=3, rows=['"back"'], seen=99, deadline=due))
        assert await store.history("e-1") == '["started","asked","passed","back"]'

    @in_lab
    async def test_of_turns_that_are_stored_at_once_those_past_their_deadline_are_refused(self, lab: Lab) -> None:
        store = await lab.open()
        now = await store.now()
        claims: list[Claim] = []
        for n in range(6):
            await store.start(execution(f"e-{n}"))
            claims.append(await take(store, id=f"e-{n}"))
        turns = [Turn(expects=1, rows=['"a"'], deadline=now if n % 2 else now + DAY) for n in range(6)]
        answers = await asyncio.gather(*(_answer_to(store, claim, turn) for claim, turn in zip(claims, turns, strict=True)))
        assert [isinstance(answer, Overdue) for answer in answers] == [False, True] * 3
        assert [len(json.loads(await store.history(f"e-{n}"))) for n in range(6)] == [2, 1] * 3

    @in_lab
    async def test_a_last_turn_may_be_repeated(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store, creator=Creator(id="parent", run="r", key="k"))
        turn = Turn(expects=1, rows=['"ended"'], status="completed", outcome='{"ok": 1}')
        await store.commit(claim, turn)
        await store.commit(claim, turn)
        with pytest.raises((LostClaim, Stale)):
            await store.commit(claim, Turn(expects=2, rows=['"more"']))
        assert await store.history("e-1") == '["started","ended"]'

    # ── what the worker had not seen ────────────────────────────────────────────────────────────
    @in_lab
    async def test_a_turn_gives_back_what_its_worker_has_not_seen(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        for n in range(3):
            await store.send("e-1", signal(data=str(n)))
        inbox = (await store.load(claim)).inbox
        await store.send("e-1", signal(data="3"))
        committed = await store.commit(claim, Turn(expects=1, rows=['"a"'], taken=inbox[0].seq, seen=inbox[2].seq, status="suspended"))
        assert [message.data for message in committed.inbox] == ["3"]
        assert [message.data for message in (await store.load(claim)).inbox] == ["1", "2", "3"]

    @in_lab
    async def test_what_a_turn_leaves_in_the_inbox_is_due_at_once(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal())
        await store.commit(claim, Turn(expects=1, rows=['"a"'], status="suspended", wake_at=await store.now() + DAY))
        await store.release([claim])
        await take(store, "bob")

    @in_lab
    async def test_a_turn_that_ends_is_refused_while_a_cancel_is_unseen(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", CANCEL)
        next_run = NextRun(run="second", workflow="w", started='"again"')
        for turn in (
            Turn(expects=1, rows=['"ended"'], status="completed", outcome='{"ok": 1}', events=[NewEvent(name="x", payload="1", key="k")]),
            Turn(expects=1, rows=['"ended"'], next_run=next_run),
        ):
            with pytest.raises(Stale):
                await store.commit(claim, turn)
        assert await store.history("e-1") == '["started"]'
        assert (await store.events(0, ["x"], 10))[1] == ()
        (cancel,) = (await store.load(claim)).inbox
        await store.commit(claim, Turn(expects=1, rows=['"cancelled"'], status="cancelled", taken=cancel.seq, seen=cancel.seq))

    @in_lab
    async def test_a_turn_that_ends_is_not_refused_for_a_signal(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal())
        await store.send("e-1", signal())
        await store.commit(claim, Turn(expects=1, rows=['"ended"'], status="completed", unread=1))
        found = await store.read("e-1")
        assert found is not None
        assert found.unread == 3

    @in_lab
    async def test_a_timer_is_refused_while_an_older_message_is_unseen(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal())
        sent = await store.now()
        lab.pass_time(DAY)
        for due in (sent, sent + SECOND):
            with pytest.raises(Stale):
                await store.commit(claim, Turn(expects=1, rows=['"timer fired"'], not_after=due))
        (message,) = (await store.load(claim)).inbox
        await store.commit(claim, Turn(expects=1, rows=['"timer fired"'], not_after=sent, seen=message.seq))

    @in_lab
    async def test_a_timer_fires_before_a_younger_message(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        due = await store.now()
        lab.pass_time(SECOND)
        await store.send("e-1", signal())
        committed = await store.commit(claim, Turn(expects=1, rows=['"timer fired"'], not_after=due))
        assert len(committed.inbox) == 1

    # ── the next run ────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_the_next_run_begins_with_an_empty_history_and_the_same_execution(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store, deadline=await store.now() + DAY)
        await store.send("e-1", signal(dedup="once"))
        turn = Turn(
            expects=1,
            rows=['"continued"'],
            next_run=NextRun(run="second", workflow="w2", started='"again"'),
            attributes='{"a": 1}',
            wake_at=await store.now(),
            events=[NewEvent(name="x", payload="1", key="emit")],
        )
        committed = await store.commit(claim, turn)
        assert await store.commit(claim, turn) == committed
        claim = attrs.evolve(claim, run="second", number=2, workflow="w2", length=1)
        loaded = await store.load(claim)
        assert loaded.history == '["again"]'
        assert len(loaded.inbox) == 1
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], events=[NewEvent(name="x", payload="2", key="emit")]))
        found = await store.read("e-1")
        assert found is not None
        assert (found.run, found.number, found.workflow, found.length, found.attributes) == ("second", 2, "w2", 2, '{"a": 1}')
        assert found.deadline is not None
        assert found.input == '{"order": 1}'
        assert await store.history("e-1", 1) == '["started","continued"]'
        assert await store.history("e-1", 2) == await store.history("e-1") == '["again","asked"]'
        assert not await store.send("e-1", signal(dedup="once"))
        assert [event.payload for event in (await store.events(0, ["x"], 10))[1]] == ["1", "2"]

    @in_lab
    async def test_a_build_that_parked_the_last_run_may_try_the_next(self, lab: Lab) -> None:
        store = await lab.open()
        await store.release([await claimed(store)], parked=park("diverged", "b-1"))
        claim = await take(store, "bob", build="b-2")
        await store.commit(claim, Turn(expects=1, next_run=NextRun(run="2", workflow="w", started="1"), wake_at=await store.now()))
        await store.release([attrs.evolve(claim, number=2, run="2", length=1)])
        await take(store, build="b-1")

    @in_lab
    async def test_a_turn_puts_off_what_was_due(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        now = await store.now()
        await store.commit(claim, Turn(expects=1, rows=["1"], status="suspended", wake_at=now))
        await store.commit(claim, Turn(expects=2, rows=["2"], status="suspended", wake_at=now + DAY))
        await store.release([attrs.evolve(claim, length=3)])
        assert await store.next_wake(["w"]) == now + DAY

    @in_lab
    async def test_a_turn_without_rows_counts_as_a_change(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        turn = Turn(expects=1, status="suspended", wake_at=await store.now() + DAY)
        await store.commit(claim, turn)
        lab.pass_time(SECOND)
        await store.commit(claim, turn)
        found = await store.read(claim.id)
        assert found is not None
        assert found.updated_at == await store.now()

    # ── other executions ────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_outgoing_messages_are_answered(self, lab: Lab) -> None:
        store = await lab.open()
        await store.commit(await claimed(store, "ended"), Turn(expects=1, status="completed"))
        claim = await claimed(store)
        await store.start(execution("alive"))
        targets = ("alive", "ended", "nobody")
        outgoing = [Outgoing(target=target, message=signal(), answer_to=f"to {target}") for target in targets]
        outgoing.append(Outgoing(target="nobody", message=CANCEL))
        committed = await store.commit(claim, Turn(expects=1, rows=['"sent"'], outgoing=outgoing, wake_at=await store.now()))
        answers = {message.name: answer(message) for message in committed.inbox}
        assert answers == {"to alive": None, "to ended": "ExecutionFinished", "to nobody": "ExecutionNotFound"}
        assert await deliveries(store, "alive") == ["signal"]

    @in_lab
    async def test_an_execution_may_send_to_itself(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        turn = Turn(expects=1, rows=['"sent"'], status="suspended", outgoing=[Outgoing(target="e-1", message=signal(), answer_to="me")])
        assert [message.kind for message in (await store.commit(claim, turn)).inbox] == ["signal", "answer"]

    @in_lab
    async def test_a_child_is_started_once_and_never_a_strangers(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.start(execution("stranger", not_before=await store.now() + DAY))
        mine = NewChild(execution=execution("mine", creator=CREATOR), answer_to="mine")
        strange = NewChild(execution=execution("stranger", creator=CREATOR, run="other"), answer_to="strange")
        before = await store.read("stranger")
        first = await store.commit(claim, Turn(expects=1, rows=['"1"'], children=[mine, strange]))
        assert {message.name: answer(message) for message in first.inbox} == {"mine": None, "strange": "ExecutionConflict"}
        assert await store.read("stranger") == before
        seen = first.inbox[-1].seq
        second = await store.commit(claim, Turn(expects=2, rows=['"2"'], children=[mine], taken=seen, seen=seen))
        assert [answer(message) for message in second.inbox] == [None]
        assert await store.history("mine") == '["started"]'
        child = await take(store, "bob", "mine")
        found = await store.read(child.id)
        assert found is not None
        assert found.creator == CREATOR

    @in_lab
    async def test_a_parent_is_told_of_its_childs_end(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await claimed(store)
        child = NewChild(execution=execution("child", creator=CREATOR), answer_to="child")
        committed = await store.commit(parent, Turn(expects=1, rows=['"1"'], children=[child], status="suspended"))
        seen = committed.inbox[-1].seq
        await store.commit(parent, Turn(expects=2, rows=['"2"'], taken=seen, seen=seen, status="suspended"))
        await store.release([parent])
        await store.commit(await take(store, "bob", "child"), Turn(expects=1, status="failed", outcome='{"err": {"type": "X"}}'))
        (message,) = (await store.load(await take(store))).inbox
        assert (message.kind, message.name) == ("child", "child")
        assert json.loads(message.data) == {"status": "failed", "outcome": {"err": {"type": "X"}}}

    @in_lab
    async def test_an_ended_or_missing_parent_is_not_told(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await claimed(store)
        await store.commit(parent, Turn(expects=1, rows=['"ended"'], status="completed"))
        for n, creator in enumerate((CREATOR, Creator(id="nobody", run="r", key="k"))):
            child = await claimed(store, f"child-{n}", creator=creator)
            await store.commit(child, Turn(expects=1, status="completed", outcome='{"ok": 1}'))
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.length) == ("completed", 2)

    @in_lab
    async def test_what_has_ended_is_never_due(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal())
        await store.commit(claim, Turn(expects=1, status="completed", wake_at=await store.now()))
        lab.pass_time(DAY)
        assert await nothing_for(store, "ada")
        assert await store.next_wake(["w"]) is None


def answer(message: Message) -> str | None:
    """The error that an answer tells of; None: it is ok."""
    assert message.kind == "answer"
    told = json.loads(message.data)
    return None if told == {"ok": None} else told["err"]["type"]


async def deliveries(store: Store, id: str) -> list[str]:
    claims: dict[str, Claim] = {claim.id: claim for claim in await store.claim("reader", DAY, "b-1", ["w"], 100)}
    return [message.kind for message in (await store.load(claims[id])).inbox]
