"""Answers of a store that are on their way: to be awaited, or to call back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Answer(Generic[T]):
    """Comes once, with a *result* or an *error*. Await it, or give `then` a function; one of both, on the loop where it was asked for.

    A worker has thousands of turns on their way at once: to be called back costs it neither a task nor a future for each.
    """

    __slots__ = ("_tell", "error", "over", "result")

    def __init__(self) -> None:
        self.over = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._tell: Callable[[Answer[T]], object] | None = None

    def come(self) -> None:
        """The answer is there: wake the waiting task. To be called on the loop where it was asked for."""
        self.over = True
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(self)

    def then(self, tell: Callable[[Answer[T]], object]) -> None:
        """Call *tell* with this once it is there; now, if it is."""
        if self.over:
            tell(self)
        else:
            self._tell = tell

    def __await__(self) -> Generator[Any, None, T]:
        if not self.over:
            future = asyncio.get_running_loop().create_future()
            self._tell = lambda _: None if future.done() else future.set_result(None)  # done: who waited was cancelled
            yield from future
        if self.error is not None:
            raise self.error
        result: T = self.result
        return result


def given(result: T) -> Answer[T]:
    """An answer that is there already: *result*."""
    answer: Answer[T] = Answer()
    answer.result = result
    answer.over = True
    return answer


def failed(error: BaseException) -> Answer[Any]:
    """An answer that is there already: *error*."""
    answer: Answer[Any] = Answer()
    answer.error = error
    answer.come()
    return answer
