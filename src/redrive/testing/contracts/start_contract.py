"""Starting executions: once, whatever is repeated."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC

import attrs

from redrive.ports.store import FINAL, Creator, Turn
from redrive.testing.contracts.lab import DAY, LEASE, SECOND, Lab, claimed, execution, in_lab, newest, nothing_for, signal, take

ODD_TEXTS = (
    "a'; DROP TABLE executions; --",
    "../../etc/passwd",
    "%_?*[a]",
    " leading and trailing ",
    "Zoë 😀",
    "Zoe\u0308",
    "lone \ud800 surrogate",
    "lone \udfff surrogate",
    "\ufffd",
    "line\nbreak\ttab",
    "$(rm -rf /)",
    "UPPER",
    "upper",
    "0",
    "00",
    "\x01\x7f",
    "\ufeffx",
    "x" * 255,
)


class StartContract:
    @in_lab
    async def test_a_new_execution_is_pending_and_nobodys(self, lab: Lab) -> None:
        store = await lab.open()
        begun = await store.start(execution(deadline=await store.now() + DAY, attributes='{"a": 1}'))
        now = begun.snapshot
        assert begun.created
        assert begun.claim is None
        assert (now.id, now.workflow, now.status, now.run, now.number, now.length) == ("e-1", "w", "pending", "run of e-1", 1, 1)
        assert (now.input, now.owner, now.recoveries, now.attributes, now.outcome) == ('{"order": 1}', None, 0, '{"a": 1}', None)
        assert (now.unread, now.parked, now.creator) == (0, {}, None)
        assert now == await store.read("e-1")

    @in_lab
    async def test_times_are_aware_and_keep_their_microseconds(self, lab: Lab) -> None:
        store = await lab.open()
        due = (await store.now() + DAY).replace(microsecond=123457)
        await store.start(execution(not_before=due, deadline=due + DAY))
        found = await store.read("e-1")
        assert found is not None
        assert (found.wake_at, found.deadline) == (due, due + DAY)
        assert found.created_at.tzinfo is UTC
        assert found.wake_at is not None
        assert found.wake_at.tzinfo is UTC

    @in_lab
    async def test_starting_an_id_again_gives_back_what_is_there(self, lab: Lab) -> None:
        store = await lab.open()
        first = await store.start(execution())
        second = await store.start(execution(run="another run", input="2"))
        assert not second.created
        assert second.snapshot == first.snapshot

    @in_lab
    async def test_a_start_that_is_repeated_is_answered_like_the_first_time(self, lab: Lab) -> None:
        store = await lab.open()
        new = execution(first_message=signal())
        first = await store.start(new)
        assert await store.start(new) == first
        assert len((await store.load(await take(store))).inbox) == 1

    @in_lab
    async def test_one_id_started_at_once_from_many_stores_is_one_execution(self, lab: Lab) -> None:
        stores = [await lab.open() for _ in range(3)]
        begun = await asyncio.gather(*(store.start(execution(run=f"run {n}")) for n, store in enumerate(stores * 3)))
        winners = {result.snapshot.run for result in begun}
        assert len(winners) == 1
        assert len([result for result in begun if result.created]) == len([n for n in range(9) if f"run {n}" in winners])

    @in_lab
    async def test_ids_names_and_workflows_come_back_as_they_were(self, lab: Lab) -> None:
        store = await lab.open()
        for text in ODD_TEXTS:
            creator = Creator(id="creator " + text, run="r", key=text)
            await store.start(execution(text, workflow=text, creator=creator, run=text, attributes=json.dumps({text: text})))
            assert await store.send(text, signal(text, json.dumps(text), dedup=text))
        for text in ODD_TEXTS:
            claim = await take(store, "worker " + text, text, text)
            (message,) = (await store.load(claim)).inbox
            found = await store.read(text)
            assert found is not None
            assert found.creator is not None
            assert (found.id, found.workflow, found.run, found.owner, found.creator.key) == (text, text, text, "worker " + text, text)
            assert json.loads(found.attributes) == {text: text}
            assert (message.name, json.loads(message.data)) == (text, text)
        assert len(await newest(store, limit=1000)) == len(ODD_TEXTS)

    @in_lab
    async def test_a_delayed_execution_is_not_claimed_before_its_time(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution(not_before=await store.now() + DAY), claim_for="ada")
        assert await nothing_for(store, "ada")
        lab.pass_time(DAY)
        await take(store)

    @in_lab
    async def test_a_signal_does_not_start_a_delayed_execution(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution(not_before=await store.now() + DAY, first_message=signal()))
        await store.send("e-1", signal())
        assert await nothing_for(store, "ada")
        lab.pass_time(DAY)
        assert len((await store.load(await take(store))).inbox) == 2

    @in_lab
    async def test_an_execution_can_belong_to_its_starter_from_the_start(self, lab: Lab) -> None:
        store = await lab.open()
        assert await nothing_for(store, "ada")
        begun = await store.start(execution(), claim_for="ada")
        assert begun.claim is not None
        assert begun.claim.length == 1
        assert await nothing_for(store, "bob")
        await store.commit(begun.claim, Turn(expects=1, rows=['"asked"']))
        assert await store.history("e-1") == '["started","asked"]'

    @in_lab
    async def test_only_a_live_worker_owns_what_it_starts(self, lab: Lab) -> None:
        store = await lab.open()
        assert (await store.start(execution(), claim_for="never heard of")).claim is None
        assert await nothing_for(store, "ada", workflow="none")
        lab.pass_time(LEASE)
        assert (await store.start(execution("e-2"), claim_for="ada")).claim is None
        assert len(await store.claim("bob", LEASE, "b-1", ["w"], 10)) == 2

    @in_lab
    async def test_the_first_message_comes_with_the_start(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution(first_message=signal(data="1", dedup="key:approved:1")))
        await store.start(execution(run="another", first_message=signal(data="1", dedup="key:approved:1")))
        await store.start(execution(run="another", first_message=signal(data="2")))
        inbox = (await store.load(await take(store))).inbox
        assert [(message.kind, message.name, message.data) for message in inbox] == [
            ("signal", "approved", "1"),
            ("signal", "approved", "2"),
        ]

    @in_lab
    async def test_a_finished_execution_takes_no_first_message(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, status="completed", outcome='{"ok": 7}'))
        begun = await store.start(execution(run="another", first_message=signal()))
        assert not begun.created
        assert (begun.snapshot.status, begun.snapshot.outcome) == ("completed", '{"ok": 7}')

    @in_lab
    async def test_a_finished_execution_starts_anew_where_that_is_wanted(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.send("e-1", signal(dedup="once"))
        await store.commit(claim, Turn(expects=1, rows=['"ended"'], status="failed", outcome='{"err": {}}', attributes='{"a": 1}'))
        assert not (await store.start(execution(run="second", restart=frozenset({"cancelled"})))).created
        again = execution(run="second", input="2", started='"again"', restart=frozenset({"failed"}))
        begun = await store.start(again)
        assert begun.created
        assert await store.start(again) == begun
        now = begun.snapshot
        assert (now.status, now.run, now.number, now.length, now.input) == ("pending", "second", 2, 1, "2")
        assert (now.outcome, now.attributes, now.unread) == (None, "{}", 0)
        assert await store.history("e-1", 1) == '["started","ended"]'
        assert await store.send("e-1", signal(dedup="once"))
        second = await take(store)
        assert second.number == 2
        assert len((await store.load(second)).inbox) == 1

    @in_lab
    async def test_nothing_that_goes_on_is_started_anew(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution())
        assert not (await store.start(execution(run="second", restart=FINAL))).created

    @in_lab
    async def test_a_restart_is_claimable_for_its_starter(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, status="cancelled"))
        lab.pass_time(SECOND)
        again = attrs.evolve(execution(run="second"), restart=FINAL)
        begun = await store.start(again, claim_for="ada")
        assert begun.claim is not None
        assert begun.claim.fence > claim.fence
        assert (begun.claim.number, begun.claim.length) == (2, 1)
