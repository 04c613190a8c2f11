"""Records the golden files that do not exist yet: python -m tests.golden.record

A file is recorded once, by the release that brought its command, and never again: later releases replay it. To record a
new kind, add a workflow to `program` and a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid5

from redrive.codec import JsonCodec
from redrive.histories import write
from redrive.testing import Run, play
from redrive_interpreter import (
    Answered,
    Asked,
    AttemptStarted,
    Forked,
    Invocation,
    Key,
    Machine,
    Ok,
    RollbackRetried,
    Row,
    Signal,
    Started,
    dump_row,
    replay,
)
from tests.golden import program as p

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
HERE: Final = Path(__file__).parent
ORDER: Final = p.Order("o-1", 1)
STUBS: Final[Mapping[Any, Any]] = {
    "reserve": "hold",
    "release": None,
    "charge": lambda order: f"ch_{order.total}",
    "wire": "wired",
    "raw": 2,
    p.child: lambda n: n,
}


def stubbed(invocation: Invocation[Any], answers: Mapping[Any, Any] | None = None, **signals: Any) -> list[Row]:
    return play(invocation, answers={**STUBS, **(answers or {})}, signals={p.approved: list(signals.values())}, id="golden").runs[-1]


def by_hand(invocation: Invocation[Any], *acts: Callable[[Run[Any]], None]) -> list[Row]:
    run = play(invocation, id="golden")
    for act in acts:
        act(run)
    return run.history


def undo_fails_then_works() -> list[Row]:
    """An operator tries the rollback again: `play` has no word for it, so the machine is told."""
    rows = stubbed(p.undo_fails(ORDER), {"release": ValueError("not now")})
    machine: Machine[Any] = replay(p.undo_fails, rows, JsonCodec()).machine
    machine.receive(RollbackRetried(at=BEGIN))
    machine.receive(Answered(Key("rollback:reserve"), Ok(None), at=BEGIN))
    return rows + machine.take()


def attempted() -> list[Row]:
    rows = by_hand(p.step_in_doubt(ORDER))
    machine: Machine[Any] = replay(p.step_in_doubt, rows, JsonCodec()).machine
    machine.receive(AttemptStarted(Key("wire"), 1, at=BEGIN))
    machine.receive(Answered(Key("wire"), Ok("wired"), at=BEGIN))
    return rows + machine.take()


def carried_on() -> list[Row]:
    run = play(p.carry_on(1), id="golden")
    run.signal(p.approved, "Ada")
    run.advance(minutes=1)
    return run.runs[1]


def without_places(row: dict[str, Any]) -> dict[str, Any]:
    """Where the code stood on the recorder's disk is nobody's business, and nothing that replay looks at."""
    failure = row.get("err", {})
    failure.pop("traceback", None)
    return row


def set_aside() -> list[Row]:
    """Signals of another release of the sender: one is kept, one comes while it is waited for."""
    run = play(p.set_aside(), id="golden")
    run.signal(Signal("approved", int), 1)
    run.answer(p.release("hold"), None)
    run.signal(Signal("approved", int), 2)
    run.signal(p.approved, "Ada")
    return run.history


def forked() -> list[Row]:
    """An operator has the run begin anew from its second step, which is answered under the new run."""
    rows = stubbed(p.together(ORDER), first="Ada")
    at = next(i for i, row in enumerate(rows) if type(row) is Asked and row.kind == "step" and i > 1)
    started = rows[0]
    assert isinstance(started, Started)
    rows = [*rows[:at], Forked(run=uuid5(started.run, "forked"), of=started.run, at=BEGIN)]
    replayed = replay(p.together, rows, JsonCodec())
    replayed.machine.close()
    return [*rows, *replayed.rows]


RECORDINGS: Final[Mapping[str, Callable[[], list[Row]]]] = {
    "step": lambda: stubbed(p.one_step(ORDER)),
    "raw_step": lambda: stubbed(p.raw_step(ORDER)),
    "step_fails": lambda: stubbed(p.step_fails(ORDER), {"charge": p.Declined("no funds")}),
    "step_retries": lambda: by_hand(
        p.step_fails(ORDER),
        lambda run: run.fail("charge", OSError("no line"), final=False),
        lambda run: run.answer("charge", "ch"),
    ),
    "step_in_doubt": lambda: by_hand(p.step_in_doubt(ORDER), lambda run: run.time_out("wire")),
    "attempt": attempted,
    "sleep": lambda: stubbed(p.sleep()),
    "wait_signal": lambda: stubbed(p.wait_signal(), first="Ada"),
    "set_aside": set_aside,
    "emit": lambda: stubbed(p.emit(ORDER)),
    "send_signal": lambda: stubbed(p.send_signal()),
    "rollback": lambda: stubbed(p.rollback(ORDER)),
    "commit": lambda: stubbed(p.commit(ORDER)),
    "note": lambda: stubbed(p.note(ORDER)),
    "switch": lambda: stubbed(p.switch(ORDER)),
    "switch_otherwise": lambda: stubbed(p.switch(p.Order("o-2", 2))),
    "all": lambda: stubbed(p.all_of(ORDER)),
    "race": lambda: stubbed(p.race(ORDER)),
    "race_undone": lambda: stubbed(p.race_undone(ORDER)),
    "map": lambda: stubbed(p.map_of([p.Order("o-1", n) for n in range(4)])),
    "settle": lambda: stubbed(p.settle(ORDER), {"charge": p.Declined("no funds")}),
    "spawn_join": lambda: stubbed(p.spawn_join(ORDER)),
    "start_child": lambda: by_hand(p.start_child(), lambda run: run.end_child("child-1", 1)),
    "run_child": lambda: stubbed(p.run_child()),
    "run_child_fails": lambda: stubbed(p.run_child(), {p.child: ValueError("no")}),
    "retry_child": lambda: by_hand(
        p.retry_child(),
        lambda run: run.end_child("child-4", error=ValueError("first")),
        lambda run: run.end_child("child-5", error=ValueError("first")),
        lambda run: run.end_child("child-5", error=ValueError("second")),
        lambda run: run.end_child("child-4", 4),
    ),
    "cancel_child": lambda: by_hand(p.cancel_child()),
    "continue_as": lambda: play(p.continue_as(1), answers={}, id="golden").runs[0],
    "continued": lambda: play(p.continue_as(1), answers={}, id="golden").runs[1],
    "carried_on": carried_on,
    "patch": lambda: stubbed(p.patch(ORDER)),
    "readings": lambda: stubbed(p.readings()),
    "set_attribute": lambda: stubbed(p.set_attribute()),
    "inline": lambda: stubbed(p.inline(ORDER)),
    "cancelled": lambda: by_hand(
        p.cancelled(ORDER),
        lambda run: run.answer("reserve", "hold"),
        lambda run: run.cancel("changed my mind"),
        lambda run: run.answer(p.release("hold"), None),
    ),
    "deadline": lambda: stubbed(p.deadline(ORDER)),
    "undo_fails": undo_fails_then_works,
    "bug": lambda: stubbed(p.bug()),
    "waiting": lambda: by_hand(p.wait_signal()),
    "together": lambda: stubbed(p.together(ORDER), first="Ada"),
    "forked": forked,
    "together_late": lambda: stubbed(p.together(ORDER)),
}


def main() -> None:
    for name, record in RECORDINGS.items():
        path = HERE / f"{name}.jsonl"
        if not path.exists():
            write(path, [without_places(dump_row(row)) for row in record()])
            print(f"recorded {path.name}")


if __name__ == "__main__":
    main()
