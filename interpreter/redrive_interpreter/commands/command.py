"""The base of all commands, and the types of the generators that yield them."""

from __future__ import annotations

import copy
import sys
from collections.abc import Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, Protocol, Self, TypeAlias, TypeVar

from redrive_interpreter.errors import InvalidDefinition, WorkflowMisuse
from redrive_interpreter.frozen import Frozen, put
from redrive_interpreter.keys import check_id

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")


class Built:
    """A host's list of the commands that a workflow builds, to find those never yielded; the host sets it in `performing`."""

    def add(self, made: Any, place: str) -> None:
        """Called when *made*, a command or an invocation, was built at *place*, a file and line."""
        raise NotImplementedError

    def replace(self, old: Any, new: Any) -> None:
        """Called when `options` made *new* from *old*, which is not expected to be yielded any more."""
        raise NotImplementedError


performing: Final[ContextVar[str | Built | None]] = ContextVar("redrive_performing", default=None)
"""The key of the step whose body runs here, or None. The host that runs bodies sets it around them; a test kit sets a
`Built` around a workflow's turn."""

_KERNEL: Final = __name__.partition(".")[0]


class Command(Frozen, Generic[T]):
    """One request that a workflow can yield; its answer is a T.

    Invariant in T, so that answering it with a value of another type does not type-check. *command_id* is the id
    that `options` gave it.
    """

    __slots__ = ("command_id",)
    kind: ClassVar[str] = ""
    command_id: str | None

    def __iter__(self) -> Generator[Command[Any], Any, T]:
        answer: T = yield self
        return answer

    def __bool__(self) -> NoReturn:
        refuse_use(self, "has no truth value")

    if not TYPE_CHECKING:  # to the type checkers it is no awaitable, and they say so

        def __await__(self) -> NoReturn:
            refuse_use(self, "is not awaited")

    def options(self, *, id: str) -> Self:
        """The same command under *id*, which names it in its scope instead of its kind."""
        return changed(self, command_id=check_id(id, "command id"))

    @property
    def default_id(self) -> str:
        """The id in its scope of a command that has no *command_id*."""
        return "__" + self.kind

    def __hash__(self) -> int:
        return hash((self.kind, self.default_id, self.command_id))  # a list among the arguments must not break it


Flow: TypeAlias = Generator[Command[Any], Any, R]
"""The return type of a workflow function: ``def process_order(order: Order) -> Flow[str]``."""


class Branch(Protocol[T_co]):
    """An operand of ``yield from`` that gives back a T: a command, an invocation or a flow."""

    def __iter__(self) -> Generator[Command[Any], Any, T_co]: ...


C = TypeVar("C", bound=Command[Any])


def changed(command: C, **fields: object) -> C:
    """A copy of *command* with other *fields*."""
    made = copy.copy(command)
    for name, value in fields.items():
        put(made, name, value)
    inside = performing.get()
    if isinstance(inside, Built):
        inside.replace(command, made)
    return made


def blank(cls: type[C]) -> C:
    """A command without its fields, for an alternative constructor."""
    return object.__new__(cls)


def building(command: Command[Any]) -> None:
    """Begin the construction of *command*: refused where no workflow can yield it."""
    inside = performing.get()
    if inside is not None:
        built_inside(inside, command, type(command).__name__)
    put(command, "command_id", None)


def built_inside(inside: str | Built, made: Any, what: str) -> None:
    """Refuse *made*, which is built inside the body of a step, or tell the `Built` of the host about it."""
    if not isinstance(inside, str):
        inside.add(made, _users_line())
        return
    raise WorkflowMisuse(
        f"{what} was built inside the body of step {inside}, where nothing can yield it: "
        "call the plain function (charge.body(…)), or move the call into the workflow",
        _users_line(),
    )


def refuse_use(what: object, problem: str) -> NoReturn:
    raise WorkflowMisuse(
        f"{_shown(what)} {problem}: it asks for something, and runs when it is yielded: say `yield from` in front of it, "
        "in the workflow's own generator function",
        _users_line(),
    )


def _users_line() -> str:
    """The file and line of the innermost frame that is not the kernel's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_KERNEL):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


# Types that have an ``__iter__`` and are no branch: passed by mistake, they would be taken for one.
_CONTAINERS: Final = (str, bytes, bytearray, list, tuple, dict, set, frozenset, range)


def check_branch(branch: Any, where: str) -> None:
    """Raises `InvalidDefinition` unless *branch* can be run: a command, an invocation or a flow."""
    if isinstance(branch, Command):
        return
    contains = isinstance(branch, _CONTAINERS)
    if contains or not hasattr(branch, "__iter__"):
        hint = ""
        if contains:
            hint = ": unpack it, or use All.of(…)"
        elif callable(branch):
            hint = ": call it first"
        raise InvalidDefinition(f"{where}: {_shown(branch)} is not a command, an invocation or a flow{hint}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:76] + "…"


def text_of(value: object, what: str) -> str:
    """*value*, which must be a str. Raises `InvalidDefinition`, naming *what*."""
    if not isinstance(value, str):
        raise InvalidDefinition(f"{what}: {value!r} is not a str")
    return value
