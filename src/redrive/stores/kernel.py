"""Processes of this machine as its kernel sees them: whether one lives, and a clock that cannot be set.

1.  A *kernel* is named by its boot: two processes that name the same one are judged by one process table and one clock.
    Where it cannot be named (not Linux, no /proc), nothing is certain, and leases by the wall clock decide.
2.  A pid is one process together with its start time and its namespace. Of a process in another namespace nothing is known.
3.  The clock does not count the time that the machine was suspended: its processes could not do anything either.
"""

from __future__ import annotations

import enum
import functools
import os
import time
from typing import Final

import attrs


class Sight(enum.Enum):
    """A process as the kernel shows it."""

    GONE = "gone"
    RUNS = "runs"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@attrs.frozen
class Process:
    """*started* in clock ticks since the boot."""

    pid: int
    started: int
    namespace: str

    @classmethod
    def here(cls) -> Process | None:
        """This process; None where the kernel does not tell."""
        pid = os.getpid()
        found = _stat(pid)
        namespace = _link("/proc/self/ns/pid")
        return None if found is None or namespace is None else cls(pid, found[1], namespace)

    def look(self) -> Sight:
        """Look at the process, by a kernel that is known to be its own."""
        if self.namespace != _link("/proc/self/ns/pid"):
            return Sight.UNKNOWN
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return Sight.GONE
        except OSError:
            pass  # somebody else's
        found = _stat(self.pid)
        if found is None:
            return Sight.UNKNOWN  # it ended just now, or is hidden from us
        state, started = found
        if started != self.started or state in "ZXx":
            return Sight.GONE
        return Sight.STOPPED if state in "Tt" else Sight.RUNS


@functools.cache
def kernel() -> str | None:
    """The name of the running kernel, with that of the namespace that sets its clocks."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
    except (OSError, ValueError):
        return None
    return f"{boot} {_link('/proc/self/ns/time') or ''}".strip() or None


def ticks_us() -> int:
    """Microseconds on the kernel's clock: the same for all of its processes, never set."""
    return time.clock_gettime_ns(_CLOCK) // 1000


_CLOCK: Final[int] = getattr(time, "CLOCK_MONOTONIC", 1)


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start time."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            after_name = file.read().rpartition(b")")[2].split()
        return after_name[0].decode(), int(after_name[19])
    except (OSError, ValueError, IndexError):
        return None


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
