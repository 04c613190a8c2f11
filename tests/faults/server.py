"""A PostgreSQL server that a test may ill-treat: of its own, with real fsync."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.postgres.server import Server, serve, start

SETTINGS: Final = {"max_connections": 60}


class Victim:
    """*server* as it was started; `crash` and `recover` as often as a test likes."""

    def __init__(self, server: Server) -> None:
        assert server.folder is not None
        assert server.process is not None
        self._server = server
        self._process: subprocess.Popen[bytes] = server.process
        self.folder: Path = server.folder
        self.port = server.port

    def crash(self) -> None:
        """Nothing is written any more; the next start recovers from the log."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(60)

    def recover(self) -> None:
        self._process = start(self._server, fsync=True, **SETTINGS)

    def own(self, folder: Path) -> None:
        """Give *folder* to the user that the server runs as."""
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)

    def url(self, *, port: int | None = None) -> str:
        """What a service takes; *port* is that of a proxy before the server."""
        return f"postgresql://postgres:secret@127.0.0.1:{port or self.port}/postgres?schema=faults"

    def dsn(self) -> str:
        return f"postgresql://postgres:secret@127.0.0.1:{self.port}/postgres"

    def sql(self, statement: str, options: str = "") -> Sequence[tuple[Any, ...]]:
        """Run one statement by a connection of its own."""
        with self._server.connect(options=options) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description is not None else ()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@contextlib.contextmanager
def victim() -> Generator[Victim]:
    with serve(fsync=True, **SETTINGS) as server:
        found = Victim(server)
        try:
            yield found
        finally:
            if found._process is not server.process:
                found.crash()
