"""Moving a store whose queues hold and wait: limits, places and order come along."""

from __future__ import annotations

from pathlib import Path

from redrive import AsyncDurableService, Flow, Queue, Signal, WaitSignal, workflow
from redrive.moving import archive_of, move

crm = Queue("crm", concurrency=1)
go = Signal("moving_queues.go", str)


@workflow("moving_queues.sync", queue=crm, signals=[go])
def sync(name: str) -> Flow[str]:
    return f"{name} {(yield from WaitSignal(go))}"


async def test_places_limits_and_order_come_along(tmp_path: Path) -> None:
    """Q3, Q12: in the new store the same ones hold places, and who waits is admitted in the old order."""
    old, new = (f"sqlite:///{tmp_path / name}.db" for name in ("old", "new"))
    async with AsyncDurableService(old, [sync]) as service:
        for name in ("a", "b", "c", "d"):
            await service.start(sync(name), id=name)
        await service.queues.limit("crm", concurrency=2)
        while (await service.queues.list())[0].held != 2:
            await service.store.wait_for_changes(0.01)
    await move(archive_of(old), archive_of(new))
    async with AsyncDurableService(new, worker=False) as client:
        (found,) = await client.queues.list()
        assert (found.held, found.waiting, found.concurrency, found.overridden) == (2, 2, 2, True)
        assert "crm, 2nd of 2: no worker serves it" in str((await client.execution("d").info()).waiting_on)
    async with AsyncDurableService(new, [sync]) as service:
        for name in ("a", "b", "c", "d"):
            await service.signal(name, go, "went")
            assert await service.execution(name, sync).result(10) == f"{name} went"
        (found,) = await service.queues.list()
        assert (found.held, found.waiting) == (0, 0)
