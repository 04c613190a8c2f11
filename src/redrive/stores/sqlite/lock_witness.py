"""Evidence of life: the facts about a worker, and what they mean.

1.  Certain death comes first: on the worker's own kernel, the byte that it held is free, or its process is gone.
2.  Then its lease, by that kernel's clock where both are on it; nobody sets that one. Else by the wall clock.
3.  A lease that has passed is kept for a process that is seen to run, up to `stalls_until`: C code that holds the GIL stops
    every thread of it. One that was stopped (SIGSTOP), or cannot be seen, has its lease and no more.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from typing import NamedTuple

import attrs

from redrive.stores.kernel import Process, Sight, kernel, ticks_us
from redrive.stores.sqlite.column_values import to_text
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.locks import is_locked, lock_file
from redrive.stores.sqlite.queries import SQL


class Fate(enum.Enum):
    """The fate of a worker; the values go into the log."""

    ALIVE = "alive"
    EXPIRED = "its lease has passed"
    DEAD = "its process has ended"


class WorkerRow(NamedTuple):
    id: str
    expires_us: int
    lease_us: int
    workflows: str
    kernel: str | None
    expires_ticks: int | None
    stalls_until: int | None
    evidence: str | None
    build: str


@attrs.frozen(kw_only=True)
class Evidence:
    """The evidence of life that a worker gives with each claim."""

    kernel: str | None
    text: str
    stall_us: int


def evidence_text(process: Process | None, file: str | None, byte: int) -> str:
    shown: dict[str, object] = {} if process is None else attrs.asdict(process)
    if file is not None:
        shown |= {"file": file, "byte": byte}
    return json.dumps(shown)


def fate(path: str, row: WorkerRow, now_us: int) -> Fate:
    """The fate of a worker on the database at *path*."""
    here = row.kernel is not None and row.kernel == kernel()
    if not here or row.expires_ticks is None or row.evidence is None:
        return Fate.ALIVE if row.expires_us > now_us else Fate.EXPIRED
    shown, ticks = json.loads(row.evidence), ticks_us()
    locked = is_locked(lock_file(path), shown["file"], shown["byte"]) if "file" in shown else None
    if locked is False:
        return Fate.DEAD
    if locked and row.expires_ticks > ticks:
        return Fate.ALIVE  # the usual case, by one look
    seen = Process(shown["pid"], shown["started"], shown["namespace"]).look() if "pid" in shown else Sight.UNKNOWN
    if seen is Sight.GONE:
        return Fate.DEAD
    kept = max(row.expires_ticks, row.stalls_until or 0) if seen is Sight.RUNS else row.expires_ticks
    return Fate.ALIVE if kept > ticks else Fate.EXPIRED


def workers(tx: Transaction, asks: str = "") -> Sequence[tuple[WorkerRow, Fate]]:
    """All workers, and what became of them; *asks* is the one that wants to know: it lives, and is not looked at."""
    rows = [WorkerRow(*row) for row in tx.execute(SQL["workers"]).fetchall()]
    me = to_text(asks)
    return [(row, Fate.ALIVE if row.id == me else fate(tx.path, row, tx.now_us)) for row in rows]


def is_alive(tx: Transaction, worker: str) -> bool:
    found = tx.execute(SQL["worker_row"], (to_text(worker),)).fetchone()
    return found is not None and fate(tx.path, WorkerRow(*found), tx.now_us) is Fate.ALIVE
