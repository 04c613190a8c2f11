"""`advance` and `drive`: hosts that keep nothing in memory see what hosts with machines see."""

from __future__ import annotations

from hypothesis import given

from redrive.codec import JsonCodec
from redrive_interpreter import State, advance, drive
from tests.interpreter.kit import shown
from tests.laws.host import Story, law, stories


@law
@given(stories)
def test_a_blob_in_and_a_blob_out_is_the_same_run(story: Story) -> None:
    for life in story.live(JsonCodec()):
        state = State(life.workflow, codec=JsonCodec())
        for turn in life.turns:
            state, requests = advance(state, turn.fact)
            assert sorted(map(shown, requests)) == sorted(map(shown, turn.requests))
        assert state.blob.startswith(b"[")
        state.verdict


@law
@given(stories)
def test_drive_is_a_function_of_code_and_history(story: Story) -> None:
    for life in story.live():
        first, second = drive(life.workflow, life.rows), drive(life.workflow, life.rows)
        assert repr(type(first)) == repr(type(second))
        assert getattr(first, "status", None) == getattr(second, "status", None)
