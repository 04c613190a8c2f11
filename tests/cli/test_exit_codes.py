"""One exit code for one fault, whatever the command that meets it."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_commands import APP, START, Shell, run, started, until

__all__ = ["run", "started"]
STORE = ["--store", "sqlite:///shop.db"]


@pytest.fixture
def ended(started: Shell) -> Shell:
    """A shell with an order that has completed."""
    with importlib.import_module("shop").blocking as service:
        execution = service.execution("order-1")
        execution.signal("orders.approved", "Ada")
        until(lambda: execution.info().status == "completed")
    return started


@pytest.mark.parametrize("where", [APP, STORE], ids=["app", "store"])
@pytest.mark.parametrize("verb", [["cancel", "order-1"], ["signal", "order-1", "orders.approved", '"Bob"']], ids=["cancel", "signal"])
def test_an_execution_that_has_ended_takes_nothing(ended: Shell, verb: list[str], where: list[str]) -> None:
    assert ended(*verb, *where) == 2
    assert "has ended" in ended.err


@pytest.mark.parametrize("where", [APP, STORE], ids=["app", "store"])
@pytest.mark.parametrize("verb", ["show", "history", "result", "cancel", "signal"])
def test_an_unknown_execution_is_refused(started: Shell, verb: str, where: list[str]) -> None:
    more = ["orders.approved", '"Ada"'] if verb == "signal" else []
    assert started(verb, "nobody", *more, *where) == 2
    assert "there is no execution 'nobody'" in started.err


@pytest.mark.parametrize(
    "words",
    [
        ["start", "orders.process", "order.id=o", "order.total=1", "--timeout", "-5", *APP],
        ["start", "orders.process", "order.id=o", "order.total=1", "--id", "", *APP],
        ["start", "orders.process", "order.id=o", "order.total=1", "--id", "x" * 300, *APP],
        ["start", "orders.process", "order.id=o", "order.total=1", "nonsense=1", *APP],
        ["signal", "order-1", "orders.approved", *APP],
        ["signal", "order-1", "orders.approved", "17", *APP],
        ["signal", "order-1", "__reserved", "1", *STORE],
        ["list", "--limit", "0", *APP],
        ["list", "--log-level", "loud", *APP],
        ["show"],
        ["shwo", "order-1", *APP],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_refused_alike(started: Shell, words: list[str]) -> None:
    assert started(*words) == 2, started.err
    assert "Traceback" not in started.err


def test_an_id_of_another_call_is_a_conflict(started: Shell) -> None:
    assert started(*START[:3], "order.total=5", *START[4:]) == 1


def test_the_help_has_the_table(run: Shell) -> None:
    assert run("--help") == 0
    for code in ("0 ", "1 ", "2 ", "3 ", "130 "):
        assert f"\n  {code}" in run.out


@pytest.mark.parametrize("module", ["redrive", "redrive.cli"])
def test_the_command_is_a_module_too(shop: Path, module: str) -> None:
    shown = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=30)
    assert (shown.returncode, shown.stdout[:8]) == (0, "redrive ")
    wrong = subprocess.run([sys.executable, "-m", module, "list", "--app", "shopp:service"], capture_output=True, text=True, timeout=30)
    assert wrong.returncode == 2
    assert "did you mean shop?" in wrong.stderr


@pytest.mark.parametrize("words", [["--log-level", "debug", "list"], ["list", "--log-level", "DEBUG"]], ids=["before", "behind"])
def test_the_level_of_the_log_is_said_before_or_behind_the_command(started: Shell, words: list[str]) -> None:
    logger = logging.getLogger("redrive")
    try:
        assert started(*words, *APP) == 0
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(logging.NOTSET)


ARGUMENTS = """
from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from uuid import UUID

import attrs

from redrive import AsyncDurableService, Flow, workflow


class Colour(Enum):
    RED = "1"


@attrs.frozen
class Line:
    sku: str
    count: int = 1


@attrs.frozen
class Order:
    id: str
    total: Decimal | None = None
    line: Line | None = None
    tags: dict[str, str] = attrs.Factory(dict)


@workflow("takes")
def takes(
    order: str = "", n: int = 0, on: bool = False, rate: float = 0.0, maybe: str | None = "", either: int | str = "",
    when: date | None = None, colour: Colour | None = None, anything=None, names: list[str] = [], nested: Order | None = None,
) -> Flow[None]:
    yield from ()


service = AsyncDurableService("sqlite:///takes.db", workflows=[takes])
"""


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["order=5"], {"order": "5"}),
        (["order=1.10"], {"order": "1.10"}),
        (["order=true"], {"order": "true"}),
        (["order=null"], {"order": "null"}),
        (["order=[1]"], {"order": "[1]"}),
        (['order={"a": 1}'], {"order": '{"a": 1}'}),
        (["order=007"], {"order": "007"}),
        (['order="5"'], {"order": "5"}),
        (["order="], {"order": ""}),
        (["order=Ada"], {"order": "Ada"}),
        (["n=5"], {"n": 5}),
        (["on=true"], {"on": True}),
        (["rate=5"], {"rate": 5.0}),
        (["maybe=5"], {"maybe": "5"}),
        (["maybe=null"], {"maybe": None}),
        (["either=5"], {"either": 5}),
        (["either=x"], {"either": "x"}),
        (["when=2027-01-02"], {"when": "2027-01-02"}),
        (["colour=RED"], {"colour": "1"}),
        (["anything=5"], {"anything": 5}),
        (["anything=x"], {"anything": "x"}),
        (["nested.id=5"], {"nested.id": "5"}),
        (["nested.id=5", "nested.total=1.10"], {"nested.id": "5", "nested.total": Decimal("1.10")}),
        (["nested.id=5", "nested.line.sku=17", "nested.line.count=3"], {"nested.id": "5", "nested.line.sku": "17", "nested.line.count": 3}),
        (["nested.id=5", "nested.tags.a=1", "nested.tags.b=x"], {"nested.id": "5", "nested.tags": {"a": "1", "b": "x"}}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_arguments_are_read_as_the_workflow_declares_them(run: Shell, shop: Path, words: list[str], arguments: dict[str, Any]) -> None:
    (shop / "takes.py").write_text(ARGUMENTS)
    sys.modules.pop("takes", None)
    assert run("start", "takes", *words, "--id", "t", "--create", "--app", "takes:service") == 0, run.err
    takes = importlib.import_module("takes")
    assert run("history", "t", "--json", "--store", "sqlite:///takes.db") == 0
    stored = json.loads(run.out.splitlines()[0])["input"]
    args, kwargs = takes.service.codec.load_call(takes.takes.signature, stored, "takes")
    given = takes.takes.signature.bind(args, kwargs)
    for path, wanted in arguments.items():
        name, *fields = path.split(".")
        value = given[name]
        for field in fields:
            value = getattr(value, field)
        shown = getattr(value, "value", value)
        assert (type(wanted)(shown) if wanted is not None else shown) == wanted
        if isinstance(wanted, str) and name == "order":
            assert isinstance(value, str)
    sys.modules.pop("takes", None)


@pytest.mark.parametrize(("word", "path"), [("n=x", "n"), ("n=1.5", "n"), ("on=maybe", "on"), ("nested.total=many", "nested.total")])
def test_what_fits_no_reading_is_refused_by_its_place(run: Shell, shop: Path, word: str, path: str) -> None:
    (shop / "takes.py").write_text(ARGUMENTS)
    sys.modules.pop("takes", None)
    more = ["nested.id=1"] if path.startswith("nested") else []
    assert run("start", "takes", *more, word, "--create", "--app", "takes:service") == 2
    assert f"{path} " in run.err
    sys.modules.pop("takes", None)
