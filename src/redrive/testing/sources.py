"""Source text of values, commands and signals, as a test would write it."""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# Values of any type are looked into here.
from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive_interpreter import Invocation, Key, Source, Step, StepFunction, Workflow

if TYPE_CHECKING:
    from redrive.testing.host import Host

_BRACKETS: Final = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("frozenset([", "])")}
_WORD: Final = re.compile(r"(?<![\w.'\"])[A-Za-z_]\w*")


def value_source(value: Any) -> str:
    """The source of *value*, as far as its class can be built by its fields; else its repr."""
    cls: Any = type(value)
    if isinstance(value, enum.Enum):
        return _enum_source(value)
    if cls is float and not math.isfinite(value):
        return f"float({str(value)!r})"
    if cls in _BRACKETS:
        opening, closing = _BRACKETS[cls]
        items = sorted(value, key=repr) if cls in (set, frozenset) else value
        inner = ", ".join(map(value_source, items))
        if cls is set and not value:
            return "set()"
        return opening + inner + ("," if cls is tuple and len(value) == 1 else "") + closing
    if cls is dict:
        return "{" + ", ".join(f"{value_source(key)}: {value_source(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple) and hasattr(cls, "_fields"):
        names: tuple[str, ...] = getattr(cls, "_fields", ())
        return _call(cls, zip(names, value, strict=True))
    if attrs.has(cls):
        return _call(cls, ((field.alias or field.name, getattr(value, field.name)) for field in attrs.fields(cls) if field.init))
    if dataclasses.is_dataclass(cls):
        return _call(type(value), ((field.name, getattr(value, field.name)) for field in dataclasses.fields(cls) if field.init))
    if isinstance(fields := getattr(cls, "model_fields", None), dict):  # pydantic's
        return _call(cls, ((name, getattr(value, name)) for name in fields))
    if isinstance(value, BaseException):
        return f"{_name_of_class(cls)}({', '.join(map(value_source, value.args))})"
    return repr(value)


def _enum_source(value: enum.Enum) -> str:
    cls = _name_of_class(type(value))
    if value in list(type(value)):
        return f"{cls}.{value.name}"
    return f"{cls}({value.value!r})"  # flags together


def _call(cls: type, fields: Iterable[tuple[str, Any]]) -> str:
    return f"{_name_of_class(cls)}({', '.join(f'{name}={value_source(value)}' for name, value in fields)})"


def _name_of_class(cls: type) -> str:
    return cls.__name__ if "<locals>" in cls.__qualname__ else cls.__qualname__


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
        if isinstance(value, Source):
            if value == signal:
                return name
            if value.name == signal.base and value.path == (signal.path or ())[: len(value.path or ())]:
                return name + _ofs((signal.path or ())[len(value.path or (value.name,)) :])
    type_ = "" if signal.type is None else f", {getattr(signal.type, '__name__', signal.type)}"
    return f"Signal({signal.base!r}{type_}){_ofs((signal.path or ())[1:])}"


def _ofs(suffixes: Sequence[str]) -> str:
    return "".join(f".of({suffix!r})" for suffix in suffixes)


def invocation_source(invocation: Invocation[Any]) -> str:
    shown = [*map(value_source, invocation.args), *(f"{name}={value_source(value)}" for name, value in invocation.kwargs.items())]
    return f"{_workflow_source(invocation.workflow)}({', '.join(shown)})"


def _workflow_source(workflow: Workflow[..., Any]) -> str:
    """The name under which the module of *workflow* has it: its function's, unless it was given another."""
    fn: Any = workflow.fn
    name = str(getattr(fn, "__name__", workflow.name))
    names = getattr(fn, "__globals__", {})
    if names.get(name) is not workflow:
        other = next((known for known, value in names.items() if value is workflow), None)
        if other is not None:
            return str(other)
        qualified = str(getattr(fn, "__qualname__", name))
        return name if "<locals>" in qualified else qualified
    return name


def _module(name: str) -> str:
    """*name*, but of a script that is run by its file the name under which it can be imported."""
    if name != "__main__":
        return name
    main: Any = sys.modules.get(name)
    spec = getattr(main, "__spec__", None)
    return spec.name if spec is not None else Path(getattr(main, "__file__", None) or name).stem


def homes_of(things: Iterable[Any]) -> dict[str, str]:
    """The names of *things* (steps, workflows, predicates) with the modules that have them, as far as they can be imported."""
    found: dict[str, str] = {}
    for thing in things:
        fn = getattr(thing, "body", None) or getattr(thing, "fn", None) or thing
        name, module = getattr(fn, "__qualname__", ""), getattr(fn, "__module__", None)
        if name.isidentifier() and module is not None:
            found[name] = module
    return found


def imports(text: str, invocation: Invocation[Any], values: Iterable[Any], own: Iterable[str], homes: Mapping[str, str]) -> list[str]:
    """The imports that *text*, a test of *invocation*, needs, as far as modules have the names.

    *own* are the names of redrive.testing, *homes* the modules of others that are known.
    """
    fn: Any = invocation.workflow.fn
    classes = {_name_of_class(cls).partition(".")[0]: cls.__module__ for value in values for cls in _classes(value)}
    found: dict[str, set[str]] = {}
    for word in sorted(set(_WORD.findall(text))):
        if word in ("play", "run", "datetime"):
            continue
        if word in own:
            found.setdefault("redrive.testing", set()).add(word)
        elif word in ("Cancelled", "Signal", "SignalTimeout"):
            found.setdefault("redrive", set()).add(word)
        elif word in classes:
            found.setdefault(classes[word], set()).add(word)
        elif word in homes:
            found.setdefault(homes[word], set()).add(word)
        elif word in fn.__globals__:
            found.setdefault(fn.__module__, set()).add(word)
    if "datetime." in text:
        return ["import datetime", *_imports(found)]
    return _imports(found)


def _imports(found: dict[str, set[str]]) -> list[str]:
    return [f"from {_module(module)} import {', '.join(sorted(names))}" for module, names in sorted(found.items())]


def _classes(value: Any, depth: int = 0) -> Iterable[type]:
    """The classes that the source of *value* names."""
    cls: type = type(value)
    if cls.__module__ != "builtins":
        yield cls
    if depth < 8:
        parts: list[Any] = list(value) if isinstance(value, (list, tuple, set, frozenset)) else []
        parts += value.values() if isinstance(value, dict) else []
        parts += vars(value).values() if hasattr(value, "__dict__") else []
        parts += list(value.keys()) if isinstance(value, dict) else []
        parts += value.args if isinstance(value, BaseException) else []
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
