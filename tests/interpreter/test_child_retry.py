"""Children that are started again: when, how often, by whose word, and what becomes of them meanwhile (S4, N3, E9, E10)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from redrive_interpreter import (
    Asked,
    CancelChild,
    CancelExecution,
    ChildFailed,
    ChildFinished,
    ChildTimeout,
    ContinueAs,
    Err,
    Failure,
    Flow,
    InvalidDefinition,
    Join,
    Machine,
    Race,
    Retry,
    Rollback,
    RunChild,
    RunStep,
    Sleep,
    Spawn,
    StartChild,
    Started,
    StartExecution,
    WaitChild,
    WaitSignal,
    workflow,
)
from redrive_interpreter.commands.child_workflows import ChildRef
from redrive_interpreter.history.requests import NextAttempt
from tests.interpreter.kit import T0, Run, start
from tests.interpreter.shop import Declined, approved, ping, refund, reserve


@workflow("child", raises=[Declined])
def child(n: int) -> Flow[int]:
    return (yield from ping(n))


@workflow("parent")
def parent(retry: Any, **options: Any) -> Flow[Any]:
    try:
        return (yield from RunChild(child(3), id="kid", retry=retry, **options))
    except ChildFailed as error:
        return f"{error.status}: {type(error.cause).__name__} {error.cause}"


def begun(retry: Any, **options: Any) -> Run:
    """The parent, whose child runs."""
    return start(parent(retry, **options)).ok("__run_child")


def fails(run: Run, error: BaseException | None = None) -> Run:
    return run.child("kid", status="failed", error=error, raises=[Declined])


def again(run: Run) -> NextAttempt | None:
    """What the last turn asked for: another attempt, or none."""
    starts = run.of(StartExecution)
    return starts[0].again if starts else None


def seconds(moment: datetime) -> float:
    return (moment - T0).total_seconds()


def decisions(run: Run) -> list[Any]:
    return [row.input["due"] for row in run.rows if isinstance(row, Asked) and row.kind == "child_attempt"]


# ── when, and how often ─────────────────────────────────────────────────────────────────────────
def test_a_failed_child_is_started_again_under_its_id_when_it_is_due() -> None:
    run = fails(begun(Retry(attempts=2, delay=10)).at(5))
    [request] = run.of(StartExecution)
    assert (request.id, request.workflow, request.input, request.key) == ("kid", "child", {"n": 3}, "__run_child/__attempt#2")
    assert (request.again.attempt, seconds(request.again.due), request.again.of, request.again.first_at) == (2, 15, "__run_child", T0)
    assert run.asked == ["__run_child"]
    assert run.child("kid", 9).result == 9


def test_after_the_last_attempt_the_last_failure_is_raised() -> None:
    run = fails(begun(Retry(attempts=3)))
    fails(run)
    assert fails(run, Declined("the third")).result == "failed: Declined the third"


def test_attempts_and_their_times_are_in_the_history() -> None:
    """S4."""
    run = fails(begun(Retry(attempts=3, delay=2, factor=3)).at(1))
    fails(run.at(10))
    assert decisions(run) == ["2027-01-01T00:00:03+00:00", "2027-01-01T00:00:16+00:00"]
    fails(run.at(20))
    assert decisions(run)[2:] == [None]


def test_a_child_without_a_policy_leaves_no_row() -> None:
    assert decisions(fails(begun(None))) == []


def test_each_attempt_has_a_run_of_its_own_that_is_the_same_on_every_replay() -> None:
    """N1."""

    def runs() -> list[UUID]:
        run = begun(Retry(attempts=None))
        return [again(fails(run)).run for _ in range(3)]  # type: ignore[union-attr]

    assert len(set(runs())) == 3
    assert runs() == runs()


def test_no_attempt_begins_later_than_within() -> None:
    run = fails(begun(Retry(attempts=None, delay=4, factor=1, within=10)).at(5))
    assert again(run) is not None
    assert fails(run.at(7)).result.startswith("failed")


def test_jitter_is_the_same_on_every_replay() -> None:
    retry = Retry(attempts=2, delay=100, jitter=1)
    first = again(fails(begun(retry)))
    assert first == again(fails(begun(retry)))
    assert first is not None
    assert 0 < seconds(first.due) < 100


def test_the_wait_of_run_child_is_for_all_attempts() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        try:
            return (yield from RunChild(child(3), id="kid", wait_timeout=5, retry=Retry(attempts=2, delay=60)))
        except ChildTimeout:
            return (yield from WaitChild(ChildRef[int]("kid")))

    run = fails(start(w()).ok("__run_child"))
    assert run.fire("__run_child").asked == ["__wait_child"]
    assert run.of(CancelExecution) == []
    assert run.child("kid", 4).result == 4


def test_all_who_wait_for_it_get_the_last_attempts_result() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        ref = yield from StartChild(child(3), id="kid", retry=Retry(attempts=2))
        task = yield from Spawn(WaitChild(ref))
        return [(yield from WaitChild(ref)), (yield from Join(task)), (yield from WaitChild(ref))]

    run = fails(start(w()).ok("__start_child"))
    assert run.asked == ["__spawn/__wait_child", "__wait_child"]
    assert run.child("kid", 4).result == [4, 4, 4]


def test_one_that_nobody_waits_for_is_started_again_too() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        ref = yield from StartChild(child(3), id="kid", retry=Retry(attempts=2))
        yield from ping(1)
        return (yield from WaitChild(ref))

    run = fails(start(w()).ok("__start_child"))
    assert again(run) is not None
    assert run.child("kid", 4).ok("ping").result == 4


# ── which failures ──────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("status", ["cancelled", "compensation_failed"])
def test_only_a_failure_is_followed_by_another_attempt(status: str) -> None:
    assert begun(Retry(attempts=5)).child("kid", status=status).result.startswith(status)


def test_on_and_give_up_on_name_what_the_childs_workflow_declares() -> None:
    assert again(fails(begun(Retry(attempts=2, on=Declined)), Declined("no"))) is not None
    assert fails(begun(Retry(attempts=2, on=Declined)), ValueError("no")).result.startswith("failed")
    assert fails(begun(Retry(attempts=2, give_up_on=Declined)), Declined("no")).result == "failed: Declined no"
    assert again(fails(begun(Retry(attempts=2, give_up_on=Declined)), ValueError("no"))) is not None


def test_the_first_policy_that_matches_counts() -> None:
    policies = (Retry(attempts=2, delay=1, on=Declined), Retry(attempts=5, delay=7))
    assert seconds(again(fails(begun(policies), Declined("no"))).due) == 1  # type: ignore[union-attr]
    run = fails(begun(list(policies)), ValueError("no"))
    assert seconds(again(run).due) == 7  # type: ignore[union-attr]
    assert fails(run, Declined("no")).result == "failed: Declined no"


def test_what_is_no_policy_is_refused_where_the_command_is_built() -> None:
    wrong: Any = 3
    with pytest.raises(InvalidDefinition, match="StartChild: retry=3 is neither a Retry nor a tuple of them"):
        StartChild(child(1), retry=wrong)
    with pytest.raises(InvalidDefinition, match="RunChild: retry=3 is not a Retry"):
        RunChild(child(1), retry=[Retry(), wrong])


def test_commands_are_equal_whatever_their_policies() -> None:
    assert RunChild(child(1), retry=Retry(attempts=2)) == RunChild(child(1))


def test_an_id_that_is_a_strangers_by_then_is_a_failure_for_good() -> None:
    """E10."""
    run = fails(begun(Retry(attempts=None)))
    conflict = Err(Failure("ExecutionConflict", "kid"))
    run.tell(ChildFinished(id="kid", status="failed", outcome=conflict, at=run.now))
    assert run.result == "failed: UndeclaredError ExecutionConflict: kid"


# ── on replay ───────────────────────────────────────────────────────────────────────────────────
@workflow("p")
def forever() -> Flow[Any]:
    return (yield from RunChild(child(3), id="kid", retry=Retry(attempts=None, delay=10)))


@workflow("p")
def once() -> Flow[Any]:
    return (yield from RunChild(child(3), id="kid"))


@workflow("p")
def twice() -> Flow[Any]:
    return (yield from RunChild(child(3), id="kid", retry=Retry(attempts=2, delay=99)))


@pytest.mark.parametrize("code", [once, twice])
def test_what_was_decided_stands_whatever_the_code_says_now(code: Any) -> None:
    """N3."""
    run = fails(fails(start(forever()).ok("__run_child")))
    replayed = run.replay(code)
    assert replayed.rows == run.rows
    assert replayed.asked == ["__run_child"]
    assert fails(replayed).status == "failed"  # and what is still to be decided is up to the code


def started_with(retry: Retry | None) -> Any:
    """A workflow that starts its child so, and waits for a signal before it waits for the child."""

    @workflow("w")
    def w() -> Flow[Any]:
        ref = yield from StartChild(child(3), id="kid", retry=retry)
        yield from WaitSignal(approved)
        yield from ping(1)
        return (yield from WaitChild(ref))

    return w


def test_a_failure_for_good_stays_one() -> None:
    """N3: also where it is the last thing that happened."""
    run = fails(start(started_with(Retry(attempts=1))()).ok("__start_child"))
    assert decisions(run) == [None]
    replayed = run.replay(started_with(Retry(attempts=9)))
    assert replayed.rows == run.rows
    assert replayed.signal("approved").ok("ping").status == "failed"


def test_a_policy_added_where_there_was_none_changes_nothing_that_is_past() -> None:
    """N3."""
    run = fails(start(started_with(None)()).ok("__start_child")).signal("approved")
    replayed = run.replay(started_with(Retry(attempts=9)))
    assert replayed.rows == run.rows
    assert replayed.ok("ping").status == "failed"


def test_a_policy_added_while_the_child_runs_is_for_its_next_failure() -> None:
    """N3."""
    run = start(started_with(None)()).ok("__start_child").replay(started_with(Retry(attempts=9)))
    assert again(fails(run)) is not None


def test_a_history_that_ends_with_the_failure_decides_as_the_live_run_did() -> None:
    live = fails(begun(Retry(attempts=2, delay=10)).at(3))
    cut = begun(Retry(attempts=2, delay=10))
    cut.rows, cut.now = live.rows[:-1], live.now
    replayed = cut.replay()
    assert replayed.rows == live.rows
    assert [request.again for request in replayed.requests if isinstance(request, StartExecution)] == [again(live)]


def test_the_last_turns_attempt_is_asked_for_again_after_a_crash() -> None:
    run = fails(begun(Retry(attempts=2)))
    [request] = [request for request in run.replay().requests if isinstance(request, StartExecution)]
    assert request.again == again(run)


# ── cut, cancelled, left ────────────────────────────────────────────────────────────────────────
def test_one_cut_between_two_attempts_is_cancelled_and_awaited() -> None:
    """E10."""

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(RunChild(child(1), id="kid", retry=Retry(attempts=None, delay=60)), Sleep(5))).index

    run = fails(start(w()).ok("__race/0/__run_child"))
    run.fire("__race/1/__sleep")
    assert [request.id for request in run.of(CancelExecution)] == ["kid"]
    assert run.child("kid", status="cancelled").result == 1


def test_one_that_fails_when_it_is_cut_is_not_started_again() -> None:
    """S10: no further attempt."""

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(RunChild(child(1), id="kid", retry=Retry(attempts=None)), Sleep(5))).index

    run = start(w()).ok("__race/0/__run_child").fire("__race/1/__sleep")
    fails(run)
    assert (run.result, run.of(StartExecution)) == (1, [])


def test_one_that_the_workflow_asked_to_cancel_is_not_started_again() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        ref = yield from StartChild(child(1), id="kid", retry=Retry(attempts=None))
        yield from CancelChild(ref)
        return (yield from WaitChild(ref))

    run = start(w()).ok("__start_child").ok("__cancel_child")
    assert fails(run).status == "failed"


def test_at_the_end_it_is_cancelled_awaited_or_left_as_any_other() -> None:
    """E10."""

    @workflow("w")
    def w() -> Flow[str]:
        for id, policy in (("cancelled", "cancel"), ("left", "abandon"), ("awaited", "wait")):
            made: Any = policy
            yield from StartChild(child(1), id=id, on_parent_close=made, retry=Retry(attempts=3, delay=60))
        yield from ping(1)
        return "done"

    run = start(w()).ok("__start_child").ok("__start_child#2").ok("__start_child#3")
    for id in ("cancelled", "left", "awaited"):
        assert again(run.child(id, status="failed")) is not None
    assert run.ok("ping").asked == []
    assert again(run.child("awaited", status="failed")) is not None  # it still may come to an end of its own
    assert run.child("awaited", 1).result == "done"
    assert [request.id for request in run.of(CancelExecution)] == ["cancelled"]


def test_it_is_cancelled_and_awaited_before_undos_run() -> None:
    """E10."""

    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from reserve("a")
        yield from StartChild(child(1), id="kid", retry=Retry(attempts=None, delay=60))
        yield from ping(1)

    run = fails(start(w()).ok("reserve", "h").ok("__start_child"))
    run.fail("ping")
    assert [request.id for request in run.of(CancelExecution)] == ["kid"]
    assert run.asked == []
    fails(run)
    assert (run.of(StartExecution), run.asked) == ([], ["rollback:reserve"])


def test_a_run_that_is_over_starts_no_child_again_while_its_undos_are_tried_once_more() -> None:
    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from StartChild(child(1), id="kid", on_parent_close="abandon", retry=Retry(attempts=None))
        yield from reserve("a")
        yield from ping(1)

    run = start(w()).ok("__start_child").ok("reserve", "h").fail("ping").fail("rollback:reserve")
    assert run.status == "compensation_failed"
    fails(run.retry_rollback())
    assert run.of(StartExecution) == []
    assert run.ok("rollback:reserve").status == "failed"


def test_its_undo_is_for_one_that_completed() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        kids = [RunChild(child(n), id=f"kid-{n}", undo=refund, retry=Retry(attempts=2)) for n in range(2)]
        for kid in kids:
            try:
                yield from kid
            except ChildFailed:
                return (yield from Rollback())

    run = start(w()).ok("__run_child").child("kid-0", status="failed").child("kid-0", 7).ok("__run_child#2")
    run.child("kid-1", status="failed").child("kid-1", status="failed")
    assert [request.key for request in run.of(RunStep)] == ["rollback:__run_child"]
    assert run.ok("rollback:__run_child").result == ("__run_child",)


# ── over the runs of its parent ─────────────────────────────────────────────────────────────────
@workflow("second")
def second() -> Flow[Any]:
    return (yield from WaitChild(ChildRef[int]("kid")))


@workflow("first")
def first() -> Flow[Any]:
    yield from StartChild(child(3), id="kid", retry=Retry(attempts=2, delay=60))
    yield from Sleep(10)
    return (yield from ContinueAs(second()))


def next_run_of(run: Run) -> Run:
    """The run that a ContinueAs began, with its first fact taken."""
    started = run.machine.next_run(run=UUID(int=2), at=run.now)
    made = object.__new__(Run)
    made.workflow, made.codec, made.checked, made.now, made.rows = second, run.codec, True, run.now, []
    made.machine = Machine(second, run.codec)
    assert isinstance(started, Started)
    return made.tell(started)


def test_continue_as_neither_loses_nor_doubles_an_attempt() -> None:
    """E9."""
    run = fails(start(first()).ok("__start_child"))
    assert again(run) is not None
    assert run.fire("__sleep").status == "continued"
    assert run.of(StartExecution) == []
    after = next_run_of(run)
    assert (after.asked, after.of(StartExecution)) == (["__wait_child"], [])
    assert after.child("kid", 4).result == 4
