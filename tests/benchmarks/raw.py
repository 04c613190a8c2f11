"""Baselines: the least that a durable engine must do, written by hand."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from redrive_interpreter import Workflow


def commits(folder: Path, count: int) -> list[float]:
    """The seconds that each of *count* one-row commits takes: SQLite, WAL, synchronous=FULL."""
    path = folder / f"raw-{time.monotonic_ns()}.db"
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE step (id INTEGER PRIMARY KEY, data TEXT)")
        taken: list[float] = []
        for _ in range(count):
            begun = time.perf_counter()
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO step (data) VALUES (?)", ("x" * 100,))
            db.execute("COMMIT")
            taken.append(time.perf_counter() - begun)
        return taken
    finally:
        db.close()


def generator(workflow: Workflow[..., int], count: int) -> None:
    """Drive the workflow's own generator by hand: what nobody who interprets it can beat."""
    assert workflow.fn is not None
    running = workflow.fn(count)
    try:
        running.send(None)
        answer = 1
        while True:
            running.send(answer)
            answer += 1
    except StopIteration:
        return
