"""A turn that is larger than any store can take at once: the run ends with it, and the worker goes on.

A database keeps at most a gigabyte in one field, and trying again would not help. What the turn asked for never happened:
the run ends `failed` from where its history stands, as one whose code is at fault (D7), so that mended code can go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redrive.codec import to_json
from redrive.status import FAILED
from redrive_interpreter.history.row_json import dump_outcome, dump_row
from redrive_interpreter.history.rows import Ended
from redrive_interpreter.outcomes import Err, Failure

if TYPE_CHECKING:
    from redrive.worker.life.turn import Draft
    from redrive_interpreter.machine.machine import Machine

MOST: Final = 900_000_000
"""Characters of the rows of one turn, all together; each value has a limit of its own (`max_bytes`)."""


def fail(refused: Draft, made: Draft, machine: Machine[object]) -> Draft:
    """*made*, as the turn that ends the run because *refused* is too large."""
    size, rows = sum(map(len, refused.rows)), len(refused.rows)
    message = (
        f"one turn made {rows:,} rows of {size:,} bytes together, and a store takes {MOST:,} at once: "
        "keep large values elsewhere and pass their names, or ask for fewer at a time"
    )
    outcome = Err(Failure("TurnTooLarge", message))
    made.rows = [to_json(dump_row(Ended(status=FAILED, outcome=outcome, bug=True, unread=machine.unread)))]
    made.status, made.outcome, made.unread = FAILED, to_json(dump_outcome(outcome)), machine.unread
    return made
