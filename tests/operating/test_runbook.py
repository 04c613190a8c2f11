"""The commands of docs/guide/incidents.md, run as they stand there, against the incidents that they are for."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from redrive import DurableService
from redrive.cli import main

GUIDE = Path(__file__).parents[2] / "docs/guide/incidents.md"
APP = """
from __future__ import annotations

import os

from redrive import AsyncDurableService, Flow, Retry, Sleep, step, workflow


def down(name: str) -> None:
    if os.path.exists(f"{name}.down"):
        raise ConnectionError(f"{name} is down")
    with open("calls", "a") as calls:
        print(name, file=calls)


@step
def release(hold: str) -> None:
    down("release")


@step(undo=release)
def reserve(item: str) -> str:
    down("reserve")
    return "hold"


@step
def refund(charge: str) -> None:
    down("refund")


@step(undo=refund)
def charge(amount: int) -> str:
    down("charge")
    return f"ch_{amount}"


@step
def quote(sku: str) -> int:
    down("quote")
    return 90


@step
def ship(what: str) -> str:
    down("ship")
    return "sent"


@step(retry=Retry(attempts=None, delay=3600))
def patient() -> str:
    down("patient")
    return "at last"


@workflow("order")
def order() -> Flow[str]:
    yield from reserve("book")
    price = yield from quote("book")
    return (yield from charge(price))


@workflow("undoing", on_failure="rollback")
def undoing() -> Flow[str]:
    yield from reserve("book")
    paid = yield from charge(7)
    return (yield from ship(paid))


@workflow("waits")
def waits() -> Flow[str]:
    return (yield from patient())


@workflow("buggy")
def buggy() -> Flow[str]:
    held = yield from reserve("book")
    return held if not os.path.exists("bug.down") else hold  # noqa: F821


@workflow("lost")
def lost() -> Flow[None]:
    yield from Sleep(days(1))


def days(n: int) -> float:
    return n * 86400.0


def service() -> AsyncDurableService:
    return AsyncDurableService("sqlite:///shop.db", workflows=[order, undoing, waits, buggy, lost])
"""
INCIDENTS = {
    # id: (workflow, what is down, the status that it waits for, the status in the end)
    "order-17": ("order", "charge", "failed", "completed"),
    "down-1": ("order", "charge", "failed", "completed"),
    "undone-1": ("undoing", "ship", "failed", "completed"),
    "waits-1": ("waits", "patient", "suspended", "completed"),
    "wrong-1": ("order", "quote", "failed", "completed"),
    "wrong-2": ("order", "", "completed", "completed"),
    "stuck-1": ("undoing", "ship refund", "compensation_failed", "failed"),
    "stuck-2": ("undoing", "ship refund", "compensation_failed", "failed"),
    "bug-1": ("buggy", "bug", "failed", "completed"),
    "done-1": ("order", "", "completed", "completed"),
    "held-1": ("lost", "", "suspended", "suspended"),
    "lost-1": ("lost", "", "suspended", "failed"),
}


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```shell\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines() if line]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "shop.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sys.modules.pop("shop", None)
    yield tmp_path
    sys.modules.pop("shop", None)


def until(service: DurableService, id: str, status: str) -> None:
    for _ in range(2000):
        if service.execution(id).info().status == status:
            return
        time.sleep(0.005)
    raise AssertionError(service.execution(id).info())


def test_each_incident_ends_rightly_with_the_commands_of_the_guide(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F1 – F7, by the command line alone."""
    import shop  # type: ignore[import-not-found]

    listed = list(shop.service().workflows.values())
    with DurableService("sqlite:///shop.db", workflows=listed) as service:
        for id, (name, down, status, _) in INCIDENTS.items():
            for one in down.split():
                (app / f"{one}.down").touch()
            service.start(shop.service().workflows[name](), id=id)
            until(service, id, status)
            for one in down.split():
                (app / f"{one}.down").unlink()
    for command in commands():
        confirmed = any(word in command for word in ("--yes", "--dry-run", "audit"))
        code = main(command)
        shown = capsys.readouterr()
        assert code == (0 if confirmed else 1), (command, shown)
        if not confirmed:
            assert "nothing was done: say --yes" in shown.err
    with DurableService("sqlite:///shop.db", workflows=listed) as service:
        for id, (*_, status) in INCIDENTS.items():
            until(service, id, status)
        until(service, "done-1-b", "completed")
        assert service.execution("undone-1").info().number == 2
        assert service.execution("wrong-1").result() == "ch_900"
        assert service.execution("wrong-2").result() == "ch_900"
        failed = service.execution("lost-1").info().failure
        assert failed is not None
        assert failed.message == "given up, see INC-7"
        verbs = "retry retry_now skip_step edit_step fork force_fail pause resume retry_rollback"
        assert {entry.verb for entry in service.operator.audit()} == set(verbs.split())


def test_refusals_are_in_the_words_of_the_command_line(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shop

    with DurableService("sqlite:///shop.db", workflows=list(shop.service().workflows.values())) as service:
        (app / "ship.down").touch()
        service.start(shop.undoing(), id="u-1")
        until(service, "u-1", "failed")
    assert main(["retry", "u-1", "--app", "shop:service", "--yes"]) == 2
    assert "--since 'reserve' performs all from there again" in capsys.readouterr().err
    assert main(["edit-step", "u-1", "reserve", "{", "--app", "shop:service"]) == 2
    assert "not JSON: {" in capsys.readouterr().err
    assert main(["edit-step", "u-1", "reserve", "--app", "shop:service"]) == 2
    assert "give a JSON result, or --error TEXT" in capsys.readouterr().err
    assert main(["retry", "u-1", "--since", "reserve", "--app", "shop:service", "--json", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert '"again": ["reserve", "charge"]' in shown
    assert main(["retry", "u-2", "--app", "shop:service", "--yes"]) == 2
    assert "did you mean u-1?" in capsys.readouterr().err
    assert main(["audit", "--app", "shop:service"]) == 0
    assert capsys.readouterr().err == "no operator has done anything\n"
