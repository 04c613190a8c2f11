"""No statement of the SQLite store reads a whole table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from redrive.stores.sqlite.database_file import connect
from redrive.stores.sqlite.queries import SQL, read_queries

MAY_SCAN = {
    "old_workers": "there are as many rows as live workers",
    "serving": "there are as many rows as live workers",
    "partitions": "for people: all tickets of one queue",
    "queue_counts": "for people: all tickets of one queue",
    "queue_names": "for people: queues, and the lanes of those that nobody has declared",
    "workers_of_build": "there are as many rows as live workers",
    "due_before": "only after the clock went back",
    "forget_old_deaths": "only after a worker has died; as many rows as executions that lost one",
    "forget_old_parks": "only where a build has parked something",
    "prune_events": "there are as many handlers as the code has",
    "purge_events": "there are as many handlers as the code has",
    "retentions": "there are as many rows as live workers",
    "forget_old_retentions": "there are as many rows as live workers",
    "suspects": "oldest first by the index of what is not over, until there are enough",
    "worker_details": "there are as many rows as live workers",
    "workers": "there are as many rows as live workers",
    "newest": "sqlite_sequence has two rows",
    "audit": "newest first by the primary key, until there are enough",
    "all_aside": "oldest first by the primary key, until there are enough",
    "list_held": "by the primary key, until there are enough",
    "behind": "newest first by the primary key, from where an older release left off",
}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(str(tmp_path / "x.db"), synchronous="full", patience=1)
    yield connection
    connection.close()


def plan(db: sqlite3.Connection, query: str) -> list[str]:
    named = set(re.findall(r":([a-z_]+)", query))
    numbered = [int(number) for number in re.findall(r"\?(\d+)", query)]
    arguments: object = dict.fromkeys(named, 1) if named else (None,) * max([query.count("?") if not numbered else 0, *numbered])
    return [step[3] for step in db.execute(f"EXPLAIN QUERY PLAN {query}", arguments)]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(SQL))
def test_no_statement_reads_a_whole_table(db: sqlite3.Connection, name: str) -> None:
    steps = plan(db, SQL[name])
    scans = [
        step
        for step in steps
        if step.startswith("SCAN") and "CONSTANT ROW" not in step and "json_each" not in step and "subquery" not in step
    ]
    if name in MAY_SCAN:
        assert scans == [step for step in scans if "USING TEMP" not in step]
    else:
        assert scans == []


@pytest.mark.parametrize(
    "name",
    [
        "due",
        "parked_due",
        "next_wake",
        "next_parked_wake",
        "inbox",
        "history",
        "poll_inboxes",
    ],
)
def test_what_comes_in_an_order_is_read_in_it(db: sqlite3.Connection, name: str) -> None:
    assert [step for step in plan(db, SQL[name]) if "TEMP B-TREE" in step] == []


def test_comments_of_statements_stay_in_the_file() -> None:
    assert read_queries("-- top\n\n-- name: one\n-- why\nSELECT 1;\n\n-- ── part ──\n\n-- name: two\nSELECT\n    2;\n") == {
        "one": "SELECT 1",
        "two": "SELECT\n    2",
    }
