"""Equality of data, and the order in which sets are stored."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from redrive.codec.plans import ARRAY, OBJECT, TAG, Data

_ORDERED: Final = (int, str)
_text: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), sort_keys=True, check_circular=False).encode


def in_order(items: list[Data]) -> list[Data]:
    """*items* of a set, the same way for equal sets however they iterate."""
    kinds = set(map(type, items))
    if len(kinds) == 1 and kinds.pop() in _ORDERED:
        items.sort()
    else:
        items.sort(key=canonical)
    return items


def same(recorded: Data, asked: Data) -> bool:
    """Equal to the last bit, whatever the order of mappings."""
    if recorded == asked:
        return _alike(recorded, asked)
    # The pairs of a mapping with keys that are no JSON keys are a list, so == minds their order.
    return _has_pairs(recorded) and _has_pairs(asked) and canonical(recorded) == canonical(asked)


def canonical(data: Data) -> str:
    """One text for all data that are `same`."""
    return _text(_sorted(data))


def _alike(one: Any, other: Any) -> bool:
    """Whether equal data are of the same types too: to Python 1 == True == 1.0 and 0.0 == -0.0."""
    kind = one.__class__
    if kind is not type(other):
        return False
    if kind is OBJECT:
        for name, item in one.items():
            if type(item) is str:
                continue
            if not _alike(item, other[name]):
                return False
        return True
    if kind is ARRAY:
        return all(map(_alike, one, other))
    if kind is float:
        return one != 0.0 or math.copysign(1.0, one) == math.copysign(1.0, other)
    return True


def _has_pairs(data: Data) -> bool:
    if type(data) is OBJECT:
        return data.get(TAG) == "dict" or any(map(_has_pairs, data.values()))
    return type(data) is ARRAY and any(map(_has_pairs, data))


def _sorted(data: Data) -> Any:
    if type(data) is OBJECT:
        if data.get(TAG) == "dict" and type(data.get("v")) is list:
            return {TAG: "dict", "v": sorted(([_sorted(pair[0]), _sorted(pair[1])] for pair in data["v"]), key=_text)}
        return {name: _sorted(item) for name, item in data.items()}
    if type(data) is ARRAY:
        return [_sorted(item) for item in data]
    return data
