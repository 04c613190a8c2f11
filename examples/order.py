"""The order workflow: charge the card, let it settle, wait for a person's approval, tell everybody.

python examples/order.py
"""

from __future__ import annotations

from datetime import timedelta

import attrs

from redrive import DurableService, Emit, Event, Flow, Retry, Signal, Sleep, WaitSignal, current_step, step, workflow


@attrs.frozen
class Order:
    id: str
    total: int


@attrs.frozen
class Charge:
    id: str


approved = Signal("orders.approved", str)
processed = Event("orders.processed", Order)


@step
async def refund(charge: Charge) -> None:
    print(f"  refunded {charge.id}")


@step(undo=refund, retry=Retry(attempts=5))
async def charge(order: Order) -> Charge:
    print(f"  charging {order.total} for {order.id}, idempotency key {current_step().idempotency_key}")
    return Charge(f"ch_{order.id}")


@workflow("orders.process")
def process_order(order: Order, settle: timedelta = timedelta(seconds=5)) -> Flow[str]:
    charged = yield from charge(order)
    yield from Sleep(settle)
    by = yield from WaitSignal(approved, timeout=timedelta(days=1))
    yield from Emit(processed, order)
    return f"{charged.id} approved by {by}"


def main() -> None:
    with DurableService("memory://", workflows=[process_order]) as service:
        execution = service.start(process_order(Order("o-1", 900), settle=timedelta(seconds=0.2)), id="order-o-1")
        execution.signal(approved, "Ada")
        print(execution.result(timeout=30))


if __name__ == "__main__":
    main()
