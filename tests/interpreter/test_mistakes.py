"""Commands where no command belongs, and errors that nobody declared: what the user is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from redrive_interpreter import All, Flow, Now, Sleep, Step, StepFailed, StepTimeout, WaitSignal, WorkflowMisuse, step, workflow
from redrive_interpreter.keys import Key


@step
def charge(order: str) -> bool: ...  # type: ignore[empty-body]


@workflow("shop")
def shop(order: str) -> Flow[bool]:
    return (yield from charge(order))


BUILT: list[Any] = [charge("o"), Step("quote", len, "x"), Sleep(1), Now(), WaitSignal("go"), All(Sleep(1)), shop("o")]


@pytest.mark.parametrize("built", BUILT, ids=lambda built: type(built).__name__)
def test_a_command_in_a_condition_says_that_it_was_not_performed(built: Any) -> None:
    for use in (bool, lambda it: it and 1, lambda it: it or 1, lambda it: not it, lambda it: 1 if it else 2):
        with pytest.raises(WorkflowMisuse, match=r"yield from") as caught:
            use(built)
        assert "test_mistakes.py" in caught.value.place


@pytest.mark.parametrize("built", BUILT, ids=lambda built: type(built).__name__)
def test_a_command_that_is_awaited_says_what_to_write(built: Any) -> None:
    async def run() -> None:
        await built

    with pytest.raises(TypeError, match=r"is not awaited.*yield from"):
        asyncio.run(run())


def test_an_undeclared_error_says_how_to_catch_it_by_its_own_class() -> None:
    assert str(StepFailed(Key("charge"), "ValueError", "no", "", 2)) == (
        "step charge failed after 2 attempts: ValueError: no (to catch ValueError itself, declare it: @step(raises=[ValueError]))"
    )
    assert "raises=[Declined]" in str(StepFailed(Key("charge"), "shop.errors.Declined", "no"))
    assert "raises" not in str(StepFailed(Key("charge"), "redrive_interpreter.errors.CodecError", "no"))
    assert "raises" not in str(StepTimeout(Key("charge"), "StepTimeout", "no"))
