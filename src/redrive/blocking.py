"""The blocking service: runs the async one on a thread and a loop of its own. No logic of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, overload

from redrive.blocking_queues import BlockingQueues
from redrive.errors import ServiceClosed
from redrive.execution import Execution
from redrive.finders import Finds
from redrive.home import Process
from redrive.operating.blocking_acts import BlockingHistoryActs
from redrive.purges_by_hand import BlockingPurges
from redrive.service import AsyncDurableService
from redrive.starting import is_async
from redrive.stuck import BlockingStuck
from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from redrive.aside import DeadLetter, SetAsideSignal
    from redrive.blocking_schedules import BlockingSchedules
    from redrive.handling import Retries
    from redrive.operating.change_report import Change
    from redrive.operating.history_acts import Why
    from redrive.options import ServiceOptions, Workflows
    from redrive.ports.inside import Cursor
    from redrive.ports.store import Store
    from redrive.starting import StartOptions
    from redrive.subscriptions import Subscription
    from redrive_interpreter.commands.durations import Duration
    from redrive_interpreter.commands.messages import Event, Payload, Signal
    from redrive_interpreter.commands.workflows import Invocation, Workflow

R = TypeVar("R")
T = TypeVar("T")
B = TypeVar("B")


class DurableService(Finds):
    """Durable executions of *workflows*, kept in *store* (a URL, or a `Store`). Use it inside ``with``.

    For code without asyncio; `AsyncDurableService`, with the same arguments and methods, is for code with. *worker* False
    makes a client only. *build* names the code; by default it is a digest of the workflows' sources. *converter* adds cattrs
    hooks. *resources* is a ``svcs.Registry`` for `inject`. *lease* is how long executions of a dead worker stay untouched,
    *grace* how long running steps may go on when the service closes. *max_threads* run sync steps, *concurrency* bounds the
    bodies under way, *cache* the executions kept in memory. *max_bytes* limits one stored value; after *max_recoveries*
    deaths of its worker without a new row an execution is parked.

    *aio* is the async service that it runs, on a thread and an event loop of its own.
    """

    def __init__(self, store: str | Store, workflows: Workflows = (), **options: Unpack[ServiceOptions]) -> None:
        self.aio = AsyncDurableService(store, workflows, **options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = Process("this service")

    def __enter__(self) -> Self:
        if self._loop is not None:
            self._process.check()
            raise ServiceClosed("the service is open already, or was: make another one")
        self._process = Process("this service")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="redrive-service", daemon=True)
        self._thread.start()
        try:
            self._call(self.aio.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.is_ours:  # in a child that leaves its copy of the block there is nothing to close
            self.close()

    def close(self, grace: float | timedelta | None = None) -> None:
        """Stop working and close the store.

        No new work begins; running steps and handlers get *grace* seconds (the service's by default), then they are told to
        stop. What did not finish resumes elsewhere. A second Ctrl-C cuts the grace short.
        """
        if self._loop is None or self._loop.is_closed():
            return
        self._process.check()
        try:
            self._call(self.aio.close(grace))
        finally:
            self._end()

    def start(self, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]) -> Execution[R]:
        """Start an execution, or give back the one that has this *id*, workflow and input; returns at once.

        Without *id* the execution gets one of its own. The options are those of `StartOptions`: ``timeout=``, ``delay=``,
        ``start_at=``, ``attributes=``, ``restart=``. Raises `ExecutionConflict` if the id belongs to another call.
        """
        return Execution(self._call(self.aio.start(invocation, id=id, **options)), self._call)

    def start_in(
        self, cursor: Cursor, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]
    ) -> Execution[R]:
        """Start an execution in the transaction that *cursor* is in: it begins when that commits, and never was if it does not.

        *cursor* is a DB-API, Django or raw SQLAlchemy cursor on the database of this service's ``postgresql://`` store; it
        stays on the caller's thread. Outside of a transaction, in autocommit mode, it begins at once. No ``restart=``.
        Raises `ExecutionConflict`, `InvalidDefinition` for what is no such cursor, and the driver's own errors.
        """
        if is_async(cursor):
            raise InvalidDefinition("start_in: an async cursor is for AsyncDurableService, where the call is awaited")
        return Execution(self.aio.start_in(cursor, invocation, id=id, **options), self._call)

    def execute(self, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]) -> R:
        """Start an execution and wait for its result: `start` and `Execution.result` in one.

        Raises what they raise: `ExecutionFailed`, `ExecutionCancelled`, `CompensationFailed`, `ExecutionConflict`.
        """
        return self._call(self.aio.execute(invocation, id=id, **options))

    @overload
    def signal_with_start(
        self, invocation: Invocation[R], *, id: str, signal: Signal[None], key: str | None = None, **options: Unpack[StartOptions]
    ) -> Execution[R]: ...
    @overload
    def signal_with_start(
        self,
        invocation: Invocation[R],
        *,
        id: str,
        signal: Signal[T],
        payload: Payload[T],
        key: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Execution[R]: ...
    def signal_with_start(self, invocation: Invocation[R], *, id: str, signal: Any, **options: Any) -> Execution[R]:
        """Start an execution and send it *signal*, in one commit; an execution that exists already gets the signal alone.

        *key* makes a repeat harmless. Raises what `start` and `signal` raise; nothing is stored then.
        """
        return Execution(self._call(self.aio.signal_with_start(invocation, id=id, signal=signal, **options)), self._call)

    @overload
    def execution(self, id: str) -> Execution[Any]: ...
    @overload
    def execution(self, id: str, workflow: Workflow[..., R]) -> Execution[R]: ...
    def execution(self, id: str, workflow: Workflow[..., Any] | None = None) -> Execution[Any]:
        """The handle of an execution, typed if the workflow is given; the store is asked only when the handle is used."""
        return Execution(self.aio.execution(id) if workflow is None else self.aio.execution(id, workflow), self._call)

    @overload
    def signal(self, id: str, signal: Signal[None], /, *, key: str | None = None) -> bool: ...
    @overload
    def signal(self, id: str, signal: Signal[T], payload: Payload[T], /, *, key: str | None = None) -> bool: ...
    @overload
    def signal(self, id: str, signal: str, payload: object, /, *, key: str | None = None) -> bool: ...
    def signal(self, id: str, signal: Any, /, *payload: Any, key: str | None = None) -> bool:
        """Put *signal* into an execution's inbox; False if one with this *key* was there before.

        Raises `CodecError` for a payload that is not of the signal's type, `UndeclaredSignal`, `ExecutionNotFound`,
        `ExecutionFinished`; nothing is stored then.
        """
        return self._call(self.aio.signal(id, signal, *payload, key=key))

    def subscribe(self, event: Event[T]) -> BlockingSubscription[T]:
        """The event's payloads from now on: ``for order in service.subscribe(processed)``."""

        async def begin() -> Subscription[T]:
            subscription = self.aio.subscribe(event)
            await subscription.begun()
            return subscription

        return BlockingSubscription(self._call(begin()), self._call)

    def on(
        self, event: Event[T], *, name: str | None = None, retry: Retries = None, timeout: Duration | None = None
    ) -> Callable[[Callable[[T], B]], Callable[[T], B]]:
        """Call the decorated function with each payload of *event*: at least once, on one worker, until it is done.

        Its place is stored under *name*, by default the function's module and name. Put it before the service opens. If it
        fails it is called again as *retry* says (by default for a day), in order within an execution, and other events go
        on; past that the event is in ``operator.dead_letters()``. A call that lasts longer than *timeout* has failed.
        """
        if self._loop is None:
            return self.aio.on(event, name=name, retry=retry, timeout=timeout)

        def decorate(function: Callable[[T], B]) -> Callable[[T], B]:
            async def add() -> Callable[[T], B]:
                return self.aio.on(event, name=name, retry=retry, timeout=timeout)(function)

            return self._call(add())

        return decorate

    @property
    def operator(self) -> BlockingOperator:
        """The verbs of operators, for executions that need a person: `BlockingOperator.retry_rollback` and others."""
        return BlockingOperator(self)

    @property
    def queues(self) -> BlockingQueues:
        """What waits in the queues, and what people do about it."""
        return BlockingQueues(self.aio.queues, self._call)

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* on the service's loop, and wait for it."""
        loop = self._loop
        if loop is None or loop.is_closed():
            coroutine.close()
            raise ServiceClosed
        if not self._process.is_ours:
            coroutine.close()
            self._process.check()
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a blocking service cannot be called from its own loop: an async step wants AsyncDurableService")
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C here: what was asked is not waited for any more
            raise

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _end(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(5)

    @property
    def schedules(self) -> BlockingSchedules:
        """The schedules of the store: make them, look at them, pause, trigger and backfill them."""
        from redrive.blocking_schedules import BlockingSchedules

        return BlockingSchedules(self)

    def __repr__(self) -> str:
        return repr(self.aio).replace("AsyncDurableService", "DurableService")


class BlockingSubscription(Generic[T]):
    """The payloads of an event, from when it was subscribed to: a plain iterator, which blocks until the next one."""

    def __init__(self, inner: Subscription[T], call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._inner = inner
        self._call = call

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return self._call(self._next())  # type: ignore[no-any-return]
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """End the subscription: the loop over it ends."""
        self._call(self._inner.aclose())

    async def _next(self) -> T:
        return await self._inner.__anext__()


class BlockingOperator(BlockingHistoryActs, BlockingPurges, BlockingStuck):
    """The operator's side of a `DurableService`: ``service.operator``."""

    def __init__(self, service: DurableService) -> None:
        super().__init__(service)

    def retry_rollback(self, id: str, **why: Unpack[Why]) -> Change:
        """Try the undos of an execution that ended ``compensation_failed`` again, from the one that failed, and never forward."""
        return self._service._call(self._service.aio.operator.retry_rollback(id, **why))

    def set_aside(self, id: str | None = None, *, limit: int = 100) -> Sequence[SetAsideSignal]:
        """The signals that were set aside because the execution could not read them, of one execution or of all; oldest first."""
        return self._service._call(self._service.aio.operator.set_aside(id, limit=limit))

    def redeliver(self, id: str, *seqs: int) -> int:
        """Send the execution its signals with these *seqs* again, or all that were set aside; how many.

        Do it once code runs that can read them: what it cannot read is set aside again. Raises `ExecutionNotFound`, `ExecutionFinished`.
        """
        return self._service._call(self._service.aio.operator.redeliver(id, *seqs))

    def drop(self, id: str, *seqs: int) -> int:
        """Forget the execution's signals with these *seqs*, or all that were set aside; how many. Raises `ExecutionNotFound`."""
        return self._service._call(self._service.aio.operator.drop(id, *seqs))

    def dead_letters(self, handler: str | None = None, *, retrying: bool = False, limit: int = 100) -> Sequence[DeadLetter]:
        """The events that one durable handler, or any, gave up after its policy; with *retrying* also those still to be tried again,
        or waiting behind one that is."""
        return self._service._call(self._service.aio.operator.dead_letters(handler, retrying=retrying, limit=limit))

    def redeliver_events(self, handler: str, *seqs: int) -> int:
        """Have *handler* called at once with its events of these *seqs*, or with all that are dead, its policy beginning anew; how many."""
        return self._service._call(self._service.aio.operator.redeliver_events(handler, *seqs))

    def drop_events(self, handler: str, *seqs: int) -> int:
        """Forget *handler*'s events of these *seqs*, dead or still to be tried again, or all that are dead; how many."""
        return self._service._call(self._service.aio.operator.drop_events(handler, *seqs))
