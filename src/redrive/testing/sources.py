"""Values, commands and signals as the source text that a test would write."""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# Values of any type are looked into here.
from __future__ import annotations

import ast
import enum
import inspect
import re
from collections.abc import Iterable
from itertools import islice
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import Invocation, Key, Source, Step, StepFunction

if TYPE_CHECKING:
    from redrive.testing.host import Host

_WORD: Final = re.compile(r"(?<![\w.'\"])[A-Za-z_]\w*")


def value_source(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, list):
        return "[" + ", ".join(map(value_source, value)) + "]"
    return repr(value)


def command_source(command: Step[Any], key: Key, host: Host) -> str:
    """The call that builds *command*, if a name for its function is known and its id is its key; else its key."""
    name = _name_of(command.spec, host)
    if name is None:
        return repr(str(key))
    alike = sum(1 for pending in host.pending.values() if pending == command)
    if alike > 1:
        return repr(str(key))
    shown = [*map(value_source, command.args), *(f"{name}={value_source(value)}" for name, value in command.kwargs.items())]
    return f"{name}({', '.join(shown)})"


def signal_source(signal: Source[Any], host: Host) -> str:
    for name, value in _globals(host).items():
        if isinstance(value, Source) and value == signal:
            return name
    type_ = "" if signal.type is None else f", {getattr(signal.type, '__name__', signal.type)}"
    return f"Signal({signal.name!r}{type_})"


def invocation_source(invocation: Invocation[Any]) -> str:
    shown = [*map(value_source, invocation.args), *(f"{name}={value_source(value)}" for name, value in invocation.kwargs.items())]
    return f"{getattr(invocation.workflow.fn, '__name__', invocation.workflow.name)}({', '.join(shown)})"


def imports(text: str, invocation: Invocation[Any], values: Iterable[Any], own: Iterable[str]) -> list[str]:
    """The imports that *text*, a test of *invocation*, needs, as far as modules have the names; *own* are redrive.testing's."""
    fn: Any = invocation.workflow.fn
    classes = {cls.__name__: cls.__module__ for value in values for cls in _classes(value)}
    found: dict[str, set[str]] = {}
    for word in sorted(set(_WORD.findall(text))):
        if word in ("play", "run"):
            continue
        if word in own:
            found.setdefault("redrive.testing", set()).add(word)
        elif word in ("Cancelled", "Signal", "SignalTimeout"):
            found.setdefault("redrive", set()).add(word)
        elif word in classes:
            found.setdefault(classes[word], set()).add(word)
        elif word in fn.__globals__:
            found.setdefault(fn.__module__, set()).add(word)
    if "datetime." in text:
        return ["import datetime", *_imports(found)]
    return _imports(found)


def _imports(found: dict[str, set[str]]) -> list[str]:
    return [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(found.items())]


def _classes(value: Any, depth: int = 0) -> Iterable[type]:
    """The classes that the source of *value* names."""
    cls: type = type(value)
    if cls.__module__ != "builtins":
        yield cls
    if depth < 8:
        parts: list[Any] = list(value) if isinstance(value, (list, tuple, set, frozenset)) else []
        parts += value.values() if isinstance(value, dict) else []
        parts += vars(value).values() if hasattr(value, "__dict__") else []
        parts += [getattr(value, field.name, None) for field in getattr(cls, "__attrs_attrs__", ())]
        for part in parts:
            yield from _classes(part, depth + 1)


def _name_of(spec: Any, host: Host) -> str | None:
    for name, value in _globals(host).items():
        if isinstance(value, StepFunction) and value.spec is spec:
            return name
    return None


def _globals(host: Host) -> dict[str, Any]:
    fn: Any = host.machine.workflow.fn
    return dict(fn.__globals__)


def predicate_source(predicate: Any) -> str:
    """The name of a function; of a lambda its text, so that the message says which, and a test to paste has it."""
    name = str(getattr(predicate, "__name__", repr(predicate)))
    if name != "<lambda>":
        return name
    try:
        source = " ".join(inspect.getsource(predicate).split())
    except (OSError, TypeError):
        return "lambda"
    found: list[tuple[str, CodeType]] = []
    for start in re.finditer(r"\blambda\b", source):
        texts = (source[start.start() : end].strip() for end in range(len(source), start.start(), -1))
        found += islice(((text, code) for text in texts if (code := _lambda_code(text)) is not None), 1)
    alike = [text for text, code in found if len(found) == 1 or code.co_code == predicate.__code__.co_code]
    return alike[0] if len(set(alike)) == 1 else "lambda"


def _lambda_code(text: str) -> CodeType | None:
    """The code of the lambda that *text* is, if it is one and nothing else."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return None
    code = compile(tree, "<lambda>", "eval") if isinstance(tree.body, ast.Lambda) else None
    return None if code is None else next(constant for constant in code.co_consts if isinstance(constant, CodeType))
