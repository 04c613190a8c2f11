"""Ids, numbers, notes and attributes: the same on every replay, and free to come and go (N1, N3)."""

from __future__ import annotations

from typing import Any

from redrive_interpreter import Attribute, AttributeSet, Flow, Info, NewId, Note, Noted, Now, Random, Row, SetAttribute, workflow
from tests.interpreter.kit import start
from tests.interpreter.shop import ping

state = Attribute("state", str)


@workflow("w")
def bare() -> Flow[Any]:
    yield from ping(1)
    yield from ping(2)
    return None


@workflow("w")
def chatty() -> Flow[Any]:
    yield from Note("began", n=1)
    yield from SetAttribute(state, "waiting")
    yield from Info()
    yield from ping(1)
    yield from Now()
    yield from NewId("x")
    yield from Random()
    yield from Note("going on")
    yield from ping(2)
    yield from Note("done")
    return None


def kinds(rows: list[Row]) -> list[str]:
    return [type(row).__name__ for row in rows]


def test_they_are_added_and_removed_freely() -> None:
    """N3."""
    assert start(bare()).ok("ping").replay(chatty).ok("ping#2").result is None
    assert start(chatty()).ok("ping").replay(bare).ok("ping#2").result is None


def test_notes_and_attributes_of_stored_turns_are_not_written_again() -> None:
    run = start(chatty()).ok("ping")
    again = run.replay()
    assert kinds(again.rows) == kinds(run.rows)
    again.ok("ping#2")
    assert [row.text for row in again.rows if isinstance(row, Noted)] == ["began", "going on", "done"]
    assert [(row.name, row.value) for row in again.rows if isinstance(row, AttributeSet)] == [("state", "waiting")]


def test_ids_and_numbers_derive_from_run_and_key() -> None:
    """N1."""

    @workflow("w")
    def w() -> Flow[Any]:
        first = yield from NewId("invoice")
        yield from ping(1)
        return [first, (yield from NewId("invoice")), (yield from NewId()), (yield from Random()), (yield from Random())]

    run = start(w())
    [a, b, c, x, y] = run.replay().ok("ping").result
    assert run.ok("ping").result == [a, b, c, x, y]
    assert len({a, b, c}) == 3
    assert x != y
    assert 0 <= x < 1


def test_each_name_is_its_own_sequence() -> None:
    """N1."""

    def ids(*names: str) -> Any:
        @workflow("w")
        def w() -> Flow[Any]:
            made = []
            for name in names:
                made.append((yield from NewId(name)))
            return made

        return start(w()).result

    assert ids("a", "b", "a")[2] == ids("a", "a")[1]


def test_any_name_makes_an_id() -> None:
    """I1."""

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from NewId("\ud800/ü#%"))

    assert start(w()).result.version == 5


def test_info_tells_of_the_run() -> None:
    @workflow("w")
    def w() -> Flow[Any]:
        yield from ping(1)
        info = yield from Info()
        return [info.id, info.workflow, info.run_number, info.rows]

    assert start(w()).ok("ping").result == ["x-1", "w", 1, 3]


def test_an_emit_is_published_once() -> None:
    from redrive_interpreter import Emit, Publish
    from tests.interpreter.shop import shipped

    @workflow("w")
    def w() -> Flow[None]:
        yield from Emit(shipped, 5)
        yield from ping(1)

    run = start(w())
    assert [(request.key, request.event, request.payload) for request in run.of(Publish)] == [("__emit", "shipped", 5)]
    assert run.replay().of(Publish) == []
