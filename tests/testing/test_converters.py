"""The test kit stores values as the app does: with the converter of the service that runs the workflow."""

from __future__ import annotations

from typing import Any

import pytest

from redrive import AsyncDurableService, DurableService, Flow, InvalidDefinition, step, workflow
from redrive.testing import assert_survives_crashes, explore, play


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)

    def __repr__(self) -> str:
        return f"Money({self.amount})"


def hooks(converter: Any) -> None:
    converter.register_unstructure_hook(Money, lambda money: money.amount)
    converter.register_structure_hook(Money, lambda data, _: Money(data))


def shop() -> Any:
    @step
    def price(item: Money) -> Money: ...  # type: ignore[empty-body]

    @workflow("converted")
    def run(item: Money) -> Flow[Money]:
        return (yield from price(item))

    return run, price


@pytest.mark.parametrize("service", [DurableService, AsyncDurableService])
def test_the_converter_of_the_service_is_found(service: Any) -> None:
    run, price = shop()
    app = service("memory://", workflows=[run], converter=hooks)
    assert play(run(Money(1)), {price: Money(2)}).result == Money(2)
    assert_survives_crashes(run(Money(1)), {price: Money(2)})
    explore(run(Money(1)), answers={price: Money(2)}, budget=100)
    assert app is not None


def test_a_converter_that_is_given_goes_first_and_two_that_differ_are_no_answer() -> None:
    run, price = shop()
    one = AsyncDurableService("memory://", workflows=[run], converter=hooks)
    other = AsyncDurableService("memory://", workflows=[run], converter=lambda converter: hooks(converter))
    with pytest.raises(InvalidDefinition, match="converter="):
        play(run(Money(1)), {price: Money(2)})
    assert play(run(Money(1)), {price: Money(2)}, converter=hooks).result == Money(2)
    assert one is not other


def test_a_workflow_of_the_same_name_has_none_of_it() -> None:
    run, _ = shop()
    app = AsyncDurableService("memory://", workflows=[run], converter=hooks)
    another, price = shop()
    with pytest.raises(ValueError, match="Money"):
        play(another(Money(1)), {price: Money(2)})
    assert app.workflows
