"""The blocking service: runs the async one on a thread and a loop of its own. No logic of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, overload

from redrive.errors import ServiceClosed
from redrive.execution import Execution
from redrive.service import AsyncDurableService

if TYPE_CHECKING:
    from redrive.options import ServiceOptions
    from redrive.ports.inside import Cursor
    from redrive.ports.store import Store
    from redrive.starting import StartOptions
    from redrive.subscriptions import Subscription
    from redrive_interpreter.messages import Event, Signal
    from redrive_interpreter.workflows import Invocation, Workflow

R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class DurableService:
    """`AsyncDurableService` for code without asyncio: the same arguments, the same methods, ``with`` and no ``await``.

    *aio* is the async service that it runs.
    """

    def __init__(self, store: str | Store, workflows: Iterable[Workflow[..., Any]] = (), **options: Unpack[ServiceOptions]) -> None:
        self.aio = AsyncDurableService(store, workflows, **options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._loop is not None:
            raise ServiceClosed("the service is open already, or was: make another one")
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
        self.close()

    def close(self, grace: float | timedelta | None = None) -> None:
        """See `AsyncDurableService.close`. A second Ctrl-C meanwhile cuts the grace short."""
        if self._loop is None or self._loop.is_closed():
            return
        try:
            self._call(self.aio.close(grace))
        finally:
            self._end()

    def start(self, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]) -> Execution[R]:
        """See `AsyncDurableService.start`."""
        return Execution(self._call(self.aio.start(invocation, id=id, **options)), self._call)

    def start_in(
        self, cursor: Cursor, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]
    ) -> Execution[R]:
        """See `AsyncDurableService.start_in`. *cursor* stays on the caller's thread."""
        return Execution(self.aio.start_in(cursor, invocation, id=id, **options), self._call)

    def execute(self, invocation: Invocation[R], *, id: str | None = None, **options: Unpack[StartOptions]) -> R:
        """See `AsyncDurableService.execute`."""
        return self._call(self.aio.execute(invocation, id=id, **options))

    @overload
    def signal_with_start(
        self, invocation: Invocation[R], *, id: str, signal: Signal[None], key: str | None = None, **options: Unpack[StartOptions]
    ) -> Execution[R]: ...
    @overload
    def signal_with_start(
        self, invocation: Invocation[R], *, id: str, signal: Signal[T], payload: T, key: str | None = None, **options: Unpack[StartOptions]
    ) -> Execution[R]: ...
    def signal_with_start(self, invocation: Invocation[R], *, id: str, signal: Any, **options: Any) -> Execution[R]:
        """See `AsyncDurableService.signal_with_start`."""
        return Execution(self._call(self.aio.signal_with_start(invocation, id=id, signal=signal, **options)), self._call)

    @overload
    def execution(self, id: str) -> Execution[Any]: ...
    @overload
    def execution(self, id: str, workflow: Workflow[..., R]) -> Execution[R]: ...
    def execution(self, id: str, workflow: Workflow[..., Any] | None = None) -> Execution[Any]:
        """See `AsyncDurableService.execution`."""
        return Execution(self.aio.execution(id) if workflow is None else self.aio.execution(id, workflow), self._call)

    @overload
    def signal(self, id: str, signal: Signal[None], /, *, key: str | None = None) -> bool: ...
    @overload
    def signal(self, id: str, signal: Signal[T] | str, payload: T, /, *, key: str | None = None) -> bool: ...
    def signal(self, id: str, signal: Any, /, *payload: Any, key: str | None = None) -> bool:
        """See `AsyncDurableService.signal`."""
        return self._call(self.aio.signal(id, signal, *payload, key=key))

    def subscribe(self, event: Event[T]) -> BlockingSubscription[T]:
        """The event's payloads from now on: ``for order in service.subscribe(processed)``."""

        async def begin() -> Subscription[T]:
            subscription = self.aio.subscribe(event)
            await subscription.begun()
            return subscription

        return BlockingSubscription(self._call(begin()), self._call)

    def on(self, event: Event[T], *, name: str | None = None) -> Callable[[F], F]:
        """See `AsyncDurableService.on`."""
        if self._loop is None:
            return self.aio.on(event, name=name)

        def decorate(function: F) -> F:
            async def add() -> F:
                return self.aio.on(event, name=name)(function)

            return self._call(add())

        return decorate

    @property
    def operator(self) -> BlockingOperator:
        """See `AsyncDurableService.operator`."""
        return BlockingOperator(self)

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* on the service's loop, and wait for it."""
        loop = self._loop
        if loop is None or loop.is_closed():
            coroutine.close()
            raise ServiceClosed
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

    def __repr__(self) -> str:
        return repr(self.aio).replace("AsyncDurableService", "DurableService")


class BlockingSubscription(Generic[T]):
    """`Subscription`, blocking: a plain iterator."""

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
        """End it: whoever iterates is told that there is no more."""
        self._call(self._inner.aclose())

    async def _next(self) -> T:
        return await self._inner.__anext__()


class BlockingOperator:
    """`Operator`, blocking."""

    def __init__(self, service: DurableService) -> None:
        self._service = service

    def retry_rollback(self, id: str) -> None:
        """See `Operator.retry_rollback`."""
        self._service._call(self._service.aio.operator.retry_rollback(id))
