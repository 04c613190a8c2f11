"""`redrive queues`: the list, a page, limits and pauses; --json keeps to its schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest

from redrive.cli import main

SCHEMAS = json.loads((Path(__file__).parents[2] / "docs/schemas/cli.json").read_text())
APP = """
from __future__ import annotations

from redrive import DurableService, Flow, Queue, Rate, workflow

crm = Queue("crm", concurrency=1, partition_rate=Rate(5, per=60))


@workflow("sync", queue=crm, partition=lambda customer: customer)
def sync(customer: str) -> Flow[str]:
    return customer
    yield


service = DurableService("sqlite:///crm.db", workflows=[sync])
"""


@pytest.fixture(name="crm")
def _crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An app; its queue is declared and an execution has been through it."""
    (tmp_path / "crm_app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("crm_app", None)
    import crm_app  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

    with crm_app.service as service:
        assert service.start(crm_app.sync("acme")).result(timeout=20) == "acme"
    capsys.readouterr()


def asked(*words: str) -> int:
    """The exit code of a command, which is a process of its own."""
    sys.modules.pop("crm_app", None)
    return main([*words, "--app", "crm_app:service"])


@pytest.mark.usefixtures("crm")
def test_the_json_of_queues_is_what_its_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Rates are objects: limit, seconds, spread."""
    validator = jsonschema.Draft202012Validator({**SCHEMAS["commands"]["queues"]["schema"], "$defs": SCHEMAS["$defs"]})
    for words in (["queues"], ["queues", "show", "crm"]):
        assert asked(*words, "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        validator.validate(shown)
        assert shown["concurrency"] == 1
        assert shown["partition_rate"] == {"limit": 5, "per": 60.0, "spread": False}


@pytest.mark.usefixtures("crm")
def test_limits_and_pauses_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """Q12: they hold until they are reset and resumed."""
    assert asked("queues", "limit", "crm", "--concurrency", "7") == 0
    assert asked("queues", "pause", "crm", "the CRM is down") == 0
    assert asked("queues", "show", "crm") == 0
    page = capsys.readouterr().out
    assert "7 at once  (by hand)" in page
    assert "the CRM is down" in page
    assert asked("queues", "reset", "crm") == 0
    assert asked("queues", "resume", "crm") == 0
    capsys.readouterr()
    assert asked("queues", "show", "crm") == 0
    page = capsys.readouterr().out
    assert "1 at once, 5 in 60 s of a partition" in page
    assert "the CRM is down" not in page


@pytest.mark.usefixtures("crm")
def test_a_queue_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer names the queue that was meant."""
    assert asked("queues", "show", "crn") == 2
    assert "crm" in capsys.readouterr().err
