"""`redrive schedules`: what is scheduled, when it comes, and what can be done about it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from redrive import DurableService, Workflow
from redrive.cli import main

STORE = ["--store", "sqlite:///shop.db"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def scheduled(shop: Path) -> Path:
    with DurableService(f"sqlite:///{shop}/shop.db", worker=False) as service:
        start = datetime.now(UTC) - timedelta(days=1)
        service.schedules.ensure("nightly", Workflow("orders.report")("eu"), cron="30 2 * * *", timezone="Europe/Berlin")
        service.schedules.ensure("hourly\x1b[31m", Workflow("orders.report")("us"), every=3600, start_at=start, overlap="queue")
    return shop


def test_they_are_listed_with_what_comes_next(scheduled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedules", *STORE]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "nightly  orders.report, 30 2 * * * Europe/Berlin\n    next  " in shown
    assert "orders.report, every 1 h\n" in shown
    assert main(["schedules", "--json", *STORE]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["cron"], one["every"], one["overlap"]) for one in found] == [(None, 3600.0, "queue"), ("30 2 * * *", None, "skip")]
    schema = json.loads((ROOT / "docs/schemas/cli.json").read_text())["commands"]["schedules"]["schema"]
    assert all(set(schema["required"]) <= set(one) for one in found)


def test_one_is_paused_triggered_backfilled_and_removed(scheduled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedules", "pause", "nightly", "--reason", "migration", *STORE]) == 0
    assert "paused: migration" in capsys.readouterr().out
    assert main(["schedules", "trigger", "nightly", *STORE]) == 0
    assert capsys.readouterr().out.startswith("nightly!")
    assert main(["schedules", "resume", "nightly", *STORE]) == 0
    assert "to come: " in capsys.readouterr().out
    since = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    assert main(["schedules", "backfill", "hourly\x1b[31m", "--since", since, *STORE]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["schedules", "remove", "nightly", *STORE]) == 0
    capsys.readouterr()
    assert main(["schedules", "show", "nightly", *STORE]) == 2
    assert "there is no schedule 'nightly'" in capsys.readouterr().err


@pytest.mark.usefixtures("scheduled")
@pytest.mark.parametrize(
    "words", [["pause"], ["backfill", "nightly"], ["show", "nighty"], ["backfill", "nightly", "--since", "soon"], ["stop"]]
)
def test_what_cannot_be_is_refused_with_a_word_of_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["schedules", *words, *STORE])
    except SystemExit as error:
        code = int(str(error.code))
    assert code == 2
    assert capsys.readouterr().err.count("\n") >= 2


def test_a_store_without_schedules_says_so(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DurableService(f"sqlite:///{shop}/shop.db", worker=False).__enter__().close()
    assert main(["schedules", *STORE]) == 0
    assert capsys.readouterr().err == "there are no schedules\n"
