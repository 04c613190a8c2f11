"""What `--json` prints, against the schemas in docs/schemas/cli.json: one for each command that has the option."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from redrive import DurableService
from redrive.cli import main
from redrive.cli.program import _parser

SCHEMAS = json.loads((Path(__file__).parents[2] / "docs/schemas/cli.json").read_text())
APP = ["--app", "shop:service"]
COMMANDS: dict[str, list[list[str]]] = {
    "show": [["show", "waits", *APP], ["show", "failed", *APP], ["show", "mistyped", *APP]],
    "history": [["history", "failed", *APP]],
    "find": [["find", *APP], ["find", "--limit", "1", *APP]],
    "list": [["list", *APP]],
    "count": [["count", *APP], ["count", "--by", "status", *APP]],
    "tree": [["tree", "waits", *APP]],
    "set-aside": [["set-aside", *APP]],
    "dead-letters": [["dead-letters", *APP]],
    "retry": [["retry", "failed", "--dry-run", *APP]],
    "edit-step": [["edit-step", "waits", "charge", '"ch_2"', "--dry-run", *APP]],
    "skip-step": [["skip-step", "failed", "charge", '"ch_2"', "--dry-run", *APP]],
    "force-fail": [["force-fail", "waits", "enough", "--dry-run", *APP]],
    "fork": [["fork", "waits", "--before", "charge", "--new-id", "copy", "--dry-run", *APP]],
    "pause": [["pause", "waits", "--dry-run", *APP]],
    "audit": [["audit", *APP]],
    "inspect": [["inspect", "waits", *APP]],
    "workers": [["workers", *APP]],
    "stuck": [["stuck", *APP]],
    "purge": [["purge", "failed", "--dry-run", *APP]],
    "replay": [["replay", *APP]],
    "lint": [["lint", "untidy.py"]],
    "diagram": [["diagram", "orders.process", *APP]],
    "backup": [["backup", "sqlite:///shop.db", "sqlite:///copy.db"]],
    "migrate-store": [["migrate-store", "sqlite:///shop.db", "sqlite:///moved.db"]],
}
"""Commands whose output is tried; of the others there is nothing here that they could be asked."""
NOT_TRIED = {
    "retry-rollback": "needs an undo that failed; its shape is that of retry",
    "retry-now": "needs a step between two attempts; its shape is that of retry",
    "resume": "needs a paused execution; its shape is that of retry",
    "schedules": "tried in test_schedules_verb",
    "queues": "tried in test_queues_verb",
}


def with_json() -> set[str]:
    found: set[str] = set()
    for action in _parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {name for name, word in action.choices.items() if any("--json" in one.option_strings for one in word._actions)}
    return found


@pytest.fixture
def filled(shop: Path) -> Path:
    sys.path.insert(0, str(shop))
    module: Any = importlib.import_module("shop")
    service: DurableService = module.blocking
    with service:
        service.start(module.process_order(module.Order("o-1", 900)), id="waits")
        service.start(module.process_order(module.Order("o-2", -1)), id="failed")
        service.start(module.process_order(module.Order("o-3", 1)), id="mistyped")
        wanted = {"waits": "suspended", "failed": "failed", "mistyped": "suspended"}
        while {id: service.execution(id).info().status for id in wanted} != wanted:
            time.sleep(0.01)
        from redrive.ports.store import NewMessage

        service._call(service.aio.store.send("mistyped", NewMessage(kind="signal", name="orders.approved", data="[1]")))
        while not service.operator.set_aside("mistyped"):
            time.sleep(0.01)
        service.operator.retry("failed", reason="try", by="ada")
        while service.execution("failed").info().status != "failed":
            time.sleep(0.01)
    (shop / "untidy.py").write_text(
        "import random\nfrom redrive import Flow, workflow\n\n@workflow\ndef w() -> Flow[float]:\n    return random.random()\n    yield\n"
    )
    sys.modules.pop("shop")
    return shop


def test_every_command_with_json_has_a_schema_and_is_tried() -> None:
    assert with_json() == set(SCHEMAS["commands"])
    assert with_json() - COMMANDS.keys() == set(NOT_TRIED)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_what_a_command_prints_is_what_its_schema_says(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    described = SCHEMAS["commands"][command]
    validator = jsonschema.Draft202012Validator({**described["schema"], "$defs": SCHEMAS["$defs"]})
    for words in COMMANDS[command]:
        code = main([*words, "--json"])
        printed = capsys.readouterr()
        assert code in (0, 1), printed.err
        documents = [json.loads(line) for line in printed.out.splitlines()] if described["lines"] else [json.loads(printed.out)]
        assert documents or command in ("dead-letters", "workers", "stuck"), printed.err
        for document in documents:
            validator.validate(document)
