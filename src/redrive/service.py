"""The service: starts executions, signals them, waits for them, and (unless it is a client only) drives them.

The one place where concrete stores, the codec and the worker are put together. What a client may never need is
imported where it is used: to import redrive is quick.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from redrive.codec import MAX_BYTES, JsonCodec
from redrive.converters import remember
from redrive.errors import ServiceClosed
from redrive.execution import AsyncExecution
from redrive.finders import AsyncFinds
from redrive.home import Home, new_worker_id
from redrive.injection import Resources
from redrive.inspection import Inspector
from redrive.news import News
from redrive.operator import Operator
from redrive.options import checked_store, known, limits, more_than_zero, registered
from redrive.passwords import without_password
from redrive.patience import patiently
from redrive.ports.store import NewMessage, Store
from redrive.reading import ReadsExecutions
from redrive.retention import Keep, by_status
from redrive.schedule_running import RunsSchedules, declared_by
from redrive.service_queues import HasQueues, find_queue, served_queues, serving
from redrive.shared_reading import SharedReading
from redrive.signals import NOT_GIVEN, message_of
from redrive.starting import StartOptions, build_of, check_begun, check_message, checked, new_execution, start_in
from redrive.stores.backends import name_of, open_url
from redrive.waiters import Waiters
from redrive.watching import watch
from redrive.worker import outbox
from redrive.worker.clock import Clock
from redrive_interpreter.commands.durations import duration
from redrive_interpreter.commands.workflows import Invocation, Workflow
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.keys import check_name

if TYPE_CHECKING:
    from redrive.attendance import Listing
    from redrive.codec.hooks import Converting
    from redrive.handlers import Handlers, Joining
    from redrive.handling import Handler, Retries
    from redrive.options import Served, Workflows
    from redrive.ports.inside import AsyncCursor, Cursor
    from redrive.scheduling.schedule import Schedule
    from redrive.subscriptions import Subscription
    from redrive.worker.loop import Worker
    from redrive.worker.presence import Presence
    from redrive_interpreter.commands.durations import Duration
    from redrive_interpreter.commands.messages import Event, Payload, Signal

R = TypeVar("R")
T = TypeVar("T")
B = TypeVar("B")


class AsyncDurableService(AsyncFinds, ReadsExecutions, RunsSchedules, HasQueues):
    """Durable executions of *workflows*, kept in *store* (a URL, or a `Store`). Use it inside ``async with``.

    *worker* False makes a client only, and so does setting `drives` before it is opened. *build* names the code; by default
    it is a digest of all code that the workflows' modules import from their own distribution or folder. *converter* adds
    cattrs hooks. *resources* is a ``svcs.Registry`` for `inject`.
    *lease* is how long executions of a dead worker stay untouched, *grace* how long running steps may go on when the service
    closes. *max_threads* run sync steps, *concurrency* bounds the bodies under way, *cache* the executions kept in memory.
    *max_bytes* limits one stored value; after *max_recoveries* deaths of its worker without a new row an execution is parked.
    *max_stall* is how long the worker keeps its lease while user code blocks its event loop or holds the GIL.
    A workflow may use *turn_limit* of processor time (seconds) between two commands; then its turn counts as stuck.
    *retention* is how long what has ended is kept, for all statuses or by status; None: for ever.
    *schedules* are declared by *app*: brought into the store when the service opens, switched off when no longer declared.
    The worker serves *queues*, `Queue` values or names: by default all that its workflows name.
    """

    def __init__(
        self,
        store: str | Store,
        workflows: Workflows = (),
        *,
        worker: bool = True,
        build: str | None = None,
        converter: Converting | None = None,
        resources: Any = None,
        lease: float | timedelta = 15,
        grace: float | timedelta = 10,
        max_threads: int = 32,
        concurrency: int = 1000,
        cache: int = 10_000,
        max_bytes: int = MAX_BYTES,
        max_recoveries: int = 10,
        max_stall: float | timedelta = 300,
        turn_limit: float | timedelta = 60,
        retention: Keep = None,
        schedules: Iterable[Schedule[Any]] = (),
        app: str | None = None,
        queues: Served = None,
    ) -> None:
        self.workflows: Mapping[str, Workflow[..., Any]] = registered(workflows)
        self.serves = served_queues(queues, self.workflows.values())
        self.codec: JsonCodec = JsonCodec(converter, max_bytes)
        if converter is not None:
            remember(self)
        self.store: Store = open_url(store) if isinstance(store, str) else checked_store(store)
        self.build: str = build_of(self.workflows) if build is None else check_name(build, "build")
        self.worker_id: str = new_worker_id()
        self.store_name: str = without_password(store) if isinstance(store, str) else type(store).__name__
        self.drives = worker
        self._resources = Resources(resources)
        self._lease = more_than_zero(lease, "lease")
        self.grace: timedelta = duration(grace, "grace")
        self._max_stall = more_than_zero(max_stall, "max_stall")
        self._turn_limit = more_than_zero(turn_limit, "turn_limit")
        self._keep = by_status(retention)
        self._limits = limits(max_threads, concurrency, cache, max_recoveries)
        self.app, self._declared = app, declared_by(self, schedules, app)
        self._on: list[Handler] = []
        self._clock = Clock()
        self._waiters = Waiters()
        self._inspection = Inspector(self.store, self.codec, self._turn_limit.total_seconds())
        self._worker: Worker | None = None
        self._presence: Presence | None = None
        self._listing: Listing | None = None
        self._handlers: Handlers | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._news = News()
        self._reading = SharedReading(self.store)
        self._listening: list[Subscription[Any] | Joining] = []
        self._home = Home()

    # ── opening and closing ─────────────────────────────────────────────────────────────────────
    async def __aenter__(self) -> Self:
        self._home.open()
        self.worker_id = new_worker_id()
        await self.store.open()
        self.store_name = name_of(self.store, self.store_name)
        try:
            await self._open()
        except BaseException:
            await self.close(grace=0)
            raise
        return self

    async def _open(self) -> None:
        from redrive.attendance import Listing
        from redrive.handlers import Handlers
        from redrive.worker.loop import Worker
        from redrive.worker.presence import Presence
        from redrive.worker.retaining import retain

        await self._clock.ask(self.store)
        runnable = {name: workflow for name, workflow in self.workflows.items() if workflow.fn is not None}
        self._listing = Listing(self.store, runnable if self.drives else (), works=self.drives)
        if self.drives:
            self._worker = Worker(
                id=self.worker_id,
                store=self.store,
                codec=self.codec,
                workflows=runnable,
                build=self.build,
                resources=self._resources,
                clock=self._clock,
                lease=self._lease,
                max_stall=self._max_stall,
                turn_limit=self._turn_limit,
                serving=serving(self.serves, runnable),
                listener=self._waiters,
                **self._limits,
            )
            self._tasks = await retain(self.store, self.worker_id, runnable, self._keep)
            await self._worker.start()
            await self._start_scheduler(runnable)
        else:
            self._presence = Presence(self.store, self.worker_id, self.build, self._lease, self._max_stall, lambda: bool(self._on))
            await self._presence.start()
        alive = None if self._presence is None else self._presence.show
        self._handlers = Handlers(self.store, self.codec, self._news, self.worker_id, self._clock, alive)
        loop = asyncio.get_running_loop()
        watching = partial(watch, self.store, await self.store.wait_for_changes(0), work=self._look, events=self._news.tell)
        self._tasks += [loop.create_task(watching(ends=self._look_for_ends, schedules=self._look_at_schedules))]
        for handler in self._on:
            await self._handlers.add(handler)

    async def __aexit__(self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._home.is_left:
            await self.close()

    async def close(self, grace: float | timedelta | None = None) -> None:
        """Stop: no new work; running steps and handlers get *grace* (the service's by default), then they are told to stop."""
        closed = self._home.closed
        if closed is None or closed.is_set():
            return
        self._home.check()
        until = time.monotonic() + (self.grace if grace is None else duration(grace, "grace")).total_seconds()
        closed.set()
        self._news.tell()
        try:
            if self._handlers is not None:
                await self._handlers.close(max(0.0, until - time.monotonic()))
        finally:
            try:
                await self._stop_working(max(0.0, until - time.monotonic()))
            finally:
                for task in self._tasks:
                    task.cancel()
                self._waiters.fail(ServiceClosed("the service was closed"))
                self._inspection.close()
                await self.store.close()

    async def _stop_working(self, grace: float) -> None:
        await self._stop_scheduler()
        if self._worker is not None:
            await self._worker.stop(grace)
        elif self._presence is not None:
            await self._presence.stop()

    async def stopped(self) -> BaseException | None:
        """Wait until the service stops working; gives back what a step's body raised to end it, if one did."""
        self._check_open()
        if self._worker is None:
            assert self._home.closed is not None
            await self._home.closed.wait()
            return None
        await self._worker.stopped.wait()
        return self._worker.broken

    # ── executions ──────────────────────────────────────────────────────────────────────────────
    async def start(self, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]) -> AsyncExecution[R]:
        """Start an execution, or give back the one that has this *id*, workflow and input; returns at once.

        Without *id* it gets one of its own. The options are those of `StartOptions`. Raises `ExecutionConflict` if the id
        belongs to another call.
        """
        return await self._start(invocation, id, None, options)

    @overload
    def start_in(
        self, cursor: AsyncCursor, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]
    ) -> Coroutine[Any, Any, AsyncExecution[R]]: ...
    @overload
    def start_in(
        self, cursor: Cursor, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]
    ) -> AsyncExecution[R]: ...
    def start_in(self, cursor: Any, invocation: Any, *, id: str | None = None, **options: Unpack[StartOptions]) -> Any:
        """Start an execution in the transaction that *cursor* is in: it begins when that commits, and never was if it does not.

        *cursor* is a DB-API, Django or raw SQLAlchemy cursor on the database of this service's ``postgresql://`` store; with an
        async one, as psycopg's `AsyncCursor`, await the call. Outside of a transaction, in autocommit mode, it begins at once.
        No ``restart=``. Raises `ExecutionConflict`, `InvalidDefinition` for what is no such cursor, and the driver's own errors.
        """
        self._home.check(any_loop=True)
        workflow, now = known(self.workflows, checked(invocation).workflow), self._clock.now()
        begun = partial(AsyncExecution[Any], self, workflow=invocation.workflow, checked=True)
        return start_in(self.store, cursor, invocation, workflow, id, now, self.codec, options, begun)

    async def execute(self, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]) -> R:
        """Start an execution and wait for its result: `start` and `AsyncExecution.result` in one.

        Raises what they raise: `ExecutionFailed`, `ExecutionCancelled`, `CompensationFailed`, `ExecutionConflict`.
        """
        return await (await self.start(invocation, id=id, **options)).result()

    @overload
    async def signal_with_start(
        self, invocation: Invocation[R], *, id: str, signal: Signal[None], key: str | None = None, **options: Unpack[StartOptions]
    ) -> AsyncExecution[R]: ...
    @overload
    async def signal_with_start(
        self,
        invocation: Invocation[R],
        *,
        id: str,
        signal: Signal[T],
        payload: Payload[T],
        key: str | None = None,
        **options: Unpack[StartOptions],
    ) -> AsyncExecution[R]: ...
    async def signal_with_start(
        self,
        invocation: Invocation[R],
        *,
        id: str,
        signal: Any,
        payload: Any = NOT_GIVEN,
        key: str | None = None,
        **options: Unpack[StartOptions],
    ) -> AsyncExecution[R]:
        """Start an execution and send it *signal*, in one commit; an execution that exists already gets the signal alone.

        *key* makes a repeat harmless. Raises what `start` and `signal` raise; nothing is stored then.
        """
        message = message_of(signal, payload, key, known(self.workflows, checked(invocation).workflow), self.codec)
        return await self._start(invocation, id, message, options)

    @overload
    def execution(self, id: str) -> AsyncExecution[Any]: ...
    @overload
    def execution(self, id: str, workflow: Workflow[..., R]) -> AsyncExecution[R]: ...
    def execution(self, id: str, workflow: Workflow[..., Any] | None = None) -> AsyncExecution[Any]:
        """The handle of an execution, typed if the workflow is given; nothing is asked of the store, until it is used."""
        return AsyncExecution(self, check_name(id, "execution id"), workflow)

    @overload
    async def signal(self, id: str, signal: Signal[None], /, *, key: str | None = None) -> bool: ...
    @overload
    async def signal(self, id: str, signal: Signal[T], payload: Payload[T], /, *, key: str | None = None) -> bool: ...
    @overload
    async def signal(self, id: str, signal: str, payload: object, /, *, key: str | None = None) -> bool: ...
    async def signal(self, id: str, signal: Any, payload: Any = NOT_GIVEN, /, *, key: str | None = None) -> bool:
        """Put *signal* into an execution's inbox; False if one with this *key* was there before.

        Raises `CodecError` for a payload that is not of the signal's type, `UndeclaredSignal`, `ExecutionNotFound`,
        `ExecutionFinished`; nothing is stored then.
        """
        return await self._signal(id, signal, payload, key, None)

    # ── events ──────────────────────────────────────────────────────────────────────────────────
    def subscribe(self, event: Event[T]) -> Subscription[T]:
        """The event's payloads from now on, from any worker: ``async for order in service.subscribe(processed)``."""
        from redrive.subscriptions import Subscription

        self._check_open()
        subscription = Subscription(event, self.store, self.codec, self._news, self._home, self._reading)
        self._listening.append(subscription)
        return subscription

    def on(
        self, event: Event[T], *, name: str | None = None, retry: Retries = None, timeout: Duration | None = None
    ) -> Callable[[Callable[[T], B]], Callable[[T], B]]:
        """Call the decorated function with each payload of *event*: at least once, on one worker, until it is done.

        Its place is stored under *name*, by default the function's module and name. Put it before the service opens. If it
        fails it is called again as *retry* says (by default for a day), in order within an execution, and other events go
        on; past that the event is in ``operator.dead_letters()``. A call that lasts longer than *timeout* has failed.
        """

        from redrive.handling import handler_of

        def decorate(function: Callable[[T], B]) -> Callable[[T], B]:
            handler = handler_of(event, function, name, retry, timeout)
            if any(handler.name == other.name for other in self._on):
                raise InvalidDefinition(f"two handlers are called {handler.name!r}: give one of them a name=")
            self._on.append(handler)
            if self._handlers is not None:
                self._check_open()
                self._listening.append(self._handlers.add_soon(handler))
            return function

        return decorate

    @property
    def operator(self) -> Operator:
        """The verbs of operators, for executions that need a person."""
        return Operator(self)

    # ── what handles ask ────────────────────────────────────────────────────────────────────────
    async def _signal(self, id: str, signal: Any, payload: Any, key: str | None, workflow: Workflow[..., Any] | None) -> bool:
        self._check_open()
        check_name(id, "execution id")
        if workflow is not None:
            workflow = known(self.workflows, workflow)
        elif any(each.signals is not None for each in self.workflows.values()) or isinstance(signal, str):
            workflow = await self._workflow_of(id, None)
        message = message_of(signal, payload, key, workflow, self.codec)
        await self._listen()
        landed = await patiently(lambda: self.store.send(id, message))
        self._look()
        return landed or key is None

    async def _cancel(self, id: str, reason: str) -> None:
        self._check_open()
        message = outbox.cancel_message(reason, "cancel", self._clock.now())
        await patiently(lambda: self.store.send(check_name(id, "execution id"), message))
        self._look()

    async def _workflow_of(self, id: str, otherwise: Workflow[..., Any] | None) -> Workflow[..., Any] | None:
        """The definition known here of what *id* runs: it may have continued as another workflow."""
        if self._worker is not None and (live := self._worker.lives.get(id)) is not None:
            return live.workflow
        if otherwise is not None:
            return known(self.workflows, otherwise)
        return self.workflows.get((await self._read(id)).workflow)

    async def _start(
        self, invocation: Invocation[R], id: str | None, first_message: NewMessage | None, options: StartOptions
    ) -> AsyncExecution[R]:
        self._check_open()
        workflow, worker = known(self.workflows, checked(invocation).workflow), self._worker
        new = new_execution(invocation, workflow, id, self._clock.now(), self.codec, first_message, **options)
        if workflow.fn is None:
            new = await find_queue(self.store, new, options.get("partition"))
        await check_message(new, workflow, self.codec, self.store)
        await self._listen()
        mine = worker is not None and new.not_before is None and new.queue is None and worker.has_room_for(new.workflow)
        begun = await (worker.begin(new) if mine and worker is not None else patiently(lambda: self.store.start(new)))
        if begun.claim is None:
            await check_begun(begun, new, workflow, self.codec, self.store, self._listing)
            self._look()
        return AsyncExecution(self, begun.snapshot.id, invocation.workflow, checked=True)

    async def _listen(self) -> None:
        """Settle where subscriptions begin, so that they hear the events that the caller causes next."""
        while self._listening:
            await self._listening.pop().settled()

    # ── in the background ───────────────────────────────────────────────────────────────────────
    async def _look_for_ends(self) -> None:
        await self._waiters.look(self.store, self._worker.lives if self._worker is not None else {})

    def _look(self) -> None:
        if self._worker is not None:
            self._worker.look()

    async def _operated(self) -> None:
        if self._worker is not None:  # bodies of what an operator had rewritten are told to stop at once
            await self._worker.lose_lost()
        self._look()

    def _check_open(self) -> None:
        self._home.check()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.store_name}: {', '.join(self.workflows) or 'no workflows'}>"
