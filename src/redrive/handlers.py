"""Durable event handlers: each event until it is done, at least once, on one worker at a time (G5).

1.  A handler's place is stored under its name. Events come in the order in which they were emitted, one at a time.
2.  An event that fails is *held*: stored with the number of its attempts and the time of the next one, so that a restart
    continues there. The handler takes other events meanwhile.
3.  The order within an execution is kept: while one of its events is held, its later ones wait behind it, held too.
4.  Past the handler's policy an event is *dead*: kept for people, who redeliver or drop it. So is at once what cannot be
    read as the event's type (G6). What waited behind it comes next.
5.  An attempt that kills its process counts. Attempts on held events are stored before they begin, and so is the first one
    after a handler began here: its event may have been in hand when the worker before died. Others cost no write more.
6.  Handlers do not wait for each other: each has a task of its own, and sync ones threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import attrs

from redrive.handling import Handler, called
from redrive.news import News, wait_for
from redrive.patience import patiently
from redrive.ports.aside_values import HeldEvent
from redrive.ports.store import StoreError
from redrive.subscriptions import payload_of
from redrive_interpreter.commands.messages import texts_of
from redrive_interpreter.commands.retry import after_attempt, after_failure
from redrive_interpreter.errors import CodecError
from redrive_interpreter.raised import traceback_of, type_name, users_traceback

if TYPE_CHECKING:
    from datetime import datetime

    from redrive.codec import JsonCodec
    from redrive.ports.store import Event as StoredEvent
    from redrive.ports.store import Store
    from redrive.worker.clock import Clock

_LAST_WORDS: Final = 0.5
"""Seconds that calls get to take note that they were told to stop."""
log: Final = logging.getLogger("redrive.events")
AT_ONCE: Final = 100
MOST_HELD: Final = 1000
"""Executions with events that are held, at most: from so many on, a handler takes no new events until some are done or dead
(those of one batch, `AT_ONCE`, may come on top)."""
SLOW: Final = 60.0
"""Seconds after which a call that has not ended is told of."""
POLL: Final = 1.0
LOOK: Final = 5.0
"""Seconds between two looks for held events that somebody redelivered elsewhere."""


class Handlers:
    """Runs durable handlers. *alive* is called before a handler is added, where nothing else tells the store that *worker* lives."""

    def __init__(
        self, store: Store, codec: JsonCodec, news: News, worker: str, clock: Clock, alive: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.store = store
        self.codec = codec
        self.news = news
        self.worker = worker
        self.clock = clock
        self._alive = alive
        self._tasks: list[asyncio.Task[None]] = []
        self._busy = 0
        """Handlers that have begun with an event, and whose place is not stored yet."""
        self._abandoned = False
        self._quiet: asyncio.Future[None] | None = None
        """There when it closes: done once none is busy."""

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def closing(self) -> bool:
        return self._quiet is not None

    async def add(self, handler: Handler) -> None:
        """Begin: the handler's place is known to the store when this returns."""
        if self._alive is not None:
            await self._alive()
        listener = _Listener(self, handler)
        await listener.take()
        self._tasks.append(asyncio.get_running_loop().create_task(listener.listen()))

    def add_soon(self, handler: Handler) -> Joining:
        return Joining(asyncio.get_running_loop().create_task(patiently(lambda: self.add(handler))), handler.name)

    async def close(self, seconds: float) -> None:
        """Stop: who has begun with an event may end it for *seconds*, or it is heard again."""
        self._quiet = asyncio.get_running_loop().create_future()
        if self._busy:
            await asyncio.wait([self._quiet], timeout=seconds)
        for task in self._tasks:
            task.cancel()
        left = set[asyncio.Task[None]]()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=_LAST_WORDS)
        self._abandoned = True
        for task in left:  # they have not heard it: nobody asks them any more
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_LAST_WORDS)
        self._tasks.clear()

    def is_abandoned(self) -> bool:
        """Whether calls that go on now are to be ended, whether they hear their cancel or not."""
        return self._abandoned

    def begin(self) -> None:
        self._busy += 1

    def end(self) -> None:
        self._busy -= 1
        if not self._busy and self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)


class Joining:
    """A handler that is being added to an open service: what the service causes from now on waits for it (`settled`)."""

    def __init__(self, task: asyncio.Task[None], name: str) -> None:
        self._task = task
        task.add_done_callback(lambda task: _tell_of_failure(task, name))

    async def settled(self) -> None:
        await asyncio.wait([self._task])


def _by_due(held: HeldEvent) -> tuple[float, int]:
    return (0.0 if held.due is None else held.due.timestamp()), held.event.seq


def _tell_of_failure(task: asyncio.Task[None], name: str) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("handler %s could not be added, and hears nothing: %s", name, error)


class _Listener:
    """One handler at work. *found* are new events that it has taken, oldest first."""

    def __init__(self, all: Handlers, handler: Handler) -> None:
        self._all = all
        self._handler = handler
        self._store = all.store
        self._news = all.news.waiter()
        self._found: deque[StoredEvent] = deque()
        self._texts = texts_of(handler.source)
        """The texts under which its events are stored, those that an older release stored last."""
        self._older = self._texts[1:]
        """Those of them under which there may be new events: older releases emitted them, and they are handled first."""
        self._held: deque[HeldEvent] = deque()
        """The oldest held event of each execution, by when it is due."""
        self._room = True
        """Whether new events are taken: few enough are held."""
        self._look_at = 0.0
        """When held events are looked for next, by the loop's clock."""
        self._sure = False
        """Whether a new event has been handled here: before that, the next one may be what killed the worker before this one."""

    async def take(self) -> None:
        """Take new events, if there is room for those that fail."""
        self._news = self._all.news.waiter()  # before the look, so that nothing is missed in between
        if self._room:
            while self._older and not self._found:
                await self._take(self._older[0])
                if not self._found:
                    self._older = self._older[1:]
            if not self._older:
                await self._take(self._texts[0])

    async def _take(self, text: str) -> None:
        self._found.extend(await self._store.take_events(self._handler.name, text, self._all.worker, AT_ONCE))

    async def listen(self) -> None:
        """Handle events until it is cancelled, or all handlers close."""
        while not self._all.closing:
            try:
                await self._look()
                if await self._work():
                    self._look_at = 0.0
                elif not self._found:
                    await wait_for(self._news, self._patience())
                    if self._news.is_set():
                        self._look_at = 0.0
                if not self._found:
                    await self.take()
            except StoreError as error:
                log.warning("handler %s: %s", self._handler.name, error)
                await self._begin_again(POLL)
            except Exception:  # a fault of ours must not make it deaf
                log.exception("handler %s goes on in %d s", self._handler.name, LOOK)
                await self._begin_again(LOOK)

    async def _begin_again(self, seconds: float) -> None:
        """Forget the places known here: only the store knows what is stored."""
        self._found.clear()
        self._held.clear()
        self._look_at = 0.0
        await asyncio.sleep(seconds)

    async def _look(self) -> None:
        """See what is held: before new events are handled, which may belong behind it, and now and then."""
        now = asyncio.get_running_loop().time()
        if self._found or now >= self._look_at or self._is_due:
            self._look_at = now + LOOK
            name, worker = self._handler.name, self._all.worker
            held = [each for text in self._texts for each in await self._store.held_events(name, text, worker, MOST_HELD)]
            self._held = deque(sorted(held, key=_by_due) if len(self._texts) > 1 else held)
            self._room = len(self._held) < MOST_HELD

    @property
    def _is_due(self) -> bool:
        return bool(self._held) and (self._held[0].due is None or self._held[0].due <= self._all.clock.now())

    def _patience(self) -> float:
        due = self._held[0].due if self._held else None
        return POLL if due is None else min(POLL, self._all.clock.seconds_to(due))

    async def _work(self) -> bool:
        """Handle what is due and what is new, by turns, until it has to be looked what is held now; whether that is so."""
        behind = {held.event.execution for held in self._held}
        while (self._is_due or self._found) and not self._all.closing:
            if self._is_due:
                await self._handle(self._held.popleft(), new=False)
                return True
            event = self._found[0]
            held = HeldEvent(handler=self._handler.name, event=event)
            if event.execution in behind:
                await self._store.hold_events(self._all.worker, [held])
                done = True
            else:
                done = await self._handle(held, new=True)
            self._found.popleft()
            if not done:
                return True
        return False

    async def _handle(self, held: HeldEvent, *, new: bool) -> bool:
        """Call the handler once, and store its result; False if the event is held now."""
        all, name, seq = self._all, self._handler.name, held.event.seq
        if held.attempts and held.due is None:  # the last attempt began, and its process ended
            await self._store.hold_events(all.worker, [attrs.evolve(held, dead=True)])
            _log_dead(held)
            return True
        all.begin()
        try:
            began = all.clock.now()
            if ahead := not (new and self._sure):
                await self._store.hold_events(all.worker, [self._begun(held, began)])
                new, self._sure = False, True
            try:
                error = await self._call(held.event)
            except asyncio.CancelledError:
                if ahead:  # told to stop, which is no attempt
                    await self._store.hold_events(all.worker, [held])
                raise
            if error is not None:
                failed = self._failed(held, error, began)
                await self._store.hold_events(all.worker, [failed])
                _log_failure(failed, error)
                return failed.dead
            if new:
                await self._store.events_done(name, all.worker, seq)
            else:
                await self._store.held_done(name, all.worker, seq)
            return True
        finally:
            all.end()

    async def _call(self, event: StoredEvent) -> BaseException | None:
        """Call the handler; returns the error it raised, or None."""
        try:
            payload = payload_of(event, self._handler.source, self._all.codec)  # a copy of its own for each call
        except CodecError as error:
            return error
        slow = asyncio.get_running_loop().call_later(SLOW, _log_slow, self._handler, event)
        try:
            return await called(self._handler, payload, self._all.is_abandoned)
        finally:
            slow.cancel()

    def _begun(self, held: HeldEvent, began: datetime) -> HeldEvent:
        """How it stands with an event whose next attempt begins. If it is not due after that, it is dead once this process is."""
        attempts, first_at = held.attempts + 1, held.first_at or began
        due, token = None, f"{held.handler}:{held.event.seq}"
        if self._handler.retry:  # a death is no exception that a policy could name: the first one holds
            due = after_attempt(self._handler.retry[0], attempt=attempts, first_at=first_at, now=began, token=token)
        text = f"attempt {attempts} began and has not ended: its process may have died\n{held.error}".rstrip()
        return attrs.evolve(held, attempts=attempts, first_at=first_at, due=due, error=text)

    def _failed(self, held: HeldEvent, error: BaseException, began: datetime) -> HeldEvent:
        """How it stands with an event after one more attempt that failed."""
        attempts, first_at, now = held.attempts + 1, held.first_at or began, self._all.clock.now()
        due = None
        if not isinstance(error, CodecError) or not _is_of_payload(error, held.event):
            counted = error if isinstance(error, Exception) else RuntimeError(str(error))
            token = f"{held.handler}:{held.event.seq}"
            due = after_failure(self._handler.retry, counted, attempt=attempts, first_at=first_at, now=now, token=token)
        text = f"{type_name(type(error))}: {error}\n{traceback_of(error)}".rstrip()
        return attrs.evolve(held, attempts=attempts, first_at=first_at, due=due, error=text, dead=due is None)


def _is_of_payload(error: CodecError, event: StoredEvent) -> bool:
    """Whether *error* says that *event* cannot be read: calling the handler again changes nothing about that."""
    return error.where == f"event {event.name}"


def _log_slow(handler: Handler, event: StoredEvent) -> None:
    limit = "" if handler.timeout is not None else "; @on(…, timeout=) would end it"
    log.warning(
        "handler %s has been at event %d (%s) of execution %r for %d s, and the others wait behind it%s",
        handler.name,
        event.seq,
        event.name,
        event.execution,
        SLOW,
        limit,
        extra={"execution_id": event.execution, "handler": handler.name},
    )


def _log_dead(held: HeldEvent) -> None:
    log.error(
        "handler %s: event %d (%s) of execution %r is dead, redeliver or drop it: %s",
        held.handler,
        held.event.seq,
        held.event.name,
        held.event.execution,
        held.error.partition("\n")[0],
        extra={"execution_id": held.event.execution, "handler": held.handler, "attempt": held.attempts},
    )


def _log_failure(held: HeldEvent, error: BaseException) -> None:
    """Each failed attempt once, with the user's frames."""
    next_one = "" if held.due is None else held.due.isoformat(timespec="milliseconds")
    then = f"the next one is due at {next_one}" if next_one else "it is dead: redeliver or drop it"
    log.log(
        logging.ERROR if held.dead else logging.WARNING,
        "handler %s: attempt %d on event %d (%s) of execution %r failed, %s: %s: %s",
        held.handler,
        held.attempts,
        held.event.seq,
        held.event.name,
        held.event.execution,
        then,
        type_name(type(error)),
        error,
        exc_info=(type(error), error, users_traceback(error)),
        extra={"execution_id": held.event.execution, "handler": held.handler, "attempt": held.attempts},
    )
