"""`explore_worker`: the orders in which a worker's calls, bodies, timers and mail can come, with a second worker beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from redrive import (
    All,
    Cancelled,
    ContinueAs,
    Flow,
    Map,
    Race,
    Retry,
    RunChild,
    Settle,
    Signal,
    Sleep,
    WaitSignal,
    step,
    workflow,
)
from redrive.testing import WorkerViolation, at_most_once, compensated, explore_worker, never
from redrive.worker.life import bodies, precedence
from redrive.worker.life.active_execution import ActiveExecution

go = Signal("go", str)


@step
async def refund(n: int) -> None: ...


@step(undo=refund)
async def charge(n: int) -> int:
    return n


@step
async def pack(n: int) -> int:
    return n


@step(at_most_once=True, undo=refund)
async def wire(n: int) -> int:
    return n


@step(undo=refund, retry=Retry(attempts=2, delay=1))
async def moody(n: int) -> int:
    return n


@workflow("orders.child", on_cancel="rollback")
def child() -> Flow[None]:
    yield from charge(9)


@workflow("orders.sequence", on_cancel="rollback", on_failure="rollback")
def sequence() -> Flow[None]:
    yield from pack(1)
    yield from charge(2)


@workflow("orders.wired", on_cancel="rollback", on_failure="rollback")
def wired() -> Flow[None]:
    yield from wire(1)


@workflow("orders.retried", on_cancel="rollback", on_failure="rollback")
def retried() -> Flow[None]:
    yield from moody(1)


@workflow("orders.parallel", on_cancel="rollback", on_failure="rollback")
def parallel() -> Flow[None]:
    yield from All(charge(1), pack(2))


@workflow("orders.signalled", on_cancel="rollback", on_failure="rollback", signals=[go])
def signalled() -> Flow[None]:
    yield from Race(WaitSignal(go), charge(2))


@workflow("orders.sleeps")
def sleeps() -> Flow[str]:
    yield from Sleep(5)
    return "woke"


@workflow("orders.tidies", on_failure="rollback")
def tidies() -> Flow[None]:
    try:
        yield from charge(1)
        yield from RunChild(child(), id="c")
    except Cancelled:
        yield from pack(3)
        raise


@workflow("orders.counts")
def counts(left: int) -> Flow[int]:
    yield from pack(left)
    if left:
        yield from ContinueAs(counts(left - 1))
    return left


@workflow("orders.busy", on_failure="rollback", on_cancel="rollback", signals=[go])
def busy(seed: int) -> Flow[list[Any]]:
    seen: list[Any] = []
    for n in range(2):
        won = yield from Race(WaitSignal(go, timeout=20, default="-"), Sleep(10), pack(n + seed))
        seen.append(won.index)
        seen += yield from All(moody(n + seed), charge(n), WaitSignal(go, timeout=5, default="-"))
        yield from Settle(Race(charge(seed), Sleep(1)))
    yield from Map(charge, [4, 5], limit=1)
    try:
        seen.append((yield from WaitSignal(go, timeout=10, default="-")))
    except Cancelled:
        yield from pack(seed)
        raise
    if seed % 2:
        raise ValueError("on purpose")
    return seen


ANSWERS: dict[Any, object] = {pack: 1, charge: 2, refund: None}
FAILS: dict[Any, object] = {moody: [1, ValueError("no")]}


@pytest.mark.parametrize("flow", [sequence, wired, parallel, sleeps], ids=lambda flow: flow.name)
def test_every_order_of_one_worker_is_seen(flow: Any) -> None:
    """E3, S1, S6, S10: with a cancel at each point, and a worker that stops."""
    seen = explore_worker(flow(), answers=ANSWERS, workers=1, losses=0, budget=20_000)
    assert seen.complete
    assert {"completed", "cancelled"} <= seen.ends.keys()


@pytest.mark.parametrize("flow", [sequence, wired, retried, parallel, signalled, sleeps, tidies], ids=lambda flow: flow.name)
def test_two_workers_keep_their_promises_where_a_lease_is_lost(flow: Any) -> None:
    """S10, W1, E3: a lost lease, a late answer, mail in the middle of a claim."""
    explore_worker(flow(), answers=ANSWERS, outcomes=FAILS, workflows=[child], budget=400, walks=40)


@pytest.mark.parametrize("flow", [sequence, wired, parallel], ids=lambda flow: flow.name)
def test_workers_die_and_stop(flow: Any) -> None:
    """E6, E7: what a worker that stopped says of its bodies is true for its successor."""
    explore_worker(flow(), answers=ANSWERS, losses=0, deaths=1, stops=1, budget=400, walks=40)


@pytest.mark.parametrize("flow", [sequence, parallel, signalled], ids=lambda flow: flow.name)
def test_turns_that_are_computed_apart_keep_the_promises(flow: Any) -> None:
    """D7: what comes while a thread computes the turn waits for it."""
    explore_worker(flow(), answers=ANSWERS, apart=True, budget=400, walks=40)


def test_a_deadline_passes_at_any_moment() -> None:
    """E4."""
    seen = explore_worker(sequence(), answers=ANSWERS, cancels=0, losses=0, workers=1, timeout=timedelta(seconds=1), budget=20_000)
    assert seen.complete
    assert {"completed", "failed"} <= seen.ends.keys()


def test_runs_continue_as_others() -> None:
    seen = explore_worker(counts(1), answers=ANSWERS, workers=1, losses=0, budget=20_000)
    assert seen.complete


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happened_the_history_leads_to_the_end_that_is_stored(seed: int) -> None:
    """Many things at once, by random schedules: signals, timers, retries, answers, cancels, two workers, a death."""
    seen = explore_worker(
        busy(seed), answers=ANSWERS, outcomes=FAILS, signals={go: ["a", "b"]}, deaths=1, stops=1, budget=0, walks=60, seed=seed
    )
    assert seen.walks == 60
    assert sum(seen.ends.values()) == 60


def test_invariants_of_the_workflow_are_checked_in_every_state() -> None:
    explore_worker(sequence(), [at_most_once(charge), compensated()], answers=ANSWERS, budget=300, walks=20)
    with pytest.raises(WorkerViolation, match="never") as raised:
        explore_worker(sequence(), [never(charge)], answers=ANSWERS, budget=2000, losses=0)
    assert raised.value.schedule


def test_a_schedule_can_be_run_again() -> None:
    with pytest.raises(WorkerViolation) as first:
        explore_worker(sequence(), [never(charge)], answers=ANSWERS, budget=2000, losses=0)
    with pytest.raises(WorkerViolation) as again:
        explore_worker(sequence(), [never(charge)], answers=ANSWERS, losses=0, schedule=first.value.schedule)
    assert again.value.invariant == first.value.invariant
    assert f"schedule=[{first.value.schedule[0]!r}" in str(first.value)


def no(*_: Any) -> bool:
    return False


def nothing(*_: Any) -> list[Any]:
    return []


def forgets_the_first(live: ActiveExecution, actions: list[Any]) -> None:
    for run in (live.bodies or {}).values():
        run.withdraw()
    live.unbegun = True
    bodies.stop_all(live, actions)


def explore_all() -> None:
    for flow in (sequence, parallel, signalled, retried):
        explore_worker(flow(), answers=ANSWERS, outcomes=FAILS, stops=1, budget=1500, walks=200)


@pytest.mark.parametrize(
    ("module", "name", "wrong", "found"),
    [
        (precedence, "_had_begun_before", no, "counts as not begun"),
        (precedence, "_may_have_begun", no, "counts as not begun"),
        (precedence, "is_waiting", no, "a cancel that is stored before the end is taken"),
        (bodies, "stop_and_remember", forgets_the_first, "counts as not begun"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_worker_that_breaks_a_promise_is_found_out(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, wrong: Callable[..., Any], found: str
) -> None:
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(WorkerViolation, match=found):
        explore_all()
