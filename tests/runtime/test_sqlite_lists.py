"""Lists of a rare status or workflow read what they give back, however many other executions there are."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from redrive.stores.sqlite import SQLiteStore
from redrive.testing.contracts.lab import newest

FEW, MANY = 2_000, 40_000
FILL = """
INSERT INTO executions (id, workflow, run, number, status, stored_us, updated_us, created_us, attributes)
WITH RECURSIVE numbers (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)
SELECT 'e-' || i, CASE WHEN i = 1 THEN 'rare' ELSE 'common' END, 'r-' || i, 1,
    CASE i WHEN 1 THEN 'failed' WHEN 2 THEN 'suspended' WHEN 3 THEN 'parked' ELSE 'completed' END, 1, 1, 1, '{}'
FROM numbers
"""
ASKED = [
    {"status": "failed"},
    {"status": "suspended"},
    {"status": "parked"},
    {"status": "cancelled"},
    {"workflow": "rare"},
    {"workflow": "rare", "status": "completed"},
    {"workflow": "common", "status": "suspended"},
    {"workflow": "common", "status": "parked"},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
async def test_a_rare_one_is_found_without_a_look_at_all(tmp_path: Path, asked: dict[str, str]) -> None:
    """By the steps of SQLite's machine that a list takes, among few and among twenty times as many."""
    path = tmp_path / "x.db"
    store = SQLiteStore(str(path), on_the_spot=False)
    await store.open()
    steps = list[int]()
    last = 0
    for size in (FEW, MANY):
        with sqlite3.connect(path) as db:
            db.execute(FILL, (last + 1, size))
            db.execute(
                "INSERT INTO history (n, number, upto, at_us, rows, input) SELECT n, 1, 1, 1, '1', '1' FROM executions WHERE n > ?", (last,)
            )
        last = size
        count = 0

        def counted() -> int:
            nonlocal count
            count += 1
            return 0

        reader = store._reader._session._db
        reader.set_progress_handler(counted, 10)
        found = await newest(store, **asked)  # type: ignore[arg-type]
        reader.set_progress_handler(None, 0)
        steps.append(count)
        assert [snapshot.id for snapshot in found] == {
            "failed": ["e-1"], "suspended": ["e-2"], "parked": ["e-3"], "cancelled": [], "completed": [], "": ["e-1"],
        }[asked.get("status", "")]  # fmt: skip
    await store.close()
    assert steps[1] <= 1.5 * max(steps[0], 10)
