"""Children: started once, awaited or not, and what becomes of them when their parent ends (E10)."""

from __future__ import annotations

from typing import Any

import pytest

from redrive_interpreter import (
    All,
    CancelChild,
    CancelExecution,
    ChildFailed,
    ChildTimeout,
    DeliverSignal,
    Diverged,
    ExecutionConflict,
    ExecutionNotFound,
    Flow,
    Race,
    RunChild,
    SendSignal,
    Sleep,
    StartChild,
    StartExecution,
    WaitChild,
    WaitSignal,
    workflow,
)
from redrive_interpreter.commands.child_workflows import ChildRef
from tests.interpreter.kit import Run, raises, start
from tests.interpreter.shop import Broken, Declined, approved, ping, refund, reserve


@workflow("child", raises=[Declined])
def child(n: int) -> Flow[int]:
    return (yield from ping(n))


def id_of(run: Run) -> str:
    [request] = [request for request in run.requests if isinstance(request, StartExecution)]
    return request.id


def test_run_child_starts_it_and_gives_its_result() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        return (yield from RunChild(child(3)))

    run = start(w())
    [request] = run.of(StartExecution)
    assert (request.workflow, request.input, request.on_parent_close) == ("child", {"n": 3}, "cancel")
    assert run.ok("__run_child").child(request.id, 9).result == 9


def test_the_default_id_derives_from_the_run_and_the_key() -> None:
    """N1."""

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from All(RunChild(child(1)), RunChild(child(1))))

    ids = [request.id for request in start(w()).of(StartExecution)]
    assert len(set(ids)) == 2
    assert ids == [request.id for request in start(w()).of(StartExecution)]


def test_a_child_may_end_before_its_start_was_answered() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        return (yield from RunChild(child(3)))

    run = start(w())
    id = id_of(run)
    assert run.child(id, 9).ok("__run_child").result == 9


def test_a_failed_child_raises_with_its_error_rebuilt() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from RunChild(child(3), id="kid")
        except ChildFailed as error:
            return f"{error.status} {error.id} {type(error.cause).__name__} {error.cause}"
        return "fine"

    run = start(w()).ok("__run_child").child("kid", status="failed", error=Declined("no"), raises=[Declined])
    assert run.result == "failed kid Declined no"


def test_start_child_goes_on_and_wait_child_waits() -> None:
    @workflow("w")
    def w() -> Flow[list[Any]]:
        ref = yield from StartChild(child(3), id="c-1")
        yield from ping(1)
        return [ref.id, (yield from WaitChild(ref)), (yield from WaitChild(ref))]

    run = start(w()).ok("__start_child")
    assert run.asked == ["ping"]
    assert run.ok("ping").child("c-1", 4).result == ["c-1", 4, 4]


def test_waiting_too_long_is_child_timeout_and_the_child_goes_on() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        ref = yield from StartChild(child(3), id="c-1")
        try:
            return (yield from WaitChild(ref, timeout=5))
        except ChildTimeout as error:
            yield from ping(1)
            return [error.id, error.timeout.total_seconds() if error.timeout else None, (yield from WaitChild(ref))]

    run = start(w()).ok("__start_child").fire("__wait_child")
    assert run.of(CancelExecution) == []
    assert run.ok("ping").child("c-1", 4).result == ["c-1", 5.0, 4]


def test_run_child_has_a_timeout_of_its_own() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        try:
            return (yield from RunChild(child(3), timeout=100, wait_timeout=5, on_parent_close="abandon"))
        except ChildTimeout as error:
            return error.timeout.total_seconds() if error.timeout else None

    assert start(w()).ok("__run_child").fire("__run_child").result == 5.0


def test_an_id_that_this_command_did_not_create_is_a_conflict() -> None:
    """E10."""

    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from StartChild(child(3), id="taken")
        except ExecutionConflict as error:
            return error.id
        return "started"

    run = start(w()).fail("__start_child", "redrive_interpreter.errors.ExecutionConflict")
    assert run.result == "taken"
    assert run.of(CancelExecution) == []


def test_starting_the_same_id_twice_is_a_conflict_and_leaves_the_first_alone() -> None:
    """E10."""

    @workflow("w")
    def w() -> Flow[list[Any]]:
        ref = yield from StartChild(child(1), id="c-1")
        try:
            yield from StartChild(child(2), id="c-1")
        except ExecutionConflict:
            return ["conflict", (yield from WaitChild(ref))]
        return ["two"]

    run = start(w()).ok("__start_child")
    assert run.of(StartExecution) == []
    assert run.child("c-1", 5).result == ["conflict", 5]


def test_at_the_end_children_are_cancelled_awaited_or_left() -> None:
    """E10."""

    @workflow("w")
    def w() -> Flow[str]:
        yield from StartChild(child(1), id="cancelled")
        yield from StartChild(child(1), id="abandoned", on_parent_close="abandon")
        yield from StartChild(child(1), id="awaited", on_parent_close="wait")
        return "done"

    run = start(w()).ok("__start_child").ok("__start_child#2").ok("__start_child#3")
    assert run.asked == []
    run.child("awaited", 1)
    assert run.result == "done"
    assert [request.id for request in run.of(CancelExecution)] == ["cancelled"]


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_on_parent_close_applies_at_any_end(how: str) -> None:
    """E10."""

    @workflow("w")
    def w() -> Flow[None]:
        yield from StartChild(child(1), id="kid")
        yield from ping(1)

    run = start(w()).ok("__start_child")
    run = run.fail("ping") if how == "fails" else run.cancel()
    assert run.status in ("failed", "cancelled")
    assert [request.id for request in run.of(CancelExecution)] == ["kid"]


def test_children_are_cancelled_and_awaited_before_undos_run() -> None:
    """E10."""

    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from reserve("a")
        yield from StartChild(child(1), id="kid")
        raise Broken("no")

    run = start(w()).ok("reserve", "h").ok("__start_child")
    assert [request.id for request in run.of(CancelExecution)] == ["kid"]
    assert run.asked == []
    run.child("kid", status="cancelled")
    assert run.asked == ["rollback:reserve"]
    assert run.ok("rollback:reserve").status == "failed"


def test_a_cut_run_child_cancels_its_child_and_awaits_it() -> None:
    """E10."""

    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(RunChild(child(1), id="kid"), Sleep(5))).index

    run = start(w()).ok("__race/0/__run_child").fire("__race/1/__sleep")
    assert [request.id for request in run.of(CancelExecution)] == ["kid"]
    assert run.child("kid", status="cancelled").result == 1


def test_one_cut_before_its_start_was_answered_does_so_after_it() -> None:
    @workflow("w")
    def w() -> Flow[int]:
        return (yield from Race(RunChild(child(1), id="kid", wait_timeout=1), Sleep(5))).index

    run = start(w()).fire("__race/1/__sleep")
    assert run.of(CancelExecution) == []
    run.ok("__race/0/__run_child")
    assert [request.id for request in run.of(CancelExecution)] == ["kid"]
    assert run.machine.timers == {}
    assert run.child("kid", status="cancelled").result == 1


def test_a_cut_wait_child_only_stops_waiting() -> None:
    """E10."""

    @workflow("w")
    def w() -> Flow[int]:
        ref = yield from StartChild(child(1), id="kid", on_parent_close="abandon")
        return (yield from Race(WaitChild(ref, timeout=60), Sleep(5))).index

    run = start(w()).ok("__start_child").fire("__race/1/__sleep")
    assert (run.result, run.of(CancelExecution), run.machine.timers) == (1, [], {})


def test_cancel_child_asks_and_does_not_wait() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        ref = yield from StartChild(child(1), id="kid", on_parent_close="abandon")
        yield from CancelChild(ref, "changed my mind")
        return "asked"

    run = start(w()).ok("__start_child")
    assert [(request.id, request.reason) for request in run.of(CancelExecution)] == [("kid", "changed my mind")]
    assert run.ok("__cancel_child").result == "asked"


def test_waiting_for_a_stranger_is_not_found() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from WaitChild(ChildRef("stranger"))
        except ExecutionNotFound as error:
            return error.id
        return "?"

    assert start(w()).result == "stranger"


def test_a_childs_undo_is_an_undo_like_any_other() -> None:
    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from RunChild(child(1), id="kid", undo=refund)
        raise Broken("no")

    run = start(w()).ok("__run_child").child("kid", 7)
    assert run.asked == ["rollback:__run_child"]
    assert run.ok("rollback:__run_child").status == "failed"


def test_a_cancel_while_the_run_waits_for_children_in_order_to_end_goes_on_to_them() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        yield from StartChild(child(1), id="kid", on_parent_close="wait")
        return "done"

    run = start(w()).ok("__start_child").cancel("hurry")
    assert [(request.id, request.reason) for request in run.of(CancelExecution)] == [("kid", "hurry")]
    assert run.child("kid", status="cancelled").result == "done"


@pytest.mark.parametrize(
    "changed",
    [
        lambda: RunChild(child(2)),
        lambda: RunChild(child(1), id="other"),
        lambda: RunChild(child(1), on_parent_close="abandon"),
        lambda: RunChild(child(1), wait_timeout=5),
        lambda: StartChild(child(1)),
    ],
)
def test_another_child_is_divergence(changed: Any) -> None:
    """D1."""

    @workflow("w")
    def before() -> Flow[Any]:
        return (yield from RunChild(child(1)))

    @workflow("w")
    def after() -> Flow[Any]:
        return (yield from changed())

    raises(Diverged, lambda: start(before()).replay(after))


def test_a_signal_is_sent_with_the_turn_and_answered() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        yield from SendSignal("other", approved, "Ada")
        try:
            yield from SendSignal("gone", approved, "Ada")
        except ExecutionNotFound as error:
            return error.id
        return "sent"

    run = start(w())
    [request] = run.of(DeliverSignal)
    assert (request.target, request.signal, request.payload) == ("other", "approved", "Ada")
    assert run.ok("__send_signal").fail("__send_signal#2", "redrive_interpreter.errors.ExecutionNotFound").result == "gone"


def test_one_fact_wakes_all_who_wait_for_the_child_in_the_order_of_their_keys() -> None:
    """O1."""

    @workflow("w")
    def w() -> Flow[Any]:
        ref = yield from StartChild(child(1), id="kid")

        def branch(n: int) -> Flow[int]:
            value = yield from WaitChild(ref)
            yield from ping(n)
            return value

        return (yield from All(branch(0), branch(1), WaitSignal(approved, timeout=9, default="")))

    run = start(w()).ok("__start_child").child("kid", 3)
    assert run.asked == ["__all/2/__wait_signal", "__all/0/ping", "__all/1/ping"]
