"""Laws of the kit, over the generated programs of tests/laws: what it finds it can show again, and equal states are equal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import redrive_interpreter
from redrive.testing import InvariantBroken, View, Violation, assert_survives_crashes, explore, play
from redrive_interpreter import Step
from tests.laws import programs
from tests.laws.host import Story, stories

SOME = settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)


@SOME
@given(stories)
def test_a_schedule_that_explore_finds_is_one_that_play_can_follow(story: Story) -> None:
    invocation = programs.WORKFLOWS[story.workflow](story.program)
    for status in ("completed", "failed", "cancelled"):

        def reached(view: View, status: str = status) -> bool:
            return view.status != status

        try:
            explore(invocation, [reached], budget=60, faults=2)
        except Violation as violation:
            if violation.invariant != "reached":
                continue  # the programs have faults of their own
            names: dict[str, Any] = {**vars(programs), **vars(redrive_interpreter), "reached": reached, "run": play(invocation)}
            lines = [line.strip() for line in violation.test.splitlines() if line.startswith("    ")]
            with pytest.raises(InvariantBroken):
                exec("\n".join(lines[1:]), names)


@SOME
@given(stories)
def test_merging_equal_states_loses_no_ending(story: Story) -> None:
    invocation = programs.WORKFLOWS[story.workflow](story.program)
    try:
        merged = explore(invocation, budget=150, faults=1, signals={})
        if merged.complete:
            whole = explore(invocation, budget=1500, faults=1, signals={}, merge=False)
            assert set(whole.ends) <= set(merged.ends)
            assert not whole.complete or set(whole.ends) == set(merged.ends)
    except Violation as violation:
        if violation.invariant != "it ends in no fault of its own code":
            raise


@SOME
@given(stories)
def test_generated_programs_survive_a_crash_at_every_record(story: Story) -> None:
    invocation = programs.WORKFLOWS[story.workflow](story.program)
    undos = {"undo": None, "release": None}
    assert_survives_crashes(invocation, {**undos, (lambda command: isinstance(command, Step)): 3, (lambda command: True): 3})
