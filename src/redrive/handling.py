"""A durable handler: what it is called, how it is tried again, and one call of it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from redrive.entrances import checked_event, maybe_name
from redrive.resumable_coroutine import endable
from redrive_interpreter.commands.durations import positive_duration
from redrive_interpreter.commands.retry import Retry, policies_of
from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from redrive_interpreter.commands.durations import Duration
    from redrive_interpreter.commands.messages import Source

PATIENT: Final = Retry(attempts=None, delay=0.5, max_delay=60, within=timedelta(days=1))
"""How a handler is tried again that says nothing else."""
Retries: TypeAlias = "Retry | Sequence[Retry] | None"


@attrs.frozen
class Handler:
    """A function that gets the payloads of an event; *name* is what its place is stored under, *retry* how it is tried again.

    *timeout* bounds one call, if it is given.
    """

    source: Source[Any]
    function: Callable[[Any], Any]
    name: str
    retry: tuple[Retry, ...]
    timeout: timedelta | None = None


def handler_of(
    source: Source[Any], function: Callable[..., Any], name: str | None, retry: Retries, timeout: Duration | None = None
) -> Handler:
    """Raises `InvalidDefinition` for what cannot be a handler, and `TypeError` for what cannot be called."""
    where = f"@on({checked_event('on', source).name!r})"
    if not callable(function):
        raise TypeError(f"{where}: {function!r} cannot be called")
    _check_takes_payload(function, where)
    policies = policies_of(PATIENT if retry is None else retry, where)
    named = maybe_name(name, "handler name") or _name_of(function)
    return Handler(source, function, named, policies, positive_duration(timeout, f"{where}: timeout"))


def _check_takes_payload(function: Callable[..., Any], where: str) -> None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # there is none to look at
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise InvalidDefinition(
            f"{where}: a handler is called with the payload alone, and {function!r} takes {signature}: {error}"
        ) from None


def _name_of(function: Callable[..., Any]) -> str:
    """The name of *function* that is the same in each process: of what a partial calls, of the class of an object that is called."""
    plain: Any = inspect.unwrap(function)
    while isinstance(plain, functools.partial):
        plain = inspect.unwrap(plain.func)
    if not hasattr(plain, "__qualname__"):
        plain = plain.__class__
    return f"{plain.__module__}.{plain.__qualname__}"


async def called(handler: Handler, payload: Any, is_abandoned: Callable[[], bool]) -> BaseException | None:
    """Call *handler* with *payload*; what it raised, or None. Only a cancel of the task that calls this is raised here.
    Once *is_abandoned* says so, such a cancel ends the call, whether an async handler hears it or not.

    A call that lasts longer than its timeout is told to stop (a sync one cannot be) and not awaited.
    """
    try:
        if handler.timeout is None:
            await _call(handler, payload, is_abandoned)
        else:
            await _within(handler.timeout, _call(handler, payload, is_abandoned))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return error  # the handler's own
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error
    return None


async def _within(timeout: timedelta, call: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(call)
    try:
        await asyncio.wait([task], timeout=timeout.total_seconds())
    except asyncio.CancelledError:
        task.cancel()
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:  # told twice: so is the call
            task.cancel()
        raise
    if task.done():
        task.result()
        return
    task.cancel()
    task.add_done_callback(_take_error)
    raise TimeoutError(f"the call lasted longer than its timeout of {timeout}")


def _take_error(task: asyncio.Task[None]) -> None:
    """Nobody waits for *task*: its error would be told of when it is collected."""
    if not task.cancelled():
        task.exception()


async def _call(handler: Handler, payload: Any, is_abandoned: Callable[[], bool]) -> None:
    function = handler.function
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        await endable(function(payload), is_abandoned)
        return
    made = await _in_a_thread(handler.name, function, payload)
    if inspect.isawaitable(made):
        await endable(made, is_abandoned)


async def _in_a_thread(name: str, function: Callable[[Any], Any], payload: Any) -> Any:
    """Call *function* in a daemon thread: one that hangs holds up neither another handler nor the end of the process."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def tell(value: Any, error: BaseException | None) -> None:
        if not ended.done():
            ended.set_result((value, error))

    def run() -> None:
        value, raised = None, None
        try:
            value = function(payload)
        except BaseException as error:
            raised = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(tell, value, raised)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name=f"redrive handler {name}", daemon=True).start()
    value, error = await ended
    if error is not None:
        raise error
    return value
