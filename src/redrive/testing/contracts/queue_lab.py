"""Helpers of the contracts of queues: ask a store to admit, and count what its queues hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from redrive.ports.queue_port import KeepsQueues, QueueLimits, QueueState, WorkflowQueue
from redrive.ports.store import Claim, Creator, NewChild, NewExecution, Store, Turn
from redrive.testing.contracts.lab import LEASE, Lab, execution

ROOM: Final = {"q": 50}
UNBEGUN: Final = Turn(expects=1, rows=['"cancel"', '"ended"'], status="cancelled", outcome='{"err": 1}')


def queued(id: str, queue: str | None = "q", **changes: Any) -> NewExecution:
    return execution(id, queue=queue, **changes)


def keeps(store: Store) -> KeepsQueues:
    assert isinstance(store, KeepsQueues)
    return store


async def declare(store: Store, *, queue: str = "q", worker: str = "ada", build: str = "b-1", **limits: Any) -> None:
    await keeps(store).declare(worker, build, {queue: QueueLimits(**limits)}, {"w": WorkflowQueue(queue=queue)})


async def opened(lab: Lab, **limits: Any) -> Store:
    """A store in which queue ``q`` is declared with *limits*."""
    store = await lab.open()
    await declare(store, **limits)
    return store


async def admit(store: Store, worker: str = "ada", limit: int = 50, room: Mapping[str, int] = ROOM, build: str = "b-1") -> list[Claim]:
    return list(await store.claim(worker, LEASE, build, ["w"], limit, room=room))


async def admitted(store: Store, worker: str = "ada", limit: int = 50, room: Mapping[str, int] = ROOM, build: str = "b-1") -> list[str]:
    return [claim.id for claim in await admit(store, worker, limit, room, build)]


async def end(store: Store, *claims: Claim, status: str = "completed") -> None:
    for claim in claims:
        turn = Turn(expects=claim.length, rows=['"ended"'], status=status, outcome='{"ok": null}')  # type: ignore[arg-type]
        await store.commit(claim, turn)


async def asked(store: Store, claim: Claim, **changes: Any) -> Claim:
    """*claim* after a turn that waits for something."""
    await store.commit(claim, attrs.evolve(Turn(expects=claim.length, rows=['"asked"'], status="suspended"), **changes))
    return attrs.evolve(claim, length=claim.length + 1)


async def state(store: Store, queue: str = "q") -> QueueState:
    (found,) = await keeps(store).queues([queue])
    return found


async def places(store: Store, queue: str = "q") -> tuple[int, int]:
    """How many wait in *queue*, and how many have a place."""
    found = await state(store, queue)
    return found.waiting, found.held


async def bear(store: Store, claim: Claim, id: str, *, waits: bool, queue: str | None = "q", **changes: Any) -> Claim:
    """*claim* after a turn that starts a child, and *waits* for it or does not say so."""
    creator = Creator(id=claim.id, run=claim.run, key=id)
    child = NewChild(execution=queued(id, queue=queue, creator=creator, **changes))
    return await asked(store, claim, children=[child], awaits=[id] if waits else None)
