"""Which executions may be stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redrive.ports.suspects import Suspects
from redrive.stores.sqlite.column_values import from_text, to_us
from redrive.stores.sqlite.queries import SQL

if TYPE_CHECKING:
    from redrive.ports.suspects import Suspicion
    from redrive.stores.sqlite.jobs import Transaction


def suspects(tx: Transaction, suspicion: Suspicion, after: int, most: int) -> Suspects:
    asked = (suspicion.recoveries, to_us(suspicion.due_before), to_us(suspicion.silent_since), after, most)
    # Those that are parked or cancelling are few, and in an index of their own.
    noted = [] if after else [from_text(id) for (id,) in tx.execute(SQL["notable_suspects"], (most,))]
    rows = tx.execute(SQL["suspects"], asked).fetchall()
    found = [from_text(id) for _, id, suspect in rows if suspect]
    return Suspects([*noted, *found], rows[-1][0] if len(rows) == most else None)
