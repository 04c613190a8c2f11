"""A coroutine that was begun by hand and did not end at once: its rest, to be awaited by a task.

A body that swallows its cancel would keep its task, and with it the loop, for ever. Once the worker has waited long enough,
the next cancel ends such a body, whether it hears it or not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any


class Suspended:
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
                    with contextlib.suppress(Exception):  # it may not hear this either
                        coroutine.close()
                    raise
                go_on, what = coroutine.throw, error
            else:
                go_on = coroutine.send
            try:
                waiting = run(go_on, what)
            except StopIteration as end:
                return end.value
