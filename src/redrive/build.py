"""A name for the code at hand: equal code, equal name.

A park is remembered with the build that met it, so that other code may try at once, and the same code does not
try again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from types import CodeType, FunctionType
from typing import Any, Final, cast

from redrive.own_code import files_of

STORAGE_RELEASE: Final = 2
"""Raised by each release of redrive that reads or compares what is stored otherwise than the one before: it may go on
with what that one parked."""


def digest(workflows: Iterable[Any]) -> str:
    """The digest of the workflows' own code, and of all that their modules import from their own distribution or folder."""
    sha = hashlib.sha256(f"redrive {STORAGE_RELEASE}".encode())
    modules: set[str] = set()
    for workflow in sorted(workflows, key=lambda w: str(w.name)):
        sha.update(f"\0{workflow.name}\0".encode("utf-8", "surrogatepass"))
        if workflow.fn is not None:
            _add_function(sha, workflow.fn, set())
            modules.add(getattr(workflow.fn, "__module__", None) or "")
    for place, content in sorted(files_of(sorted(modules)).items()):
        sha.update(f"\0{place}\0{content}".encode("utf-8", "surrogatepass"))
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
