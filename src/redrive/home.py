"""Where something that is open may be used: in the process, and on the event loop, that opened it (W10).

A fork copies locks that nobody will open again, loops that no thread runs, and connections that are the parent's: a child that used
them would wait for ever, or break in on its parent. A second event loop would wait for what only the first one brings.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Final
from uuid import uuid4

from redrive.errors import ServiceClosed, WrongContext

_FORKED: Final = (
    "{what} was opened before this process was forked, and belongs to the process that opened it: make one here, after the fork "
    "(gunicorn: in post_fork, or in the application's lifespan; uWSGI: in @postfork; multiprocessing: in the function of the new "
    "process, or by the 'spawn' start method)"
)
_OTHER_LOOP: Final = (
    "{what} was opened on another event loop, and is used on that one only: make one for each loop (pytest-asyncio: give the tests and "
    "the fixture that opens it one loop_scope), or take DurableService, which any thread may use"
)

_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Process:
    """The process where this was made."""

    __slots__ = ("_forks", "_what")

    def __init__(self, what: str) -> None:
        self._what, self._forks = what, _forks

    @property
    def is_ours(self) -> bool:
        return self._forks == _forks

    def check(self) -> None:
        """Raises `WrongContext` in a process that was forked from it."""
        if self._forks != _forks:
            raise WrongContext(_FORKED.format(what=self._what))


class Place(Process):
    """The process and the event loop where this was made."""

    __slots__ = ("_loop",)

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self._loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Raises `WrongContext` in a process that was forked from it, and on another loop."""
        super().check()
        if asyncio._get_running_loop() is not self._loop:
            raise WrongContext(_OTHER_LOOP.format(what=self._what))


class Home:
    """The process and the event loop of a service, from when it is opened; *closed* is set when it is closed again."""

    def __init__(self) -> None:
        self.closed: asyncio.Event | None = None
        self._place: Place | None = None

    def open(self) -> None:
        if self._place is not None:
            Process.check(self._place)
            raise ServiceClosed("the service is open already, or was: make another one")
        self._place, self.closed = Place("this service"), asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self.closed is not None and not self.closed.is_set()

    @property
    def is_left(self) -> bool:
        """True in a child of the process that opened it: nothing here is to be closed."""
        return self._place is not None and not self._place.is_ours

    def check(self, *, any_loop: bool = False) -> None:
        """Raises `WrongContext` elsewhere, and `ServiceClosed` before it is opened and after it was closed."""
        if self._place is not None:
            if any_loop:
                Process.check(self._place)
            else:
                self._place.check()
        if not self.is_open:
            raise ServiceClosed


def new_worker_id() -> str:
    """Of this process: two that were forked from one that made it must not share it."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
