"""The threads that run sync bodies: few, daemons, cheap to hand work to, and never all in the hands of bodies given up.

1.  `concurrent.futures` joins its threads at exit, so one body that never returns would keep the process for ever;
    and it wakes the loop once per result, where this pool wakes it once for all that have ended meanwhile.
2.  A body that nobody waits for any more (timed out, cut, its lease lost) cannot be stopped. Its thread is *forfeited*:
    another one takes its place at once, so up to `limit` threads always serve bodies that somebody waits for (S6).
3.  At most *spare* threads are replaced so. From then on, steps whose forfeited bodies hold threads are held back until one
    of theirs returns; other steps have what is left, and never less than an eighth of the limit: what hangs there as well is
    held back in turn, so each further step takes that many threads at most.
4.  Owners (executions) take turns: ten thousand bodies of one do not stand before the single body of another.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextvars import Context
from queue import SimpleQueue
from typing import Any, Final

log: Final = logging.getLogger("redrive.worker")
Done = Callable[[Any, BaseException | None], None]
SPARE_PER_THREAD: Final = 8
"""Threads that may be replaced, for each of the limit."""
_KEPT: Final = 8
"""One thread in so many of the limit, one at least, is for honest steps, whatever bodies that were given up hold."""
_TRY_AGAIN: Final = 1.0
"""Seconds after which a thread that the system refused is asked for again."""
_WEIGHT: Final = 0.2
"""Weight of the newest body in the mean duration."""


class Job:
    """A body that was handed over; *name* is the step's id. *began* is the monotonic time at which a thread took it up, or 0."""

    __slots__ = (
        "began", "body", "context", "done", "ended", "error", "forfeited", "handed_over", "name", "owner", "result", "thread", "what",
    )  # fmt: skip

    def __init__(self, body: Callable[[], Any], context: Context, done: Done, owner: Hashable, name: str, what: Any) -> None:
        self.body = body
        self.context = context
        self.done = done
        self.owner = owner
        self.name = name
        self.what: Any = what
        self.handed_over = time.monotonic()
        self.began = 0.0
        self.thread = 0
        self.forfeited = self.ended = False
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def waits(self) -> bool:
        """Whether it has no thread yet."""
        return not (self.began or self.forfeited)

    def forget(self) -> None:
        """It is over: drop what knows the body's attempt, which knows this job; the collector would have to find the circle."""
        self.body, self.done, self.what = _nothing, _nothing, None


class Threads:
    """Up to *limit* daemon threads, started as they are needed, and up to *spare* more in place of forfeited ones.

    Use it from one event loop. What the threads and the loop share is changed under one lock.
    """

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop, spare: int | None = None) -> None:
        self.limit = limit
        self.spare = limit * SPARE_PER_THREAD if spare is None else spare
        self._kept = max(1, limit // _KEPT)
        self._loop = loop
        self._lock = threading.Lock()
        self._notifier: SimpleQueue[bool] = SimpleQueue()
        """One True for each job that is put into a queue, a False for each thread that is to end."""
        self._queues: OrderedDict[Hashable, dict[Job, None]] = OrderedDict()
        self._held_back: dict[str, dict[Job, None]] = {}
        self._running: dict[Job, None] = {}
        self._forfeited: dict[Job, None] = {}
        self._held_by: Counter[str] = Counter()
        """Forfeited bodies that hold threads, by step."""
        self._ended: deque[Job] = deque()
        self._woken = False
        self._closed = False
        self._started = 0
        self._numbered = 0
        self._asking_again = False
        self.waiting = 0
        """Bodies that no thread has taken up yet."""
        self.begun = 0
        """Bodies that threads have taken up so far."""
        self._mean = 0.0
        self._last_end = 0.0

    def run(
        self, body: Callable[[], Any], context: Context, done: Done, *, owner: Hashable = None, name: str = "", what: Any = None
    ) -> Job:
        """Run *body* in *context*; *done* is called on the loop, with its result or what it raised. *what* is the caller's."""
        job = Job(body, context, done, owner, name, what)
        with self._lock:
            self.waiting += 1
            if self._is_held_back(name):
                self._held_back.setdefault(name, {})[job] = None
            else:
                self._put(job)
            short = self._is_short()
        if short:
            self._start_threads()
        return job

    def give_up(self, job: Job) -> bool:
        """Nobody waits for *job* any more: it leaves its queue, or its thread is forfeited; whether the latter. `done` is not called
        for what had not begun."""
        with self._lock:
            if job.forfeited or job.ended:
                return False
            job.forfeited = True
            if not job.began:
                self._remove(job)
                job.forget()
                return False
            self._running.pop(job, None)
            self._forfeited[job] = None
            self._held_by[job.name] += 1
            self._hold_back(job.name)
        self._start_threads()
        return True

    def close(self) -> None:
        """Let idle threads end, and those that are busy end after their body."""
        self._closed = True
        for _ in range(self._started):
            self._notifier.put(False)

    # ── what is told of it ──────────────────────────────────────────────────────────────────────
    @property
    def free(self) -> int:
        """How many more bodies would begin at once; below zero: so many wait (those held back apart)."""
        return self._capacity - len(self._running) - self._queued

    @property
    def _queued(self) -> int:
        return self.waiting - sum(map(len, self._held_back.values())) if self._held_back else self.waiting

    @property
    def forfeited(self) -> int:
        """How many bodies that were given up still hold a thread."""
        return len(self._forfeited)

    @property
    def running(self) -> list[Job]:
        """The bodies in threads that somebody waits for, the longest first."""
        with self._lock:
            return list(self._running)

    @property
    def waiters(self) -> list[Job]:
        """The bodies without a thread, by owner, each owner's oldest first."""
        with self._lock:
            return list(self._waiters())

    def pace(self) -> float:
        """Seconds that bodies take lately, on average; 0 until the first has ended. Longer, if none ends for longer."""
        return max(self._mean, time.monotonic() - self._last_end) if self._mean and self.free <= 0 else self._mean

    def held_by(self, name: str) -> int:
        """How many threads forfeited bodies of the step *name* hold."""
        return self._held_by[name]

    def holds_back(self, name: str) -> bool:
        """Whether bodies of the step *name* are not begun, because forfeited ones of it hold all the threads to spare."""
        return self._is_held_back(name)

    def __str__(self) -> str:
        text = f"{len(self._running)} of {self._capacity} busy"
        if self._running:
            text += " with " + _counted(self.running)
        if self._forfeited:
            with self._lock:
                given_up = list(self._forfeited)
            text += f"; {len(given_up)} more held by bodies that were given up: {_counted(given_up)}"
        return text

    # ── under the lock ──────────────────────────────────────────────────────────────────────────
    @property
    def _capacity(self) -> int:
        """Threads for bodies that somebody waits for: fewer than the limit once there is none to spare."""
        over = len(self._forfeited) - self.spare
        return self.limit if over <= 0 else max(self._kept, self.limit - over)

    def _is_short(self) -> bool:
        """Whether one more thread is to be started."""
        serving = self._started - len(self._forfeited)
        if serving >= self.limit or self._closed:
            return False
        return serving < min(len(self._running) + self._queued, self._capacity)

    def _is_held_back(self, name: str) -> bool:
        return len(self._forfeited) >= self.spare and self._held_by[name] > 0

    def _put(self, job: Job) -> None:
        self._queues.setdefault(job.owner, {})[job] = None
        self._notifier.put(True)

    def _remove(self, job: Job) -> None:
        self.waiting -= 1
        held_back = self._held_back.get(job.name, {})
        if job in held_back:
            del held_back[job]
            return
        queue = self._queues[job.owner]
        del queue[job]
        if not queue:
            del self._queues[job.owner]

    def _waiters(self) -> Iterator[Job]:
        for queue in (*self._queues.values(), *self._held_back.values()):
            yield from queue

    def _next(self) -> Job | None:
        """The oldest job of the owner whose turn it is; None if it was withdrawn meanwhile."""
        if not self._queues:
            return None
        owner, queue = self._queues.popitem(last=False)
        job = next(iter(queue))
        del queue[job]
        if queue:
            self._queues[owner] = queue  # behind all others
        return job

    def _hold_back(self, name: str) -> None:
        """A body of *name* was given up: those that are not begun any more leave the queues."""
        used_up = len(self._forfeited) == self.spare
        if not (used_up or (len(self._forfeited) > self.spare and self._held_by[name] == 1)):
            return
        for owner, queue in tuple(self._queues.items()):
            for job in [job for job in queue if self._held_by[job.name] and (used_up or job.name == name)]:
                del queue[job]
                self._held_back.setdefault(job.name, {})[job] = None
            if not queue:
                del self._queues[owner]

    def _release_held_back(self) -> None:
        for name in [name for name in self._held_back if not self._is_held_back(name)]:
            for job in self._held_back.pop(name):
                self._put(job)

    # ── threads ─────────────────────────────────────────────────────────────────────────────────
    def _start_threads(self) -> None:
        while True:
            with self._lock:
                if not self._is_short():
                    return
                self._started += 1
                self._numbered += 1
            thread = threading.Thread(target=self._work, name=f"redrive-step-{self._numbered}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more: what waits is begun by the threads that there are
                with self._lock:
                    self._started -= 1
                self._ask_again(error)
                return

    def _ask_again(self, error: RuntimeError) -> None:
        if not self._asking_again:
            self._asking_again = True
            log.error("no thread can be started for the bodies of steps (%s): %s", error, self)
            self._loop.call_later(_TRY_AGAIN, self._asked_again)

    def _asked_again(self) -> None:
        self._asking_again = False
        self._start_threads()

    def _work(self) -> None:
        while self._notifier.get():
            with self._lock:
                job = self._next()
                if job is None:
                    continue
                job.began = time.monotonic()
                job.thread = threading.get_ident()
                self.waiting -= 1
                self.begun += 1
                self._running[job] = None
            try:
                job.result = job.context.run(job.body)
            except BaseException as raised:
                job.error = raised
            if self._leave(job):
                return
            del job

    def _leave(self, job: Job) -> bool:
        """The body of *job* has ended; whether the thread must end, too: another one has taken its place."""
        with self._lock:
            job.ended = True
            self._running.pop(job, None)
            if job.forfeited:
                del self._forfeited[job]
                self._held_by -= Counter((job.name,))
                self._release_held_back()
            else:
                self._last_end = time.monotonic()
                self._mean += (self._last_end - job.began - self._mean) * (_WEIGHT if self._mean else 1.0)
            replaced = self._started - len(self._forfeited) > self._capacity
            if replaced:
                self._started -= 1
            self._ended.append(job)
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._collect)
            except RuntimeError:  # the loop is closed: nobody waits for it any more
                return True
        return replaced

    def _collect(self) -> None:
        # Down before the queue is emptied: what ends after this line rings again.
        self._woken = False
        ended = self._ended
        while ended:
            job = ended.popleft()
            job.done(job.result, job.error)
            job.forget()


def _nothing(*_: Any) -> None:
    return


def _counted(jobs: list[Job]) -> str:
    """The steps of *jobs*, those with most first, and for how long the longest has run."""
    now = time.monotonic()
    names = Counter(job.name or "?" for job in jobs).most_common(3)
    longest = max(now - job.began for job in jobs)
    listed = ", ".join(f"{name} ({count})" for name, count in names)
    more = len({job.name for job in jobs}) - len(names)
    return listed + (f" and {more} more steps" if more else "") + f", the longest for {longest:.1f} s"
