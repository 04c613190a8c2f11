"""The laws of effects: nothing is asked twice, nothing is lost, and what is undone is undone once.

That a request names what was asked, that a key is asked and an attempt performed once, that only what runs is
dropped and only what is set is cleared, that nothing runs when a run has ended: the host checks it for every
fact of every law (`host.py`).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from redrive_interpreter import (
    Answered,
    Asked,
    CancelRequested,
    ChildFinished,
    Err,
    Failure,
    Key,
    Ok,
    Retrying,
    RunStep,
    Signalled,
    TimerFired,
    UnexpectedFact,
    replay,
)
from redrive_interpreter.keys import scope_of
from tests.interpreter.kit import picture, start
from tests.laws.host import Host, Life, Story, law, stories
from tests.laws.programs import SIGNALS, WORKFLOWS, Program, choices, flows, programs, run_tidy


@law
@given(stories)
def test_what_is_undone_was_completed_or_in_doubt_and_is_undone_once(story: Story) -> None:
    for life in story.live():
        undone = life.turns[-1].picture["undone"]
        assert len(undone) == len(set(undone))
        began = {row.key for row in life.rows if isinstance(row, Asked) and row.undo is not None}
        assert set(undone) <= began
        for key in undone:
            assert _answer(life, "rollback:" + key) is not None, f"{key} counts as undone, and no undo succeeded"


@law
@given(programs, choices, st.booleans())
def test_a_run_that_fails_and_rolls_back_leaves_nothing_that_could_be_undone(program: Program, choices: list[int], deadline: bool) -> None:
    host = Host(run_tidy(program), choices, deadline=deadline)
    life = host.lives[-1]
    end = life.turns[-1].picture.get("end")
    if len(host.lives) > 1 or life.committed or end is None or host.machine.finished.bug:  # type: ignore[union-attr]
        return
    if end[0] in ("failed", "cancelled") and not _came_back(life):
        assert set(life.completed) <= set(host.machine.undone)


def _came_back(life: Life) -> bool:
    """Whether a cancelled workflow gave back a value: it says itself that it is fine as it is."""
    return isinstance(getattr(life.rows[-1], "outcome", None), Ok)


def _answer(life: Life, key: str) -> Answered | None:
    return next((row for row in life.rows if isinstance(row, Answered) and row.key == key and isinstance(row.outcome, Ok)), None)


@law
@given(st.lists(flows, min_size=2, max_size=4), choices, choices)
def test_the_keys_of_a_branch_do_not_depend_on_what_the_others_do(branches: list[Program], first: list[int], second: list[int]) -> None:
    program = [["all", branches, False]]
    assert _by_scope(Host(run_tidy(program), first, plain=True)) == _by_scope(Host(run_tidy(program), second, plain=True))


def _by_scope(host: Host) -> dict[str, list[Any]]:
    asked: dict[str, list[Any]] = defaultdict(list)
    for row in host.life.rows:
        if isinstance(row, Asked):
            asked[scope_of(row.key)].append((row.key, row.kind, row.label, row.input))
    return asked


@law
@given(stories, st.data())
def test_facts_about_what_is_settled_or_over_change_nothing(story: Story, data: st.DataObject) -> None:
    for life in story.live():
        at = data.draw(st.integers(1, len(life.turns)))
        history = [row for turn in life.turns[:at] for row in turn.rows]
        machine = replay(life.workflow, history).machine
        before = picture(machine)
        settled = [row for row in history if isinstance(row, (Answered, TimerFired, ChildFinished)) and _is_settled(machine, row)]
        for fact in settled:
            assert machine.receive(fact) == []
        if machine.finished is not None:
            now = machine.now + timedelta(seconds=1)
            dropped = [row.key for turn in life.turns[:at] for row in turn.requests if isinstance(row, RunStep)]
            late: list[Any] = [Answered(key, Ok(1), at=now) for key in dropped]
            late += [Signalled(SIGNALS[0].name, 1, at=now), CancelRequested(at=now)]
            late += [Retrying(key, 1, Failure("Boom", "late"), now, at=now) for key in dropped]
            for fact in late:
                assert machine.receive(fact) == []
        assert machine.take() == []
        assert picture(machine) == before
        machine.close()


def _is_settled(machine: Any, fact: Any) -> bool:
    if isinstance(fact, ChildFinished):  # while a child is open, this is how its attempt at hand ends
        return not machine.is_open_child(fact.id)
    return getattr(fact, "key", None) not in machine.pending


@law
@given(stories, st.data())
def test_a_fact_for_what_was_never_asked_is_refused_and_changes_nothing(story: Story, data: st.DataObject) -> None:
    life = story.live()[0]
    at = data.draw(st.integers(1, len(life.turns)))
    machine = replay(life.workflow, [row for turn in life.turns[:at] for row in turn.rows]).machine
    before, now = picture(machine), machine.now + timedelta(days=1)
    stranger = Key("nobody/asked#9")
    for fact in (
        Answered(stranger, Ok(1), at=now),
        Answered(stranger, Err(Failure("Boom", "x")), at=now),
        TimerFired(stranger, at=now),
        Retrying(stranger, 1, Failure("Boom", "x"), now, at=now),
        life.turns[0].fact,
    ):
        try:
            machine.receive(fact)
        except UnexpectedFact:
            pass
        else:
            raise AssertionError(f"{fact} was taken")
    assert machine.take() == []
    assert picture(machine) == before
    machine.close()


def test_the_programs_run_what_they_say() -> None:
    """A check of the laws themselves: the generator covers every statement and every end."""
    run = start(WORKFLOWS["tidy"]([["step", "undoable", 1], ["raise", "a"]]))
    run.ok("undoable", 5)
    assert run.asked == ["rollback:undoable"]
    run.ok("rollback:undoable")
    assert (run.status, run.undone) == ("failed", ["undoable"])
