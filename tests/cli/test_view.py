"""The pages that are read at three in the morning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from redrive.cli.colors import Colors
from redrive.cli.execution_pages import View
from redrive.cli.tables import history, listing
from redrive.ports.parks import Park
from redrive.ports.store import Snapshot
from redrive.timeline import timeline
from redrive_interpreter import (
    Answered,
    Asked,
    Ended,
    Err,
    Failure,
    Key,
    Noted,
    Ok,
    Retrying,
    Row,
    Signalled,
    Started,
    TimerFired,
    dump_row,
)

BEGIN = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
NOW = BEGIN + timedelta(hours=2, minutes=5)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def snapshot(**changes: Any) -> Snapshot:
    fields: dict[str, Any] = {
        "id": "order-1", "workflow": "orders.process", "status": "suspended", "run": "r", "number": 1, "length": 3, "input": "{}",
        "created_at": BEGIN, "updated_at": BEGIN, "wake_at": None, "deadline": None, "owner": None, "recoveries": 0,
        "attributes": "{}", "outcome": None, "unread": 0, "creator": None,
    }  # fmt: skip
    return Snapshot(**{**fields, **changes})


ROWS: list[Row] = [
    Started(id="order-1", run=UUID(int=1), at=BEGIN, input={"order": {"id": "o-1"}}),
    Asked(Key("charge"), "step", "charge", {"order": {"id": "o-1"}}),
    Answered(Key("charge"), Ok({"id": "ch_1"}), at=at(1.5)),
    Asked(Key("__sleep"), "sleep", "", {"seconds": 5.0, "until": None}),
    TimerFired(Key("__sleep"), at=at(6.5)),
    Noted(text="settled", data={"days": 1}, key=Key("__note")),
    Asked(Key("__wait_signal"), "wait_signal", "orders.approved", {"seconds": 86400.0, "until": None}),
]


def park(reason: str) -> Park:
    at, again = NOW - timedelta(seconds=60), NOW + timedelta(seconds=1)
    return Park(build="b1", kind="diverged", reason=reason, at=at, tries=2, retry_at=again)


def page(rows: Sequence[Row], *, places: Sequence[str] = (), code: str = "", **changes: Any) -> str:
    return "\n".join(View(Colors(False), NOW).execution(snapshot(**changes), timeline(rows), places, code))


def test_a_waiting_execution_says_for_what_and_until_when_and_where_it_stands() -> None:
    shown = page(ROWS, places=["shop/orders.py:12 in process_order: by = yield from WaitSignal(approved)"])
    assert (
        shown
        == """\
order-1  orders.process  suspended
  started      2026-11-22 03:00:00 UTC (2 h 5 min ago)
  waits for    signal orders.approved until 2026-11-23 03:00:06 UTC (in 21 h 55 min), asked 2 h 4 min ago
  stands at    shop/orders.py:12 in process_order: by = yield from WaitSignal(approved)

         +0 ms  · started                        {"order": {"id": "o-1"}}
         +0 ms  ✓ charge                  1.5 s  step → {"id": "ch_1"}
        +1.5 s  ✓ sleep                   5.0 s  sleep of 5.0 s
        +6.5 s  · note: settled                  {"days": 1}
        +6.5 s  … orders.approved     2 h 4 min  signal, waiting"""
    )


def test_a_failed_execution_shows_the_failing_step_and_its_traceback() -> None:
    failure = Failure(
        "shop.CardDeclined", "no funds", 'Traceback (most recent call last):\n  File "shop.py", line 3, in charge', attempts=3
    )
    rows = [*ROWS[:2], Answered(Key("charge"), Err(failure), at=at(9)), Ended(status="failed", outcome=Err(failure))]
    shown = page(rows, status="failed", outcome=json.dumps({"err": {"type": "StepFailed", "message": "step charge failed"}}))
    assert "✗ charge" in shown
    assert "step ×3, failed" in shown
    assert shown.count("shop.CardDeclined: no funds") == 1
    assert 'File "shop.py", line 3, in charge' in shown
    assert "error        StepFailed: step charge failed" in shown
    assert "ended        2026-11-22 03:00:09 UTC" in shown


def test_the_frames_of_redrive_itself_are_left_out_of_a_traceback() -> None:
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/lib/redrive/worker/threads.py", line 1, in run\n    return body()\n           ^^^^^^\n'
        '  File "/shop.py", line 3, in charge\n    raise ValueError\nValueError: x'
    )
    shown = page([*ROWS[:2], Answered(Key("charge"), Err(Failure("ValueError", "x", trace)), at=at(9))])
    assert "threads.py" not in shown
    assert "return body()" not in shown
    assert 'File "/shop.py", line 3, in charge' in shown
    assert "    raise ValueError" in shown


def test_a_retry_shows_its_last_error_and_when_the_next_attempt_is_due() -> None:
    rows = [*ROWS[:2], Retrying(Key("charge"), 2, Failure("OSError", "no route"), NOW + timedelta(seconds=30), at=at(3))]
    shown = page(rows)
    assert "waits for    step charge, attempt 3 due 2026-11-22 05:05:30 UTC (in 30.0 s)" in shown
    assert "last failed with OSError: no route" in shown


def test_a_parked_execution_shows_why_for_each_build() -> None:
    shown = page(
        ROWS, status="parked", parks=(park("history has 'charge',\nthe code asks 'bill'"),), code="it does not fit:\n- this\n+ that"
    )
    assert "parked       by build b1: history has 'charge',\n               the code asks 'bill'" in shown
    assert "  diverged 2026-11-22" in shown
    assert "(1 min ago), 2 tries, tried again 2026-11-22" in shown
    assert "stands at    it does not fit:\n               - this\n               + that" in shown


def test_a_cancel_that_waits_for_code_is_shown() -> None:
    """E3."""
    shown = page(ROWS, status="parked", parks=(park("diverged"),), cancel='{"reason": "customer called", "by": "cancel"}')
    assert "cancel       asked for: customer called" in shown
    assert "waits for code that fits" in shown


def test_a_reason_that_the_code_here_has_as_well_is_said_once() -> None:
    reason = "history has 'charge',\nthe code asks 'bill'"
    shown = page(ROWS, status="parked", parks=(park(reason),), code=f"the code here does not fit: {reason}")
    assert "stands at    the code here does not fit: see below\n  parked       by build b1: history has 'charge'," in shown
    assert shown.count("history has 'charge'") == 1


def test_an_execution_that_nobody_took_says_so() -> None:
    assert "waits for    a worker that has its code" in page(ROWS[:1], status="pending")


def test_what_is_stored_cannot_drive_the_terminal() -> None:
    rows = [*ROWS[:1], Signalled("x", "\x1b[2J", at=at(1)), Asked(Key("\x1b]0;pwned\x07"), "step", "\x1b]0;pwned\x07")]
    shown = page(rows, id="\x1b[31m")
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_a_list_is_a_table() -> None:
    lines = listing([snapshot(), snapshot(id="a-much-longer-id", status="failed")], Colors(False), NOW)
    assert lines == [
        "id                workflow        status     started",
        "order-1           orders.process  suspended  2 h 5 min ago",
        "a-much-longer-id  orders.process  failed     2 h 5 min ago",
    ]


def test_a_history_has_one_line_for_each_stored_row() -> None:
    lines = history([(row, dump_row(row)) for row in ROWS], Colors(False))
    assert len(lines) == len(ROWS)
    assert lines[2] == '3  03:00:01.500  answered       charge  {"ok": {"id": "ch_1"}}'
    assert lines[1].startswith("2                asked          charge step charge")
