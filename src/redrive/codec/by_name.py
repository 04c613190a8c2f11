"""Calls of a workflow whose code is not at hand, compared without it.

Such a call has its positional arguments under ``*args`` (a `Signature` without a function binds so), and values without declared
types, which are tagged where typed ones are not. A call that was bound by the function has all of them by name, in the order
of the parameters.
"""

from __future__ import annotations

from typing import Any, Final

from redrive.codec.ordering import same
from redrive.codec.plans import ARRAY, OBJECT, TAG, Data, is_tagged

ARGS: Final = "*args"
_ESCAPES: Final = frozenset({"int", "float", "str", "dict"})
"""Tags that typed values have as well: the data under them has another form than the value itself."""


def is_by_name(call: Data) -> bool:
    return type(call) is OBJECT and ARGS in call


def same_by_name(one: Data, other: Data) -> bool:
    """Whether two calls pass the same arguments, as far as that can be told: an argument passed by position in one may be passed
    by name in the other."""
    more, fewer = sorted((_parts(one), _parts(other)), key=lambda parts: len(parts[0]), reverse=True)
    count = len(fewer[0])
    given, named = more[0][count:], dict(fewer[1])
    places = [name for name in named if name not in more[1]][: len(given)]
    if len(places) < len(given) or not same(more[0][:count], fewer[0]):
        return False
    return same([named.pop(name) for name in places], given) and same(named, more[1])


def _parts(call: Data) -> tuple[list[Data], dict[str, Data]]:
    plain = _untagged(call)
    return plain.pop(ARGS, []), plain


def _untagged(data: Data) -> Any:
    if type(data) is ARRAY:
        return [_untagged(item) for item in data]
    if type(data) is not OBJECT:
        return data
    if is_tagged(data) and data[TAG] not in _ESCAPES:
        return _untagged(data["v"])
    return {name: _untagged(item) for name, item in data.items()}
