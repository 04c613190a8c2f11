"""Finding executions: by attributes, status, waits, family and times, in the commit that made them so, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from redrive.ports.finding import Count, StoredCondition, StoredFilter
from redrive.ports.rewrites import NewAudit, Rewrite
from redrive.ports.store import Creator, NewChild, NextRun, Outgoing, Store, Turn
from redrive.status import LIVE, STATUSES
from redrive.testing.contracts.lab import CANCEL, LEASE, SECOND, Lab, claimed, execution, in_lab, newest, signal
from redrive_interpreter.errors import InvalidDefinition

FAILURE = '{"err":{"type":"shop.CardDeclined","message":"no \\ud800 funds","attempts":1}}'


def has(attribute: str, *texts: str) -> StoredFilter:
    """A filter for executions in which *attribute* has one of *texts*."""
    return StoredFilter(conditions=(StoredCondition(attribute, (texts,)),))


def between(attribute: str, low: str, below: str) -> StoredFilter:
    return StoredFilter(conditions=(StoredCondition(attribute, low=low, below=below),))


async def ids(store: Store, filter: StoredFilter | None = None, **changes: Any) -> list[str]:
    """Ids, newest first, of all pages."""
    asked = filter or StoredFilter(**changes)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.find(asked, after=cursor, limit=2)
        found += [one.id for one in page.executions]
        assert len(page.executions) <= 2
        if (cursor := page.cursor) is None:
            return found


async def some(store: Store, count: int, **changes: Any) -> list[str]:
    """Executions ``e-0``, ``e-1``, …, oldest first; their ids, newest first."""
    for i in range(count):
        await store.start(execution(f"e-{i}", **changes))
    return [f"e-{i}" for i in reversed(range(count))]


class FindContract:
    # ── in the same commit ──────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_an_attribute_is_found_from_the_commit_that_sets_it_on(self, lab: Lab) -> None:
        """A1: read your writes, from any process."""
        store, other = await lab.open(), await lab.open()
        claim = await claimed(store, attributes='{"state":"new"}', searchable=[("state", ("snew",))])
        assert await ids(other, has("state", "snew")) == ["e-1"]
        await store.commit(claim, Turn(expects=1, rows=["2"], attributes='{"state":"paid"}', searchable=[("state", ("spaid",))]))
        assert (await ids(other, has("state", "spaid")), await ids(other, has("state", "snew"))) == (["e-1"], [])
        await store.commit(claim, Turn(expects=2, rows=["3"]))
        assert await ids(other, has("state", "spaid")) == ["e-1"]

    @in_lab
    async def test_a_turn_with_effects_sets_attributes_like_one_without(self, lab: Lab) -> None:
        """A1."""
        store = await lab.open()
        await store.start(execution("target"))
        claim = await _claim(store, "e-1")
        outgoing = [Outgoing(target="target", message=signal())]
        await store.commit(claim, Turn(expects=1, rows=["2"], outgoing=outgoing, attributes='{"n":1}', searchable=[("n", ("n3Pa11",))]))
        assert await ids(store, has("n", "n3Pa11")) == ["e-1"]
        await store.commit(claim, Turn(expects=2, rows=["3"], outgoing=outgoing, attributes='{"n":2}', searchable=[("n", ("n3Pa12",))]))
        assert (await ids(store, has("n", "n3Pa11")), await ids(store, has("n", "n3Pa12"))) == ([], ["e-1"])

    @in_lab
    async def test_a_first_turn_sets_attributes_with_the_start(self, lab: Lab) -> None:
        """A1: the turn's value counts, of names that both have."""
        store = await lab.open()
        await store.claim("ada", LEASE, "b-1", ["w"], 10)
        texts = [("a", ("sstart",)), ("b", ("sstart",))]
        first = Turn(expects=1, rows=["2"], status="suspended", waits="timer", attributes="{}", searchable=[("a", ("sturn",))])
        begun = await store.start(execution(searchable=texts), claim_for="ada", first=first)
        assert begun.committed is not None
        found = [await ids(store, has(name, text)) for name, text in (("a", "sstart"), ("a", "sturn"), ("b", "sstart"))]
        assert found == [[], ["e-1"], ["e-1"]]
        assert await ids(store, waiting_on=("timer",)) == ["e-1"]

    @in_lab
    async def test_a_turn_that_is_refused_leaves_attributes_as_they_are(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store, searchable=[("state", ("snew",))])
        with pytest.raises(Exception, match="rows"):
            await store.commit(claim, Turn(expects=7, rows=["2"], attributes="{}", searchable=[("state", ("spaid",))]))
        assert await ids(store, has("state", "snew")) == ["e-1"]

    @in_lab
    async def test_a_turn_without_attributes_writes_none(self, lab: Lab) -> None:
        """A6."""
        store = await lab.open()
        claim = await claimed(store, searchable=[("a", ("s1",)), ("b", ("s1",))])
        await store.commit(claim, Turn(expects=1, rows=["2"], attributes="{}", searchable=[("a", ())]))
        await store.commit(claim, Turn(expects=2, rows=["3"]))
        assert (await ids(store, has("a", "s1")), await ids(store, has("b", "s1"))) == ([], ["e-1"])

    @in_lab
    async def test_what_it_waits_for_is_found_from_the_commit_that_waits_on(self, lab: Lab) -> None:
        """A1."""
        store = await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=["2"], status="suspended", waits="signal:approved\ntimer"))
        for line, found in (("signal:approved", ["e-1"]), ("timer", ["e-1"]), ("signal:approve", []), ("approved", []), ("step:ship", [])):
            assert await ids(store, waiting_on=(line,)) == found
        assert await ids(store, waiting_on=("step:approved", "signal:approved")) == ["e-1"]
        (snapshot,) = await newest(store)
        assert snapshot.waits == "signal:approved\ntimer"
        await store.send("e-1", signal())
        assert await ids(store, waiting_on=("timer",)) == ["e-1"], "a message ends no wait before its turn"
        await store.commit(claim, Turn(expects=2, rows=["3"], waits="step:ship", taken=1000, seen=1000))
        assert (await ids(store, waiting_on=("timer",)), await ids(store, waiting_on=("step:ship",))) == ([], ["e-1"])
        await store.commit(claim, Turn(expects=3, rows=["4"], status="completed", outcome='{"ok":1}', seen=1000))
        assert await ids(store, waiting_on=("step:ship",)) == []

    @in_lab
    async def test_an_end_is_found_with_its_time_and_error(self, lab: Lab) -> None:
        """A1."""
        store = await lab.open()
        claim = await claimed(store)
        lab.pass_time(SECOND)
        await store.commit(claim, Turn(expects=1, rows=["2"], status="failed", outcome=FAILURE))
        now = await store.now()
        (snapshot,) = await newest(store)
        assert snapshot.error_type == "shop.CardDeclined"
        assert snapshot.ended_at is not None
        assert now - SECOND < snapshot.ended_at <= now
        for error, found in (("shop.CardDeclined", ["e-1"]), ("CardDeclined", ["e-1"]), ("Declined", []), ("dDeclined", []), ("shop", [])):
            assert await ids(store, error_type=error) == found
        assert await ids(store, error_type="CardDeclined", statuses=frozenset({"completed"})) == []
        assert await ids(store, ended_after=snapshot.ended_at) == ["e-1"]
        assert await ids(store, ended_before=snapshot.ended_at) == []
        assert await ids(store, ended_before=snapshot.ended_at + SECOND, ended_after=snapshot.ended_at - SECOND) == ["e-1"]

    @in_lab
    async def test_a_cancel_of_what_never_began_ends_it_like_a_turn(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution(searchable=[("state", ("snew",))]))
        outcome = '{"err":{"type":"redrive.Cancelled"}}'
        unbegun = Turn(expects=1, rows=["2", "3"], status="cancelled", outcome=outcome)
        await store.send("e-1", type(CANCEL)(kind="cancel", data=CANCEL.data, unbegun=unbegun))
        assert await ids(store, error_type="Cancelled", statuses=frozenset({"cancelled"})) == ["e-1"]
        assert await ids(store, has("state", "snew")) == ["e-1"]

    # ── the lives of attributes ─────────────────────────────────────────────────────────────────
    @in_lab
    async def test_attributes_survive_the_next_run(self, lab: Lab) -> None:
        """E9."""
        store = await lab.open()
        claim = await claimed(store, searchable=[("state", ("snew",))])
        then = NextRun(run="run 2", workflow="w", started='"again"')
        await store.commit(claim, Turn(expects=1, rows=["2"], waits="", next_run=then))
        assert await ids(store, has("state", "snew")) == ["e-1"]

    @in_lab
    async def test_a_restart_has_the_attributes_that_it_is_started_with(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store, searchable=[("a", ("s1",)), ("b", ("s1",))])
        await store.commit(claim, Turn(expects=1, rows=["2"], status="failed", outcome=FAILURE))
        await store.start(execution(run="again", searchable=[("b", ("s2",))], restart=frozenset({"failed"})))
        found = [await ids(store, has(name, text)) for name, text in (("a", "s1"), ("b", "s1"), ("b", "s2"))]
        assert found == [[], [], ["e-1"]]
        assert await ids(store, error_type="CardDeclined") == []
        assert await ids(store, ended_after=await store.now() - timedelta(days=1)) == []

    @in_lab
    async def test_a_child_has_the_attributes_that_it_is_started_with(self, lab: Lab) -> None:
        store = await lab.open()
        parent = await claimed(store)
        child = execution("child", creator=Creator(id="e-1", run=parent.run, key="k"), searchable=[("state", ("snew",))])
        await store.commit(parent, Turn(expects=1, rows=["2"], children=[NewChild(execution=child, answer_to="k")]))
        assert await ids(store, has("state", "snew")) == ["child"]

    @in_lab
    async def test_attributes_that_come_without_texts_are_made_searchable_when_somebody_asks(self, lab: Lab) -> None:
        """F1, F7: a rewrite and a copy may say no more than the values."""
        store = await lab.open()
        claim = await claimed(store, attributes='{"state":"new","old":1}', searchable=[("state", ("snew",)), ("old", ("n3Pa11",))])
        await store.commit(claim, Turn(expects=1, rows=["2"], status="failed", outcome=FAILURE))
        audit = NewAudit(verb="retry")
        change = Rewrite(
            number=1, length=2, before="failed", rows=["1"], run=claim.run, status="running", attributes='{"state":"paid"}', audit=audit
        )
        await store.rewrite("e-1", change)
        copy = execution("copy", history=["2"], copy_of="e-1", attributes='{"state":"copied"}')
        await store.start(copy)
        assert (await ids(store, has("state", "snew")), await ids(store, has("old", "n3Pa11"))) == ([], [])
        behind = await store.behind("state", 10)
        assert [(one.id, one.data) for one in behind] == [("e-1", '{"state":"paid"}'), ("copy", '{"state":"copied"}')]
        await store.catch_up([(one, ("spaid",) if one.id == "e-1" else ("scopied",)) for one in behind])
        await store.catch_up([(one, ("stoo late",)) for one in behind])
        assert (await ids(store, has("state", "spaid")), await ids(store, has("state", "scopied"))) == (["e-1"], ["copy"])
        assert list(await store.behind("state", 10)) == []

    # ── one filter each ─────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_values_are_found_by_equality_range_and_membership(self, lab: Lab) -> None:
        store = await lab.open()
        for i, text in enumerate(["sa", "sab", "sb", "n3Pa11", "n3Pa12"]):
            await store.start(execution(f"e-{i}", searchable=[("x", (text,)), ("tags", ("#000000002", "mred", f"m{i}"))]))
        assert await ids(store, has("x", "sab")) == ["e-1"]
        assert await ids(store, has("x", "sab", "n3Pa11", "nothing")) == ["e-3", "e-1"]
        assert await ids(store, between("x", "sa", "sb")) == ["e-1", "e-0"]
        assert await ids(store, between("x", "n", "o")) == ["e-4", "e-3"]
        assert await ids(store, has("tags", "mred")) == ["e-4", "e-3", "e-2", "e-1", "e-0"]
        assert await ids(store, StoredFilter(conditions=(StoredCondition("tags", (("mred",), ("m3",))),))) == ["e-3"]
        assert await ids(store, StoredFilter(conditions=(*between("x", "s", "t").conditions, *has("tags", "m2").conditions))) == ["e-2"]
        assert await ids(store, has("y", "sab")) == []

    @in_lab
    async def test_names_and_texts_are_opaque(self, lab: Lab) -> None:
        store = await lab.open()
        odd = ["'", '"', "%", "_", "\\", "a\nb", "\x1a", "\x1e", "\u202eabc", "שלום", "no\ud800pe", "é" * 127, "attribute:x", "?"]
        for i, name in enumerate(odd):
            await store.start(execution(f"e-{i}", searchable=[(name, ("s" + "é\1\1\x1d\2" * 25,))]))
        for i, name in enumerate(odd):
            assert await ids(store, has(name, "s" + "é\1\1\x1d\2" * 25)) == [f"e-{i}"]
            assert await store.count(by=f"attribute:{name}") == {"s" + "é\1\1\x1d\2" * 25: Count(1)}

    @in_lab
    async def test_executions_are_found_by_workflow_status_and_id(self, lab: Lab) -> None:
        store = await lab.open()
        for id, workflow in (("a-1", "v"), ("b", "v"), ("a-2", "w"), ("a%", "w"), ("a\ud800", "w"), ("a\U0010ffff", "w")):
            await store.start(execution(id, workflow=workflow))
        assert await ids(store, workflow="v") == ["b", "a-1"]
        assert await ids(store, id_prefix="a-") == ["a-2", "a-1"]
        assert await ids(store, id_prefix="a\U0010ffff") == ["a\U0010ffff"]
        assert await ids(store, id_prefix="a%") == ["a%"]
        assert set(await ids(store, id_prefix="a")) >= {"a-1", "a-2", "a%", "a\U0010ffff"}
        assert await ids(store, id_prefix="a-", workflow="v") == ["a-1"]
        claim = next(claim for claim in await store.claim("ada", LEASE, "b-1", ["v"], 10) if claim.id == "a-1")
        await store.commit(claim, Turn(expects=1, rows=["2"], status="completed", outcome='{"ok":1}'))
        assert await ids(store, statuses=frozenset({"completed"})) == ["a-1"]
        assert await ids(store, statuses=frozenset({"pending"}), workflow="v") == ["b"]
        assert await ids(store, statuses=frozenset({"pending", "completed"}), workflow="v") == ["b", "a-1"]
        assert await ids(store, statuses=frozenset({"running", "suspended"})) == []
        assert await ids(store, statuses=frozenset()) == []
        assert await ids(store, statuses=frozenset(STATUSES)) == ["a\U0010ffff", "a\ud800", "a%", "a-2", "b", "a-1"]

    @in_lab
    async def test_a_family_is_found_by_its_parent_and_by_its_root(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution("stranger"))
        for id, parent in (("top", None), ("left", "top"), ("right", "top"), ("leaf", "left"), ("lost", "gone")):
            creator = None if parent is None else Creator(id=parent, run="r", key=id)
            if parent in (None, "gone"):
                await store.start(execution(id, creator=creator))
                continue
            claim = next(one for one in await store.claim("ada", LEASE, "b-1", ["w"], 10, holds=[]) if one.id == parent)
            child = NewChild(execution=execution(id, creator=creator), answer_to=None)
            await store.commit(claim, Turn(expects=claim.length, rows=["0"], status="running", wake_at=await store.now(), children=[child]))
            await store.release([claim])
        assert await ids(store, parent="top") == ["right", "left"]
        assert await ids(store, parent="left") == ["leaf"]
        assert await ids(store, root="top") == ["leaf", "right", "left", "top"]
        assert await ids(store, root="left") == ["left"], "it is no root; itself is all that is found"
        assert await ids(store, root="gone") == ["lost"]
        assert await ids(store, root="top", parent="left") == ["leaf"]

    @in_lab
    async def test_a_window_has_its_first_moment_and_not_its_last(self, lab: Lab) -> None:
        store = await lab.open()
        times: list[datetime] = []
        for i in range(3):
            begun = await store.start(execution(f"e-{i}"))
            times.append(begun.snapshot.created_at)
            lab.pass_time(SECOND)
        assert await ids(store, created_after=times[1]) == ["e-2", "e-1"]
        assert await ids(store, created_before=times[1]) == ["e-0"]
        assert await ids(store, created_after=times[0], created_before=times[2]) == ["e-1", "e-0"]

    @in_lab
    async def test_ends_come_by_their_own_time(self, lab: Lab) -> None:
        """A4: of a filter about ends, what ended last is the newest."""
        store = await lab.open()
        began = await store.now()
        await some(store, 4)
        claims = {claim.id: claim for claim in await store.claim("ada", LEASE, "b-1", ["w"], 10)}
        for id in ("e-2", "e-0", "e-3"):
            lab.pass_time(SECOND)
            await store.commit(claims[id], Turn(expects=1, rows=["2"], status="completed", outcome='{"ok":1}'))
        assert await ids(store, ended_after=began) == ["e-3", "e-0", "e-2"]
        assert await ids(store, ended_after=began, statuses=frozenset({"completed"})) == ["e-3", "e-0", "e-2"]

    @in_lab
    async def test_nothing_is_in_a_queue_yet(self, lab: Lab) -> None:
        store = await lab.open()
        await some(store, 1)
        absent: list[dict[str, Any]] = [{"queue": "gpu"}, {"partition": "eu"}, {"build": "b-1"}]
        for changes in absent:
            assert await ids(store, **changes) == []
            assert await store.count(StoredFilter(**changes)) == {"": Count(0)}

    # ── pages ───────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_pages_give_each_execution_once_while_others_come_and_go(self, lab: Lab) -> None:
        """A4."""
        store = await lab.open()
        for i in range(8):
            await store.start(execution(f"e-{i}", searchable=[("state", ("snew",))]))
        filter, found = has("state", "snew"), list[str]()
        cursor: str | None = None
        claims = {claim.id: claim for claim in await store.claim("ada", LEASE, "b-1", ["w"], 10)}
        for step in range(4):
            page = await store.find(filter, after=cursor, limit=2)
            found += [one.id for one in page.executions]
            if (cursor := page.cursor) is None:
                break
            await store.start(execution(f"new-{step}", searchable=[("state", ("snew",))]))
            gone = f"e-{step}"
            await store.commit(claims[gone], Turn(expects=1, rows=["2"], attributes="{}", searchable=[("state", ("sold",))]))
        assert found == ["e-7", "e-6", "e-5", "e-4", "e-3", "e-2"]

    @in_lab
    async def test_the_last_page_has_no_cursor(self, lab: Lab) -> None:
        """A4."""
        store = await lab.open()
        all_of_them = await some(store, 4)
        page = await store.find(limit=4)
        assert ([one.id for one in page.executions], page.cursor) == (all_of_them, None)
        page = await store.find(limit=3)
        assert page.cursor is not None
        page = await store.find(after=page.cursor, limit=3)
        assert ([one.id for one in page.executions], page.cursor) == (["e-0"], None)
        assert (await store.find(StoredFilter(workflow="none"))).executions == []

    @in_lab
    async def test_a_cursor_of_another_filter_is_refused(self, lab: Lab) -> None:
        store = await lab.open()
        await some(store, 3)
        cursor = (await store.find(limit=1)).cursor
        assert cursor is not None
        bad: Sequence[tuple[StoredFilter, str]] = [
            (StoredFilter(ended_after=await store.now()), cursor),
            *((StoredFilter(), text) for text in ("", "n", "x1", "n1.2", "n-1", "n١", "c1", "1")),
        ]
        for filter, text in bad:
            with pytest.raises(InvalidDefinition, match="no cursor"):
                await store.find(filter, after=text)

    # ── counts ──────────────────────────────────────────────────────────────────────────────────
    @in_lab
    async def test_counts_stop_at_what_is_asked_for(self, lab: Lab) -> None:
        """A5."""
        store = await lab.open()
        await some(store, 5)
        assert await store.count() == {"": Count(5)}
        assert await store.count(most=5) == {"": Count(5)}
        assert await store.count(most=4) == {"": Count(4, more=True)}
        assert await store.count(StoredFilter(workflow="none")) == {"": Count(0)}

    @in_lab
    async def test_counts_come_by_status_workflow_wait_error_and_attribute(self, lab: Lab) -> None:
        """A5."""
        store = await lab.open()
        for i in range(6):
            workflow, state = ("v", "sold") if i == 5 else ("w", "snew")
            await store.start(execution(f"e-{i}", workflow=workflow, searchable=[("state", (state,))]))
        claims = {claim.id: claim for claim in await store.claim("ada", LEASE, "b-1", ["w", "v"], 10)}
        for id, waits in (("e-0", "signal:approved\ntimer"), ("e-1", "signal:approved"), ("e-2", "timer")):
            await store.commit(claims[id], Turn(expects=1, rows=["2"], status="suspended", waits=waits))
        await store.commit(claims["e-3"], Turn(expects=1, rows=["2"], status="failed", outcome=FAILURE))
        await store.commit(claims["e-5"], Turn(expects=1, rows=["2"], status="completed", outcome='{"ok":1}'))
        assert await store.count(by="status") == {
            "pending": Count(1), "suspended": Count(3), "failed": Count(1), "completed": Count(1),
        }  # fmt: skip
        some = await store.count(by="status", most=2)
        assert some["suspended"].more
        assert some["failed"] == some["completed"] == Count(1)
        assert await store.count(StoredFilter(workflow="v"), by="status") == {"completed": Count(1)}
        assert await store.count(by="workflow") == {"v": Count(1), "w": Count(5)}
        assert await store.count(StoredFilter(statuses=frozenset({"failed"})), by="workflow") == {"w": Count(1)}
        assert await store.count(StoredFilter(workflow="w"), by="workflow") == {"w": Count(5)}
        assert await store.count(by="waiting_on") == {"signal:approved": Count(2), "timer": Count(1)}
        assert await store.count(by="error_type") == {"shop.CardDeclined": Count(1)}
        assert await store.count(by="attribute:state") == {"snew": Count(5), "sold": Count(1)}
        assert await store.count(by="attribute:state", most=4) == {"snew": Count(4, more=True), "sold": Count(1)}
        assert await store.count(StoredFilter(statuses=frozenset(LIVE)), by="attribute:state") == {"snew": Count(4)}
        assert await store.count(by="queue") == {}
        assert await store.count(has("state", "snew", "sold")) == {"": Count(6)}
        assert await store.count(between("state", "sn", "so")) == {"": Count(5)}

    @in_lab
    async def test_nothing_is_behind_in_a_new_store(self, lab: Lab) -> None:
        store = await lab.open()
        await some(store, 2, searchable=[("state", ("snew",))])
        assert list(await store.behind(None, 10)) == list(await store.behind("state", 10)) == []


async def _claim(store: Store, id: str) -> Any:
    await store.start(execution(id))
    return next(claim for claim in await store.claim("ada", LEASE, "b-1", ["w"], 10) if claim.id == id)
