"""`redrive purge`: asks with a count before it forgets, and is told not to by --yes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from redrive import DurableService, Flow, workflow
from redrive.cli import main

STORE = ["--store", "sqlite:///shop.db"]


@workflow("purge.plain")
def plain(n: int) -> Flow[int]:
    if n < 0:
        raise ValueError("negative")
    return n
    yield


@pytest.fixture
def filled(shop: Path) -> Path:
    with DurableService("sqlite:///shop.db", [plain]) as service:
        for n in range(3):
            service.execute(plain(n), id=f"done-{n}")
        service.start(plain(-1), id="failed")
        while service.execution("failed").info().status != "failed":
            pass
    return shop


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(text))


@pytest.mark.usefixtures("filled")
def test_it_asks_with_a_count_and_forgets_after_a_yes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "y\n")
    assert main(["purge", "--older-than", "0s", "--reason", "spring", *STORE]) == 0
    out = capsys.readouterr().out
    assert "would purge 4 executions. Forget them for good? [y/N]" in out
    assert out.endswith("purged 4 executions\n")
    assert main(["list", *STORE]) == 0
    assert capsys.readouterr().err == "no executions\n"
    assert main(["audit", "done-1", "--json", *STORE]) == 0
    audit = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (audit["verb"], audit["reason"]) == ("purge", "spring")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("said", ["\n", "n\n", "maybe\n"])
def test_anything_but_yes_forgets_nothing(said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, said)
    assert main(["purge", "done-1", *STORE]) != 0
    assert "nothing was forgotten" in capsys.readouterr().err
    assert main(["show", "done-1", *STORE]) == 0


@pytest.mark.usefixtures("filled")
def test_a_script_says_yes_and_one_that_does_not_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["purge", "done-1", *STORE]) != 0
    assert "say --yes" in capsys.readouterr().err
    assert main(["purge", "done-1", "--yes", "--json", *STORE]) == 0
    assert json.loads(capsys.readouterr().out) == {"executions": 1, "runs": 0, "dry_run": False}


@pytest.mark.usefixtures("filled")
def test_a_filter_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["purge", "--status", "failed", "--older-than", "0s", "--dry-run", *STORE]) == 0
    assert capsys.readouterr().out == "would purge 1 executions\n"
    assert main(["purge", "--status", "failed", "--yes", *STORE]) == 0
    assert capsys.readouterr().out == "purged 1 executions\n"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("words", [[], ["done-1", "--older-than", "1d"], ["--older-than", "long"], ["nobody"]])
def test_what_cannot_be_meant_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> Any:
        try:
            return main(["purge", *words, "--yes", *STORE])
        except SystemExit as exit:
            return exit.code

    assert run() == 2
    assert capsys.readouterr().err
