"""A coroutine that was begun by hand and did not end at once: its rest, to be awaited by a task."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any


class Suspended:
    """*coroutine*, which waits for *waiting*. It goes on in *context*, whatever that of the task is."""

    __slots__ = ("_context", "_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], context: Context, waiting: Any) -> None:
        self._coroutine, self._context, self._waiting = coroutine, context, waiting

    def __await__(self) -> Generator[Any, Any, Any]:
        run, coroutine, waiting = self._context.run, self._coroutine, self._waiting
        go_on: Callable[[Any], Any]
        while True:
            try:
                what = yield waiting
            except BaseException as error:
                go_on, what = coroutine.throw, error
            else:
                go_on = coroutine.send
            try:
                waiting = run(go_on, what)
            except StopIteration as end:
                return end.value
