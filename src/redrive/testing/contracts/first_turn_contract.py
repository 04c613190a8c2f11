"""Starting with the first turn: one transaction for both."""

from __future__ import annotations

import asyncio

import attrs

from redrive.ports.store import NewChild, NewEvent, Turn
from redrive.testing.contracts.lab import LEASE, Lab, execution, in_lab, nothing_for, signal

ASKED = Turn(expects=1, rows=['"asked"'], status="running")
DONE = Turn(expects=1, rows=['"ended"'], status="completed", outcome='{"ok": 7}')


class FirstTurnContract:
    @in_lab
    async def test_a_first_turn_comes_with_the_start_and_the_claim_goes_on(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        begun = await store.start(execution(), claim_for="ada", first=ASKED)
        assert begun.created
        assert begun.committed is not None
        assert begun.claim is not None
        assert (begun.claim.length, begun.committed.inbox) == (1, ())
        assert await store.history("e-1") == '["started","asked"]'
        await store.send("e-1", signal())
        committed = await store.commit(begun.claim, Turn(expects=2, rows=['"more"']))
        assert len(committed.inbox) == 1
        assert await nothing_for(store, "bob")

    @in_lab
    async def test_an_execution_may_end_as_it_starts(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        told = await store.wait_for_changes(0)
        begun = await store.start(execution(), claim_for="ada", first=DONE)
        assert begun.committed is not None
        found = await store.read("e-1")
        assert found is not None
        assert (found.status, found.outcome, found.owner, found.wake_at) == ("completed", '{"ok": 7}', None, None)
        async with asyncio.timeout(10):
            while (seen := await store.wait_for_changes(0)).ends == told.ends:
                await store.wait_for_changes(10, seen)

    @in_lab
    async def test_a_first_turn_past_the_deadline_is_left_out_and_the_execution_starts(self, lab: Lab) -> None:
        """E4."""
        store = await lab.open()
        assert await nothing_for(store, "ada")
        now = await store.now()
        event = NewEvent(name="x", payload="1", key="e")
        for n, first in enumerate((ASKED, DONE, attrs.evolve(ASKED, events=[event]))):
            late = attrs.evolve(first, deadline=now)
            begun = await store.start(execution(f"e-{n}", deadline=now), claim_for="ada", first=late)
            assert (begun.created, begun.committed) == (True, None)
            assert begun.claim is not None
            assert await store.history(f"e-{n}") == '["started"]'
            assert await store.commit(begun.claim, Turn(expects=1, rows=['"passed"'])) is not None
        assert (await store.events(0, ["x"], 10))[1] == ()

    @in_lab
    async def test_what_a_first_turn_asks_of_others_is_done_with_it(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        place, _ = await store.events(None, ["processed"], 10)
        child = NewChild(execution=execution("kid"), answer_to="kid")
        first = Turn(expects=1, rows=['"asked"'], events=[NewEvent(name="processed", payload="1", key="e")], children=[child])
        begun = await store.start(execution(), claim_for="ada", first=first)
        assert begun.committed is not None
        assert [(message.kind, message.name) for message in begun.committed.inbox] == [("answer", "kid")]
        assert await store.read("kid") is not None
        assert [event.payload for event in (await store.events(place, ["processed"], 10))[1]] == ["1"]

    @in_lab
    async def test_a_first_turn_repeated_after_a_lost_answer_lands_once(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        first = await store.start(execution(), claim_for="ada", first=ASKED)
        again = await store.start(execution(), claim_for="ada", first=ASKED)
        assert (again.created, again.claim, again.committed) == (True, first.claim, first.committed)
        assert await store.history("e-1") == '["started","asked"]'

    @in_lab
    async def test_a_repeat_of_what_has_gone_on_since_gives_the_claim_alone(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        begun = await store.start(execution(), claim_for="ada", first=ASKED)
        assert begun.claim is not None
        await store.commit(begun.claim, Turn(expects=2, rows=['"more"']))
        again = await store.start(execution(), claim_for="ada", first=ASKED)
        assert again.committed is None
        assert again.claim is not None
        assert again.claim.length == 3
        assert await store.history("e-1") == '["started","asked","more"]'

    @in_lab
    async def test_the_first_turn_of_another_call_changes_nothing(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        await store.start(execution())
        begun = await store.start(execution(run="another"), claim_for="ada", first=DONE)
        assert (begun.created, begun.claim, begun.committed) == (False, None, None)
        assert await store.history("e-1") == '["started"]'

    @in_lab
    async def test_without_a_claim_there_is_no_first_turn(self, lab: Lab) -> None:
        store = await lab.open()
        begun = await store.start(execution(), claim_for="never heard of", first=DONE)
        assert (begun.created, begun.claim, begun.committed) == (True, None, None)
        later = execution("later", not_before=await store.now() + LEASE)
        assert await nothing_for(store, "bob", workflow="none")
        assert (await store.start(later, claim_for="bob", first=DONE)).committed is None
        assert await store.history("later") == '["started"]'

    @in_lab
    async def test_with_a_first_message_there_is_no_first_turn(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        begun = await store.start(execution(first_message=signal()), claim_for="ada", first=DONE)
        assert begun.claim is not None
        assert begun.committed is None
        assert len((await store.load(begun.claim)).inbox) == 1

    @in_lab
    async def test_a_first_turn_comes_with_a_restart_too(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        failed = Turn(expects=1, rows=['"ended"'], status="failed", outcome='{"err": {}}')
        await store.start(execution(), claim_for="ada", first=failed)
        again = execution(run="second", restart=frozenset({"failed"}), started='"again"')
        begun = await store.start(again, claim_for="ada", first=ASKED)
        assert begun.committed is not None
        assert begun.claim is not None
        assert (begun.claim.number, begun.claim.length) == (2, 1)
        assert await store.history("e-1") == '["again","asked"]'
