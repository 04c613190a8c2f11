"""Rewrites of histories by operators, and the audit of what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redrive.ports.rewrites import Audit
from redrive.stores.ledger import rewrite_rules
from redrive.stores.postgres.parameters import from_text, from_us, to_text
from redrive.stores.postgres.read_statements import read_all
from redrive.stores.postgres.unit_statements import lock, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.ports.rewrites import Hold, Rewrite
    from redrive.ports.store import Snapshot
    from redrive.stores.postgres.session import Session, Sessions


async def rewrite(session: Session, *, id: str, change: Rewrite) -> tuple[Snapshot, int, int]:
    """How the execution stands then, the changes, and the time."""
    work = await lock(session, rewrite_rules.reach_of_rewrite(id, change))
    rewrite_rules.rewrite(work, id, change)
    await write(session, work)
    ((snapshot,),) = await read_all(session, [id])
    assert snapshot is not None
    return snapshot, work.changes, work.now_us


_LATE_COMMITS: Final = 100
"""Seqs that are looked at again: an act becomes visible when it is committed, which need not be in the order of seq."""


async def operated(sessions: Sessions, after: int | None) -> tuple[int, Sequence[str]]:
    if after is None:
        ((newest,),) = await sessions.rows("newest_act")
        return newest, ()
    found = await sessions.rows("operated", max(0, after - _LATE_COMMITS))
    return max(after, found[-1][0] if found else 0), list({from_text(execution): None for _, execution in found})


async def audit(sessions: Sessions, id: str | None, limit: int) -> Sequence[Audit]:
    rows = await (sessions.rows("audit", limit) if id is None else sessions.rows("audit_of", to_text(id), limit))
    return [_audit(*row) for row in reversed(rows)]


def _audit(seq: int, execution: str, at_us: int, *texts: Any) -> Audit:
    operator, verb, reason, detail, key = map(from_text, texts)
    return Audit(seq=seq, execution=from_text(execution), at=from_us(at_us), by=operator, verb=verb, reason=reason, detail=detail, key=key)


async def hold(session: Session, *, id: str, change: Hold) -> tuple[bool, int, int]:
    """Whether it was done, the changes, and the time."""
    work = await lock(session, rewrite_rules.reach_of_hold(id, change))
    done = rewrite_rules.hold(work, id, change)
    await write(session, work)
    return done, work.changes, work.now_us
