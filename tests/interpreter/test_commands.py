"""Commands are values: what they hold, when they are equal, and what they refuse where they are built."""

from __future__ import annotations

import copy
import enum
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

import redrive_interpreter
from redrive_interpreter import (
    All,
    Attribute,
    CancelChild,
    ChildRef,
    Command,
    Commit,
    ContinueAs,
    Emit,
    Event,
    Flow,
    Info,
    InvalidDefinition,
    InvalidDuration,
    InvalidId,
    Join,
    Key,
    Map,
    NewId,
    Note,
    Now,
    Patch,
    Race,
    Random,
    ReservedId,
    Rollback,
    RunChild,
    SendSignal,
    SetAttribute,
    Settle,
    Signal,
    Sleep,
    Spawn,
    StartChild,
    Step,
    Switch,
    Task,
    WaitChild,
    WaitSignal,
    step,
    workflow,
)
from redrive_interpreter.commands.durations import EARLIEST, LONGEST
from redrive_interpreter.commands.messaging import NOTHING

approved = Signal("approved", str)
processed = Event("processed", int)
state = Attribute("state", str)


@step
def work(n: int) -> int:
    return n


@workflow
def child(n: int) -> Flow[int]:
    return (yield from work(n))


EVERY: list[Callable[[], Command[Any]]] = [
    lambda: work(1),
    lambda: Sleep(5),
    lambda: WaitSignal(approved, timeout=5, default=None),
    lambda: Emit(processed, 5),
    lambda: SendSignal("o-1", approved, "Ada"),
    lambda: Rollback("why"),
    lambda: Commit(),
    lambda: Note("seen", at=[1]),
    lambda: Switch("which", 1).when(1, work(1)).otherwise(work(2)),
    lambda: All(work(1), work(2)),
    lambda: Race(a=work(1), b=work(2)),
    lambda: Map(work, [1, 2], limit=1),
    lambda: Settle(work(1)),
    lambda: Spawn(work(1)),
    lambda: Join(Task[int](Key("__spawn"))),
    lambda: StartChild(child(1), id="c"),
    lambda: WaitChild(ChildRef[int]("c", "child"), timeout=5),
    lambda: RunChild(child(1), timeout=5),
    lambda: CancelChild(ChildRef[int]("c"), "late"),
    lambda: ContinueAs(child(2)),
    lambda: Patch("p"),
    lambda: Info(),
    lambda: Now(),
    lambda: NewId("invoice"),
    lambda: Random(),
    lambda: SetAttribute(state, "new"),
]
every = pytest.mark.parametrize("build", EVERY, ids=lambda build: build().kind)


@every
def test_a_command_is_a_frozen_value(build: Callable[[], Command[Any]]) -> None:
    made = build()
    assert made == build()
    assert hash(made) == hash(build())
    assert copy.copy(made) == made
    assert not hasattr(made, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.command_id = "other"
    assert type(made).__name__ in repr(made)


@every
def test_a_command_may_be_given_an_id(build: Callable[[], Command[Any]]) -> None:
    made = build()
    named = made.options(id="mine")
    assert type(named) is type(made)
    assert named != made
    assert "mine" in {named.command_id, named.default_id}
    assert "mine" in repr(named)
    assert (made.command_id, made) == (None, build())
    with pytest.raises(ReservedId):
        made.options(id="__mine")


@every
def test_yielding_from_a_command_yields_it_and_gives_back_its_answer(build: Callable[[], Command[Any]]) -> None:
    made = build()
    asking = iter(made)
    assert next(asking) is made
    with pytest.raises(StopIteration) as stop:
        asking.send("answer")
    assert stop.value.value == "answer"


def test_every_command_has_a_kind_of_its_own() -> None:
    kinds = [build().kind for build in EVERY]
    assert len(set(kinds)) == len(kinds)
    assert Sleep(1).default_id == "__sleep"
    assert work(1).default_id == "work"
    public = {getattr(redrive_interpreter, name) for name in redrive_interpreter.__all__}
    commands = {thing for thing in public if isinstance(thing, type) and issubclass(thing, Command)} - {Command}
    assert commands == {type(build()) for build in EVERY}


def test_commands_of_values_can_be_pickled() -> None:
    for made in (Sleep(5).options(id="x"), WaitSignal(approved), Emit(processed, 5), Now()):
        assert pickle.loads(pickle.dumps(made)) == made


def test_the_public_names_are_sorted() -> None:
    names = redrive_interpreter.__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names)


# ── time ────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e300, 10**400, "5", True, None, timedelta.max, 1j])
def test_a_duration_that_no_timer_can_be_set_to_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidDuration, match="Sleep"):
        Sleep(bad)
    with pytest.raises(ValueError):
        Sleep(bad)
    if bad is not None:
        with pytest.raises(InvalidDuration, match="WaitSignal timeout"):
            WaitSignal(approved, timeout=bad)


@pytest.mark.parametrize("fine", [0, -5, 0.25, timedelta(0), timedelta(days=-1), timedelta(days=36_525), 100 * 365.25 * 86_400])
def test_zero_negative_and_a_hundred_years_are_fine(fine: float | timedelta) -> None:
    wanted = fine if isinstance(fine, timedelta) else timedelta(seconds=fine)
    assert Sleep(fine).duration == wanted
    assert WaitSignal(approved, timeout=fine).timeout == wanted


def test_the_longest_durations_do_not_overflow_when_they_are_added_up() -> None:
    latest = Sleep(until=datetime(6999, 12, 31, tzinfo=UTC)).until
    longest = Sleep(LONGEST).duration
    assert latest is not None
    assert longest is not None
    assert (latest + longest + longest).year < 9999
    assert Sleep(timedelta.min).duration == -LONGEST
    assert Sleep(-1e300).duration == -LONGEST


def test_a_moment_is_kept_in_utc_and_the_past_is_fine() -> None:
    berlin = timezone(timedelta(hours=2))
    assert Sleep(until=datetime(2030, 1, 1, 2, tzinfo=berlin)) == Sleep(until=datetime(2030, 1, 1, tzinfo=UTC))
    assert Sleep(until=datetime(1990, 1, 1, tzinfo=UTC)).until == datetime(1990, 1, 1, tzinfo=UTC)
    assert Sleep(until=datetime.min.replace(tzinfo=berlin)).until == EARLIEST


@pytest.mark.parametrize("bad", [datetime(2030, 1, 1), datetime.max.replace(tzinfo=UTC), "2030-01-01", 5])  # noqa: DTZ001
def test_a_moment_without_a_zone_or_beyond_all_reason_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidDuration, match="until"):
        Sleep(until=bad)


def test_a_duration_and_a_moment_exclude_each_other() -> None:
    soon: Any = datetime(2030, 1, 1, tzinfo=UTC)
    untyped: Any = Sleep
    for build in (
        lambda: untyped(),
        lambda: untyped(5, until=soon),
        lambda: WaitSignal(approved, timeout=5, until=soon),
        lambda: StartChild(child(1), delay=5, start_at=soon),
    ):
        with pytest.raises(InvalidDuration):
            build()


def test_equal_durations_are_equal_however_they_are_given() -> None:
    assert Sleep(60) == Sleep(60.0) == Sleep(timedelta(minutes=1)) != Sleep(61)


# ── messages ────────────────────────────────────────────────────────────────────────────────────
def test_a_signal_of_something_is_a_signal_of_its_own() -> None:
    of = approved.of("d-17")
    assert (of.name, of.type, of.base) == ("approved:d-17", str, "approved")
    assert of.of("x").base == "approved"
    assert isinstance(of, Signal)
    assert of != approved
    assert of == approved.of("d-17")
    with pytest.raises(InvalidId):
        approved.of("x" * 250)


def test_a_message_without_a_type_has_no_payload() -> None:
    assert Signal("tick").type is None
    assert SendSignal("o-1", Signal("tick")).payload is None
    assert Emit(Event("done")).payload is None


def test_a_name_stands_for_an_untyped_message() -> None:
    assert WaitSignal("approved").signal == Signal("approved", Any)
    assert Emit("done", 5).event == Event("done", Any)


def test_a_default_is_told_apart_from_none() -> None:
    assert WaitSignal(approved, timeout=1).default is NOTHING
    assert WaitSignal(approved, timeout=1, default=None).default is None
    with pytest.raises(InvalidDefinition, match="never be used"):
        WaitSignal(approved, default=None)


def test_a_signal_goes_to_an_id_or_to_a_child() -> None:
    assert SendSignal("c-1", approved, "Ada") == SendSignal(ChildRef[Any]("c-1"), approved, "Ada")
    for bad in ("", "a\0", "x" * 256):
        with pytest.raises(InvalidId, match="execution id"):
            SendSignal(bad, approved, "Ada")


# ── branches ────────────────────────────────────────────────────────────────────────────────────
def flow() -> Flow[int]:
    return (yield from work(1))


def test_all_and_race_keep_their_branches_in_order() -> None:
    assert All().branches == ()
    assert (All(work(1), child(2)).shape, All(work(1), child(2)).names) == ("tuple", None)
    named = All(b=work(1), a=work(2))
    assert (named.shape, named.names, named.branches) == ("mapping", ("b", "a"), (work(1), work(2)))
    listed = All.of((work(n) for n in range(3)), limit=2, enough=1)
    assert (listed.shape, len(listed.branches), listed.limit, listed.enough) == ("list", 3, 2, 1)
    assert Race(x=flow()).names == ("x",)


@pytest.mark.parametrize(
    "build",
    [
        lambda: All(work),
        lambda: All([work(1)]),
        lambda: All("ab"),
        lambda: All(5),
        lambda: All(work(1), x=work(2)),
        lambda: All(__x=work(1)),
        lambda: All(**{"": work(1)}),
        lambda: All.of([work]),
        lambda: All.of(work(1)),
        lambda: All.of(child(1)),
        lambda: All.of([work(1)], limit=0),
        lambda: All.of([work(1)], enough=-1),
        lambda: All.of([work(1)], limit=1.5),
        lambda: Race(),
        lambda: Race(child),
        lambda: Map(work(1), [1]),
        lambda: Map(work, [1], limit=0),
        lambda: Settle(work),
        lambda: Spawn(5),
        lambda: Join(work(1)),
        lambda: Switch("s", 1).when(1, work),
        lambda: Rollback(on_error="maybe"),
        lambda: Note(5),
        lambda: StartChild(child),
        lambda: StartChild(work(1)),
        lambda: StartChild(child(1), on_parent_close="ignore"),
        lambda: StartChild(child(1), id=""),
        lambda: StartChild(child(1), timeout=0),
        lambda: WaitChild("c"),
        lambda: ContinueAs(child),
        lambda: SetAttribute("state", "x"),
        lambda: NewId("__x"),
        lambda: Patch(""),
    ],
)
def test_what_cannot_mean_anything_is_refused_where_it_is_built(build: Callable[[], object]) -> None:
    with pytest.raises((InvalidDefinition, InvalidId, InvalidDuration)):
        build()


def test_a_map_takes_its_items_once() -> None:
    assert Map(work, iter([1, 2])).items == (1, 2)


# ── switches ────────────────────────────────────────────────────────────────────────────────────
class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def is_large(n: int) -> bool:
    return n > 100


def test_a_switch_takes_the_first_case_that_matches() -> None:
    switch = Switch("size", 500).when(7, work(7)).when(is_large, work(1)).when(500, work(2)).otherwise(work(3))
    assert switch.select() == ("is_large", work(1))
    assert Switch("size", 5).when(7, work(7)).otherwise(work(3)).select() == ("otherwise", work(3))
    assert Switch("size", 5).when(7, work(7)).select() is None


def test_a_switch_finds_the_branch_of_a_stored_label() -> None:
    switch = Switch("size", 5).when(7, work(7)).when(lambda n: n > 3, work(1), label="middle")
    assert switch.branch_of("7") == work(7)
    assert switch.branch_of("middle") == work(1)
    assert switch.branch_of("gone") is None
    assert switch.branch_of("otherwise") is None


def test_cases_are_labelled_by_what_they_are() -> None:
    made: Any = Switch("s", None)
    for case in (Colour.RED, "text", 5, True, None, 0.5, is_large):
        made = made.when(case, work(1))
    assert [case.label for case in made.cases] == ["RED", "text", "5", "True", "None", "0.5", "is_large"]


def test_a_case_without_a_lasting_name_needs_a_label() -> None:
    switch: Any = Switch("s", 5).when(5, work(1))
    for case in (lambda n: True, Colour, (1, 2), 5, "otherwise", "", "__x"):
        with pytest.raises(InvalidDefinition, match="label"):
            switch.when(case, work(1))
    assert switch.when((1, 2), work(1), label="pair").cases[-1].label == "pair"
    with pytest.raises(InvalidDefinition, match="otherwise already"):
        switch.otherwise(work(1)).otherwise(work(2))


def test_a_switch_grows_by_copies() -> None:
    base = Switch("s", 5)
    assert base.when(5, work(1)) != base
    assert base.cases == ()


# ── children ────────────────────────────────────────────────────────────────────────────────────
def test_a_child_is_started_as_it_is_told() -> None:
    made = StartChild(child(1), id="c", on_parent_close="wait", timeout=60, attributes={state: "x"}, delay=5)
    assert (made.child_id, made.on_parent_close, made.timeout) == ("c", "wait", timedelta(minutes=1))
    assert (made.attributes, made.delay) == ({state: "x"}, timedelta(seconds=5))
    assert RunChild(child(1)) != StartChild(child(1))
    assert RunChild(child(1), wait_timeout=3).wait_timeout == timedelta(seconds=3)


def test_a_reference_to_a_child_is_a_value_that_knows_its_workflow_here() -> None:
    ref = ChildRef.of("c", child)
    assert ref == ChildRef("c", "child")
    assert (ref.result_type, ref.raises, ref.workflow) == (int, (), child)
    assert ChildRef[Any]("c").result_type is Any
    assert {field.name for field in attrs.fields(ChildRef)} == {"id", "workflow_name"}


def test_the_arguments_of_a_step_are_those_that_were_passed() -> None:
    items = [1]
    made = Step("sum", sum, items)
    assert made.args[0] is items
