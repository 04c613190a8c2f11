"""A name for the code at hand: equal code, equal name.

A park is remembered with the build that met it, so that other code may try at once, and the same code does not
try again.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, cast


def digest(workflows: Iterable[Any]) -> str:
    """The digest of the workflows' sources: their own code, and the text of the modules that they live in."""
    sha = hashlib.sha256()
    modules: set[str] = set()
    for workflow in sorted(workflows, key=lambda w: str(w.name)):
        sha.update(f"\0{workflow.name}\0".encode("utf-8", "surrogatepass"))
        if workflow.fn is not None:
            _add_function(sha, workflow.fn, set())
            modules.add(getattr(workflow.fn, "__module__", None) or "")
    for name in sorted(modules):
        file = getattr(sys.modules.get(name), "__file__", None)
        try:
            sha.update(b"" if file is None else Path(file).read_bytes())
        except OSError:  # frozen, zipped or gone: the code objects must do
            continue
    return sha.hexdigest()[:16]


def _add_function(sha: Any, function: Any, seen: set[int]) -> None:
    """Add a function and those that it closes over: one source may make many workflows."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    if id(function) in seen or not isinstance(function, FunctionType):
        return
    seen.add(id(function))
    _add_code(sha, function.__code__)
    sha.update(_plain((function.__defaults__, function.__kwdefaults__)))
    for cell in function.__closure__ or ():
        try:
            held = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        for inner in (held, getattr(held, "body", None), getattr(held, "fn", None)):
            _add_function(sha, inner, seen)
        sha.update(_plain(held))


def _add_code(sha: Any, code: CodeType) -> None:
    sha.update(code.co_code)
    sha.update(repr((code.co_name, code.co_names, code.co_varnames, code.co_freevars)).encode("utf-8", "surrogatepass"))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add_code(sha, constant)
        else:
            sha.update(_plain(constant))


def _plain(value: Any) -> bytes:
    """A text of *value* that is the same in every process: no addresses, no order of hashes."""
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes():
            text = repr(value)
        case tuple() | list():
            text = "(" + ",".join(_plain(item).decode() for item in cast("tuple[Any, ...]", value)) + ")"
        case frozenset() | set():
            text = "{" + ",".join(sorted(_plain(item).decode() for item in cast("set[Any]", value))) + "}"
        case dict():
            text = _mapping(cast("Mapping[Any, Any]", value))
        case _:
            text = f"<{type(value).__module__}.{type(value).__qualname__}>"
    return text.encode("ascii", "backslashreplace")


def _mapping(value: Mapping[Any, Any]) -> str:
    return "{" + ",".join(sorted(f"{key!s}:{_plain(item).decode()}" for key, item in value.items())) + "}"
