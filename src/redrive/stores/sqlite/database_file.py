"""Opening the database file: never one that is not ours, never one we do not understand."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from redrive.ports.store import StoreError, UnusableStore
from redrive.stores.sqlite.sqlite_errors import CANNOT_OPEN, as_store_error, primary_code

APPLICATION_ID: Final = 0x72_64_72_76  # "rdrv"
MOVED: Final = 1_000_000
"""The schema version of a file whose executions live elsewhere now; releases that do not know it refuse it as a newer one."""
UNFINISHED: Final = 1_000_001
"""The schema version of a file that is being filled from another store."""
_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def migrations() -> Sequence[str]:
    """The scripts, oldest first; the first brings an empty database to version 1."""
    return [script.read_text(encoding="utf-8") for script in sorted(_MIGRATIONS.glob("[0-9]*.sql"))]


def connect(path: str, *, synchronous: str, patience: float, made_as: int | None = None) -> sqlite3.Connection:
    """A connection to an up-to-date database. Raises `UnusableStore`, or `StoreError` where it stays locked for *patience* seconds.

    One that is made here has the schema version *made_as* from its first moment on, if that is given.
    """
    file = Path(path)
    if file.is_dir():
        raise UnusableStore(f"{path}: it is a directory; name a file in it")
    if not file.absolute().parent.is_dir():
        raise UnusableStore(f"{path}: the directory {file.absolute().parent} does not exist; create it first")
    began = time.monotonic()
    while True:
        try:
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=0)
            try:
                prepare(db, path, synchronous, migrations(), made_as)
            except BaseException:
                db.close()
                raise
            return db
        except sqlite3.Error as error:
            problem = as_store_error(error, path)
            waited = time.monotonic() - began
            # Another process that opens or closes the file at this moment may be in the way, but only for an instant.
            if primary_code(error) == sqlite3.SQLITE_CANTOPEN and waited > 0.5:
                raise UnusableStore(f"{path}: {CANNOT_OPEN} ({error})") from error
            if not problem.retry_helps or waited > patience:
                raise problem from error
            time.sleep(0.02)


def prepare(db: sqlite3.Connection, path: str, synchronous: str, scripts: Sequence[str], made_as: int | None = None) -> None:
    """Bring the schema up to date, in one transaction, and set what holds for a connection only."""
    if needs_migration(db, path, scripts):
        # WAL cannot be changed within a transaction, and of two processes that create a file both may come here.
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise UnusableStore(f"{path}: it does not support SQLite's write-ahead log (it is in mode {mode}); name a file on a local disk")
        db.execute("BEGIN IMMEDIATE")
        try:
            if needs_migration(db, path, scripts):
                migrate(db, scripts, made_as)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    db.execute(f"PRAGMA synchronous = {synchronous}")
    # The log stays as long as it once got, and is written over: a commit that need not make the file longer is cheaper.
    db.execute("PRAGMA journal_size_limit = -1")
    db.execute("PRAGMA cache_size = -65536")
    # The threads see to checkpoints; this is for those that they cannot finish.
    db.execute("PRAGMA wal_autocheckpoint = 20000")


def needs_migration(db: sqlite3.Connection, path: str, scripts: Sequence[str]) -> bool:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise UnusableStore(f"{path}: it is a SQLite database of another program; name another file")
    if version == MOVED:
        raise UnusableStore(f"{path}: its executions were moved to another store; use that one")
    if version == UNFINISHED:
        raise UnusableStore(f"{path}: it was being filled from another store, and that did not finish; delete it and move again")
    if version > len(scripts):
        raise UnusableStore(
            f"{path}: a newer redrive wrote it (schema {version}, this one knows those up to {len(scripts)}); install that version"
        )
    return bool(version < len(scripts))


def migrate(db: sqlite3.Connection, scripts: Sequence[str], made_as: int | None = None) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    for script in scripts[version:]:
        for statement in statements(script):
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {len(scripts) if version or made_as is None else made_as}")


def statements(script: str) -> list[str]:
    """The statements of a script: `executescript` would commit between them."""
    found: list[str] = []
    pending = ""
    for piece in script.split(";"):
        pending += piece + ";"
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    # The last piece is what follows the last semicolon: nothing, or comments.
    rest = found.pop() if found else pending
    if any(line.strip(" ;") and not line.startswith("--") for line in rest.splitlines()):
        raise StoreError(f"a migration ends in the middle of a statement: {rest.strip()[:60]}")
    return found
