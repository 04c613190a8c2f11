"""Fan out: ask every supplier for a price, a few at a time; then the cheapest has to confirm before the clock does.

python examples/fan_out.py
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import attrs

from redrive import DurableService, Flow, Map, Race, Signal, Sleep, WaitSignal, step, workflow


@attrs.frozen
class Quote:
    supplier: str
    price: int


confirmed = Signal("quotes.confirmed", int)


@step
async def ask_for_quote(supplier: str) -> Quote:
    return Quote(supplier, price=100 + sum(map(ord, supplier)) % 50)


@step
async def place_order(quote: Quote) -> str:
    return f"ordered from {quote.supplier} at {quote.price}"


@workflow("purchases.buy")
def buy(suppliers: Sequence[str], patience: timedelta = timedelta(hours=1)) -> Flow[str]:
    quotes = yield from Map(ask_for_quote, suppliers, limit=3)
    cheapest = min(quotes, key=lambda quote: quote.price)
    won = yield from Race(WaitSignal(confirmed.of(cheapest.supplier)), Sleep(patience))
    if won.index == 1:
        return f"{cheapest.supplier} did not confirm within {patience}"
    return (yield from place_order(attrs.evolve(cheapest, price=won.value)))


def main() -> None:
    suppliers = ["acme", "globex", "initech", "umbrella"]
    with DurableService("memory://", workflows=[buy]) as service:
        purchase = service.start(buy(suppliers))
        for supplier in suppliers:
            purchase.signal(confirmed.of(supplier), 99)
        print(purchase.result(timeout=30))
        print(service.execute(buy(suppliers, patience=timedelta(seconds=0.1))))


if __name__ == "__main__":
    main()
