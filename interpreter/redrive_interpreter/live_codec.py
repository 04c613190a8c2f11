"""`LIVE`: the codec that leaves values as they are, for machines whose histories stay in memory."""

from __future__ import annotations

import dataclasses
import enum
import struct
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from redrive_interpreter.codec import Codec, Data
from redrive_interpreter.outcomes import Failure
from redrive_interpreter.raised import declared_base, message_of, traceback_of, type_name

if TYPE_CHECKING:
    from redrive_interpreter.commands.signatures import Signature

_EXACT: Final = frozenset({str, int, bool, bytes, type(None)})


class LiveCodec:
    """Data is the value itself: nothing is copied, checked or converted.

    So a workflow that changes a value changes its history; a host that needs the two apart brings a codec.
    """

    __slots__ = ()

    def dump(self, value: object, type: Any, where: str, root: str = "value") -> Data:
        return value

    def load(self, data: Data, type: Any, where: str) -> Any:
        return data

    def dump_call(self, signature: Signature, args: tuple[object, ...], kwargs: Mapping[str, object], where: str) -> Data:
        return signature.bind(args, kwargs)

    def load_call(self, signature: Signature, data: Data, where: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return signature.call(signature.spread(data))

    def dump_error(self, error: BaseException, raises: Sequence[type[BaseException]]) -> Failure:
        base = declared_base(error, raises)
        return Failure(
            type=type_name(type(error)),
            message=message_of(error),
            traceback=traceback_of(error),
            declared=None if base is None else type_name(base),
            fields=None if base is None else (error.args, _fields(error)),
        )

    def load_error(self, failure: Failure, raises: Sequence[type[BaseException]]) -> BaseException | None:
        for base in raises:
            if type_name(base) == failure.declared:
                args, fields = failure.fields
                error = base.__new__(base, *args)
                error.args = args
                for name, value in fields.items():
                    try:
                        object.__setattr__(error, name, value)
                    except AttributeError:  # a slot of a subclass that is not declared
                        continue
                return error
        return None

    def same(self, recorded: Data, asked: Data) -> bool:
        return same(recorded, asked)

    def same_call(self, signature: Signature, recorded: Data, asked: Data, where: str) -> bool:
        return same(recorded, asked)


_ABSENT: Final = object()
LIVE: Final[Codec] = LiveCodec()


def same(left: object, right: object) -> bool:
    """Whether two values are equal to the last bit: types count, so does the sign of zero; NaN equals itself.

    Mappings and sets are compared without their order, attrs classes and dataclasses field by field.
    """
    if left is right:
        return True
    kind: Any = type(left)
    if kind is not type(right):
        return False
    if kind in _EXACT:
        return left == right
    if kind is dict:
        mine, theirs = cast("dict[object, object]", left), cast("dict[object, object]", right)
        if len(mine) == len(theirs):
            for key, value in mine.items():
                other = theirs.get(key, _ABSENT)
                if type(key) is not str:
                    break
                # The common case is written out: replay compares the arguments of every step here.
                plain = type(value) in _EXACT and type(value) is type(other)
                if value is not other and not (value == other if plain else same(value, other)):
                    return False
            else:
                return True
    elif kind is tuple or kind is list:
        ours, others = cast("list[object]", left), cast("list[object]", right)
        return len(ours) == len(others) and all(map(same, ours, others))
    return bool(canonical(left) == canonical(right))


def canonical(value: Any) -> Any:
    """A form of *value* that compares by ``==`` as `same` does."""
    kind: Any = cast("Any", type(value))
    if kind in _EXACT:
        return kind, value
    if isinstance(value, float):
        return kind, struct.pack(">d", value)
    if isinstance(value, complex):
        return kind, struct.pack(">dd", value.real, value.imag)
    if isinstance(value, enum.Enum):
        return kind, value.name
    if attrs.has(kind):
        return kind, tuple((field.name, canonical(getattr(value, field.name, None))) for field in attrs.fields(kind))
    if dataclasses.is_dataclass(value):
        return kind, tuple((field.name, canonical(getattr(value, field.name, None))) for field in dataclasses.fields(value))
    if isinstance(value, Mapping):
        mapping: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        pairs = [(canonical(key), canonical(item)) for key, item in mapping.items()]
        return kind, tuple(sorted(pairs, key=repr))
    if isinstance(value, Set):
        members: Set[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return kind, tuple(sorted((canonical(item) for item in members), key=repr))
    if isinstance(value, BaseException):  # by identity two that were rebuilt from one failure would differ
        return kind, canonical(value.args), canonical(_fields(value))
    if isinstance(value, (list, tuple)):
        return kind, tuple(canonical(item) for item in cast("Sequence[Any]", value))
    return kind, value


def _fields(error: BaseException) -> dict[str, Any]:
    """The attributes of *error*, those in slots as well."""
    fields = dict(error.__dict__)
    for base in type(error).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if not name.startswith("__") and hasattr(error, name):
                fields[name] = getattr(error, name)
    fields.pop("__notes__", None)
    return fields
