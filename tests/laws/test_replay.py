"""The laws of replay: what was stored is all there is, whoever goes on from it, and wherever they begin."""

from __future__ import annotations

import json
import warnings
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from redrive.codec import JsonCodec
from redrive_interpreter import Asked, AttributeSet, Machine, Noted, Row, dump_row, load_row, replay
from redrive_interpreter.history.rows import FACTS
from tests.interpreter.kit import picture, shown
from tests.laws.host import Life, Story, law, stories
from tests.laws.programs import WORKFLOWS


def dumped(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows as they are stored; tracebacks apart, which tell line numbers of the kernel."""
    return [_plain(dump_row(row)) for row in rows]


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items() if key != "traceback"}
    return [_plain(item) for item in data] if isinstance(data, (list, tuple)) else data


@law
@given(stories)
def test_a_replay_of_every_prefix_stands_where_the_live_run_stood(story: Story) -> None:
    for life in story.live():
        rows: list[Row] = []
        for turn in life.turns:
            rows += turn.rows
            assert [type(row) in FACTS for row in turn.rows] == [n == 0 for n in range(len(turn.rows))]
            replayed = replay(life.workflow, rows)
            assert replayed.rows == []
            assert picture(replayed.machine) == turn.picture
            replayed.machine.close()


@law
@given(stories, st.data())
def test_a_crash_between_two_turns_changes_nothing(story: Story, data: st.DataObject) -> None:
    for life in story.live():
        at = data.draw(st.integers(1, len(life.turns)))
        history = [row for turn in life.turns[:at] for row in turn.rows]
        machine = replay(life.workflow, history).machine
        for turn in life.turns[at:]:
            machine.receive(turn.fact)
            history += machine.take()
        machine.close()
        assert dumped(history) == dumped(life.rows)


@law
@given(stories)
def test_evicting_the_machine_after_every_fact_changes_nothing(story: Story) -> None:
    for life in story.live():
        history = list(life.turns[0].rows)
        for turn in life.turns[1:]:
            replayed = replay(life.workflow, history)
            requests = replayed.machine.receive(turn.fact)
            assert sorted(map(shown, requests)) == sorted(map(shown, turn.requests))
            made = replayed.machine.take()
            assert dumped(made) == dumped(turn.rows)
            history += made
            replayed.machine.close()


@law
@given(stories)
def test_a_history_that_went_through_json_is_the_same_history(story: Story) -> None:
    codec = JsonCodec()
    for life in story.live(codec):
        text = json.dumps([dump_row(row) for row in life.rows])
        rows = [load_row(row) for row in json.loads(text)]
        assert [dump_row(row) for row in rows] == json.loads(text)
        replayed = replay(life.workflow, rows, codec)
        assert replayed.rows == []
        assert picture(replayed.machine) == life.turns[-1].picture
        replayed.machine.close()


@law
@given(stories, st.data())
def test_what_of_the_last_turn_was_not_stored_is_computed_again(story: Story, data: st.DataObject) -> None:
    for life in story.live():
        rows = life.rows
        cut = data.draw(st.integers(1, len(rows)))
        turn, before = _turn_of(life, cut)
        replayed = replay(life.workflow, rows[:cut])
        whole = [*rows[:cut], *replayed.rows]
        assert _compared(whole) == _compared(rows[: before + len(turn.rows)])
        assert picture(replayed.machine) == turn.picture
        replayed.machine.close()


def _turn_of(life: Life, cut: int) -> tuple[Any, int]:
    """The turn that row number *cut* is in, and how many rows come before it."""
    before = 0
    for turn in life.turns:
        if cut <= before + len(turn.rows) and turn.rows:
            last = turn
            break
        before += len(turn.rows)
    # Facts that changed nothing may follow; how the machine stands is the same after them.
    return last, before


def _compared(rows: list[Row]) -> list[dict[str, Any]]:
    return dumped([row for row in rows if not isinstance(row, (Noted, AttributeSet))])


@law
@given(stories, st.data())
def test_closing_a_machine_anywhere_leaves_no_trace(story: Story, data: st.DataObject) -> None:
    for life in story.live():
        at = data.draw(st.integers(1, len(life.turns)))
        history = [row for turn in life.turns[:at] for row in turn.rows]
        replayed = replay(life.workflow, history)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            replayed.machine.close()
            replayed.machine.close()
        assert replayed.machine.take() == replayed.rows == []


@law
@given(stories)
def test_a_run_is_the_same_with_values_as_they_are_and_as_json(story: Story) -> None:
    assert [_asked(life) for life in story.live()] == [_asked(life) for life in story.live(JsonCodec())]


def _asked(life: Life) -> list[Any]:
    return [(row.key, row.kind, row.label, row.undo) for row in life.rows if isinstance(row, Asked)]


def test_a_machine_that_never_began_can_be_closed() -> None:
    Machine(WORKFLOWS["program"]([]).workflow).close()
