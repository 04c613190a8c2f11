"""A byte that a worker holds locked for as long as its process lives, in a file next to the database.

The kernel lets go of the lock with the process, however that ends, and tells everybody on the machine who asks, in other
containers as well. The lock belongs to the open file (OFD): two workers in one process do not share it, and nothing that
SQLite opens or closes touches it. A forked child gives its copy back, or the lock would outlive its owner.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
import weakref
from typing import Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment, unused-ignore]

# There are none on other systems than Linux.
_SET: Final[int | None] = getattr(fcntl, "F_OFD_SETLK", None)
_ASK: Final[int] = getattr(fcntl, "F_OFD_GETLK", 0)
_READ: Final[int] = getattr(fcntl, "F_RDLCK", 0)
_WRITE: Final[int] = getattr(fcntl, "F_WRLCK", 0)
_FREE: Final[int] = getattr(fcntl, "F_UNLCK", 0)

_FLOCK: Final = "hhqqi"
"""``struct flock`` of Linux: type, whence, start, length, pid."""


def lock_file(path: str) -> str:
    return f"{path}-life"


class Lock:
    """A locked byte of the file at *path*, which is made where it is missing. Raises OSError."""

    def __init__(self, path: str) -> None:
        if _SET is None:
            raise OSError("there are no locks that belong to an open file here")
        self.path = path
        self.byte = secrets.randbits(62)
        while True:
            self._fd = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
            try:
                _ask_kernel(self._fd, _SET, struct.pack(_FLOCK, _READ, os.SEEK_SET, self.byte, 1, 0))
                self.file = _identity(os.fstat(self._fd))
                if self.file == _identity(os.stat(path)):
                    break
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(self._fd)
                raise
            os.close(self._fd)  # the last worker to leave removed it just now
        _held.add(self)

    def release(self, *, remove: bool) -> None:
        """Let go of the byte. *remove*: no evidence names the file any more, so it goes with the last lock."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        with contextlib.suppress(OSError):
            _ask_kernel(fd, _SET or 0, struct.pack(_FLOCK, _FREE, os.SEEK_SET, self.byte, 1, 0))
            if remove and not _is_locked(fd, 0, 0) and _identity(os.stat(self.path)) == self.file:
                os.unlink(self.path)
        os.close(fd)

    def forget(self) -> None:
        """In a forked child: the lock is the parent's."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_held: Final[weakref.WeakSet[Lock]] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def is_locked(path: str, file: str, byte: int) -> bool | None:
    """Whether somebody holds *byte* of the file *file*; None: it cannot be told, it is not the one at *path* any more."""
    if _SET is None:
        return None
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return None if _identity(os.fstat(fd)) != file else _is_locked(fd, byte, 1)
    except OSError:
        return None
    finally:
        os.close(fd)


def _is_locked(fd: int, start: int, length: int) -> bool:
    found = _ask_kernel(fd, _ASK, struct.pack(_FLOCK, _WRITE, os.SEEK_SET, start, length, 0))
    return bool(struct.unpack(_FLOCK, found)[0] != _FREE)


def _ask_kernel(fd: int, command: int, flock: bytes) -> bytes:
    assert fcntl is not None
    return fcntl.fcntl(fd, command, flock)


def _identity(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}"
