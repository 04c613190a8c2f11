"""The law of divergence: code replays exactly the histories that it would have written itself (D1)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from redrive_interpreter import (
    AttributeSet,
    Diverged,
    Ended,
    Flow,
    Machine,
    Noted,
    Row,
    UnexpectedFact,
    Workflow,
    dump_row,
    replay,
    workflow,
)
from tests.laws.host import Host, law
from tests.laws.programs import Program, choices, flow, programs, statements

# Not compared by design: patches (D3), which case a Switch takes (it is looked up), an undo that is added (N4).
_LEFT_OUT = ("patch", "switch")


def coded(program: Program) -> Workflow[[], Any]:
    """A workflow whose code is *program*."""

    @workflow("coded")
    def body() -> Flow[Any]:
        return (yield from flow(program))

    return body


@law
@given(programs, choices, st.data())
def test_code_replays_exactly_the_histories_that_it_would_have_written(program: Program, choices: list[int], data: st.DataObject) -> None:
    before = comparable(program)
    after = data.draw(changes(before))
    assume(not any(statement[0] in _LEFT_OUT for statement in _statements([*before, *after])))
    host = Host(coded(before)(), choices)
    host.machine.close()
    life = host.lives[0]
    facts = [turn.fact for turn in life.turns if turn.rows]
    expected = _told(coded(after), facts)
    refused, rows = _replayed(coded(after), life.rows)
    if refused is not None:
        assert expected is None or _compared(expected) != _compared(life.rows), f"it fits, and was refused: {refused}"
    else:
        assert expected is not None, "it does not fit, and was accepted"
        assert _compared(expected) == _compared(rows)


def _replayed(code: Workflow[[], Any], history: list[Row]) -> tuple[str | None, list[Row]]:
    try:
        replayed = replay(code, history)
    except Diverged as error:
        return str(error), []
    replayed.machine.close()
    return None, [*history, *replayed.rows]


def _told(code: Workflow[[], Any], facts: list[Any]) -> list[Row] | None:
    """The history that *code* writes of these facts; None if they do not fit it."""
    machine = Machine(code)
    rows: list[Row] = []
    try:
        for fact in facts:
            machine.receive(fact)
            made = machine.take()
            if not made:
                return None
            rows += made
    except UnexpectedFact:
        return None
    finally:
        machine.close()
    return rows


def _compared(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows without what replay does not compare: notes, attributes, and how an error reads."""
    kept: list[dict[str, Any]] = []
    for row in rows:
        if isinstance(row, (Noted, AttributeSet)):
            continue
        data = dump_row(row)
        if isinstance(row, Ended):
            data = {name: value for name, value in data.items() if name in ("row", "status", "ok")}
        kept.append(data)
    return kept


# ── programs and changes of them ────────────────────────────────────────────────────────────────
def comparable(program: Program) -> Program:
    """*program* without the options that come from the record or may be added."""
    made = copy.deepcopy(program)
    for statement in _statements(made):
        if statement[0] in ("map", "all_of"):
            statement[-2] = None
        if statement[0] in ("map", "step") and statement[1] == "released":
            statement[1] = "undoable"
    return made


def _bodies(program: Program) -> Iterator[Program]:
    """All lists of statements in *program*, itself first."""
    yield program
    for statement in program:
        for part in statement[1:]:
            yield from _within(part)


def _within(part: Any) -> Iterator[Program]:
    if isinstance(part, list) and (not part or isinstance(part[0], list)):
        if part and part[0] and isinstance(part[0][0], str):
            yield from _bodies(part)
        else:
            for inner in part:
                yield from _within(inner)


def _statements(program: Program) -> list[Any]:
    return [statement for body in _bodies(program) for statement in body]


@st.composite
def changes(draw: st.DrawFn, program: Program) -> Program:
    """*program* after one change: a statement removed, repeated, moved, put in, or with another argument."""
    made = copy.deepcopy(program)
    body = draw(st.sampled_from(list(_bodies(made))))
    how = draw(st.sampled_from(["nothing", "remove", "repeat", "swap", "insert", "number"]))
    at = draw(st.integers(0, max(0, len(body) - 1)))
    if how == "insert" or not body:
        body.insert(at, comparable([draw(statements)])[0])
    elif how == "remove":
        del body[at]
    elif how == "repeat":
        body.insert(at, copy.deepcopy(body[at]))
    elif how == "swap":
        body[at], body[-1] = body[-1], body[at]
    elif how == "number":
        places = [i for i, part in enumerate(body[at]) if isinstance(part, int) and not isinstance(part, bool)]
        if places and body[at][0] not in ("wait", "map", "all_of"):
            body[at][draw(st.sampled_from(places))] += draw(st.integers(1, 3))
    return made
