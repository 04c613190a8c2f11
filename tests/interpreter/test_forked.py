"""A run that an operator had begin anew from a point: the copy of its history replays, and goes on as another run (F2)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from redrive_interpreter import (
    All,
    Answered,
    CancelRequested,
    Ended,
    Err,
    Failure,
    Flow,
    Forked,
    Info,
    Key,
    Machine,
    NewId,
    Note,
    Ok,
    Patch,
    Random,
    Replayed,
    Retrying,
    Rollback,
    Row,
    RunChild,
    RunStep,
    Signalled,
    StartChild,
    StartExecution,
    replay,
    workflow,
)
from redrive_interpreter.history.row_json import dump_row, load_row
from redrive_interpreter.step_results import idempotency_key
from tests.interpreter.kit import RUN, T0, start
from tests.interpreter.shop import approved, charge, ping, reserve

OTHER = UUID("00000000-0000-4000-8000-000000000002")
THIRD = UUID("00000000-0000-4000-8000-000000000003")


@workflow("shop")
def shop() -> Flow[list[Any]]:
    first = yield from NewId("invoice")
    yield from reserve("a")
    yield from Note("reserved")
    second, number = (yield from NewId("invoice")), (yield from Random())
    yield from charge(5)
    return [str(first), str(second), number]


def cut(rows: list[Row], before: str, run: UUID = OTHER, of: UUID = RUN, **fields: Any) -> list[Row]:
    """*rows* up to where the command at *before* was asked, to go on as *run*."""
    at = next(i for i, row in enumerate(rows) if getattr(row, "key", None) == before)
    return [*rows[:at], Forked(run=run, of=of, at=T0 + timedelta(hours=1), **fields)]


def keys(replayed: Replayed[Any]) -> dict[str, str]:
    """The idempotency keys of what is to be performed now."""
    return {one.key: idempotency_key(one, replayed.machine.run) for one in replayed.requests if isinstance(one, RunStep)}


def go_on(rows: list[Row], flow: Any = shop, **answers: Any) -> tuple[Machine[Any], list[Row]]:
    """Replay *rows*, then answer; the machine, and all rows by then."""
    replayed = replay(flow, rows)
    machine, stored = replayed.machine, [*rows, *replayed.rows]
    for key, value in answers.items():
        machine.receive(Answered(Key(key), Ok(value), at=T0 + timedelta(hours=2)))
        stored += machine.take()
    return machine, stored


def step_key(run: UUID, key: str) -> str:
    return str(uuid5(run, f"step:{key}"))


def test_a_step_asked_behind_the_point_has_the_idempotency_key_of_the_new_run() -> None:
    """F2: a charge that was refunded is charged anew."""
    run = start(shop()).ok("reserve", "hold").ok("charge", "ch-1")
    replayed = replay(shop, cut(run.rows, "charge"))
    assert keys(replayed) == {"charge": step_key(OTHER, "charge")}
    assert replayed.machine.info.run == OTHER


def test_a_step_in_flight_at_the_point_keeps_its_key() -> None:
    """F2: it may have taken effect."""

    @workflow("two")
    def two() -> Flow[Any]:
        return (yield from All(reserve("a"), _then(1)))

    def _then(n: int) -> Flow[Any]:
        yield from ping(n)
        return (yield from charge(n))

    run = start(two()).ok("__all/1/ping")
    rows = cut(run.rows, "__all/1/charge")
    assert keys(replay(two, rows)) == {
        "__all/0/reserve": step_key(RUN, "__all/0/reserve"),
        "__all/1/charge": step_key(OTHER, "__all/1/charge"),
    }
    retrying = Retrying(Key("__all/0/reserve"), 1, Failure("Boom", "no"), T0, at=T0)
    again = replay(two, [*rows, *replay(two, rows).rows, retrying])
    assert keys(again)["__all/0/reserve"] == step_key(RUN, "__all/0/reserve")


def test_ids_and_numbers_behind_the_point_are_those_of_the_new_run_and_stay_so() -> None:
    """F2, N1: of NewId before and after the point."""
    run = start(shop()).ok("reserve", "hold").ok("charge", "ch-1")
    machine, rows = go_on(cut(run.rows, "charge"), charge="ch-2")
    first, second, number = machine.verdict.outcome.value  # type: ignore[union-attr]
    was_first, was_second, was_number = run.result
    assert first == was_first
    assert second != was_second
    assert number != was_number
    replayed = replay(shop, rows)
    assert replayed.rows == []
    assert replayed.machine.verdict == machine.verdict


def test_the_undo_of_a_step_has_the_run_in_which_that_was_performed() -> None:
    """F2: original and copy undo a common step under one key."""

    @workflow("undone")
    def undone() -> Flow[Any]:
        yield from reserve("a")
        yield from ping(1)
        yield from charge(5)
        yield from Rollback("no")

    run = start(undone()).ok("reserve", "hold").ok("ping").ok("charge", "ch-1")
    assert [(one.key, idempotency_key(one, RUN)) for one in run.of(RunStep)] == [("rollback:charge", step_key(RUN, "rollback:charge"))]
    run.ok("rollback:charge")
    common = idempotency_key(run.of(RunStep)[0], RUN)
    replayed = replay(undone, cut(run.rows, "charge"))
    machine = replayed.machine
    asked = machine.receive(Answered(Key("charge"), Ok("ch-2"), at=T0))
    own = next(one for one in asked if isinstance(one, RunStep))
    assert idempotency_key(own, machine.run) == step_key(OTHER, "rollback:charge")
    asked = machine.receive(Answered(own.key, Ok(None), at=T0))
    assert (
        idempotency_key(next(one for one in asked if isinstance(one, RunStep)), machine.run) == common == step_key(RUN, "rollback:reserve")
    )


def test_a_fork_at_the_first_command_begins_with_the_start() -> None:
    """F2."""
    run = start(shop()).ok("reserve", "hold")
    machine, _ = go_on(cut(run.rows, "reserve"), reserve="h", charge="c")
    assert machine.run == OTHER
    assert machine.verdict.outcome.value[0] != str(run.machine.info.run)  # type: ignore[union-attr]


def test_a_fork_in_the_middle_of_a_turn_begins_when_what_comes_before_is_asked_again() -> None:
    """F2: the row before the point is the old run's, its own command included."""

    @workflow("branches")
    def branches() -> Flow[Any]:
        return (yield from All(reserve("a"), charge(1), ping(1)))

    run = start(branches())
    replayed = replay(branches, cut(run.rows, "__all/1/charge"))
    assert keys(replayed) == {
        "__all/0/reserve": step_key(RUN, "__all/0/reserve"),
        "__all/1/charge": step_key(OTHER, "__all/1/charge"),
        "__all/2/ping": step_key(OTHER, "__all/2/ping"),
    }
    rows = [*cut(run.rows, "__all/1/charge"), *replayed.rows]
    assert keys(replay(branches, rows)) == keys(replayed)


def test_a_run_is_forked_again_and_again() -> None:
    """F2: also at the same point."""
    run = start(shop()).ok("reserve", "hold").ok("charge", "ch-1")
    rows = cut(run.rows, "charge")
    _, all_rows = go_on(rows, charge="ch-2")
    twice = cut(all_rows, "charge", THIRD, OTHER)
    assert keys(replay(shop, twice)) == {"charge": step_key(THIRD, "charge")}
    earlier = cut(all_rows, "reserve", THIRD, OTHER)
    assert keys(replay(shop, earlier)) == {"reserve": step_key(THIRD, "reserve")}


def test_code_from_the_point_on_may_differ_freely() -> None:
    """F2: a fork runs today's code."""

    @workflow("shop")
    def changed() -> Flow[Any]:
        yield from NewId("invoice")
        yield from reserve("a")
        yield from Note("reserved")
        if (yield from Patch("new")):
            yield from ping(7)
        return "changed"

    run = start(shop()).ok("reserve", "hold").ok("charge", "ch-1")
    machine, rows = go_on(cut(run.rows, "charge"), changed, ping=None)
    assert machine.verdict.outcome == Ok("changed")  # type: ignore[union-attr]
    assert sum(type(row).__name__ == "Noted" for row in rows) == 1


def test_a_copy_is_an_execution_of_its_own_from_its_point_on() -> None:
    """F7: its id, its deadline; before the point it is told what the original was."""

    @workflow("told")
    def told() -> Flow[Any]:
        before = yield from Info()
        yield from ping(1)
        after = yield from Info()
        return [before.id, before.deadline, after.id, after.deadline, after.run]

    run = start(told(), deadline=60).ok("ping")
    later = T0 + timedelta(days=1)
    copied = cut(run.rows, "ping", id="x-2", deadline=later)
    machine, rows = go_on(copied, told, ping=None)
    # `ping` was the first to be asked: what comes before it in its turn is the copy's already.
    assert machine.verdict.outcome.value == ["x-2", later, "x-2", later, OTHER]  # type: ignore[union-attr]
    assert replay(told, copied).machine.next_due == later
    assert replay(told, cut(run.rows, "ping", id="x-2")).machine.next_due is None
    assert replay(told, cut(run.rows, "ping")).machine.next_due == T0 + timedelta(seconds=60)
    assert replay(told, rows).rows == []


def test_a_child_started_before_the_point_stays_its_first_runs() -> None:
    """F2, E10: so the store knows its next attempt as the same command's."""

    @workflow("child")
    def child() -> Flow[str]:
        yield from ping(1)
        return "c"

    @workflow("parent")
    def parent() -> Flow[Any]:
        yield from StartChild(child(), id="c-1")
        yield from ping(1)
        return (yield from RunChild(child()))

    run = start(parent()).ok("__start_child").ok("ping")
    [first] = [one for one in start(parent()).requests if isinstance(one, StartExecution)]
    assert first.run == RUN
    replayed = replay(parent, cut(run.rows, "ping"))
    asked = replayed.machine.receive(Answered(Key("ping"), Ok(None), at=T0))
    second = next(one for one in asked if isinstance(one, StartExecution))
    assert second.run == OTHER
    assert second.id not in {one.id for one in run.requests if isinstance(one, StartExecution)}


def test_rows_follow_a_fork_as_any_others() -> None:
    """F2: signals, cancels and ends."""

    @workflow("waits")
    def waits() -> Flow[str]:
        from redrive_interpreter import WaitSignal

        yield from ping(1)
        return (yield from WaitSignal(approved))

    run = start(waits()).ok("ping").signal("approved", "ada")
    machine, rows = go_on(cut(run.rows, "__wait_signal"), waits)
    machine.receive(Signalled("approved", "bob", at=T0 + timedelta(hours=1)))
    rows += machine.take()
    assert replay(waits, rows).machine.verdict.outcome == Ok("bob")  # type: ignore[union-attr]
    cancelled = [*rows[:-2], CancelRequested(reason="no", at=T0)]
    assert replay(waits, [*cancelled]).machine.verdict.status == "cancelled"  # type: ignore[union-attr]


def test_an_end_that_an_operator_forced_stands_wherever_the_run_stood() -> None:
    """force_fail: replay stops there, and a later retry goes on from before it."""
    run = start(shop()).ok("reserve", "hold")
    forced = Ended(status="failed", outcome=Err(Failure("Forced", "enough")), forced=True)
    replayed = replay(shop, [*run.rows, forced])
    assert replayed.machine.verdict.status == "failed"  # type: ignore[union-attr]
    assert replayed.machine.in_doubt == ("charge",)
    assert [one for one in replayed.requests if isinstance(one, RunStep)] == []


def test_their_json_is_documented_and_read_again() -> None:
    """Tags are versioned, and old histories have none of these."""
    rows = [
        Forked(run=OTHER, of=RUN, at=T0),
        Forked(run=OTHER, of=RUN, at=T0, id="x-2", deadline=T0 + timedelta(days=1)),
        Ended(status="failed", outcome=Err(Failure("Forced", "enough")), forced=True),
        Answered(Key("quote"), Ok(900), at=T0, by="operator"),
    ]
    assert [load_row(json.loads(json.dumps(dump_row(row)))) for row in rows] == rows
    assert dump_row(rows[0]) == {"row": "forked", "run": str(OTHER), "of": str(RUN), "at": 1798761600000000}


def test_an_operator_may_end_a_run_whose_last_turn_was_cut_short() -> None:
    """What was asked anew and not stored has not begun: it is neither in doubt nor left over."""
    run = start(shop()).ok("reserve", "hold").ok("charge", "ch-1")
    forced = Ended(status="failed", outcome=Err(Failure("Forced", "enough")), forced=True)
    replayed = replay(shop, [*cut(run.rows, "charge"), forced])
    assert (replayed.machine.verdict.status, replayed.rows, replayed.machine.in_doubt) == ("failed", [], ())  # type: ignore[union-attr]
