"""A plain script, as cron runs it: starts today's report and waits for it. Run twice, it is the same report.

    redrive worker examples.nightly_script:worker &        # somewhere, all the time
    REDRIVE_STORE=postgresql://… python examples/nightly_script.py 2026-11-22

Without REDRIVE_STORE it keeps a SQLite file of its own, and works by itself.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, date, datetime

from redrive import AsyncDurableService, DurableService, ExecutionFailed, Flow, Map, Retry, step, workflow

REGIONS = ("north", "south", "west")


@step(retry=Retry(attempts=3, delay=1))
def sales_of(region: str, day: date) -> int:
    return len(region) * 100 + day.day


@step
def publish(day: date, total: int) -> str:
    return f"report of {day:%d %B}: {total}"


@workflow("nightly.report")
def report(day: date) -> Flow[str]:
    sales = yield from Map(lambda region: sales_of(region, day), REGIONS, limit=2)
    return (yield from publish(day, sum(sales)))


def worker() -> AsyncDurableService:
    return AsyncDurableService(os.environ["REDRIVE_STORE"], [report])


def main(arguments: list[str]) -> int:
    day = date.fromisoformat(arguments[0]) if arguments else datetime.now(UTC).date()
    store = os.environ.get("REDRIVE_STORE")
    with DurableService(store or "sqlite:///nightly.db", [report], worker=store is None) as service:
        # The day is the idempotency key: cron may run this twice, and a person once more.
        execution = service.start(report(day), id=f"report-{day}", restart=["failed"])
        try:
            print(execution.result(timeout=600))
        except ExecutionFailed as failed:
            print(f"{execution.id}: {failed}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
