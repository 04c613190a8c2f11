"""The workflow that the engines beside this file run."""

from __future__ import annotations

from datetime import timedelta

from redrive_interpreter import All, Flow, Retry, Signal, SignalTimeout, Sleep, Step, WaitSignal, step, workflow

paid = Signal("orders.paid", str)
calls: list[str] = []
"""What the bodies did, for the tests to see."""


@step
def reserve(order: str) -> str:
    calls.append(f"reserve {order}")
    return f"hold-{order}"


@step(retry=Retry(attempts=3, delay=timedelta(seconds=0.01)))
def ship(hold: str) -> str:
    calls.append(f"ship {hold}")
    if calls.count(f"ship {hold}") == 1:
        raise ConnectionError("the carrier does not answer")
    return f"parcel of {hold}"


@workflow("embedding.order")
def process_order(order: str, patience: float) -> Flow[str]:
    """Two holds side by side, a sleep, a step that fails once, and a payment that may never come."""
    first, second = yield from All(reserve(f"{order}-a"), reserve(f"{order}-b"))
    yield from Sleep(patience)
    parcel = yield from ship(f"{first}+{second}")
    try:
        by = yield from WaitSignal(paid, timeout=patience)
    except SignalTimeout:
        by = "nobody"
    receipt = yield from Step("receipt", lambda: f"{parcel}, paid by {by}")
    return receipt
