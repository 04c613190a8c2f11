"""Plans: how values of one declared type become data and come back. The other modules of the package make plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, get_args, get_origin

import attrs

from redrive_interpreter.commands.command import Command
from redrive_interpreter.commands.workflows import Invocation
from redrive_interpreter.errors import CodecError

Data: TypeAlias = Any
"""JSON in Python's own types: None, bool, int, float, str, list, and dict with str keys."""

Dump: TypeAlias = Callable[[Any], Data]
Load: TypeAlias = Callable[[Data], Any]

TAG: Final = "$"
"""The key that marks an object as more than an object: ``{"$": "tuple", "v": […]}``. No other object has it."""

# `type(data) is dict` would make the type checkers narrow Any to a dict of unknowns.
OBJECT: Final[Any] = dict
ARRAY: Final[Any] = list
TUPLE: Final[Any] = tuple

KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {type(None): "null", bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "dict"}
)
ANY_KIND: Final = frozenset(KINDS.values())


class Wrong(Exception):
    """The problem with a value; each level on the way up adds its part of the path."""

    type: str
    problem: str

    def __init__(self, type: str, problem: str) -> None:
        super().__init__(type, problem)
        self.type, self.problem = type, problem
        self.steps: list[str] = []

    def under(self, step: str) -> Wrong:
        self.steps.append(step)
        return self

    def error(self, where: str, root: str) -> CodecError:
        return CodecError(where, root + "".join(reversed(self.steps)), self.type, self.problem)


@attrs.define(eq=False)
class Plan:
    """How one declared type is stored.

    *kinds* are the shapes of its data, *classes* those of its values: a union distinguishes its members by them. *escapes* are
    further tags that it may use. *plain*: data is the value itself, so that nothing is lost if another plain member of a union
    reads it. *small*: too small to be measured. *endless*: the type puts no bound on the depth of its data.
    """

    name: str
    dump: Dump
    load: Load
    kinds: frozenset[str]
    classes: tuple[type, ...] = ()
    escapes: frozenset[str] = frozenset()
    plain: bool = False
    small: bool = False
    endless: bool = False
    anything: bool = False
    """Whether the plan takes values of any class; only the untyped one does."""
    takes_subclasses: bool = False
    """Whether the plan takes instances of subclasses; only plans made from the user's hooks do."""
    refuses: tuple[str, str, str] | None = None
    """For a type of which no value can be stored: the path to the part at fault, its type, and the reason."""
    fields: frozenset[str] | None = None
    """The keys that an object may have; None if any key is allowed, or if the data is no object."""


def tagged(tag: str, data: Data) -> Data:
    return {TAG: tag, "v": data}


def untagged(data: Mapping[str, Data], declared: str) -> tuple[str, Data]:
    tag = data.get(TAG)
    if len(data) != 2 or "v" not in data or type(tag) is not str:
        raise Wrong(declared, "the stored object has a '$', but is not a tagged value")
    return tag, data["v"]


def refuse_value(value: object, declared: str) -> Wrong:
    got = show(type(value))
    hint = ""
    if isinstance(value, bool) or (isinstance(value, (int, float, str)) and type(value) not in KINDS):
        hint = ", and would come back as something else"
    elif isinstance(value, (Command, Invocation)):
        hint = "; it was built and not performed: say `yield from` in front of it"
    return Wrong(declared, f"the value is of class {got}, not of the declared one{hint}")


def refuse_data(data: Data, declared: str) -> Wrong:
    return Wrong(declared, f"stored is {describe(data)}, which this type cannot read")


def other_form(data: Data, name: str, load: Load, *tags: str) -> Any:
    """Read *data* that was stored before today's type was: tagged by a union that it was a member of, or without an annotation (N6).

    *tags* are further names of the type: its untyped tag, and its name with the module.
    """
    if is_tagged(data):
        tag: str = data[TAG]
        base = tag.partition("[")[0]
        if base in tags or base in ("Literal", name.partition("[")[0]) or " | " in tag:
            return load(data["v"])
    raise refuse_data(data, name)


def is_tagged(data: Data) -> bool:
    return type(data) is OBJECT and len(data) == 2 and "v" in data and type(data.get(TAG)) is str


def refusing(name: str, problem: str) -> Plan:
    """The plan of a type that cannot be stored. It raises when a value comes, not before: a field may be unused."""

    def refuse(value: object) -> Any:
        raise Wrong(name, problem)

    return Plan(name, refuse, refuse, frozenset(), refuses=None if name == "Never" else ("", name, problem))


def refused_part(parts: Iterable[tuple[str, Plan]]) -> tuple[str, str, str] | None:
    """The first of *parts*, given with their paths, of which no value can be stored."""
    for step, plan in parts:
        if plan.refuses is not None:
            path, name, problem = plan.refuses
            return step + path, name, problem
    return None


def kind_of(data: object) -> str:
    return KINDS.get(type(data), "?")


def describe(data: Data) -> str:
    kind = kind_of(data)
    if is_tagged(data):
        return f"a value tagged {brief(data[TAG])}"
    if kind in ("bool", "int", "float", "str"):
        return f"the {kind} {brief(data)}"
    return {"null": "null", "dict": "an object", "list": "a list"}.get(kind, "something else")


def index(position: int) -> str:
    return f"[{position}]"


def key(name: object) -> str:
    return f"[{brief(name)}]"


def brief(value: object) -> str:
    """At most 60 characters of the repr; a placeholder if *value* fails at it, or is an int too long to print."""
    try:
        text = repr(value)
    except Exception:
        return f"a {show(type(value))}"
    return text if len(text) <= 60 else text[:57] + "…"


def show(type_: Any) -> str:
    """A declared type as a person writes it."""
    if type_ is None or type_ is type(None):
        return "None"
    if type_ is Ellipsis:
        return "..."
    origin = get_origin(type_)
    if origin is not None:
        text = show(origin)
        args = get_args(type_)
        if text in ("Union", "UnionType"):
            return " | ".join(map(show, args))
        if text == "Literal":
            return f"Literal[{', '.join(map(repr, args))}]"
        return f"{text}[{', '.join(map(show, args))}]" if args else text
    name = getattr(type_, "__qualname__", None) or getattr(type_, "__name__", None) or str(type_).removeprefix("typing.")
    return str(name).rpartition("<locals>.")[2]
