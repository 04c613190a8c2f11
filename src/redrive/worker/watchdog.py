"""Notices turns that take too long (D7). A thread looks at the turns under way; what it sees of one are looks, not a clock's
time: a machine that was suspended, or so busy that nobody got on, ages no turn.

1.  A turn that takes more than `WARN_AFTER` is logged, once, with where it stands.
2.  A turn on the event loop that has used `APART_AFTER` of processor time, or has stood still for `STILL_AFTER`, is broken off there
    with `TurnApart`, to be computed anew in a thread of its own: meanwhile others go on. That says nothing against it.
3.  In a thread of its own, a turn may take all the time that it needs as long as it yields commands. After *limit* of
    processor time without one, or having stood still for `DEAD_AFTER`, it is broken off with `StuckTurn`.
4.  Breaking off raises `TurnTooLong` inside the turn. One that hangs in C code is broken off when it comes back to Python.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redrive.worker import stacks
from redrive_interpreter.errors import HostError
from redrive_interpreter.machine.machine import Machine

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Workflow

R = TypeVar("R")
T = TypeVar("T")
log: Final = logging.getLogger("redrive.worker")
WARN_AFTER: Final = 2.0
APART_AFTER: Final = 1.0
STILL_AFTER: Final = 2.0
DEAD_AFTER: Final = 60.0
STUCK_AFTER: Final = 60.0
"""Seconds of processor time between two commands, by default."""
_LOOK_EVERY: Final = 0.25
_STILL: Final = 0.02
"""A turn stands still if it used less than this part of the time for computing."""


class TurnTooLong(BaseException):
    """Raised inside a turn that would not end."""


class TurnApart(BaseException):
    """The turn was broken off because it held up the event loop: compute it in a thread of its own."""


class StuckTurn(HostError):
    """The workflow computed for too long without yielding a command."""


class Watch:
    """Watches the turns of the thread that it is made in. `enter` and `leave` must cost next to nothing."""

    def __init__(self, dog: Watchdog, *, on_loop: bool) -> None:
        self.on_loop = on_loop
        self.thread = threading.get_ident()
        self.id = ""
        """The execution whose turn it is."""
        self.turn = 0
        """The number of the turn under way; 0: none is."""
        self._dog = dog
        self._turns = 0
        self._machine: Machine[Any] | None = None
        self._lock = threading.Lock()
        self._thrown = ""
        """Why the turn was broken off, if it was."""
        self._clock = time.pthread_getcpuclockid(self.thread) if hasattr(time, "pthread_getcpuclockid") else None
        # What the watchdog saw of the turn under way.
        self._seen = self._looks = self._looks_then = self._progress = 0
        self._cpu_first = self._cpu_then = 0.0

    def enter(self, id: str, machine: Machine[Any] | None) -> None:
        """A turn of the execution *id* begins; `leave` must follow. A replay has its *machine* from `make`."""
        self.id = id
        self._machine = machine
        self._turns = self.turn = self._turns + 1

    def make(self, workflow: Workflow[..., R], codec: Codec, kind: type[Machine[Any]] = Machine) -> Machine[R]:
        """The machine that the turn is computed by, of the class *kind*."""
        machine = kind(workflow, codec)
        self._machine = machine
        return machine

    def leave(self, error: BaseException | None = None) -> None:
        """The turn is over. Raises `TurnApart` or `StuckTurn` if it was broken off."""
        with self._lock:  # after this, no TurnTooLong will be raised that is not on its way already
            self.turn = 0
        self._machine = None
        if self._thrown:
            why, self._thrown = self._thrown, ""
            _swallow(error)
            if self.on_loop:
                raise TurnApart(why) from error
            raise StuckTurn(f"a turn was broken off after {why} without a command: does the workflow loop or block?") from error

    def during(self, id: str, machine: Machine[Any] | None, call: Callable[..., T], *args: Any) -> T:
        """Give the result of *call*, as a turn of the execution *id*. Raises as `leave` does."""
        self.id, self._machine = id, machine  # as `enter` does
        self._turns = self.turn = self._turns + 1
        try:
            try:
                result = call(*args)
            except BaseException as error:
                self.leave(error)
                raise
            with self._lock:  # as `leave` does
                self.turn = 0
            self._machine = None
            if self._thrown:
                self.leave()
        except TurnTooLong as late:  # it arrived while the turn was being left
            self.leave(late)
            raise TurnApart("its time") if self.on_loop else StuckTurn("a turn was broken off: does the workflow loop or block?") from late
        return result

    def look(self) -> None:
        """Look at the turn under way; on the watchdog's thread."""
        turn, id, machine = self.turn, self.id, self._machine
        if not turn:
            return
        cpu = self._cpu()
        progress = machine.counted if machine is not None else 0
        if turn != self._seen:
            self._seen, self._looks, self._looks_then, self._progress = turn, 0, 0, progress
            self._cpu_first = self._cpu_then = cpu
            return
        self._looks += 1
        if progress != self._progress:
            self._progress, self._looks_then, self._cpu_then = progress, self._looks, cpu
        every, dog = _LOOK_EVERY, self._dog
        if (self._looks - 1) * every < dog.warn_after <= self._looks * every:
            stack = stacks.of_thread(self.thread)
            log.warning("execution %r: a turn takes more than %.1f s; it stands at\n%s", id, dog.warn_after, stack)
        total, silent = cpu - self._cpu_first, cpu - self._cpu_then
        waited = (self._looks - self._looks_then) * every
        still = waited if silent < _STILL * waited else 0.0
        if self.on_loop:
            if total > dog.apart_after or still > dog.still_after:
                self.break_off(turn, f"{max(total, still):.1f} s")
        elif silent > dog.limit or still > dog.dead_after:
            used = f"{silent:.1f} s of processor time" if silent > dog.limit else f"standing still for {still:.1f} s"
            self.break_off(turn, used)

    def break_off(self, turn: int, why: str) -> None:
        with self._lock:
            if turn and self.turn == turn:
                self._thrown = why
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), ctypes.py_object(TurnTooLong))

    def _cpu(self) -> float:
        """Seconds of processor time of the thread; where the system cannot tell, of the process."""
        return time.process_time() if self._clock is None else time.clock_gettime(self._clock)


class Watchdog:
    """The thread that looks at all watches of a worker. *limit*: seconds of processor time between two commands."""

    def __init__(self, limit: float = STUCK_AFTER) -> None:
        self.limit = limit
        self.warn_after, self.apart_after, self.still_after, self.dead_after = WARN_AFTER, APART_AFTER, STILL_AFTER, DEAD_AFTER
        self._watches: list[Watch] = []
        self._closed = threading.Event()
        threading.Thread(target=self._look, name="redrive-watchdog", daemon=True).start()

    def watch(self, *, on_loop: bool) -> Watch:
        """A watch for the turns of this thread, until `unwatch`."""
        watch = Watch(self, on_loop=on_loop)
        self._watches = [*self._watches, watch]
        return watch

    def unwatch(self, watch: Watch) -> None:
        self._watches = [other for other in self._watches if other is not watch]

    def close(self) -> None:
        """Break off what is under way in threads of its own, and end once nothing is."""
        self._closed.set()

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_EVERY):
            for watch in self._watches:
                watch.look()
        # A workflow may catch what breaks it off: until it is out, it is told again.
        while under_way := [watch for watch in self._watches if watch.turn and not watch.on_loop]:
            for watch in under_way:
                watch.break_off(watch.turn, "its worker had stopped")
            time.sleep(_LOOK_EVERY)


def _swallow(error: BaseException | None) -> None:
    """If the exception has not arrived yet, let it arrive here."""
    if isinstance(error, TurnTooLong):
        return
    try:
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            pass
    except TurnTooLong:
        pass
