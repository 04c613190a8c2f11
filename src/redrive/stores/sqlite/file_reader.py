"""Reading a database file that somebody else works on: nothing is written, nothing migrated, no lock is held.

A reader of a write-ahead log leaves the log's files behind if it was the first to open it; made by another user, they
keep the workers from writing. So a database without a log, which nobody uses, is read as one that does not change; as
soon as there is a log, the worker has made its files, and it is read along with them.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from redrive.ports.store import FINAL, Json, UnusableStore
from redrive.stores.live_executions import Listed
from redrive.stores.sqlite.column_values import from_text, to_text
from redrive.stores.sqlite.database_file import migrations, needs_migration
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.sqlite_errors import as_store_error

_LIVING: Final = f"""
SELECT n, id, workflow, status, number FROM executions
WHERE status NOT IN ({", ".join(f"'{status}'" for status in sorted(FINAL))}) ORDER BY n DESC LIMIT ?
"""

_EVER: Final = """
SELECT n, id, workflow, status, number FROM executions
WHERE (workflow = ? OR number > 1) AND n < ? ORDER BY n DESC LIMIT ?
"""
_WORKFLOWS: Final = "SELECT DISTINCT workflow FROM executions ORDER BY workflow"
_PAGE: Final = 500


class SQLiteReader:
    """A `LiveReader` of the file at *path*. *patience* in seconds: for how long a locked database is tried again."""

    def __init__(self, path: str, patience: float = 10.0) -> None:
        self.path, self._patience = path, patience
        self._db: sqlite3.Connection | None = None
        self._still = False

    async def open(self) -> None:
        """Raises `UnusableStore` for a file that is not there, not ours, or of another schema than this release's."""
        self._still = not _is_in_use(self.path)
        self._db = _connect(self.path, self._patience, still=self._still)

    async def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    async def living(self, limit: int | None = None) -> Sequence[Listed]:
        return [_listed(*row) for row in self._ask(_LIVING, (-1 if limit is None else limit,))]

    async def ever(self, workflow: str) -> AsyncIterator[Sequence[Listed]]:
        before = sys.maxsize
        while page := self._ask(_EVER, (to_text(workflow), before, _PAGE)):
            yield [_listed(*row) for row in page]
            before = page[-1][0]

    async def workflows(self) -> Sequence[str]:
        return [from_text(name) for (name,) in self._ask(_WORKFLOWS, ())]

    async def rows(self, execution: Listed, run: int = -1) -> Json:
        number = execution.runs if run == -1 else run
        return "[" + ",".join([rows for (rows,) in self._ask(SQL["history"], (execution.place, number))]) + "]"

    def _ask(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        if self._still and _is_in_use(self.path):
            self._read_along()
        try:
            try:
                return self._open_db().execute(query, values).fetchall()
            except sqlite3.DatabaseError:
                if not (self._still and _is_in_use(self.path)):
                    raise
                self._read_along()  # it changed under us
                return self._open_db().execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise as_store_error(error, self.path) from error

    def _read_along(self) -> None:
        self._open_db().close()
        self._still = False
        self._db = _connect(self.path, self._patience, still=False)

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise UnusableStore(f"{self.path}: the reader is not open")
        return self._db


def _listed(n: int, id: str, workflow: str, status: str, number: int) -> Listed:
    return Listed(id=from_text(id), workflow=from_text(workflow), status=status, runs=number, place=n)


def _is_in_use(path: str) -> bool:
    return Path(f"{path}-wal").exists()


def _connect(path: str, patience: float, *, still: bool) -> sqlite3.Connection:
    file = Path(path)
    if not file.is_file():
        raise UnusableStore(f"{path}: there is no such database")
    try:
        mode = "mode=ro&immutable=1" if still else "mode=ro"
        db = sqlite3.connect(f"file:{quote(str(file.absolute()))}?{mode}", uri=True, isolation_level=None, timeout=patience)
        try:
            db.execute("PRAGMA query_only = on")
            outdated = needs_migration(db, path, migrations())
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise as_store_error(error, path) from error
    if outdated:
        db.close()
        raise UnusableStore(
            f"{path}: an older redrive wrote it, and reading must not bring it up to date; "
            "have a worker of this release open it, or a copy of it, first"
        )
    return db
