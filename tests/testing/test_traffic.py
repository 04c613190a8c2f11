"""A diagram with what production did: counted, and nothing of it left out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from examples.saga import Trip, book_trip
from redrive import (
    AsyncDurableService,
    ChildFailed,
    ContinueAs,
    DurableService,
    Flow,
    Invocation,
    Map,
    Race,
    Retry,
    Rollback,
    RunChild,
    SendSignal,
    Signal,
    Sleep,
    StartChild,
    Switch,
    WaitChild,
    WaitSignal,
    Workflow,
    step,
    workflow,
)
from redrive.cli.program import main
from redrive.codec import JsonCodec
from redrive.testing import explore
from redrive.testing.charts import charted
from redrive.testing.diagrams import chart
from redrive.testing.flowcharts import flowchart
from redrive.testing.traffic import Follower, Traffic, traffic
from redrive_interpreter import Row, dump_row
from tests.runtime.support import standing


class Declined(Exception):
    pass


approved = Signal("traffic.approved", str)
heard = Signal("traffic.heard")


@step
def release(hold: str) -> None: ...


@step(undo=release)
def reserve(order: str) -> str:
    return order


@step(raises=[Declined], retry=Retry(attempts=2, delay=0, give_up_on=Declined))
def charge(order: str) -> bool:
    if "poor" in order:
        raise Declined("no funds")
    if "broken" in order:
        raise ConnectionError("reset")
    return "vip" in order


@step
def gift(order: str) -> None: ...


@workflow("traffic.checkout", on_failure="rollback", on_cancel="rollback", signals=[approved])
def checkout(order: str) -> Flow[str]:
    yield from reserve(order)
    try:
        vip = yield from charge(order)
    except Declined:
        yield from Rollback("declined")
        return "declined"
    yield from Switch("kind", vip).when(True, gift(order)).otherwise(WaitSignal(approved))
    return "done"


@workflow("traffic.leaf")
def leaf(order: str) -> Flow[str]:
    return (yield from reserve(order))


@workflow("traffic.parent")
def parent(order: str) -> Flow[str]:
    child = yield from StartChild(leaf(order))
    yield from SendSignal(child, heard)
    yield from Sleep(0)
    return (yield from WaitChild(child))


@step(raises=[Declined])
def refuse(order: str) -> str:
    raise Declined(order)


@workflow("traffic.refused", raises=[Declined])
def refused(order: str) -> Flow[str]:
    return (yield from refuse(order))


@workflow("traffic.tries")
def tries(order: str) -> Flow[str]:
    try:
        return (yield from RunChild(refused(order), retry=Retry(attempts=2, delay=0)))
    except ChildFailed:
        return "gave up"


@workflow("traffic.rounds")
def rounds(left: int) -> Flow[int]:
    yield from gift("again")
    if left:
        return (yield from ContinueAs(rounds(left - 1)))
    yield from Sleep(until=datetime(2026, 1, 1, tzinfo=UTC))
    return left


@workflow("traffic.wide", on_failure="rollback")
def wide(order: str) -> Flow[None]:
    yield from Map(reserve, ["a", "b"])
    yield from StartChild(leaf(order), on_parent_close="wait")
    won = yield from Race(late=Sleep(60), paid=WaitSignal(approved.of(order)))
    yield from Switch("route", won.name).when("paid", gift(order)).otherwise(Rollback("late"))


@workflow("traffic.pause")
def pause(seconds: int) -> Flow[None]:
    yield from Sleep(seconds / 1000)


ALL = [checkout, leaf, parent, refused, tries, rounds, pause]


class Production:
    """A database in which a service has worked."""

    def __init__(self, path: Path) -> None:
        self.path = path / "traffic.db"
        self.url = f"sqlite:///{self.path}"

    def did(self, *invocations: Invocation[Any], then: str = "") -> None:
        """Run *invocations* to their ends; *then* "wait": until they wait, or "cancel": until then."""

        async def go() -> None:
            async with AsyncDurableService(self.url, workflows=ALL) as service:
                for invocation in invocations:
                    execution = await service.start(invocation)
                    if then:
                        await standing(execution, "suspended")
                    if then == "cancel":
                        await execution.cancel("no more")
                    if then != "wait":
                        await standing(execution, "completed", "failed", "cancelled")

        asyncio.run(go())

    def drawn(self, of: Workflow[..., Any] | Invocation[Any], limit: int | None = None, **options: Any) -> str:
        workflow = of.workflow if isinstance(of, Invocation) else of
        return flowchart(chart(of, asyncio.run(traffic(workflow, self.url, JsonCodec(), limit=limit)), **options))


@pytest.fixture
def production(tmp_path: Path) -> Production:
    return Production(tmp_path)


def test_boxes_and_arrows_say_how_many_came_by(production: Production) -> None:
    production.did(*[checkout(f"vip-{n}") for n in range(3)], checkout("poor"))
    drawn = production.drawn(checkout)
    assert '  begin(("traffic.checkout<br/>4 executions")) ==>|4| s0\n' in drawn
    assert '["reserve<br/>4 came"]' in drawn
    assert "==>|charge = True, kind: True · 3|" in drawn
    assert "-->|charge fails: Declined · 1|" in drawn
    assert '["charge<br/>4 came · 1 failed here"]' in drawn
    assert '["undo reserve: release<br/>1 came"]:::undo' in drawn
    assert '(["completed<br/>4 ended so"]):::good' in drawn


def test_what_production_never_did_is_dashed_and_says_so(production: Production) -> None:
    production.did(checkout("vip"))
    drawn = production.drawn(checkout)
    assert "-.->|charge = False, kind: otherwise · never|" in drawn
    assert '{{"wait for traffic.approved<br/>never"}}' in drawn
    assert '["undo reserve: release<br/>never"]:::undo' in drawn


def test_where_executions_stand_now_is_said(production: Production) -> None:
    production.did(checkout("o-1"), checkout("o-2"), then="wait")
    drawn = production.drawn(checkout)
    assert '{{"wait for traffic.approved<br/>2 came · 2 are here now"}}' in drawn
    assert '(["completed<br/>never"]):::good' in drawn


def test_what_exploration_did_not_find_is_drawn_and_says_so(production: Production) -> None:
    production.did(checkout("broken"))
    drawn = production.drawn(checkout)
    assert "charge fails: ConnectionError · 1 · not explored" in drawn
    assert "stays after charge fails: ConnectionError · 1 · not explored" in drawn
    assert '(["failed: StepFailed<br/>1 ended so · not explored"]):::bad' in drawn
    assert "stroke:#b4500b" in drawn


def test_cancels_that_were_are_drawn_those_that_might_have_been_are_not(production: Production) -> None:
    production.did(checkout("o-1"), then="cancel")
    drawn = production.drawn(checkout)
    assert drawn.count("cancel · ") == 1
    assert "-->|cancel · 1|" in drawn.replace("==>", "-->")
    assert '(["cancelled: Cancelled<br/>1 ended so"]):::bad' in drawn
    assert "not explored" not in drawn
    assert "cancel · never" in production.drawn(checkout, cancels=1)


def test_children_and_messages_are_one_moment_as_in_exploration(production: Production) -> None:
    production.did(parent("o-1"))
    drawn = production.drawn(parent)
    assert "not explored" not in drawn
    assert '(["completed<br/>1 ended so"]):::good' in drawn


def test_a_child_that_is_started_again_has_failed_once_it_is_not(production: Production) -> None:
    production.did(tries("o-1"))
    drawn = production.drawn(tries)
    assert '{{"child traffic.refused<br/>1 came · 1 failed here<br/>stays after child traffic.refused fails: Declined · 1"}}' in drawn
    assert drawn.count("child traffic.refused fails: Declined · 1") == 2
    assert "not explored" not in drawn


def test_runs_that_go_on_are_one_execution(production: Production) -> None:
    production.did(rounds(2), rounds(0))
    drawn = production.drawn(rounds(2))
    assert "<br/>2 executions" in drawn
    assert '["gift<br/>2 came<br/>stays after gift done · 1"]' in drawn
    assert "gift done · 2| " in drawn
    assert "not explored" not in drawn


def test_times_that_differ_are_one_box(production: Production) -> None:
    production.did(*map(pause, range(1, 4)))
    drawn = production.drawn(pause(60))
    assert '{{"sleep<br/>3 came"}}' in drawn
    assert "not explored" not in drawn


def test_the_newest_so_many_are_counted(production: Production) -> None:
    production.did(checkout("poor"), checkout("vip-1"), checkout("vip-2"))
    drawn = production.drawn(checkout, limit=2)
    assert "<br/>the newest 2 executions" in drawn
    assert "charge fails: Declined · never" in drawn


def test_histories_that_do_not_fit_the_code_are_named_and_not_counted(production: Production) -> None:
    @workflow("traffic.checkout")
    def other(order: str) -> Flow[None]:
        yield from charge(order)

    production.did(checkout("vip-1"), checkout("vip-2"))
    drawn = production.drawn(other)
    assert "<br/>0 of 2 executions" in drawn
    assert "not counted, for today's code does not fit:<br/>2 executions (" in drawn
    assert "removed" in drawn


def test_nothing_is_written(production: Production) -> None:
    production.did(checkout("vip"))
    before = production.path.read_bytes()
    production.drawn(checkout)
    assert production.path.read_bytes() == before


@pytest.mark.parametrize(
    "invocation",
    [checkout("o-1"), leaf("o-1"), parent("o-1"), tries("o-1"), rounds(2), pause(5), wide("o-1"), book_trip(Trip("Ada", "Oslo"))],
    ids=lambda invocation: invocation.workflow.name,
)
def test_whatever_exploration_finds_is_found_again_in_its_histories(invocation: Invocation[Any]) -> None:
    histories: list[Sequence[Sequence[Row]]] = []
    explored = explore(invocation, [lambda view: histories.append(view.runs)], undeclared=True)  # type: ignore[func-returns-value]
    met = Traffic()
    for runs in histories:
        follower = Follower(invocation.workflow, JsonCodec())
        assert [follower.follow([dump_row(row) for row in rows]) for rows in runs] == [None] * len(runs)
        met.trails[follower.trail] += 1
    drawn = charted(explored, "", met)
    assert [arrow for arrow, count in drawn.arrows.items() if not count.explored] == []
    assert [box for box, count in drawn.boxes.items() if not count.explored] == []
    assert [arrow for arrow, count in drawn.arrows.items() if not count.passed] == []


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        (["--store", "sqlite:///nothing.db"], "there is no database", "a worker makes it"),
        (["--store", "traffic.db"], "not the URL of a store", "did you mean sqlite:///traffic.db?"),
        (["--store", "memory://"], "lives inside one process", "name the store that the workers use"),
        (["--store", "nosuch://x"], "names no store", ""),
        (["--store", "sqlite:///empty.db"], "there is no execution in sqlite:///empty.db yet", ""),
        (["--store", "sqlite:///traffic.db"], "no execution in sqlite:///traffic.db is, or was, one of 'traffic.pause'", "traffic.parent"),
        (["--store", "sqlite:///traffic.db", "--limit", "0"], "--limit 0 leaves nothing to count", ""),
    ],
)
def test_what_cannot_be_counted_is_said(
    arguments: list[str],
    problem: str,
    hint: str,
    production: Production,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    production.did(parent("o-1"))
    monkeypatch.chdir(production.path.parent)
    asyncio.run(opened("sqlite:///empty.db"))
    assert main(["diagram", "tests.testing.test_traffic:pause", *arguments]) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert hint in said


async def opened(url: str) -> None:
    async with AsyncDurableService(url):
        pass


def test_the_command_line_counts_too_and_tells_programs(
    production: Production, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    production.did(checkout("vip"))
    monkeypatch.chdir(production.path.parent)
    assert main(["diagram", "tests.testing.test_traffic:checkout", "--store", production.url]) == 0
    assert capsys.readouterr().out == production.drawn(checkout)

    assert main(["diagram", "tests.testing.test_traffic:checkout", "--store", production.url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["workflow"], told["executions"], told["more"], told["misfits"]) == ("traffic.checkout", 1, False, [])
    assert {"lines": ["gift"], "look": "step", "passed": 1, "here": 0, "failed": 0, "explored": True} not in told["boxes"]
    assert {"lines": ["kind/True/gift"], "look": "step", "passed": 1, "here": 0, "failed": 0, "explored": True} in told["boxes"]
    assert {"from": 0, "label": "", "to": 1, "passed": 1, "explored": True} in told["arrows"]


def test_the_service_knows_the_store_and_the_name(
    production: Production, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    production.did(checkout("vip"))
    monkeypatch.chdir(production.path.parent)
    assert main(["diagram", "traffic.checkout", "--app", "tests.testing.test_traffic:service"]) == 0
    assert capsys.readouterr().out == production.drawn(checkout)


def service() -> DurableService:
    return DurableService("sqlite:///traffic.db", workflows=ALL)
