"""`explore`: silent about sound workflows, and quick to find what is planted in the others."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from typing import Any

import attrs
import pytest

from examples.saga import Trip, book_car, book_trip, cancel_booking
from redrive.testing import (
    InvariantBroken,
    Play,
    View,
    Violation,
    always_eventually,
    at_most_once,
    compensated,
    explore,
    never,
    play,
)
from redrive_interpreter import (
    All,
    CancelChild,
    Cancelled,
    ContinueAs,
    Flow,
    Invocation,
    Map,
    Race,
    Retry,
    Rollback,
    RunChild,
    Signal,
    SignalTimeout,
    Sleep,
    StartChild,
    StepFailed,
    StepTimeout,
    WaitChild,
    WaitSignal,
    step,
    workflow,
)


class Declined(Exception):
    pass


@attrs.frozen
class Hold:
    id: str


approved = Signal("orders.approved", str)


@step
def release(hold: Hold) -> None: ...


@step(undo=release)
def reserve(order: str) -> Hold: ...


@step
def refund(receipt: str) -> None: ...


@step(undo=refund, raises=[Declined], timeout=30)
def charge(order: str) -> str: ...


@step
def ship(order: str) -> None: ...


@step
def expire(order: str) -> None: ...


@step(retry=Retry(attempts=3, delay=1), timeout=5)
def charge_again(order: str) -> str: ...


@workflow("planted.race")
def races(order: str) -> Flow[str]:
    """The approval that came while the order was being expired still ships it."""
    try:
        yield from WaitSignal(approved, timeout=timedelta(days=1))
    except SignalTimeout:
        yield from expire(order)
    if (yield from WaitSignal(approved, timeout=0, default=None)) is not None:
        yield from ship(order)
        return "shipped late"
    return "done"


@workflow("planted.undo")
def forgets(order: str) -> Flow[str]:
    """A refused card is thought of, a late one is not."""
    yield from reserve(order)
    try:
        yield from charge(order)
    except Declined:
        yield from Rollback("declined")
        return "declined"
    return "charged"


@workflow("planted.undo", on_failure="rollback")
def remembers(order: str) -> Flow[str]:
    yield from reserve(order)
    yield from charge(order)
    return "charged"


@workflow("planted.charge")
def charges_twice(order: str) -> Flow[str]:
    """The retry of a careful person: after a timeout it is not known whether the card was charged."""
    for _ in range(2):
        try:
            return (yield from charge(order))
        except StepTimeout:
            yield from Sleep(60)
    return "gave up"


@workflow("planted.branches", on_failure="rollback")
def parallel(order: str) -> Flow[str]:
    yield from All(reserve(order), charge(order))
    yield from ship(order)
    return "done"


def find(invocation: Invocation[Any], *invariants: Any, **options: Any) -> Violation:
    began = time.perf_counter()
    with pytest.raises(Violation) as found:
        explore(invocation, invariants, **options)
    assert time.perf_counter() - began < 10
    return found.value


def paste(violation: Violation) -> Any:
    """The test of a violation, as it stands in the message, made a function."""
    assert violation.test in str(violation)
    names: dict[str, Any] = {}
    exec(compile(violation.test, "pasted", "exec"), names)
    return next(value for name, value in names.items() if name.startswith("test_"))


def test_an_approval_that_races_its_timeout_is_found() -> None:
    violation = find(races("o-1"), never(ship, after=expire))
    assert violation.schedule == [
        "the timeout of orders.approved is due after 1 day, 0:00:00",
        "signal orders.approved",
        "expire done",
    ] or sorted(violation.schedule[1:]) == ["expire done", "signal orders.approved"]
    with pytest.raises(InvariantBroken, match="ship is asked after expire"):
        paste(violation)(play)


def test_a_forgotten_undo_is_found_and_the_pasted_test_passes_once_it_is_there() -> None:
    violation = find(forgets("o-1"), compensated())
    assert violation.schedule == ["reserve = Hold(id='reserve')", "charge times out"] or violation.schedule[-1] == "charge times out"
    with pytest.raises(InvariantBroken, match="reserve is not undone"):
        paste(violation)(play)
    fixed = paste(violation)
    fixed.__globals__["forgets"] = remembers
    fixed(play)


def test_a_double_charge_after_a_retry_is_found() -> None:
    violation = find(charges_twice("o-1"), at_most_once(charge))
    with pytest.raises(InvariantBroken, match=r"2 times: charge, charge#2"):
        paste(violation)(play)
    assert find(charges_twice("o-1"), at_most_once(charge, idempotent=True)).schedule == violation.schedule


class BankTimeout(Exception):
    pass


@step(raises=[BankTimeout])
def bank(order: str) -> str: ...


def test_a_declared_timeout_may_have_taken_effect_as_well() -> None:
    @workflow("bank")
    def twice(order: str) -> Flow[str]:
        try:
            return (yield from bank(order))
        except BankTimeout:
            return (yield from bank(order))

    assert find(twice("o-1"), at_most_once(bank)).breach.endswith("bank, bank#2")


def test_any_step_may_fail_where_that_is_asked_for() -> None:
    @workflow("careless")
    def careless(order: str) -> Flow[None]:
        yield from reserve(order)
        yield from ship(order)

    assert explore(careless("o-1"), [compensated()]).complete
    assert "ship" in find(careless("o-1"), compensated(), undeclared=True).schedule[-1]
    assert explore(remembers("o-1"), [compensated()], undeclared=True).complete


def test_a_step_that_lost_its_undo_is_found_by_name() -> None:
    @workflow("lost", on_failure="rollback")
    def lost(order: str) -> Flow[None]:
        yield from expire(order)  # the mutation: expire has no undo
        yield from charge(order)

    assert explore(lost("o-1"), [compensated()]).complete
    assert find(lost("o-1"), compensated(expire)).breach == "the run ends failed, and expire is not undone"


def test_two_steps_that_are_swapped_are_found_and_so_is_one_that_is_dropped() -> None:
    @workflow("in order")
    def in_order(order: str) -> Flow[None]:
        yield from charge(order)
        yield from ship(order)

    @workflow("swapped")
    def swapped(order: str) -> Flow[None]:
        yield from ship(order)
        yield from charge(order)

    @workflow("dropped")
    def dropped(order: str) -> Flow[None]:
        yield from ship(order)

    rule = never(ship, before=charge)
    assert explore(in_order("o-1"), [rule]).complete
    for wrong in (swapped, dropped):
        violation = find(wrong("o-1"), rule)
        assert (violation.invariant, violation.breach) == ("never(ship, before=charge)", "ship is asked before charge")
    with pytest.raises(TypeError, match="say two of them"):
        never(ship, before=charge, after=expire)


def test_the_undo_of_something_else_is_found_by_what_it_is_asked_with() -> None:
    @workflow("releases another")
    def releases_another(order: str) -> Flow[str]:
        yield from reserve(order).options(undo=release(Hold(order)))
        yield from Rollback()
        return "released"

    def releases_what_was_reserved(view: View) -> bool:
        return all(given["hold"] in view.results(reserve) for given in view.inputs(release))

    assert find(releases_another("o-1"), releases_what_was_reserved).breach == "it does not hold"
    assert explore(forgets("o-1"), [releases_what_was_reserved]).complete


def test_a_lambda_is_called_by_its_text() -> None:
    most = 0
    violation = find(races("o-1"), lambda view: view.done(expire) <= most, cancels=0)
    assert violation.invariant == "lambda view: view.done(expire) <= most"
    assert "    run.check(lambda view: view.done(expire) <= most)\n" in violation.test
    found = find(
        races("o-1"),
        lambda view: view.asked(charge) < 9,
        lambda view: not (view.asked(expire) and view.final),
        cancels=0,
    )
    assert found.invariant == "lambda view: not (view.asked(expire) and view.final)"


def test_a_cancel_that_is_swallowed_leaves_undone_what_the_workflow_promised_to_undo() -> None:
    def swallows(order: str) -> Flow[str]:
        yield from reserve(order)
        try:
            return (yield from WaitSignal(approved))
        except Cancelled:
            return "never mind"

    promises = workflow("swallows", on_cancel="rollback")(swallows)
    promises_nothing = workflow("swallows")(swallows)
    assert find(promises("o-1"), compensated()).breach == "the run ends cancelled, and reserve is not undone"
    assert explore(promises_nothing("o-1"), [compensated()]).complete
    assert find(promises_nothing("o-1"), compensated(on=("cancelled",))).breach == "the run ends cancelled, and reserve is not undone"
    assert explore(promises("o-1"), [compensated(on=("failed",))]).complete


def test_the_engines_own_retry_counts_unless_the_step_is_idempotent() -> None:
    @workflow("retries")
    def retries(order: str) -> Flow[str]:
        try:
            return (yield from charge_again(order))
        except StepFailed:
            return "gave up"

    violation = find(retries("o-1"), at_most_once(charge_again))
    assert "run.time_out(charge_again('o-1'), final=False)" in violation.test
    assert explore(retries("o-1"), [at_most_once(charge_again, idempotent=True)]).complete


def test_sound_sagas_pass() -> None:
    for sound in (remembers("o-1"), parallel("o-1")):
        seen = explore(sound, [compensated(), at_most_once(charge), never(reserve, after=Cancelled)])
        assert seen.complete
        assert any(end.startswith("failed") for end in seen.ends)
        assert seen.ends["completed"]
    seen = explore(book_trip(Trip("Ada", "Oslo")), [compensated(), at_most_once(book_car), never(cancel_booking, after=book_car)])
    assert seen.complete


def test_the_shortest_schedule_is_reported_as_a_story_with_a_test() -> None:
    violation = find(forgets("o-1"), compensated())
    text = str(violation)
    assert "compensated(): the run ends failed, and reserve is not undone" in text
    assert "  1. reserve = Hold(id='reserve')\n  2. charge times out\n" in text
    assert "run = play(forgets('o-1'))\n    run.answer(reserve('o-1'), Hold(id='reserve'))\n    run.time_out(charge('o-1'))" in text
    assert "from tests.testing.test_explore import Hold, charge, forgets, reserve" in text


def test_predicates_may_say_what_is_wrong_or_assert_it() -> None:
    def ships_only_what_is_paid(view: View) -> bool:
        return not view.asked(ship) or view.done(charge) == 1

    def is_declined_in_time(view: View) -> None:
        assert view.result != "declined", "it was declined"

    assert explore(parallel("o-1"), [ships_only_what_is_paid]).complete
    assert find(forgets("o-1"), is_declined_in_time).breach == "it was declined"


def test_what_must_come_in_the_end_is_asked_at_the_end_alone() -> None:
    assert explore(forgets("o-1"), [always_eventually(charge, "undo", Declined, Cancelled, release)], cancels=0, outcomes={charge: ["ch"]})
    violation = find(forgets("o-1"), always_eventually(charge, after=reserve), cancels=0)
    assert violation.breach.startswith("it ends ")

    @workflow("waits")
    def waits() -> Flow[None]:
        yield from WaitSignal(approved)
        yield from WaitSignal(approved)
        yield from ship("o-1")

    assert find(waits(), always_eventually(ship), cancels=0).breach == "it waits for ever without ship"
    assert explore(waits(), [always_eventually(ship)], cancels=0, signals={approved: ["Ada", "Bob"]}).complete


def test_a_hand_made_undo_that_is_done_again_is_found() -> None:
    @workflow("by.hand", on_failure="rollback")
    def by_hand(order: str) -> Flow[None]:
        hold = yield from reserve(order)
        try:
            yield from charge(order)
        except Declined:
            yield from release(hold)
            raise

    assert "undone twice" in find(by_hand("o-1"), compensated()).breach


def test_code_that_replays_differently_does_not_survive_a_crash() -> None:
    lots = random.Random(1)

    @workflow("lots")
    def by_lot() -> Flow[None]:
        yield from ship(str(lots.random()))

    violation = find(by_lot())
    assert violation.invariant == "it survives a crash"


def test_a_fault_of_the_code_is_said_with_its_line() -> None:
    @workflow("faulty")
    def faulty(order: str) -> Flow[None]:
        yield from charge(order)
        yield from ship(order, "by air")  # type: ignore[call-arg]

    breach = find(faulty("o-1")).breach
    assert breach.startswith("redrive_interpreter.errors.InvalidDefinition: step ship: too many positional arguments\n  at ")
    assert breach.endswith("in faulty")
    assert 'test_explore.py", line ' in breach


def test_a_fault_of_the_code_is_found_without_any_invariant() -> None:
    @workflow("faulty")
    def faulty(order: str) -> Flow[int]:
        try:
            yield from charge(order)
        except Declined as error:
            return len(error.reason)  # type: ignore[attr-defined, no-any-return]
        return 0

    assert "AttributeError" in find(faulty("o-1")).breach


def test_equal_states_are_visited_once() -> None:
    @workflow("wide")
    def wide() -> Flow[None]:
        yield from Map(ship, [str(n) for n in range(5)])
        yield from ship("last")

    seen = explore(wide(), cancels=0)
    assert seen.states == 2**5 + 1
    assert seen.complete
    assert explore(wide(), cancels=0, merge=False).states == 326 + 120


def test_branches_that_share_a_list_are_not_taken_for_equal() -> None:
    @workflow("shared")
    def shared() -> Flow[str]:
        order: list[str] = []

        def branch(name: str) -> Flow[None]:
            yield from ship(name)
            order.append(name)

        yield from All(branch("a"), branch("b"))
        return "".join(order)

    seen: set[str] = set()

    def notes_the_result(view: View) -> None:
        seen.add(view.result)

    explore(shared(), [notes_the_result], cancels=0)
    assert seen >= {"ab", "ba"}


def test_the_same_seed_is_the_same_search() -> None:
    def search(seed: int) -> Any:
        return explore(parallel("o-1"), budget=15, seed=seed).edges

    assert search(1) == search(1)
    assert any(search(1) != search(seed) for seed in range(2, 9))


def test_races_children_and_next_runs_are_explored_too() -> None:
    @workflow("child", raises=[Declined])
    def child() -> Flow[int]:
        yield from ()
        return 1

    @workflow("all.of.it")
    def all_of_it(left: int) -> Flow[str]:
        won = yield from Race(approved=WaitSignal(approved), late=Sleep(60))
        try:
            yield from RunChild(child())
        except Exception as error:
            return type(error).__name__
        return won.name if left == 0 else (yield from ContinueAs(all_of_it(left - 1)))  # type: ignore[return-value]

    seen = explore(all_of_it(1))
    assert seen.complete
    assert set(seen.ends) >= {"completed", "cancelled: Cancelled"}


def test_a_child_that_was_told_to_cancel_ends_each_way_it_can() -> None:
    """Cancelled, completed all the same, or failed: what its parent does then is explored too (E10)."""

    @workflow("cut.child", raises=[Declined])
    def child() -> Flow[int]:
        yield from ()
        return 1

    @workflow("cut.parent")
    def parent() -> Flow[int]:
        return (yield from RunChild(child()))

    @workflow("cut.race")
    def race() -> Flow[int]:
        return (yield from Race(RunChild(child()), Sleep(60))).index

    @workflow("cut.by_hand")
    def by_hand() -> Flow[None]:
        ref = yield from StartChild(child())
        yield from CancelChild(ref, "enough")
        yield from WaitChild(ref)

    seen = explore(parent())
    assert seen.ends == {"completed": 1, "failed: ChildFailed": 1, "cancelled: Cancelled": 3}
    late = [move for _, move, _ in explore(race(), cancels=0).edges if "child" in move]
    ends = ["child cut.child done", "child cut.child fails: Declined"]
    assert sorted(late) == sorted([*ends, *ends, "child cut.child cancelled"])
    assert explore(by_hand(), cancels=0).ends == {"completed": 1, "failed: ChildFailed": 2}


def test_a_child_fails_with_an_error_that_it_does_not_declare_where_that_is_asked_for() -> None:
    @workflow("plain.child")
    def child() -> Flow[int]:
        yield from ()
        return 1

    @workflow("plain.parent")
    def parent() -> Flow[int]:
        return (yield from RunChild(child()))

    assert explore(parent(), cancels=0).ends == {"completed": 1}
    assert explore(parent(), cancels=0, undeclared=True).ends == {"completed": 1, "failed: ChildFailed": 1}


def test_a_value_that_nobody_can_guess_is_asked_for() -> None:
    class Odd:
        def __init__(self, needs: object) -> None: ...

    @step
    def oddly() -> Odd: ...

    @workflow("odd")
    def odd() -> Flow[None]:
        yield from oddly()

    with pytest.raises(TypeError, match=r"answers=\{'oddly': …\}"):
        explore(odd())


def test_the_fixture_has_the_checks_as_well(play: Play) -> None:
    run = play(forgets("o-1"))
    run.answer(reserve("o-1"), Hold("h"))
    run.check(compensated(), at_most_once(charge))
    run.time_out(charge("o-1"))
    with pytest.raises(InvariantBroken, match="not undone"):
        run.check(compensated())
