"""Which executions a claim takes, and in which order: each store's indexes find what the rules of the ledger choose.

The small store has no index: it asks `claim_rules.choose` of all executions. The others must give the same.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Literal

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redrive.ports.parks import NewPark
from redrive.ports.store import NewExecution, NewMessage, Store, Turn
from redrive.stores.memory import MemoryStore
from redrive.stores.sqlite import SQLiteStore
from tests.contracts.clocks import Clock
from tests.json_store.store import JsonStore
from tests.postgres.clocks import ClockedStore
from tests.postgres.server import Server

LEASE = timedelta(seconds=15)
SECOND = timedelta(seconds=1)
_numbers = itertools.count()


@attrs.frozen
class There:
    """An execution that is there when a worker claims. *wake*: in so many seconds from its turn, None for none at all."""

    workflow: str
    turn: Literal["none", "running", "suspended"]
    wake: int | None
    late: bool
    message: Literal["none", "signal", "cancel"]
    then: Literal["released", "released at rest", "left to the dead", "parked by b-1", "parked by b-2", "killed by b-1"]


@attrs.frozen
class Asked:
    """A claim, *later* seconds after all is there."""

    later: int
    workflows: tuple[str, ...]
    limit: int
    retries: int
    turns_only: tuple[str, ...]


WORKFLOWS = st.sampled_from([("w",), ("w", "v"), ("v", "w"), ("w", "v", "none")])
THERE = st.builds(
    There,
    st.sampled_from(["w", "w", "v", "unlisted"]),
    st.sampled_from(["none", "running", "suspended"]),
    st.sampled_from([None, 0, 1, 20, 300]),
    st.sampled_from([False, False, True]),
    st.sampled_from(["none", "none", "signal", "cancel"]),
    st.sampled_from(["released", "released", "released at rest", "left to the dead", "parked by b-1", "parked by b-2", "killed by b-1"]),
)
ASKED = st.builds(
    Asked,
    st.sampled_from([0, 1, 40, 400]),
    WORKFLOWS,
    st.sampled_from([0, 1, 2, 4, 100]),
    st.sampled_from([0, 0, 1, 100]),
    st.sampled_from([(), (), ("w",), ("v", "w")]),
)


async def put(store: Store, clock: Clock, n: int, it: There) -> None:
    await store.claim("first", timedelta(days=1), "b-0", ["w", "v"], 0)
    deadline = clock.now + SECOND if it.late else None
    new = NewExecution(id=f"e-{n}", workflow=it.workflow, run=f"run {n}", input="1", started='"started"', deadline=deadline)
    claim = (await store.start(new, claim_for="first")).claim
    assert claim is not None
    if it.turn != "none":
        # No two are due at the same time: the order of those that are is not said.
        wake_at = None if it.wake is None else clock.now + it.wake * SECOND + (n + 1) * timedelta(microseconds=1)
        await store.commit(claim, Turn(expects=1, rows=['"asked"'], status=it.turn, wake_at=wake_at))
    match it.then:
        case "released" | "released at rest":
            await store.release([claim], at_rest=it.then == "released at rest")
        case "left to the dead":
            await store.release([claim])
            for taken in await store.claim(f"dead {n}", SECOND / 2, "b-1", [it.workflow], 100):
                if taken.id != claim.id:
                    await store.release([taken])
        case "parked by b-1" | "parked by b-2":
            park = NewPark(build=it.then[-3:], kind="diverged", reason="one", rest=timedelta(0), retry_after=20 * SECOND)
            await store.release([claim], parked=park)
        case "killed by b-1":
            park = NewPark(build="b-1", kind="killed", reason="two", rest=20 * SECOND, retry_after=20 * SECOND, anew=True)
            await store.release([claim], parked=park)
    if it.message == "signal":
        await store.send(f"e-{n}", NewMessage(kind="signal", name="s"))
    elif it.message == "cancel":
        await store.send(f"e-{n}", NewMessage(kind="cancel", data="1"))
    clock.now += SECOND


async def outcome(store: Store, clock: Clock, there: list[There], asked: Asked, in_order: bool) -> object:
    await store.open()
    try:
        for n, it in enumerate(there):
            await put(store, clock, n, it)
        clock.now += asked.later * SECOND
        wakes = [await store.next_wake(asked.workflows, "b-1", worker) for worker in (None, "ada")]
        claims = await store.claim("ada", LEASE, "b-1", asked.workflows, asked.limit, retries=asked.retries, turns_only=asked.turns_only)
        again = await store.claim("ada", LEASE, "b-1", asked.workflows, 100)
        wakes += [await store.next_wake(asked.workflows, "b-1", worker) for worker in (None, "ada")]
        statuses = {found.id: (found.status, found.owner, found.recoveries) for found in (await store.find()).executions}
        past = [None if wake is None else max(wake, clock.now) for wake in wakes]
        ordered = claims if in_order else sorted(claims, key=lambda claim: claim.id)
        return list(ordered), sorted(again, key=lambda claim: claim.id), past, statuses
    finally:
        await store.close()


def check(there: list[There], asked: Asked, make: Callable[[Clock], Store], *, in_order: bool = True) -> None:
    with tempfile.TemporaryDirectory() as directory:
        clock = Clock()
        by_the_rules = asyncio.run(outcome(JsonStore(directory, clock), clock, there, asked, in_order))
    clock = Clock()
    assert asyncio.run(outcome(make(clock), clock, there, asked, in_order)) == by_the_rules


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(THERE, min_size=1, max_size=6), ASKED)
def test_the_memory_store_claims_what_the_rules_choose(there: list[There], asked: Asked) -> None:
    check(there, asked, MemoryStore)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(THERE, min_size=1, max_size=6), ASKED)
def test_sqlite_claims_what_the_rules_choose(there: list[There], asked: Asked) -> None:
    with tempfile.TemporaryDirectory() as directory:
        check(there, asked, lambda clock: SQLiteStore(str(Path(directory) / "it.db"), synchronous="normal", clock=clock))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(THERE, min_size=1, max_size=6), ASKED)
def test_postgres_claims_what_the_rules_choose(postgres: Server, schema: str, there: list[There], asked: Asked) -> None:
    """Where a claim's limit leaves something, PostgreSQL prefers what other builds have parked to what is due longer: so none does here."""
    asked = attrs.evolve(asked, limit=100 if asked.limit else 0)
    name = f"{schema}_{next(_numbers)}"
    try:
        check(there, asked, lambda clock: ClockedStore(postgres, name, clock), in_order=False)
    finally:
        postgres.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
