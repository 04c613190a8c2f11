"""No two ids, names or keys meet in one stored text (N7)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.codec import JsonCodec
from redrive.signals import dedup_of, message_of
from redrive.worker import outbox
from redrive_interpreter import (
    All,
    Event,
    InvalidDefinition,
    InvalidId,
    Key,
    Machine,
    NewId,
    Now,
    Settle,
    Signal,
    Step,
    Switch,
    WaitSignal,
    dump_row,
    load_row,
    replay,
    step,
    workflow,
)
from redrive_interpreter.codec import Codec
from redrive_interpreter.commands.messages import declared_as
from redrive_interpreter.errors import StepFailed, StepTimeout
from redrive_interpreter.history.rebuilt_errors import step_error
from redrive_interpreter.history.requests import DeliverSignal
from redrive_interpreter.history.rows import Asked, Signalled, Started
from redrive_interpreter.keys import ROLLBACK, ReservedId, check_id
from redrive_interpreter.outcomes import Failure
from redrive_interpreter.source_names import read_name

CODEC = JsonCodec()
hostile = st.text(st.sampled_from("ab:/#%_23F\x1e "), min_size=1, max_size=6)
names = hostile.filter(lambda text: not text.startswith("__"))


@given(st.tuples(names, hostile), st.tuples(names, hostile))
def test_two_signals_that_differ_in_name_or_key_are_two(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (dedup_of(*one) == dedup_of(*other)) == (one == other)


def test_a_key_on_a_signal_of_its_own_is_not_one_on_the_other() -> None:
    approved = Signal("approved", str)
    one = message_of(approved.of("d-17"), "Ada", "k", None, CODEC)
    other = message_of(approved, "Ada", "d-17:k", None, CODEC)
    assert one.dedup != other.dedup
    assert other.dedup == "key:approved:d-17:k"  # as it was stored before


@given(names, hostile, hostile)
def test_keys_of_senders_workflows_and_nobody_are_apart(name: str, key: str, other: str) -> None:
    sent = outbox.signal(DeliverSignal(Key(other), "e", name, None), key)
    keyed = message_of(name, None, key, None, CODEC)
    assert len({sent.message.dedup, keyed.dedup, message_of(name, None, None, None, CODEC).dedup}) == 3


def test_a_signal_key_is_text() -> None:
    key: Any = 17
    with pytest.raises(InvalidId, match="signal key"):
        message_of("approved", None, key, None, CODEC)


paths = st.lists(st.tuples(names, st.integers(1, 3)), min_size=1, max_size=3).map(tuple)


@given(paths, paths)
def test_two_paths_are_two_keys(one: Any, other: Any) -> None:
    assert (Key.of(one) == Key.of(other)) == (one == other)
    assert Key.of(one).path == one
    assert Key(ROLLBACK + Key.of(one)).path == one


@step
def act(n: int) -> int: ...  # type: ignore[empty-body]


@given(st.lists(names, min_size=2, max_size=4, unique=True), st.lists(names, min_size=1, max_size=3))
def test_the_keys_of_a_run_are_apart_whatever_its_branches_and_steps_are_called(branches: list[str], steps: list[str]) -> None:
    def branch() -> Any:
        for name in steps:
            yield from Switch("s", name).when(name, Step(name, act.body, 1)).otherwise(act(2))

    @workflow("w")
    def w() -> Any:
        yield from All(**{name: branch() for name in branches})

    machine = Machine(w)
    machine.receive(Started(id="e", run=UUID(int=1), at=datetime(2027, 1, 1, tzinfo=UTC)))
    asked = [row.key for row in machine.take() if isinstance(row, Asked)]
    assert len(set(asked)) == len(asked)
    assert all(Key.of(key.path) == key for key in asked)


@given(st.lists(st.sampled_from(["", "a", "b", "a:b", "a#2", "child:a"]), min_size=2, max_size=6))
def test_new_ids_of_one_run_are_apart(wanted: list[str]) -> None:
    @workflow("w")
    def w() -> Any:
        found = []
        for name in wanted:
            found.append((yield from NewId(name)))
        yield from Now()
        return found

    machine = Machine(w)
    machine.receive(Started(id="e", run=UUID(int=1), at=datetime(2027, 1, 1, tzinfo=UTC)))
    made = machine.verdict.outcome.value  # type: ignore[union-attr]
    assert len(set(made)) == len(wanted)


@pytest.mark.parametrize("id", ["rollback:a", "__a", "__patch:x", "__new_id:"])
def test_what_redrive_composes_begins_as_no_users_id_does(id: str) -> None:
    for made in (lambda: check_id(id, "id"), lambda: Step(id, act.body, 1), lambda: All(**{id: Now()}), lambda: Now().options(id=id)):
        with pytest.raises(ReservedId):
            made()


def test_a_signal_by_name_is_the_one_that_is_called_so_else_the_nearest() -> None:
    approved, nested = Signal("approved", str), Signal("approved:x", int)
    for declared in ([approved, nested], [nested, approved]):
        assert declared_as("approved:x", declared) is nested
        assert declared_as("approved:x:y", declared) == nested.of("y")
        assert declared_as("approved:z", declared) == approved.of("z")
        assert declared_as("approve", declared) is None


def test_one_signal_of_two_types_is_refused_where_one_workflow_declares_both() -> None:
    a, ab, abc = Signal("a", str), Signal("a:b", str), Signal("a:b:c", str)
    for declared in ([ab, Signal("a:b", int)], [a.of("b"), Signal("a", int).of("b")]):
        with pytest.raises(InvalidDefinition, match="two types of the signal 'a:b'"):
            workflow("w", signals=declared)(lambda: (yield))
    assert (
        workflow("w", signals=[a, ab, ab, abc, a.of("b"), a.of("b:c"), ab.of("c"), Signal("a", str)])(lambda: (yield)).signals is not None
    )


def test_a_signal_that_is_called_as_another_one_lands_as_itself() -> None:
    """N7: also where their receiver declares both, or neither."""
    a, ab, abc = Signal("a", str), Signal("a:b", str), Signal("a:b:c", str)
    sent = (a, ab, abc, a.of("b"), a.of("b:c"), a.of("b").of("c"), ab.of("c"), a.of("x"), abc.of("d"))
    for signals in (None, [a, ab, abc]):
        receiver = workflow("w", signals=signals)(lambda: (yield))
        made = [message_of(signal, "x", "k", receiver, CODEC) for signal in sent]
        assert len({message.name for message in made}) == len({message.dedup for message in made}) == len(sent)
    assert message_of("a:b", "x", None, workflow("w", signals=[a, ab])(lambda: (yield)), CODEC).name == ab.stored
    assert message_of("a:b", "x", None, workflow("w", signals=[a])(lambda: (yield)), CODEC).name == a.of("b").stored


parts = st.text(st.sampled_from("ab:%23AF_/é\ud800 "), min_size=1, max_size=5).filter(lambda text: not text.startswith("__"))
made_of = st.lists(parts, min_size=1, max_size=4)


def _made(cls: type[Signal[Any]] | type[Event[Any]], path: list[str]) -> Any:
    source: Any = cls(path[0], int)
    for suffix in path[1:]:
        source = source.of(suffix)
    return source


@pytest.mark.parametrize("cls", [Signal, Event])
@given(one=made_of, other=made_of)
def test_two_signals_or_events_are_stored_alike_only_if_they_are_one(cls: Any, one: list[str], other: list[str]) -> None:
    first, second = _made(cls, one), _made(cls, other)
    assert (first.stored == second.stored) == (first == second) == (one == other)
    assert read_name(first.stored) == (first.name, first.path)
    assert first.name == ":".join(one)


@given(parts, parts)
def test_no_name_that_is_given_is_the_text_of_one_that_is_put_together(name: str, suffix: str) -> None:
    """What is sent by name, or by an older release, is told from what is sent as a signal."""
    assert Signal(name).of(suffix).stored not in (name, f"{name}:{suffix}")
    assert Signal(name).stored == name or ":" in name
    with pytest.raises(ReservedId):
        Signal(Signal(name).of(suffix).stored)


def test_two_errors_of_one_name_are_refused_where_they_are_declared() -> None:
    def made() -> type[Exception]:
        class Declined(Exception): ...

        return Declined

    one, other = made(), made()
    with pytest.raises(InvalidDefinition, match="Declined"):
        step("charge", raises=[one, other])(lambda: None)
    with pytest.raises(InvalidDefinition, match="Declined"):
        workflow("w", raises=[one, other])(lambda: (yield))
    assert step("charge", raises=[one, one])(lambda: None).spec.raises == (one,)


def test_an_error_of_a_package_whose_name_begins_like_redrive_is_the_users() -> None:
    codec: Codec = CODEC
    assert type(step_error(codec, Failure("redrive_shop.errors.StepTimeout", "no"), Key("a"), ())) is StepFailed
    assert type(step_error(codec, Failure("redrive_interpreter.errors.StepTimeout", "no"), Key("a"), ())) is StepTimeout


def test_two_keys_of_a_mapping_that_a_hook_stores_alike_are_refused() -> None:
    class Currency:
        def __init__(self, code: str, country: str) -> None:
            self.code, self.country = code, country

    def hooks(converter: Any) -> None:
        converter.register_unstructure_hook(Currency, lambda value: value.code)
        converter.register_structure_hook(Currency, lambda data, _: Currency(data, ""))

    value = {Currency("EUR", "de"): 1, Currency("EUR", "fr"): 2}
    with pytest.raises(ValueError, match="stored alike"):
        JsonCodec(converter=hooks).dump(value, dict[Currency, int], "step pay")


ALIKE = (Signal("a", str).of("b:c"), Signal("a:b", str).of("c"), Signal("a:b:c", str), Signal("a", str).of("b").of("c"), Signal("a:b", str))
"""The first four are called alike."""
chosen = st.integers(0, len(ALIKE) - 1)


@given(st.lists(st.lists(chosen, min_size=1, max_size=3), min_size=1, max_size=4), st.lists(st.tuples(chosen, st.booleans()), max_size=12))
def test_each_signal_goes_to_the_oldest_wait_that_it_is_for_and_is_kept_for_the_first_to_come(
    branches: list[list[int]], sent: list[tuple[int, bool]]
) -> None:
    """G1, N7: by itself for waits for it alone, by name for those for any that is called so; live and on replay."""

    @workflow("w")
    def w() -> Any:
        def branch(waits: list[int]) -> Any:
            found = []
            for n in waits:
                found.append((yield from WaitSignal(ALIKE[n])))
            return found

        return (yield from All.of([Settle(branch(waits)) for waits in branches]))

    machine = Machine(w)
    at = datetime(2027, 1, 1, tzinfo=UTC)
    machine.receive(Started(id="e", run=UUID(int=1), at=at))
    rows = machine.take()
    got: list[list[int]] = [[] for _ in branches]
    kept: list[tuple[int, int, bool]] = []  # number, signal, by name
    open_ = list(range(len(branches)))  # branches that wait, by the age of their waits

    def is_for(n: int, by_name: bool, wait: int) -> bool:
        return ALIKE[n].name == ALIKE[wait].name if by_name else n == wait

    for number, (n, by_name) in enumerate(sent):
        if not open_:
            break  # it has ended
        signal = ALIKE[n]
        machine.receive(Signalled(signal.name, number, at=at, path=None if by_name else signal.path))
        rows += machine.take()
        branch = next((b for b in open_ if is_for(n, by_name, branches[b][len(got[b])])), None)
        if branch is None:
            kept.append((number, n, by_name))
            continue
        got[branch].append(number)
        open_.remove(branch)
        while len(got[branch]) < len(branches[branch]):
            wait = branches[branch][len(got[branch])]
            first = next((each for each in kept if is_for(each[1], each[2], wait)), None)
            if first is None:
                open_.append(branch)
                break
            kept.remove(first)
            got[branch].append(first[0])
    pending = sorted(machine.pending)
    assert len([key for key in pending if "wait_signal" in key]) == len(open_)
    assert machine.unread == len(kept)
    replayed = replay(w, [load_row(dump_row(row)) for row in rows])
    assert (replayed.rows, sorted(replayed.machine.pending), replayed.machine.unread) == ([], pending, len(kept))
    if not open_:
        found = machine.verdict.outcome.value  # type: ignore[union-attr]
        assert [outcome.value for outcome in found] == got
