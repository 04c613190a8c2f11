"""The types of the service, as the type checkers see them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redrive import AsyncDurableService, AsyncExecution, DurableService, Execution
from redrive.blocking import BlockingOperator, BlockingSubscription
from redrive.operator import Operator
from redrive.subscriptions import Subscription
from tests.typing.test_typing import errors_in, marked

HERE = Path(__file__).parent
__all__ = ["errors_in"]


def test_every_call_of_the_service_has_its_exact_type(errors_in: Callable[[Path], dict[int, str]]) -> None:
    assert errors_in(HERE / "service_accepted.py") == {}


def test_every_wrong_call_of_the_service_is_refused_on_that_very_line(errors_in: Callable[[Path], dict[int, str]]) -> None:
    errors = errors_in(HERE / "service_refused.py")
    wrong = marked(HERE / "service_refused.py")
    assert {line: text for line, text in errors.items() if line not in wrong} == {}
    assert sorted(wrong - errors.keys()) == [], "not reported"


def test_a_wrong_payload_is_told_by_its_type_and_the_signals(errors_in: Callable[[Path], dict[int, str]]) -> None:
    file = HERE / "service_refused.py"
    errors = errors_in(file)
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if found := re.search(r"# wrong: names (\w+) and (\w+)", line):
            given, wanted = found.groups()
            literal = {"int": "3", "str": '"a"', "Order": "Order"}[given]
            assert given in errors[number] or literal in errors[number], errors[number]
            assert wanted in errors[number], errors[number]


def members() -> Iterator[Any]:
    for cls in (
        DurableService,
        AsyncDurableService,
        Execution,
        AsyncExecution,
        Operator,
        BlockingOperator,
        Subscription,
        BlockingSubscription,
    ):
        yield pytest.param(cls, id=cls.__name__)
        for name, member in vars(cls).items():
            if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                yield pytest.param(member, id=f"{cls.__name__}.{name}")


@pytest.mark.parametrize("member", list(members()))
def test_every_public_method_says_in_a_hover_what_it_does(member: Any) -> None:
    text = inspect.getdoc(member)
    assert text, "no docstring"
    assert not text.startswith("See "), text
    assert len(text) >= 20, text
