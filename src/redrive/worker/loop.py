"""The worker: claims executions, keeps them alive in memory, rings their timers, and lets go of them.

1.  It looks for work when something changed, when something unowned is due, and at each heartbeat; the first two are
    fast paths, the last one is enough (W6).
2.  What it claimed it keeps, with its live machine, as long as there is room: idle ones are released once they have
    been idle for a while and nothing of theirs is due soon (T5).
3.  A heartbeat every third of the lease; it also sets the clock by the store's.
4.  Stopping: no new work, bodies get a grace period, then they are told to stop, and the store that the worker is gone (E6).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from redrive.patience import patiently
from redrive.ports.store import StoreError
from redrive.worker.apart import Apart
from redrive.worker.eviction import Eviction
from redrive.worker.gc_pause import CROWD, no_collection_for_a_moment
from redrive.worker.life import events
from redrive.worker.life.active_execution import ActiveExecution
from redrive.worker.life.life import Life
from redrive.worker.ownership import Ownership
from redrive.worker.pulse import Pulse, lifeline_of
from redrive.worker.quarantine import Quarantine
from redrive.worker.room import NOTHING, Room, Wanted
from redrive.worker.shell import LoopGuard, Shell
from redrive.worker.step_executor import StepExecutor
from redrive.worker.threads import Threads
from redrive.worker.timers import TimerLoop
from redrive.worker.watchdog import Watchdog

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive.injection import Resources
    from redrive.ports.store import Claim, NewExecution, StartResult, Store
    from redrive.worker.clock import Clock
    from redrive.worker.serving import Serving
    from redrive.worker.shell import Listener
    from redrive_interpreter.commands.workflows import Workflow

log: Final = logging.getLogger("redrive.worker")
_FULL_WAIT, _SHORT_WAIT = 0.05, 0.25
_POLL: Final = 1.0
_LAST_TURNS: Final = 3.0
"""Seconds that turns on their way to the store get when the worker stops."""
_FAREWELL: Final = 2.0
"""Seconds that the store gets to take note that the worker is gone."""
_LAST_WORDS: Final = 0.5
"""Seconds that async bodies get to take note that they were told to stop."""


class Worker:
    """Drives the executions of *workflows* in *store*, on the running loop, and tells *listener* how they end."""

    def __init__(
        self,
        *,
        id: str,
        store: Store,
        codec: JsonCodec,
        workflows: Mapping[str, Workflow[..., Any]],
        build: str,
        resources: Resources,
        clock: Clock,
        lease: timedelta,
        max_threads: int,
        cache: int,
        concurrency: int,
        max_recoveries: int,
        max_stall: timedelta,
        turn_limit: timedelta,
        serving: Serving,
        listener: Listener,
    ) -> None:
        self.id = id
        self.broken: BaseException | None = None
        self.stopped = asyncio.Event()
        self._store = store
        self._workflows = workflows
        self._names = tuple(workflows)
        self._owned = Ownership(store=store, worker=id, build=build, workflows=self._names, lease=lease, serving=serving)
        self.lives: dict[str, ActiveExecution] = self._owned.lives
        self._build = build
        self._clock = clock
        self._lease = lease
        self._cache = cache
        self._quarantine = Quarantine(store, build, self.lives, max_recoveries)
        self._loop = asyncio.get_running_loop()
        self._timers = TimerLoop(clock)
        self._threads = Threads(max_threads, self._loop)
        self._watchdog = Watchdog(turn_limit.total_seconds())
        self._apart = Apart(self._watchdog, self._loop)
        self._mail_seen = self._in_vain = 0
        self._stopping = self._gave_back = self._look_again = False
        self._looking: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._beating: asyncio.Task[None]
        self._pulse = Pulse(self, lifeline_of(store, id, lease, max_stall), lease, max_stall)
        self._orphans = False
        """Whether somebody has died whose work is to be claimed."""
        self._sweeping, self._sweep_up = False, Eviction(self.lives, cache)
        self._listener = listener
        self._stop_task: asyncio.Task[None] | None = None
        context = contextvars.copy_context()
        self._shell = Shell(
            store=store,
            clock=clock,
            timers=self._timers,
            context=context,
            lane=self._apart,
            life=Life(codec, workflows, LoopGuard(context, self._watchdog.watch(on_loop=True))),
            quarantine=self._quarantine,
            owned=self._owned,
            listener=listener,
        )
        self._executor = StepExecutor(codec, resources, self._threads, clock, context, self._shell, self)
        self._timers.connect(self._shell)
        self._shell.connect(self._executor)
        self.room = Room(self.lives, self._threads, self._executor, concurrency, cache)

    async def start(self) -> None:
        await self._pulse.open()
        await self._heartbeat()
        self._beating = self._loop.create_task(self._beat())
        self._tasks = [self._loop.create_task(self._work()), self._beating]
        self._pulse.start()

    def is_alive(self) -> bool:
        """Whether nobody has cancelled the worker's tasks but itself."""
        return self._stopping or not self._beating.done()

    def under_way(self) -> Sequence[object]:
        """The attempts under way, or that ended last, as far as another thread can tell."""
        running = [run.body for live in list(self.lives.values()) for run in list((live.bodies or {}).values())]
        return [*running, *self._executor.last_ended]

    def look_for_orphans(self) -> None:
        """Another worker is dead: claim what it had, before its lease has passed."""
        self._orphans = True
        self.look()

    def has_room_for(self, workflow: str) -> bool:
        """Whether a new execution of *workflow* may be this worker's from the start."""
        return not self._owned.settling and not self._stopping and workflow in self._workflows and self.room.is_for(workflow)

    def adopt(self, claim: Claim, started: str | None = None) -> None:
        """Take up an execution that was claimed; *started* is its only row, if that is known."""
        if self._gave_back:
            return  # the store is told, or was, that nothing is ours any more
        old = self.lives.get(claim.id)
        if old is not None and old.claim.fence >= claim.fence:
            return  # an answer that came late: we have it already, or let go of it and were given it again
        if old is not None:  # lost without our noticing, and claimed again
            self._shell.tell(old, events.LOST)
        live = self.lives[claim.id] = ActiveExecution(claim, self._workflows[claim.workflow], started)
        self.room.arrives(live)
        self._shell.tell(live, events.WANTED)
        if len(self.lives) > self._cache:
            self._sweep_soon()

    async def begin(self, new: NewExecution) -> StartResult:
        """Start *new* as this worker's, its first turn in the same transaction."""
        opened, asked = self._shell.first_turn(new, self._workflows[new.workflow], self.id), 0
        live, first = (None, None) if opened is None else opened

        def ask() -> Coroutine[Any, Any, StartResult]:
            nonlocal asked
            asked += 1
            return self._store.start(new, claim_for=self.id, first=first)

        self._owned.beginning[new.run] = new.id
        if len(self._owned.beginning) >= CROWD:
            no_collection_for_a_moment()
        try:
            begun = await patiently(ask)
        except BaseException as error:
            if live is not None:
                self._shell.forget(live)
            self._owned.doubt()  # it may be stored, and ours
            if isinstance(error, asyncio.CancelledError) and not self._stopping:
                self._tasks.append(self._loop.create_task(self._settle(ask)))
            raise
        finally:
            del self._owned.beginning[new.run]
        claim, committed = begun.claim, begun.committed
        if claim is None and asked > 1:
            self._owned.doubt()  # what was stored first may have begun its next run: then it is ours, and not this answer's
        has_mail = new.id in self._owned.unknown  # which passed us by: what is in the store is to be loaded
        load = has_mail or self._stopping or new.id in self.lives
        if live is not None and claim is not None and committed is not None and not load:
            live.claim = claim
            self.lives[new.id] = live
            self._shell.started(live, committed)
            if len(self.lives) > self._cache:
                self._sweep_soon()
            return begun
        if live is not None:
            self._shell.forget(live)
        if claim is not None:
            self.adopt(claim, new.started if first is None and new.first_message is None and not has_mail else None)
        return begun

    async def _settle(self, ask: Callable[[], Coroutine[Any, Any, StartResult]]) -> None:
        """Ask again for a start whose caller went away before the answer: it may be under way."""
        with contextlib.suppress(StoreError):  # nobody is there to be told
            begun = await patiently(ask)
            if begun.claim is not None and not self._stopping:
                self.adopt(begun.claim)

    def starved(self, id: str) -> dict[str, str]:
        """Why bodies of the execution *id* have not begun here, by key."""
        live = self.lives.get(id)
        return {} if live is None else self._executor.starved(live)

    def look(self) -> None:
        """Something may have changed: look for mail and for work."""
        self._look_again = True
        if self._looking is not None and not self._looking.done():
            self._looking.set_result(None)

    async def stop(self, grace: float) -> None:
        """Drain: let bodies end for *grace* seconds, then tell them to stop, and give everything back."""
        if self._stopping:
            await self.stopped.wait()
            return
        until = self._loop.time() + grace
        self._stopping = self._shell.life.draining = True
        self.look()
        self._executor.stop_waiting()
        try:
            await self._executor.quiet(grace)
        finally:
            await self._give_back(until)

    async def _give_back(self, until: float) -> None:
        for task in self._tasks:
            task.cancel()
        self._shell.stop_bodies(list(self.lives.values()))
        if self._tasks:  # a database driver that is told twice to leave a statement throws its connection away
            await asyncio.wait(self._tasks, timeout=_LAST_WORDS)
        self._apart.close()
        await self._shell.idle(max(_LAST_TURNS, until - self._loop.time()))
        await self._executor.gone(_LAST_WORDS)
        self._timers.close()
        self._threads.close()
        self._watchdog.close()
        self._gave_back = True
        at_rest, _ = self._shell.put_away(list(self.lives.values()))
        self.lives.clear()
        try:
            async with asyncio.timeout(_FAREWELL):
                if at_rest:
                    await self._store.release(at_rest, at_rest=True)
                await self._store.deregister_worker(self.id)
        except (StoreError, TimeoutError) as error:  # the lease will pass
            log.warning("worker %s could not say that it is gone: %s", self.id, error)
        await self._pulse.close()
        self.stopped.set()

    # ── looking for work ────────────────────────────────────────────────────────────────────────
    async def _work(self) -> None:
        while not self._stopping:
            self._look_again = False
            try:
                wait = await self._round()
            except StoreError as error:
                log.warning("worker %s: %s", self.id, error)
                wait = _POLL
            except Exception:  # a fault of the store's or of ours: a worker that stopped looking would say nothing of it
                log.exception("worker %s: its search for work failed, and goes on", self.id)
                wait = _POLL
            if not self._look_again and wait > 0:
                self._looking = self._loop.create_future()
                timer = self._loop.call_later(wait, self.look)
                await self._looking
                timer.cancel()

    async def _round(self) -> float:
        """Take in mail and claim what is due; how many seconds until the next round."""
        await self._release(self.room.surplus())
        self._mail_seen, mail = await self._store.poll_inboxes(self.id, self._mail_seen)
        for id, messages in mail.items():
            live = self.lives.get(id)
            if live is None:
                self._owned.unknown.add(id)
            else:
                self._shell.tell(live, events.Mail(messages))
        if mail:
            await asyncio.sleep(0)  # the turns that the mail began come before the search for more
        if self._orphans:
            self._orphans = False
            await self._claim(self.room.first())
        retries = self._quarantine.retries()
        wake = await self._owned.next_wake(retries=bool(retries))
        if wake is None:
            return _POLL
        wait = self._clock.seconds_to(wake)
        if wait > 0:
            return min(wait, _POLL)
        wanted = self.room.wanted()
        if not wanted:
            self._sweep_soon()
            return _FULL_WAIT
        if self._quarantine.suspect_at_work():
            return _FULL_WAIT  # nothing else may be in our hands, not for a moment, if the suspect kills us
        claimed, full = 0, True
        for want in wanted:
            if full:
                found = await self._claim(want, retries)
                claimed, full, retries = claimed + found, found == want.limit, 0
        self._in_vain = 0 if claimed else self._in_vain + 1
        if full:
            return 0.0
        if wanted[-1].turns_only:
            return _FULL_WAIT if claimed or self._in_vain < 3 else _SHORT_WAIT  # threads come free at any moment
        # Somebody else was faster, or the store's clock is behind ours: ask again soon, and less and less often.
        return min(0.002 * (1 << min(self._in_vain, 10)), _POLL)

    async def _claim(self, want: Wanted, retries: int = 0) -> int:
        """One at a time, to the end: what a claim lets go of again must not be another one's while the suspect begins."""
        async with self._owned.one_at_a_time():
            return await self._claim_alone(NOTHING if self._quarantine.suspect_at_work() else want, retries)

    async def _claim_alone(self, want: Wanted, retries: int) -> int:
        claims = await self._owned.claim(want, retries)
        self._pulse.beaten()
        if retries:
            self._quarantine.looked()
        now, released = await self._quarantine.admit(claims)
        for claim in now:
            if self._stopping:
                break
            self.adopt(claim)
        return len(claims) - released

    # ── heartbeats ──────────────────────────────────────────────────────────────────────────────
    async def _beat(self) -> None:
        wait = third = self._lease.total_seconds() / 3
        while True:
            await asyncio.sleep(wait)
            try:
                await self._heartbeat()
                wait = third
            except Exception as error:  # a worker whose heart stops is taken for dead, whatever the fault was
                log.warning("worker %s: heartbeat: %s", self.id, error, exc_info=not isinstance(error, StoreError))
                wait = min(1.0, third / 2)
            self.look()
            self._sweep_soon()
            self._timers.rearm()

    async def _heartbeat(self) -> None:
        before = self._clock.said
        self._owned.look_for_strays()
        await self._claim(NOTHING if self._stopping else self.room.first())
        await self._owned.declare()
        await self._clock.ask(self._store)
        await self.lose_lost(self._clock.said - before)

    async def lose_lost(self, since_last_beat: timedelta = timedelta(0)) -> None:
        """Stop what is not ours any more (operators had it rewritten, or others took it), and load again what operators touched."""
        for live in await self._owned.lost(since_last_beat):
            if not live.driving and self.lives.get(live.id) is live:  # a turn under way is refused where it is stored
                self._shell.tell(live, events.LOST)
        for live in self._owned.touched:
            self._shell.tell(live, events.TOUCHED)

    # ── eviction ──────────────────────────────────────────────────────────────────────────────
    def _sweep_soon(self) -> None:
        if not self._sweeping and not self._stopping:
            self._sweeping = True
            self._tasks.append(self._loop.create_task(self._sweep()))

    async def _sweep(self) -> None:
        """Release what is idle and has been for a while; more, the longest idle first, if there is no room."""
        try:
            await self._release(self._sweep_up.dispensable(self._clock.now()))
        finally:
            self._sweeping = False
            self._tasks = [task for task in self._tasks if not task.done()]

    async def _release(self, lives: list[ActiveExecution]) -> None:
        for live in lives:
            del self.lives[live.id]
        try:
            await self._shell.give_back(lives)
        except StoreError as error:
            self._owned.doubt()
            log.warning("worker %s: %s", self.id, error)

    def broke(self, error: BaseException) -> None:
        """A body raised what ends a process: stop, and leave its step unrecorded."""
        log.critical("worker %s stops: the body of a step raised %r", self.id, error)
        self.broken = error
        self._listener.worker_broke(error)
        self._stop_task = self._loop.create_task(self.stop(0.0))
