"""The types of finding, as the type checkers see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.typing.test_typing import errors_in, marked

HERE = Path(__file__).parent
__all__ = ["errors_in"]


def test_every_call_has_its_exact_type(errors_in: Callable[[Path], dict[int, str]]) -> None:
    assert errors_in(HERE / "finding_accepted.py") == {}


def test_every_wrong_call_is_refused_on_that_very_line(errors_in: Callable[[Path], dict[int, str]]) -> None:
    errors = errors_in(HERE / "finding_refused.py")
    wrong = marked(HERE / "finding_refused.py")
    assert {line: text for line, text in errors.items() if line not in wrong} == {}
    assert sorted(wrong - errors.keys()) == [], "not reported"
