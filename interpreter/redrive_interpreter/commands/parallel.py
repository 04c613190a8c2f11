"""Commands that run several branches: All, Race, Map, Settle, Spawn and Join."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar, overload

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Branch, Command, blank, building, check_branch
from redrive_interpreter.commands.workflows import Invocation
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.frozen import Frozen, put
from redrive_interpreter.keys import Key, check_id
from redrive_interpreter.outcomes import Err, Ok, Won

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")
I = TypeVar("I")  # noqa: E741
T_co = TypeVar("T_co", covariant=True)
I_contra = TypeVar("I_contra", contravariant=True)

Shape: TypeAlias = Literal["tuple", "mapping", "list"]


class All(Command[T]):
    """Run branches in parallel; the answer is a tuple, a mapping by name or a list of their values.

    The first failure cuts the others and is raised. *limit* is how many run at a time; with *enough*, the rest is cut once that
    many have succeeded, and branches without a value give None.
    """

    __slots__ = ("branches", "enough", "limit", "names", "shape")
    kind: ClassVar[str] = kinds.ALL
    branches: tuple[Branch[Any], ...]
    names: tuple[str, ...] | None
    shape: Shape
    limit: int | None
    enough: int | None

    @overload
    def __init__(self: All[tuple[()]]) -> None: ...
    @overload
    def __init__(self: All[tuple[A]], a: Branch[A], /) -> None: ...
    @overload
    def __init__(self: All[tuple[A, B]], a: Branch[A], b: Branch[B], /) -> None: ...
    @overload
    def __init__(self: All[tuple[A, B, C]], a: Branch[A], b: Branch[B], c: Branch[C], /) -> None: ...
    @overload
    def __init__(self: All[tuple[A, B, C, D]], a: Branch[A], b: Branch[B], c: Branch[C], d: Branch[D], /) -> None: ...
    @overload
    def __init__(self: All[tuple[A, B, C, D, E]], a: Branch[A], b: Branch[B], c: Branch[C], d: Branch[D], e: Branch[E], /) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B, C, D, E, F]], a: Branch[A], b: Branch[B], c: Branch[C], d: Branch[D], e: Branch[E], f: Branch[F], /
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B, C, D, E, F, G]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        f: Branch[F],
        g: Branch[G],
        /,
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B, C, D, E, F, G, H]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        f: Branch[F],
        g: Branch[G],
        h: Branch[H],
        /,
    ) -> None: ...
    @overload
    def __init__(self: All[tuple[A, ...]], *branches: Branch[A]) -> None: ...
    @overload
    def __init__(self: All[dict[str, A]], **branches: Branch[A]) -> None: ...
    def __init__(self, *branches: Branch[Any], **named: Branch[Any]) -> None:
        building(self)
        listed, names = _branches("All", branches, named)
        _fill(self, listed, names, "tuple" if names is None else "mapping", None, None)

    @staticmethod
    @overload
    def of(branches: Iterable[Branch[A]], /, *, limit: int | None = None) -> All[list[A]]: ...
    @staticmethod
    @overload
    def of(branches: Iterable[Branch[A]], /, *, limit: int | None = None, enough: int) -> All[list[A | None]]: ...
    @staticmethod
    def of(branches: Iterable[Branch[Any]], /, *, limit: int | None = None, enough: int | None = None) -> All[Any]:
        """`All` over an iterable; its answer is a list in the same order."""
        made: All[Any] = blank(All)  # pyright: ignore[reportUnknownVariableType]
        building(made)
        if isinstance(branches, (Command, Invocation)):  # iterating over one of them would make a list of its parts
            raise InvalidDefinition(f"All.of takes an iterable of branches, not {branches!r}")
        listed = tuple(branches)
        for branch in listed:
            check_branch(branch, "All.of")
        _fill(made, listed, None, "list", at_least(limit, 1, "All limit"), at_least(enough, 0, "All enough"))
        return made


def _fill(
    all: All[Any],
    branches: tuple[Branch[Any], ...],
    names: tuple[str, ...] | None,
    shape: Shape,
    limit: int | None,
    enough: int | None,
) -> None:
    put(all, "branches", branches)
    put(all, "names", names)
    put(all, "shape", shape)
    put(all, "limit", limit)
    put(all, "enough", enough)


class Race(Command[T]):
    """Run branches in parallel until the first is finished, also by failing; its answer is a `Won`.

    The others are cancelled, and what they completed is undone before it returns.
    """

    __slots__ = ("branches", "names")
    kind: ClassVar[str] = kinds.RACE
    branches: tuple[Branch[Any], ...]
    names: tuple[str, ...] | None

    @overload
    def __init__(self: Race[Won[Literal[0], A]], a: Branch[A], /) -> None: ...
    @overload
    def __init__(self: Race[Won[Literal[0], A] | Won[Literal[1], B]], a: Branch[A], b: Branch[B], /) -> None: ...
    @overload
    def __init__(
        self: Race[Won[Literal[0], A] | Won[Literal[1], B] | Won[Literal[2], C]], a: Branch[A], b: Branch[B], c: Branch[C], /
    ) -> None: ...
    @overload
    def __init__(
        self: Race[Won[Literal[0], A] | Won[Literal[1], B] | Won[Literal[2], C] | Won[Literal[3], D]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        /,
    ) -> None: ...
    @overload
    def __init__(
        self: Race[Won[Literal[0], A] | Won[Literal[1], B] | Won[Literal[2], C] | Won[Literal[3], D] | Won[Literal[4], E]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        /,
    ) -> None: ...
    @overload
    def __init__(
        self: Race[
            Won[Literal[0], A] | Won[Literal[1], B] | Won[Literal[2], C] | Won[Literal[3], D] | Won[Literal[4], E] | Won[Literal[5], F]
        ],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        f: Branch[F],
        /,
    ) -> None: ...
    @overload
    def __init__(
        self: Race[
            Won[Literal[0], A]
            | Won[Literal[1], B]
            | Won[Literal[2], C]
            | Won[Literal[3], D]
            | Won[Literal[4], E]
            | Won[Literal[5], F]
            | Won[Literal[6], G]
        ],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        f: Branch[F],
        g: Branch[G],
        /,
    ) -> None: ...
    @overload
    def __init__(
        self: Race[
            Won[Literal[0], A]
            | Won[Literal[1], B]
            | Won[Literal[2], C]
            | Won[Literal[3], D]
            | Won[Literal[4], E]
            | Won[Literal[5], F]
            | Won[Literal[6], G]
            | Won[Literal[7], H]
        ],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        f: Branch[F],
        g: Branch[G],
        h: Branch[H],
        /,
    ) -> None: ...
    @overload
    def __init__(self: Race[Won[int, A]], *branches: Branch[A]) -> None: ...
    @overload
    def __init__(self: Race[Won[int, A]], **branches: Branch[A]) -> None: ...
    def __init__(self, *branches: Branch[Any], **named: Branch[Any]) -> None:
        building(self)
        listed, names = _branches("Race", branches, named)
        if not listed:
            raise InvalidDefinition("Race: without a branch it would never end")
        put(self, "branches", listed)
        put(self, "names", names)


class AsyncBody(Protocol[I_contra, T_co]):
    """A step with an async body of one parameter; ty unites the overloads of ``__call__`` and needs this."""

    @property
    def body(self) -> Callable[[I_contra], Coroutine[Any, Any, T_co]]: ...


class Map(Command[T]):
    """Run *fn*, a step or a workflow, over *items* in parallel; its answer is a list in their order.

    *limit* and *enough* are those of `All`.
    """

    __slots__ = ("enough", "fn", "items", "limit")
    kind: ClassVar[str] = kinds.MAP
    fn: Callable[[Any], Branch[Any]]
    items: tuple[Any, ...]
    limit: int | None
    enough: int | None

    @overload
    def __init__(self: Map[list[A]], fn: AsyncBody[I, A], items: Iterable[I], /, *, limit: int | None = None) -> None: ...
    @overload
    def __init__(self: Map[list[A]], fn: Callable[[I], Branch[A]], items: Iterable[I], /, *, limit: int | None = None) -> None: ...
    @overload
    def __init__(
        self: Map[list[A | None]], fn: AsyncBody[I, A], items: Iterable[I], /, *, limit: int | None = None, enough: int
    ) -> None: ...
    @overload
    def __init__(
        self: Map[list[A | None]], fn: Callable[[I], Branch[A]], items: Iterable[I], /, *, limit: int | None = None, enough: int
    ) -> None: ...
    def __init__(self, fn: Any, items: Iterable[Any], /, *, limit: int | None = None, enough: int | None = None) -> None:
        building(self)
        if not callable(fn):
            raise InvalidDefinition(f"Map: {fn!r} is neither a step nor a workflow")
        put(self, "fn", fn)
        put(self, "items", tuple(items))
        put(self, "limit", at_least(limit, 1, "Map limit"))
        put(self, "enough", at_least(enough, 0, "Map enough"))


class Settle(Command[T]):
    """Run a branch and make a value of its failure: `Ok` or `Err`. Only `Cancelled` is still raised."""

    __slots__ = ("branch",)
    kind: ClassVar[str] = kinds.SETTLE
    branch: Branch[Any]

    def __init__(self: Settle[Ok[A] | Err], branch: Branch[A], /) -> None:
        building(self)
        check_branch(branch, "Settle")
        put(self, "branch", branch)


class Task(Frozen, Generic[T]):
    """A branch that was spawned; *key* is the key of its `Spawn`."""

    __slots__ = ("key",)
    key: Key

    def __init__(self, key: Key) -> None:
        put(self, "key", key)


class Spawn(Command[T]):
    """Start a branch without waiting for it; the answer is a `Task` to join later.

    A task that is not joined when its scope ends is cut and awaited, and its failure raised there.
    """

    __slots__ = ("branch",)
    kind: ClassVar[str] = kinds.SPAWN
    branch: Branch[Any]

    def __init__(self: Spawn[Task[A]], branch: Branch[A], /) -> None:
        building(self)
        check_branch(branch, "Spawn")
        put(self, "branch", branch)


class Join(Command[T]):
    """Wait for a spawned task; the answer is its value. Its failure is raised here."""

    __slots__ = ("task",)
    kind: ClassVar[str] = kinds.JOIN
    task: Task[T]

    def __init__(self, task: Task[T], /) -> None:
        building(self)
        if not isinstance(task, Task):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"Join: {task!r} is not a task; yield a Spawn to get one")
        put(self, "task", task)


def at_least(value: object, least: int, what: str) -> int | None:
    """*value*, or None; raises `InvalidDefinition` unless it is a whole number from *least*."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidDefinition(f"{what}: {value!r} is not a whole number from {least}")
    return value


def _branches(
    what: str, branches: tuple[Branch[Any], ...], named: dict[str, Branch[Any]]
) -> tuple[tuple[Branch[Any], ...], tuple[str, ...] | None]:
    if branches and named:
        raise InvalidDefinition(f"{what}: name all branches, or none")
    for branch in branches or named.values():
        check_branch(branch, what)
    if not named:
        return branches, None
    return tuple(named.values()), tuple(check_id(name, "branch name") for name in named)
