"""Children that are started again: by the command that started them, once a run, and nobody else's."""

from __future__ import annotations

import json
from typing import Any

import attrs

from redrive.ports.store import Claim, CommitResult, Creator, ExecutionStatus, NewChild, Outgoing, Snapshot, Store, Turn
from redrive.testing.contracts.lab import CANCEL, DAY, LEASE, Lab, claimed, execution, in_lab, take

PARENT = Creator(id="e-1", run="run of e-1", key="child")
CHILD = execution("child", creator=PARENT)


class ChildContract:
    @in_lab
    async def test_a_failed_child_is_started_again_by_the_command_that_started_it(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await _with_child(store, "failed")
        later = await store.now() + DAY
        committed = await _turn(store, parent, 2, _again(not_before=later, attributes='{"state": "again"}'))
        assert committed.inbox == ()
        now = await _child(store)
        assert (now.status, now.run, now.number, now.length, now.wake_at, now.creator) == ("pending", "attempt 2", 2, 1, later, PARENT)
        assert (now.outcome, now.attributes) == (None, '{"state": "again"}')
        assert (await store.history("child"), await store.history("child", 1)) == ('["started again"]', '["started","ended"]')
        lab.pass_time(DAY)
        assert (await _claim_child(store)).run == "attempt 2"

    @in_lab
    async def test_the_parent_is_told_of_each_attempts_end(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await _with_child(store, "failed")
        await _turn(store, parent, 2, _again())
        await store.commit(await _claim_child(store), Turn(expects=1, rows=['"done"'], status="completed", outcome='{"ok": 1}'))
        (message,) = (await store.load(parent)).inbox
        assert json.loads(message.data) == {"status": "completed", "outcome": {"ok": 1}}

    @in_lab
    async def test_each_attempt_is_started_once(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await _with_child(store, "failed")
        await _turn(store, parent, 2, _again())
        await _turn(store, parent, 3, _again())
        before = await _child(store)
        assert (before.status, before.number) == ("pending", 2)
        await store.commit(await _claim_child(store), Turn(expects=1, status="failed", outcome='{"err": {"type": "X"}}'))
        await _turn(store, parent, 4, _again())
        after = await _child(store)
        assert (after.status, after.number) == ("failed", 2)

    @in_lab
    async def test_a_child_that_did_not_end_so_is_left_as_it_is(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await _with_child(store, "cancelled")
        before = await _child(store)
        assert (await _turn(store, parent, 2, _again())).inbox == ()
        assert await _child(store) == before

    @in_lab
    async def test_a_strangers_execution_is_never_started_again(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await _with_child(store, "failed")
        before = await _child(store)
        for expects, part in enumerate(("id", "run", "key"), start=2):
            stranger: Any = {part: "other"}
            committed = await _turn(store, parent, expects, _again(creator=attrs.evolve(PARENT, **stranger)))
            assert await _child(store) == before
            (told,) = committed.inbox
            refused = {"status": "failed", "outcome": {"err": {"type": "ExecutionConflict", "message": "child"}}}
            assert (told.kind, told.name, json.loads(told.data)) == ("child", "child", refused)

    @in_lab
    async def test_a_cancel_reaches_a_child_that_the_same_turn_starts(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await claimed(store)
        child = NewChild(execution=attrs.evolve(CHILD, not_before=await store.now() + DAY), answer_to="child")
        cancel = Outgoing(target="child", message=CANCEL)
        await store.commit(parent, Turn(expects=1, rows=['"1"'], children=[child], outgoing=[cancel]))
        assert (await _child(store)).status == "cancelling"
        assert (await _claim_child(store)).run == CHILD.run

    @in_lab
    async def test_a_cancel_reaches_a_child_that_the_same_turn_starts_again(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await _with_child(store, "failed")
        again = _again(not_before=await store.now() + DAY)
        await _turn(store, parent, 2, again, Outgoing(target="child", message=CANCEL))
        assert (await _child(store)).status == "cancelling"
        assert (await _claim_child(store)).run == "attempt 2"


async def _with_child(store: Store, status: ExecutionStatus) -> Claim:
    """The claim of a parent, whose first turn started a child that has ended with *status*."""
    parent = await claimed(store)
    await store.commit(parent, Turn(expects=1, rows=['"1"'], children=[NewChild(execution=CHILD, answer_to="child")], status="suspended"))
    outcome = '{"err": {"type": "X"}}'
    await store.commit(await take(store, "bob", "child"), Turn(expects=1, rows=['"ended"'], status=status, outcome=outcome))
    return parent


async def _turn(store: Store, parent: Claim, expects: int, child: NewChild, *outgoing: Outgoing) -> CommitResult:
    """A turn of the parent that takes all of its inbox."""
    seen = max((message.seq for message in (await store.load(parent)).inbox), default=0)
    turn = Turn(expects=expects, rows=[f'"{expects}"'], status="suspended", children=[child], outgoing=outgoing, taken=seen, seen=seen)
    return await store.commit(parent, turn)


def _again(**changes: Any) -> NewChild:
    """The second attempt of the child."""
    second = attrs.evolve(CHILD, run="attempt 2", started='"started again"', restart=frozenset({"failed"}))
    return NewChild(execution=attrs.evolve(second, **changes))


async def _child(store: Store) -> Snapshot:
    found = await store.read("child")
    assert found is not None
    return found


async def _claim_child(store: Store) -> Claim:
    return next(claim for claim in await store.claim("bob", LEASE, "b-1", ["w"], 10) if claim.id == "child")
