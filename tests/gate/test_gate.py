"""The deploy gate: what is running is tried on the code at hand, and nothing is touched."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from redrive.cli import main
from redrive.cli.gating import Line
from redrive.codec import JsonCodec, to_json
from redrive.gate import Report, sweep, text
from redrive.ports.store import NewExecution, UnusableStore
from redrive.stores.live_executions import reader_of
from redrive.stores.memory import MemoryStore
from redrive.testing import play
from redrive_interpreter import Started, dump_row
from tests.gate.conftest import Shop, put

CHARGE = "    charged = yield from charge(order, 900)\n"


def swept(shop: Shop, **options: Any) -> Report:
    service = shop.code.service.aio
    return asyncio.run(sweep(service.workflows, service.store, service.codec, **options))


def only_problem(report: Report) -> Any:
    (group,) = report.workflows["orders.process"].groups.values()
    return group.problem


def test_unchanged_code_is_safe(shop: Shop) -> None:
    shop.orders(3)
    report = swept(shop)
    assert report.safe
    assert report.as_json()["workflows"] == {"orders.process": {"safe": 3, "patch": 0, "breaking": 0, "problems": []}}


def test_a_change_after_what_is_recorded_is_safe(shop: Shop) -> None:
    shop.orders()
    shop.change(('return f"{hold}', 'yield from Sleep(5)\n    return f"{hold}'))
    assert swept(shop).safe


@pytest.mark.parametrize(
    ("cause", "old", "new", "recorded", "now", "suggestion"),
    [
        ("renamed", "@step\ndef charge", '@step("bill")\ndef charge', "step charge", "step bill", '@step("charge")'),
        ("removed", CHARGE, "    charged = ''\n", "step charge", "wait signal", 'if not (yield from Patch("drop-charge")):'),
        ("inserted", CHARGE, f"    yield from Sleep(1)\n{CHARGE}", "step charge", "sleep", 'if (yield from Patch("add-sleep")):'),
        ("inserted", CHARGE, f"    yield from release('x')\n{CHARGE}", "step charge", "step release", 'Patch("add-release")'),
        ("arguments changed", "order, 900)", "order, 901)", 'charge amount=900', 'charge amount=901', 'Patch("change-charge")'),
        ("undo changed", "@step(undo=release)", "@step", "step reserve undo=release", "step reserve undo=none", "keep undo=release"),
        ("returned early", CHARGE, "    return 'x'\n    charged = ''\n", "step charge", "—", 'Patch("end-before-charge")'),
    ],
)  # fmt: skip
def test_a_change_under_what_is_recorded_needs_a_patch(
    shop: Shop, cause: str, old: str, new: str, recorded: str, now: str, suggestion: str
) -> None:
    shop.orders(2)
    shop.change((old, new))
    report = swept(shop)
    problem = only_problem(report)
    assert (problem.standing, problem.cause) == ("patch", cause)
    assert recorded in problem.recorded[-1]
    assert now in problem.now[-1]
    assert problem.recorded[:-1] == problem.now[:-1]
    assert suggestion in problem.suggestion
    assert report.workflows["orders.process"].count("patch") == 2
    assert not report.safe


def test_the_suggested_patch_makes_it_safe(shop: Shop) -> None:
    shop.orders()
    shop.change((CHARGE, f"    yield from Sleep(1)\n{CHARGE}"))
    assert 'if (yield from Patch("add-sleep")):' in only_problem(swept(shop)).suggestion
    shop.change(("    yield from Sleep(1)\n", '    if (yield from Patch("add-sleep")):\n        yield from Sleep(1)\n'))
    assert swept(shop).safe


def test_an_unknown_workflow_breaks(shop: Shop) -> None:
    shop.orders()
    shop.change(('@workflow("orders.process")', '@workflow("orders.processing")'))
    problem = only_problem(swept(shop))
    assert (problem.standing, problem.cause) == ("breaking", "unknown workflow")
    assert "orders.processing" in problem.detail


def test_a_value_that_todays_types_cannot_read_breaks(shop: Shop) -> None:
    shop.orders(2)
    shop.change(("    total: int\n", "    total: int\n    currency: str\n"))
    report = swept(shop)
    problem = only_problem(report)
    assert (problem.standing, problem.cause) == ("breaking", "unreadable value")
    assert "currency" in problem.detail
    assert next(iter(report.workflows["orders.process"].groups.values())).ids == ["order-2", "order-1"]


def test_code_that_would_end_as_a_bug_breaks(shop: Shop) -> None:
    shop.orders(waiting=False)
    shop.change(("    hold = yield", "    hold = nonsense\n    hold = yield"))
    problem = only_problem(swept(shop))
    assert (problem.standing, problem.cause) == ("breaking", "ends as a bug")  # not "returned early", which a patch would help


def test_a_start_that_nobody_drove_yet_is_tried_as_well(shop: Shop) -> None:
    code = shop.code
    rows = play(code.process(code.Order("o-9", 1))).history[:1]
    asyncio.run(put(shop.store(), [("fresh", rows)]))
    assert swept(shop).safe
    shop.change(("    hold = yield", "    hold = nonsense\n    hold = yield"))
    problem = only_problem(swept(shop))
    assert (problem.standing, problem.cause) == ("breaking", "ends as a bug")
    assert "nonsense" in problem.detail


def test_a_row_of_a_later_release_breaks(shop: Shop) -> None:
    shop.orders()
    db = sqlite3.connect("shop.db")
    db.execute("""UPDATE history SET rows = replace(rows, '"row":"asked"', '"row":"asked/9"')""")
    db.commit()
    db.close()
    problem = only_problem(swept(shop))
    assert (problem.standing, problem.cause) == ("breaking", "unreadable history")
    assert "asked/9" in problem.detail


def test_the_newest_so_many_are_tried(shop: Shop) -> None:
    shop.orders(5)
    assert swept(shop, limit=2).executions == 2


def test_what_has_ended_is_left_alone(shop: Shop) -> None:
    code = shop.code
    run = play(code.remind(code.Order("o", 1)), answers={})
    run.advance(minutes=1)
    asyncio.run(put(shop.store(), [("done", run.history)]))
    db = sqlite3.connect("shop.db")
    db.execute("UPDATE executions SET status = 'completed'")
    db.commit()
    db.close()
    report = swept(shop)
    assert report.executions == 0
    assert text(report) == "no live executions: any code is safe"


def test_nothing_is_written_and_no_file_is_left_behind(shop: Shop) -> None:
    shop.orders(2)
    files = {path.name: path.read_bytes() for path in shop.path.iterdir()}
    assert swept(shop).executions == 2
    assert {path.name: path.read_bytes() for path in shop.path.iterdir()} == files


def test_a_worker_that_begins_meanwhile_is_seen(shop: Shop) -> None:
    shop.orders()
    code = shop.code
    run = play(code.process(code.Order("o-9", 900)))

    async def beside() -> list[str]:
        reader, store = reader_of("sqlite:///shop.db"), shop.store()
        await reader.open()
        first = await reader.living()
        await store.open()
        await store.claim("me", timedelta(minutes=1), "", (), 0)
        (started, *_) = run.history
        assert isinstance(started, Started)
        await store.start(
            NewExecution(id="late", workflow="orders.process", run=str(started.run), input="{}", started=to_json(dump_row(started)))
        )
        try:
            second = await reader.living()
            return [execution.id for execution in (*first, *second)] + [await reader.rows(second[0])]
        finally:
            await reader.close()
            await store.close()

    *ids, rows = asyncio.run(beside())
    assert ids == ["order-1", "late", "order-1"]
    assert '"row":"started"' in rows


def test_a_store_that_workers_use_is_read_meanwhile(shop: Shop) -> None:
    shop.orders(2)

    async def beside() -> Report:
        store = shop.store()
        await store.open()
        try:
            service = shop.code.service.aio
            return await sweep(service.workflows, "sqlite:///shop.db", service.codec)
        finally:
            await store.close()

    assert asyncio.run(beside()).executions == 2


def test_a_missing_or_foreign_or_older_database_is_refused(tmp_path: Path) -> None:
    async def opened(path: Path) -> None:
        await reader_of(f"sqlite:///{path}").open()

    with pytest.raises(UnusableStore, match="no such database"):
        asyncio.run(opened(tmp_path / "nothing.db"))
    assert not (tmp_path / "nothing.db").exists()
    db = sqlite3.connect(tmp_path / "foreign.db")
    db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(UnusableStore, match="another program"):
        asyncio.run(opened(tmp_path / "foreign.db"))
    (tmp_path / "empty.db").touch()
    with pytest.raises(UnusableStore, match="older"):
        asyncio.run(opened(tmp_path / "empty.db"))
    assert (tmp_path / "empty.db").read_bytes() == b""


def test_any_store_can_be_read(shop: Shop) -> None:
    code = shop.code
    run = play(code.process(code.Order("o", 1)))
    store = MemoryStore()

    async def both() -> Report:
        await put(store, [("one", run.history)])
        return await sweep(code.service.aio.workflows, store, JsonCodec())

    assert asyncio.run(both()).workflows["orders.process"].safe == 1


def test_the_command_says_it_for_people_and_for_ci(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.orders(7)
    assert main(["replay", "--app", "shop:service"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("orders.process       7 safe       0 needs Patch       0 breaking\n")
    assert "safe to deploy" in out

    shop.change(("@step\ndef charge", '@step("bill")\ndef charge'))
    assert main(["replay", "--app", "shop:service", "--store", "sqlite:///shop.db"]) == 1
    out = capsys.readouterr().out
    assert "0 safe       7 needs Patch       0 breaking" in out
    assert "ids: order-7, order-6, order-5, order-4, order-3 and 2 more" in out
    assert "> step charge" in out
    assert "│ step bill" in out
    assert f"{os.sep}shop.py:" in out
    assert "not safe to deploy" in out

    assert main(["replay", "--app", "shop:service", "--json", "--limit", "1"]) == 1
    found = json.loads(capsys.readouterr().out)
    (problem,) = found["workflows"]["orders.process"]["problems"]
    assert problem["ids"] == ["order-7"]
    assert problem["cause"] == "renamed"


def test_the_command_refuses_what_cannot_be(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay"]) == 2
    assert main(["replay", "--app", "shop:service"]) == 2  # there is no database yet
    assert "no database" in capsys.readouterr().err
    assert not Path("shop.db").exists()
    assert main(["replay", "--app", "shop:service", "--limit", "0"]) == 2


def test_stored_text_is_shown_and_not_acted_upon(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    code = shop.code
    (started, *rest) = play(code.process(code.Order("o", 1))).history
    assert isinstance(started, Started)
    asyncio.run(put(shop.store(), [("evil\x1b[2J", [started, *rest])]))
    shop.change(('@workflow("orders.process")', '@workflow("other")'))
    assert main(["replay", "--app", "shop:service"]) == 1
    assert "\x1b" not in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redrive.cli.gating._EVERY", 0.0)
    report = Report(executions=3, rows=300, seconds=0.5)
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        line = Line(stream)
        line(report, 12)
        line.clear()
    assert pipe.getvalue() == ""
    assert "[######                  ] 3 of 12 executions, 600 rows/s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")


def test_an_error_of_the_changed_code_comes_first_with_its_place(shop: Shop) -> None:
    shop.orders(1)
    shop.change((CHARGE, f"    raise ValueError('no rate')\n{CHARGE}"))
    problem = only_problem(swept(shop))
    assert problem.detail.startswith("ValueError: no rate")
    assert "raise ValueError('no rate')" in problem.place
