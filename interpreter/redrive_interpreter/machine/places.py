"""Where in the user's source a generator stands, and how generators are closed."""

from __future__ import annotations

import linecache
import warnings
from types import CodeType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from redrive_interpreter.machine.fibers import Fiber, Frame
    from redrive_interpreter.machine.run_state import RunState

_MOST_CLOSES: Final = 100
"""Calls of ``close`` on a generator that yields instead of ending, at most."""
_WARNED: Final = "_warned_of_finally"
_KERNEL: Final = __name__.partition(".")[0]


@attrs.frozen
class Place:
    """A line of source: file, line number, function, and the text of the line."""

    file: str
    line: int
    function: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}" + (f": {self.text}" if self.text else "")


def place_of(frame: Frame) -> str:
    """The line at which *frame*'s generator stands, as text; nothing if it has none."""
    place = _place(frame.gen)
    return "" if place is None else str(place)


def place_of_fiber(fiber: Fiber) -> str:
    """The line at which *fiber* stands, or the one that started it where it has no generator of its own."""
    above: Fiber | None = fiber
    while above is not None:
        for frame in reversed(above.frames):
            if text := place_of(frame):
                return text
        above = None if above.group is None else above.group.parent
    return ""


def place_of_error(error: BaseException) -> str:
    """The line of the user's source that raised *error*: the innermost one."""
    at, found = error.__traceback__, None
    while at is not None:
        if found is None or not str(at.tb_frame.f_globals.get("__name__", "")).startswith(_KERNEL):
            found = at
        at = at.tb_next
    return "" if found is None else str(_place_in(found.tb_frame.f_code, found.tb_lineno))


def place_of_function(fn: Callable[..., Any] | None) -> str:
    code = getattr(fn, "__code__", None)
    return (
        ""
        if code is None
        else f"{code.co_filename}:{code.co_firstlineno} in {code.co_qualname if hasattr(code, 'co_qualname') else code.co_name}"
    )


def places(run: RunState) -> list[Place]:
    """The innermost line of each fiber, the root first, then branches in order."""
    found = [innermost_place(fiber) for fiber in fibers(run)]
    return [place for place in found if place is not None]


def innermost_place(fiber: Fiber) -> Place | None:
    """The line at which the innermost generator of *fiber* stands."""
    for frame in reversed(fiber.frames):
        place = _place(frame.gen)
        if place is not None:
            return place
    return None


def fibers(run: RunState) -> Iterator[Fiber]:
    """All fibers that are not over, the root first."""
    todo = [] if run.root is None else [run.root]
    seen: set[int] = set()
    if run.tasks:
        todo += [task.fiber for task in run.tasks.values() if task.outcome is None]
    while todo:
        fiber = todo.pop(0)
        if id(fiber) in seen:
            continue
        seen.add(id(fiber))
        yield fiber
        if fiber.wait is not None:
            todo[:0] = fiber.wait.fibers


def dispose(run: RunState) -> None:
    """Close every generator, innermost first. Errors of their ``finally`` bodies become warnings."""
    root = run.root
    if (root is None or (not root.frames and root.wait is None)) and not run.tasks:
        return  # it ran to its end: nothing is left
    for fiber in list(fibers(run)):
        close_frames(run, fiber)
        fiber.wait = None  # undos that an operator retries continue without it


def close_frames(run: RunState, fiber: Fiber) -> None:
    """Close the generators of *fiber*, innermost first, and forget them."""
    frames = list(fiber.frames)
    fiber.frames.clear()
    for frame in reversed(frames):
        if frame.gen is not None:
            stood = _standing(frame.gen)  # a closed generator has no place
            for _ in range(_MOST_CLOSES):
                try:
                    frame.gen.close()
                    break
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # SystemExit too: the host that closes it must continue
                    _warn(run, frame, error, None if stood is None else _place_in(*stood))


def _warn(run: RunState, frame: Frame, error: BaseException, place: Place | None) -> None:
    workflow = frame.scope.workflow or run.workflow
    if vars(workflow).get(_WARNED):
        return
    vars(workflow)[_WARNED] = True
    what = "yields a command in a `finally` (or ignores close)" if isinstance(error, RuntimeError) else f"raised {error!r} when closed"
    warnings.warn(
        f"workflow {workflow.name!r} {what}, {_place(frame.gen) or place or place_of_function(workflow.fn)}: "
        "a `finally` body runs whenever the workflow is put away; use undo= and Rollback for cleanup",
        RuntimeWarning,
        stacklevel=2,
    )


def _place(gen: Any) -> Place | None:
    stands = None if gen is None else _standing(gen)
    return None if stands is None else _place_in(*stands)


def _standing(gen: Any) -> tuple[CodeType, int] | None:
    inner: Any = gen
    while _is_users(inner.gi_yieldfrom):
        inner = inner.gi_yieldfrom
    frame = inner.gi_frame
    return None if frame is None else (frame.f_code, frame.f_lineno)


def users_generators(gen: Any) -> Iterator[tuple[bool, FrameType]]:
    """The Python frames of *gen* and of the user's generators that it delegates to, outermost first; the flag marks the
    outermost."""
    at: Any = gen
    if at is not None and at.gi_frame is not None:
        yield True, at.gi_frame
        while _is_users(at.gi_yieldfrom):
            at = at.gi_yieldfrom
            yield False, at.gi_frame


def _place_in(code: CodeType, line: int) -> Place:
    return Place(code.co_filename, line, code.co_name, linecache.getline(code.co_filename, line).strip())


def _is_users(gen: Any) -> bool:
    """Whether *gen* is a generator of the user's code, not of a command."""
    if type(gen) is not GeneratorType or gen.gi_frame is None:
        return False
    return not str(gen.gi_frame.f_globals.get("__name__", "")).startswith(_KERNEL)
