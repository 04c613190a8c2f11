"""A web API over workflows: a PUT starts an order, the payment provider's webhook signals it, a GET waits for it.

The API is a client only: it starts, signals and waits; `redrive worker examples.fastapi_shop:worker` does the work.

    python examples/fastapi_shop.py        # shows it all without a port; needs fastapi and httpx
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

import attrs
import httpx
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel

from redrive import (
    AsyncDurableService,
    ExecutionConflict,
    ExecutionFinished,
    ExecutionNotFound,
    Flow,
    Signal,
    SignalTimeout,
    WaitSignal,
    step,
    workflow,
)


@attrs.frozen
class Order:
    id: str
    total: int


paid = Signal("shop.paid", str)  # the payload is the payment's id


@step
async def release(hold: str) -> None:
    print(f"  released {hold}")


@step(undo=release)
async def reserve(order: Order) -> str:
    return f"hold-{order.id}"


@step
async def ship(order: Order, hold: str) -> str:
    return f"parcel-{order.id}"


@workflow("shop.order", signals=[paid], on_failure="rollback")
def process_order(order: Order, patience: timedelta = timedelta(days=1)) -> Flow[str]:
    hold = yield from reserve(order)
    try:
        payment = yield from WaitSignal(paid, timeout=patience)
    except SignalTimeout:
        yield from release(hold)
        return "never paid"
    parcel = yield from ship(order, hold)
    return f"{parcel}, paid by {payment}"


WORKFLOWS = [process_order]


def store_url() -> str:
    return os.environ.get("REDRIVE_STORE", "sqlite:///shop.db")


def worker() -> AsyncDurableService:
    return AsyncDurableService(store_url(), WORKFLOWS)


# ── the API ─────────────────────────────────────────────────────────────────────────────────────
@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with AsyncDurableService(store_url(), WORKFLOWS, worker=False) as service:
        app.state.service = service
        yield


def the_service(request: Request) -> AsyncDurableService:
    service: AsyncDurableService = request.app.state.service
    return service


Service = Annotated[AsyncDurableService, Depends(the_service)]
app = FastAPI(lifespan=lifespan)


class NewOrder(BaseModel):
    total: int


class Payment(BaseModel):
    event_id: str
    order: str
    payment: str


@app.put("/orders/{id}", status_code=202)
async def put_order(id: str, new: NewOrder, service: Service) -> dict[str, str]:
    """The same PUT again is the same order; another total under the same id is a conflict."""
    try:
        execution = await service.start(process_order(Order(id, new.total)), id=f"order-{id}")
    except ExecutionConflict as conflict:
        raise HTTPException(409, str(conflict)) from None
    return {"execution": execution.id}


@app.post("/webhooks/payments", status_code=204)
async def payment_webhook(payment: Payment, service: Service) -> None:
    """Providers send an event again until they get an answer: its id is the key, so it counts once."""
    try:
        await service.signal(f"order-{payment.order}", paid, payment.payment, key=payment.event_id)
    except ExecutionNotFound:
        raise HTTPException(404, "there is no such order") from None
    except ExecutionFinished:
        raise HTTPException(410, "the order is over") from None


@app.get("/orders/{id}")
async def get_order(id: str, service: Service, response: Response, wait: float = 0) -> dict[str, str | None]:
    """Its result, or, if it has none within *wait* seconds, where it stands."""
    execution = service.execution(f"order-{id}", process_order)
    try:
        return {"status": "completed", "result": await execution.result(timeout=wait)}
    except TimeoutError:
        response.status_code = 202
        return {"status": (await execution.info()).status, "result": None}
    except ExecutionNotFound:
        raise HTTPException(404, "there is no such order") from None


# ── shown without a port ────────────────────────────────────────────────────────────────────────
async def show() -> None:
    async with worker(), app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
            print((await http.put("/orders/17", json={"total": 900})).json())
            print((await http.put("/orders/17", json={"total": 5})).status_code)
            print((await http.get("/orders/17")).status_code)
            event = {"event_id": "evt-1", "order": "17", "payment": "pay_1"}
            for _ in range(2):
                await http.post("/webhooks/payments", json=event)
            print((await http.get("/orders/17", params={"wait": 10})).json())
            print((await http.post("/webhooks/payments", json={**event, "event_id": "evt-2"})).status_code)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("REDRIVE_STORE", f"sqlite:///{folder}/shop.db")
        asyncio.run(show())


if __name__ == "__main__":
    main()
