"""A shop in a directory of its own, as a user of the command line has it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SHOP = """
from __future__ import annotations

import attrs

from redrive import AsyncDurableService, DurableService, Flow, Signal, WaitSignal, step, workflow


@attrs.frozen
class Order:
    id: str
    total: int


approved = Signal("orders.approved", str)


@step
def charge(order: Order) -> str:
    if order.total < 0:
        raise ValueError("a negative total")
    return f"ch_{order.id}"


@workflow("orders.process", signals=[approved])
def process_order(order: Order, note: str = "") -> Flow[str]:
    charged = yield from charge(order)
    by = yield from WaitSignal(approved)
    return f"{charged} approved by {by}"


@workflow("tickets.wait")
def wait_for_ticket() -> Flow[int]:
    return (yield from WaitSignal(Signal("ticket", int)))


def service() -> AsyncDurableService:
    return AsyncDurableService("sqlite:///shop.db", workflows=[process_order, wait_for_ticket])


blocking = DurableService("sqlite:///shop.db", workflows=[process_order, wait_for_ticket])
nonsense = 3
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory, which is also the working directory; its module is ``shop``."""
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDRIVE_APP", raising=False)
    monkeypatch.delenv("REDRIVE_STORE", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("shop", None)
    yield tmp_path
    sys.modules.pop("shop", None)
