"""The steps, signals, events and workflows that the code of a workflow mentions, also where no run reaches them."""

from __future__ import annotations

import inspect
from types import CodeType
from typing import TYPE_CHECKING, Any

from redrive.testing.stubs import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redrive_interpreter import Workflow


def mentioned(workflow: Workflow[..., Any]) -> set[str]:
    """The names that *workflow*, the workflows and the helpers that it names, may ask for: as their own names, or as text."""
    found: set[str] = set()
    seen: set[Any] = set()
    todo: list[Any] = [workflow]
    while todo:
        thing = todo.pop()
        name = name_of(thing)
        if name is not None:
            found.add(name)
        undo = getattr(getattr(thing, "spec", None), "undo", None)
        if undo is not None:
            todo.append(undo)
        fn = inspect.unwrap(getattr(thing, "fn", None) or thing) if not isinstance(thing, str) else None
        code = getattr(fn, "__code__", None)
        if code is None or code in seen or getattr(thing, "spec", None) is not None:  # the body of a step yields nothing
            continue
        seen.add(code)
        todo += _names_in(fn, code)
    return found


def _names_in(fn: Any, code: CodeType) -> Iterator[Any]:
    """The things that *code* names: values of globals and closures, and its own text."""
    free = dict(zip(code.co_freevars, (cell for cell in fn.__closure__ or ()), strict=False))
    for name in (*code.co_names, *code.co_freevars):
        if name in free:
            try:
                yield free[name].cell_contents
            except ValueError:  # not bound yet
                continue
        elif name in fn.__globals__:
            yield fn.__globals__[name]
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _names_in(fn, constant)
