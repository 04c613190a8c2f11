"""A coroutine that was begun by hand and did not end at once: its rest, to be awaited by a task.

A body that swallows its cancel would keep its task, and with it the loop, for ever. Once the worker has waited long enough,
the next cancel ends such a body, whether it hears it or not.

One that swallows `GeneratorExit` as well cannot be ended at all. Python would close it once more when it is forgotten, at the
latest when the process ends: with no loop running, what it awaits fails at once, and its own loop goes round for ever, without
a pause. So it is never forgotten.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any


class ResumableCoroutine:
    """*coroutine*, which waits for *waiting*. It goes on in *context*, whatever that of the task is."""

    __slots__ = ("_context", "_coroutine", "_is_abandoned", "_waiting")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], context: Context, waiting: Any, is_abandoned: Callable[[], bool]) -> None:
        self._coroutine, self._context, self._waiting, self._is_abandoned = coroutine, context, waiting, is_abandoned

    def __await__(self) -> Generator[Any, Any, Any]:
        run, coroutine, waiting = self._context.run, self._coroutine, self._waiting
        go_on: Callable[[Any], Any]
        while True:
            try:
                what = yield waiting
            except BaseException as error:
                if self._is_abandoned():
                    _end(coroutine)
                    raise
                go_on, what = coroutine.throw, error
            else:
                go_on = coroutine.send
            try:
                waiting = run(go_on, what)
            except StopIteration as end:
                return end.value


async def endable(awaitable: Awaitable[Any], is_abandoned: Callable[[], bool]) -> Any:
    """Await *awaitable*, in a context of its own; once it *is_abandoned*, the next cancel ends this, whether it is heard or not."""
    coroutine = awaitable if inspect.iscoroutine(awaitable) else _awaiting(awaitable)
    context = copy_context()
    try:
        waiting = context.run(coroutine.send, None)
    except StopIteration as end:
        return end.value
    return await ResumableCoroutine(coroutine, context, waiting, is_abandoned)


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _end(coroutine: Coroutine[Any, Any, Any]) -> None:
    try:
        if asyncio._get_running_loop() is not None:
            coroutine.close()
            return
    except RuntimeError:  # it does not hear this either
        pass
    except Exception:  # raised on its way out: it has ended
        return
    import ctypes  # not every Python has it, and hardly ever is it wanted

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))
