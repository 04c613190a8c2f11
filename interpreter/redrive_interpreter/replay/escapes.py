"""Errors of the code during a replay. Where one is the reason that recorded rows are not asked for, the message must begin with
it.

1.  A generator that ended with an error asks for nothing more: rows that are left in the scope that ended with it, or
    inside of it, are left because of that error. Where the scope goes on (a helper's error was caught), the rows that
    its code names are.
2.  A generator that stands in an `except` block asks what it asks there because of the error it handles. Only errors of
    its own code count: an error that a step or a wait threw into it is part of the history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive_interpreter.errors import Cancelled, RedriveError, WorkflowError
from redrive_interpreter.keys import scope_of
from redrive_interpreter.machine.places import fibers, place_of_error
from redrive_interpreter.outcomes import Err, Failure
from redrive_interpreter.raised import RecordedTraceback, message_of, traceback_of, type_name
from redrive_interpreter.replay.causes import Side, is_named, words_of

if TYPE_CHECKING:
    from redrive_interpreter.history.rows import Asked
    from redrive_interpreter.machine.fibers import Fiber
    from redrive_interpreter.machine.run_state import RunState

_SHOWN: Final = 300
_KERNEL: Final = __name__.partition(".")[0]


@attrs.frozen
class Escape:
    """An error that changed what the code asks: *error* is its type and message, *place* the line of source that raised it.

    *handled* is set if the workflow caught it and asked something else.
    """

    error: str
    place: str = ""
    traceback: str = ""
    handled: bool = False

    def __str__(self) -> str:
        return f"{self.error} at {self.place}" if self.place else self.error


@attrs.frozen
class Raised:
    """An *error* with which a generator ended, and the *prefix* of its scope; *over* is set if the scope ended too."""

    error: BaseException
    prefix: str
    over: bool

    def explains(self, row: Asked) -> bool:
        """Whether *row* is not asked for because of it: the row belongs to the scope that ended, or the generator's code names
        it."""
        if not scope_of(row.key).startswith(self.prefix):
            return False
        return self.over or is_named(words_of(_codes(self.error)), Side(row.kind, row.label, row))


def escape_of(run: RunState, raised: Sequence[Raised], left: Sequence[Asked], key: str) -> Escape | None:
    """The error that explains why the rows *left* are not asked for, or why *key* is asked; None if none does.

    It closes the generators of the fiber that asks.
    """
    because = [one.error for one in raised if any(one.explains(row) for row in left)]
    if not because:
        because = [one.error for one in raised if one.over and one.prefix == scope_of(key) and not _is_open(run, one.prefix)]
    error = next((error for error in reversed(because) if not isinstance(error, Cancelled)), None)
    if error is not None:
        return _escape(error)
    if run.finished is not None:
        return escape_of_end(run, raised)
    handled = next(_handled(run, key), None)
    return None if handled is None else _escape(handled, handled=True)


def escape_of_end(run: RunState, raised: Sequence[Raised] = ()) -> Escape | None:
    """The error with which the run ended, if it did."""
    verdict = run.finished
    if verdict is None or not isinstance(verdict.outcome, Err):
        return None
    error = next((one.error for one in reversed(raised) if not one.prefix and not isinstance(one.error, Cancelled)), None)
    if error is not None:
        return _escape(error)
    failure = verdict.outcome.error
    if isinstance(failure, Failure):
        return Escape(_line(failure.type, failure.message), "", failure.traceback if "  File " in failure.traceback else "")
    return None if isinstance(failure, Cancelled) or not isinstance(failure, BaseException) else _escape(failure)


def _codes(error: BaseException) -> Iterator[tuple[Any, dict[str, Any]]]:
    for frame, _ in walk_tb(error.__traceback__):
        if not str(frame.f_globals.get("__name__", "")).startswith(_KERNEL):
            yield frame.f_code, {**frame.f_globals, **frame.f_locals}


def _escape(error: BaseException, *, handled: bool = False) -> Escape:
    return Escape(_line(type_name(type(error)), message_of(error)), place_of_error(error), traceback_of(error), handled)


def _line(type: str, message: str) -> str:
    first = message.partition("\n")[0]
    text = f"{type}: {first}" if first else type
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _is_open(run: RunState, prefix: str) -> bool:
    return any(frame.gen is not None and frame.scope.prefix == prefix for fiber in fibers(run) for frame in fiber.frames)


def _handled(run: RunState, key: str) -> Iterator[BaseException]:
    """Errors of the user's own code that the generators of the fiber that asks for *key* are handling, innermost first."""
    prefix = scope_of(key)
    at_work = [fiber for fiber in fibers(run) if fiber.wait is None and fiber.scope.prefix == prefix]
    for fiber in at_work:
        for gen in _generators(fiber):
            error = _handling(gen)
            while error is not None:
                if _is_own(error):
                    yield error
                error = error.__context__


def _generators(fiber: Fiber) -> Iterator[Any]:
    for frame in reversed(fiber.frames):
        chain: list[Any] = []
        gen: Any = frame.gen
        while gen is not None and getattr(gen, "gi_frame", None) is not None:
            chain.append(gen)
            gen = gen.gi_yieldfrom
        yield from reversed(chain)


def _handling(gen: Any) -> BaseException | None:
    """The error that *gen* is handling. Python tells it only as the context of an error raised there, so this closes the
    generator."""
    leaving = GeneratorExit()
    try:
        gen.throw(leaving)
    except KeyboardInterrupt:
        raise
    except BaseException:  # its `finally` bodies may raise anything: it is closed in any case
        pass
    return leaving.__context__


def _is_own(error: BaseException) -> bool:
    """Whether the workflow's own code raised *error*, rather than the machine throwing it in."""
    if isinstance(error, (WorkflowError, Cancelled)) or isinstance(error.__cause__, RecordedTraceback):
        return False
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    innermost = "" if at is None else str(at.tb_frame.f_globals.get("__name__", ""))
    return isinstance(error, RedriveError) or not innermost.startswith(_KERNEL)
