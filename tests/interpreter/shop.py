"""Steps that the tests of the kernel share. Their bodies never run here: the tests answer for them."""

from __future__ import annotations

from redrive_interpreter import Event, Signal, step

approved = Signal("approved", str)
tick = Signal("tick")
shipped = Event("shipped", int)


class Declined(Exception):
    """A declared error of `charge`."""


class Broken(Exception):
    """What a workflow raises when it gives up."""


@step
def release(hold: str) -> None: ...


@step(undo=release)
def reserve(item: str) -> str:
    return item


@step
def refund(charge: str) -> None: ...


@step(undo=refund, raises=[Declined])
def charge(amount: int) -> str:
    return str(amount)


@step
def ping(n: int) -> int:
    return n


@step(at_most_once=True)
def wire(amount: int) -> str:
    return str(amount)
