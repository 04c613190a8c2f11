"""`play`: a fake interpreter for unit tests. A test is a function call; nothing listens, sleeps or stores.

The run is the real kernel with the real codec. The test answers steps and moves the time; requests to the outside (deliver an
event, start a child) are kept for the test to read.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from redrive.testing.run import BEGIN, Run

if TYPE_CHECKING:
    from redrive_interpreter import Invocation

R = TypeVar("R")


class Play(Protocol):
    """The type of the `play` fixture."""

    def __call__(
        self,
        invocation: Invocation[R],
        answers: Mapping[Any, object] | None = None,
        signals: Mapping[Any, object] | None = None,
        *,
        id: str = "test",
        now: datetime = BEGIN,
        timeout: timedelta | None = None,
        converter: Any = None,
        skip_time: bool = True,
        check_purity: bool = False,
    ) -> Run[R]: ...


def play(
    invocation: Invocation[R],
    answers: Mapping[Any, object] | None = None,
    signals: Mapping[Any, object] | None = None,
    *,
    id: str = "test",
    now: datetime = BEGIN,
    timeout: timedelta | None = None,
    converter: Any = None,
    skip_time: bool = True,
    check_purity: bool = False,
) -> Run[R]:
    """Run *invocation* on the fake interpreter, up to the first command that the test must answer.

    *answers* maps a step, a workflow, an id, a whole command or a predicate over commands to a value, an exception,
    a callable that is given the decoded arguments, or `in_turn`; *signals* maps a signal to its payload, or a list of
    them. With either, the run drives itself: it answers steps, retries them as their policies say, delivers signals
    where they are waited for, and when only timers are left moves the clock, unless *skip_time* is False.
    With *check_purity*, a run that ends is driven again in another world, see `Run.check_purity`.
    """
    return Run(
        invocation,
        answers=answers,
        signals=signals,
        id=id,
        now=now,
        timeout=timeout,
        converter=converter,
        skip_time=skip_time,
        check_purity=check_purity,
    )


@contextmanager
def checked_play() -> Generator[Play]:
    """`play` for one test: at its end every run is checked for purity and closed."""
    runs: list[Run[Any]] = []

    def playing(*args: Any, check_purity: bool = True, **options: Any) -> Run[Any]:
        run: Run[Any] = play(*args, **options)
        if check_purity:
            runs.append(run)
        return run

    yield playing
    for run in runs:
        run.check_purity()
        run.close()
