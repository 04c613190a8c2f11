"""Rewrites of histories by operators, and the audit of what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redrive.ports.rewrites import Audit
from redrive.stores.ledger import rewrite_rules
from redrive.stores.sqlite.column_values import from_text, from_us, to_text
from redrive.stores.sqlite.inbox_rows import last_seq
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.read_rows import snapshot
from redrive.stores.sqlite.unit_rows import lock, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.ports.rewrites import Hold, Rewrite
    from redrive.ports.store import Snapshot
    from redrive.stores.sqlite.jobs import Transaction


def rewrite(tx: Transaction, id: str, change: Rewrite) -> Snapshot:
    work = lock(tx, rewrite_rules.reach_of_rewrite(id, change))
    rewrite_rules.rewrite(work, id, change)
    write(tx, work)
    found = snapshot(tx, id)
    assert found is not None
    return found


def operated(tx: Transaction, after: int | None) -> tuple[int, Sequence[str]]:
    if after is None:
        return last_seq(tx, "audit"), ()
    found = tx.execute(SQL["operated"], (after,)).fetchall()
    return (found[-1][0] if found else after), list({from_text(execution): None for _, execution in found})


def audit(tx: Transaction, id: str | None, limit: int) -> Sequence[Audit]:
    rows = tx.execute(SQL["audit"], (limit,)) if id is None else tx.execute(SQL["audit_of"], (to_text(id), limit))
    return [_audit(*row) for row in reversed(rows.fetchall())]


def _audit(seq: int, execution: str, at_us: int, *texts: Any) -> Audit:
    operator, verb, reason, detail, key = map(from_text, texts)
    return Audit(seq=seq, execution=from_text(execution), at=from_us(at_us), by=operator, verb=verb, reason=reason, detail=detail, key=key)


def hold(tx: Transaction, id: str, change: Hold) -> bool:
    work = lock(tx, rewrite_rules.reach_of_hold(id, change))
    done = rewrite_rules.hold(work, id, change)
    write(tx, work)
    return done
