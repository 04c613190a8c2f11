"""Typed names: signals and events, which executions send."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar, final, overload

from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.frozen import Frozen, put
from redrive_interpreter.keys import check_id
from redrive_interpreter.source_names import path_of, stored_name

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@final
class NoOther(Generic[T]):
    """Part of `Payload`; no value has this type."""


# mypy looks for T in what holds a callable last: the signal alone decides what T is, and a payload of another type is told
# by both types, where `payload: T` would only say that T cannot be inferred.
Payload: TypeAlias = T | NoOther[Callable[[], T]]
"""The payload of a ``Signal[T]`` (the value of an ``Attribute[T]``, the answer of a ``Command[T]``): a T, and no other."""


class Source(Frozen, Generic[T_co]):
    """A name with the type of its payloads: a signal or an event. `WaitSignal` takes one.

    *type* is None where there is no payload. *base* is the name it was declared under, which `of` keeps. *path* holds the parts
    of a name that `of` put together, or that has a colon, because different parts may give the same name; None where the name
    says all, or where only the name is known.
    """

    __slots__ = ("base", "name", "path", "type")
    name: str
    type: Any
    base: str
    path: tuple[str, ...] | None

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        shown = "" if self.type is None else f", {getattr(self.type, '__name__', None) or self.type!r}"
        name, *suffixes = self.path or (self.name,)
        return f"{type(self).__name__}({name!r}{shown})" + "".join(f".of({suffix!r})" for suffix in suffixes)

    def of(self, suffix: str) -> Self:
        """The signal or event of the same type for *suffix* alone, with a name of its own. It counts as declared where this one
        is."""
        made = object.__new__(type(self))
        name = check_id(f"{self.name}:{suffix}", _what(self))
        _fill(made, name, self.type, self.base, (*(self.path or (self.name,)), suffix))
        return made

    @property
    def stored(self) -> str:
        """The name that it is stored under, which is unique (`source_names`)."""
        return stored_name(self.name, self.path)


class Signal(Source[T]):
    """A message to one execution: ``Signal("orders.approved", str)``; without a type it has no payload."""

    __slots__ = ()

    @overload
    def __init__(self: Signal[None], name: str, payload: None = None, /) -> None: ...
    @overload
    def __init__(self, name: str, payload: type[T], /) -> None: ...
    @overload
    def __init__(self, name: str, payload: TypeForm[T], /) -> None: ...
    def __init__(self, name: str, payload: Any = None, /) -> None:
        _fill(self, check_id(name, "signal"), payload, name, path_of(name))


class Event(Source[T]):
    """A message to its subscribers: ``Event("orders.processed", Order)``; without a type it has no payload."""

    __slots__ = ()

    @overload
    def __init__(self: Event[None], name: str, payload: None = None, /) -> None: ...
    @overload
    def __init__(self, name: str, payload: type[T], /) -> None: ...
    @overload
    def __init__(self, name: str, payload: TypeForm[T], /) -> None: ...
    def __init__(self, name: str, payload: Any = None, /) -> None:
        _fill(self, check_id(name, "event"), payload, name, None)


def declared_as(name: str, sources: Iterable[Source[Any]]) -> Source[Any] | None:
    """The one of *sources* that *name* means: the one of that name, else the `of` of the one with the longest name before a
    colon."""
    declared = sorted(sources, key=lambda source: len(source.path or ()))  # of two with the same name, the plain one
    for source in declared:
        if source.name == name:
            return source
    longest = max((source for source in declared if name.startswith(f"{source.name}:")), key=lambda source: len(source.name), default=None)
    return None if longest is None else longest.of(name[len(longest.name) + 1 :])


def apart(workflow: str, signals: tuple[Source[Any], ...]) -> tuple[Source[Any], ...]:
    """*signals*. Raises `InvalidDefinition` if two of them differ only in the type."""
    known: dict[str, Source[Any]] = {}
    for signal in signals:
        other = known.setdefault(signal.stored, signal)
        if other.type is not signal.type and other.type != signal.type:
            raise InvalidDefinition(f"workflow {workflow!r} declares two types of the signal {signal.name!r}: {other!r} and {signal!r}")
    return signals


def texts_of(source: Source[Any]) -> tuple[str, ...]:
    """The stored names under which a signal for *source* may come: its own, and the bare name that older releases and senders by
    name use."""
    return (source.name,) if source.path is None else (source.stored, source.name)


def signal_of(signal: Source[Any] | str) -> Source[Any]:
    """*signal* itself, or for a name the untyped signal declared under it."""
    return signal if isinstance(signal, Source) else Signal(check_id(signal, "signal"), Any)


def sent_as(signal: Source[Any] | str) -> Source[Any]:
    """*signal* itself, or for a name an untyped signal that fits however the receiver puts that name together."""
    if isinstance(signal, Source):
        return signal
    named: Signal[Any] = object.__new__(Signal)  # pyright: ignore[reportUnknownVariableType]
    _fill(named, check_id(signal, "signal"), Any, signal, None)
    return named


def event_of(event: Event[Any] | str) -> Event[Any]:
    return event if isinstance(event, Event) else Event(check_id(event, "event"), Any)


def _what(source: Source[Any]) -> str:
    return type(source).__name__.lower()


def _fill(source: Source[Any], name: str, type: Any, base: str, path: tuple[str, ...] | None) -> None:
    put(source, "name", name)
    put(source, "type", type)
    put(source, "base", base)
    put(source, "path", path)
