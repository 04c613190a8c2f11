"""Evidence that a worker is dead, before its lease has passed.

1.  A worker's session holds an advisory lock. While it does, nothing is certain: a network that is cut may leave the session
    there, and so the lease decides.
2.  A session may end while its worker lives: somebody ended it, or a proxy was restarted. A worker that lives is back within
    a moment. So death is certain where the kernel that both are on says so as well, or, where nobody can look at the process,
    once the lock has been free for `BACK_WITHIN` without a break, on a server that was not restarted since.
3.  A lease that has passed is kept for a process that is seen to run, up to `stalls_us`: C code that holds the GIL stops every
    thread of it.
"""

from __future__ import annotations

import json
import time
from typing import Final, NamedTuple

import attrs

from redrive.stores.kernel import Process, Sight, kernel

BACK_WITHIN: Final = 1.0
UNBROKEN: Final = 2.0
"""Seconds between two looks that saw the lock free, at most, for them to say that it was free in between."""


@attrs.frozen(kw_only=True)
class Evidence:
    """The evidence of life that a worker gives with each claim."""

    life: int
    server_us: int
    stall_us: int
    text: str


class WorkerRow(NamedTuple):
    """*gone*: the session that held the lock has ended, and the server was not restarted since."""

    id: str
    expires_us: int
    life: int | None
    stalls_us: int | None
    evidence: str | None
    gone: bool
    workflows: str


def evidence_text() -> str:
    process = Process.here()
    return json.dumps({} if process is None else {"kernel": kernel(), **attrs.asdict(process)})


def look(evidence: str | None) -> Sight:
    shown = json.loads(evidence or "{}")
    if shown.get("kernel") is None or shown["kernel"] != kernel():
        return Sight.UNKNOWN
    return Process(shown["pid"], shown["started"], shown["namespace"]).look()


@attrs.define(eq=False)
class Witness:
    """The locks of workers, as a store has seen them."""

    unbroken: float = attrs.field(default=UNBROKEN, init=False)
    _free: dict[int, tuple[float, float]] = attrs.field(factory=dict[int, tuple[float, float]], init=False)
    """By lock: when it was first seen free, and last, without a break."""

    def is_dead(self, row: WorkerRow) -> bool:
        """Whether its death is certain."""
        if row.life is None:
            return False
        if not row.gone:
            self._free.pop(row.life, None)
            return False
        now = time.monotonic()
        first, last = self._free.get(row.life, (now, now))
        first = first if now - last <= self.unbroken else now
        self._free[row.life] = (first, now)
        seen = look(row.evidence)
        return seen is Sight.GONE or (seen is Sight.UNKNOWN and now - first >= BACK_WITHIN)

    def may_stall(self, row: WorkerRow, now_us: int) -> bool:
        """Whether it keeps its place though its lease has passed."""
        return (row.stalls_us or 0) > now_us and not row.gone and look(row.evidence) is Sight.RUNS

    def forget(self, row: WorkerRow) -> None:
        if row.life is not None:
            self._free.pop(row.life, None)
