"""The demo's application: one workflow, and the service that its workers run.

The directory of its two files, the database and the provider's ledger, comes in `REDRIVE_DEMO`.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Final

import attrs

from redrive import AsyncDurableService, Emit, Event, Flow, Signal, Sleep, WaitSignal, current_step, step, workflow
from redrive.cli.demo.payments import Payments

DIRECTORY: Final = "REDRIVE_DEMO"
LEASE: Final = timedelta(seconds=1)
"""The lease of a worker, after which others take up its orders: short, so that the demo has no long pauses."""
SETTLE: Final = timedelta(seconds=3)
SLOW: Final = 60
"""Seconds that the provider takes to answer the call that charges; the worker is killed before the answer."""


@attrs.frozen
class Order:
    id: str
    total: int


@attrs.frozen
class Charge:
    id: str


approved = Signal("orders.approved", str)
processed = Event("orders.processed", Order)


def database() -> Path:
    return Path(os.environ.get(DIRECTORY, ".")) / "orders.db"


def payments() -> Payments:
    return Payments(Path(os.environ.get(DIRECTORY, ".")) / "payments.jsonl")


@step
async def charge(order: Order) -> Charge:
    call = payments().charge(order.total, current_step().idempotency_key)
    if call.charged:
        await asyncio.sleep(SLOW)
    return Charge(call.charge_id)


@workflow("orders.process")
def process_order(order: Order) -> Flow[str]:
    charged = yield from charge(order)
    yield from Sleep(SETTLE)
    by = yield from WaitSignal(approved, timeout=timedelta(days=1))
    yield from Emit(processed, order)
    return f"{charged.id} approved by {by}"


def service() -> AsyncDurableService:
    return AsyncDurableService(f"sqlite:///{database()}", workflows=[process_order], lease=LEASE)
