"""A history of which the start alone is stored: everything the first turn does is new."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from redrive_interpreter import Attribute, AttributeSet, Flow, Note, Noted, SetAttribute, Sleep, Started, replay, workflow

state = Attribute("state", str)


@workflow("noting")
def noting() -> Flow[None]:
    yield from Note("begun")
    yield from SetAttribute(state, "new")
    yield from Sleep(5)


def test_notes_and_attributes_before_the_first_command_are_not_lost() -> None:
    started = Started(id="n", run=UUID(int=1), at=datetime(2026, 1, 1, tzinfo=UTC), input={}, workflow="noting")
    replayed = replay(noting, [started])
    assert [type(row) for row in replayed.rows][:2] == [Noted, AttributeSet]
    again = replay(noting, [started, *replayed.rows])
    assert again.rows == []
