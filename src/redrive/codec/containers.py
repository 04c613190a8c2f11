"""Lists, tuples, sets and mappings of declared items."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from redrive.codec.ordering import in_order
from redrive.codec.plans import (
    ARRAY,
    OBJECT,
    TAG,
    TUPLE,
    Data,
    Plan,
    Wrong,
    index,
    is_tagged,
    key,
    other_form,
    refuse_data,
    refuse_value,
    refused_part,
    tagged,
    untagged,
)
from redrive.codec.scalars import is_plain_key

_LIST = frozenset({"list"})
_DICT = frozenset({"dict"})


def list_plan(name: str, item: Plan) -> Plan:
    dump_items, load_items = _dump_items(item), _load_items(item, name)

    def dump(value: Any) -> Data:
        if type(value) is not ARRAY:
            raise refuse_value(value, name)
        return dump_items(value)

    return Plan(name, dump, load_items, _LIST, (list,), endless=item.endless)


def variadic_plan(name: str, item: Plan) -> Plan:
    """``tuple[T, ...]``."""
    dump_items, load_items = _dump_items(item), _load_items(item, name)

    def dump(value: Any) -> Data:
        if type(value) is not TUPLE:
            raise refuse_value(value, name)
        return dump_items(value)

    def load(data: Data) -> Any:
        if type(data) is not ARRAY:
            return other_form(data, name, load, "builtins.tuple")
        return tuple(load_items(data))

    return Plan(name, dump, load, _LIST, (tuple,), endless=item.endless)


def sequence_plan(name: str, item: Plan) -> Plan:
    """``Sequence[T]`` and its bases: a list as it is, a tuple with a tag, so that each comes back as what it was."""
    dump_items, load_items = _dump_items(item), _load_items(item, name)

    def dump(value: Any) -> Data:
        if type(value) is ARRAY:
            return dump_items(value)
        if type(value) is TUPLE:
            return tagged("tuple", dump_items(value))
        raise refuse_value(value, name)

    def load(data: Data) -> Any:
        if type(data) is ARRAY:
            return load_items(data)
        if is_tagged(data) and data[TAG].partition("[")[0] == "tuple":
            return tuple(load_items(data["v"]))
        return other_form(data, name, load, "list")

    return Plan(name, dump, load, _LIST, (list, tuple), frozenset({"tuple"}), endless=item.endless)


def fixed_plan(name: str, items: tuple[Plan, ...]) -> Plan:
    """``tuple[A, B]``."""
    dumps = [item.dump for item in items]
    loads = [item.load for item in items]

    def dump(value: Any) -> Data:
        if type(value) is not TUPLE:
            raise refuse_value(value, name)
        if len(value) != len(dumps):
            raise Wrong(name, f"the value has {len(value)} items, and {len(dumps)} are declared")
        out: list[Data] = []
        try:
            for encode, item in zip(dumps, value, strict=True):
                out.append(encode(item))
        except Wrong as wrong:
            raise wrong.under(index(len(out))) from wrong.__cause__
        return out

    def load(data: Data) -> Any:
        if type(data) is not ARRAY:
            return other_form(data, name, load, "builtins.tuple")
        if len(data) != len(loads):
            raise Wrong(name, f"stored are {len(data)} items, and {len(loads)} are declared")
        out: list[Any] = []
        try:
            for decode, item in zip(loads, data, strict=True):
                out.append(decode(item))
        except Wrong as wrong:
            raise wrong.under(index(len(out))) from wrong.__cause__
        return tuple(out)

    small = len(items) <= 16 and all(item.small for item in items)
    refuses = refused_part((index(at), item) for at, item in enumerate(items))
    return Plan(name, dump, load, _LIST, (tuple,), small=small, endless=any(item.endless for item in items), refuses=refuses)


def set_plan(name: str, item: Plan, classes: tuple[type, ...]) -> Plan:
    """*classes*: set, frozenset, or both, and then the frozenset has a tag. Sets are stored in an order of their own, whatever
    order they iterate in."""
    load_items = _load_items(item, name)
    encode, main = item.dump, classes[0]

    def dump(value: Any) -> Data:
        if type(value) not in classes:
            raise refuse_value(value, name)
        try:
            items = in_order([encode(item) for item in value])
        except Wrong as wrong:
            raise wrong.under("{…}") from wrong.__cause__
        return items if type(value) is main else tagged("frozenset", items)

    def load(data: Data) -> Any:
        cls: Any = main
        if len(classes) > 1 and is_tagged(data) and data[TAG].partition("[")[0] == "frozenset":
            data, cls = data["v"], frozenset
        elif type(data) is not ARRAY:
            return other_form(data, name, load, main.__name__)
        items = load_items(data)
        try:
            return cls(items)
        except TypeError as error:
            raise Wrong(name, f"the stored items do not make a set: {error}") from None

    escapes: frozenset[str] = frozenset({"frozenset"}) if len(classes) > 1 else frozenset()
    return Plan(name, dump, load, _LIST, classes, escapes, endless=item.endless)


def mapping_plan(name: str, names: Plan, item: Plan) -> Plan:
    """A dict, in its order: an object where all keys are stored as str, else a list of pairs under a tag."""
    encode, decode = item.dump, item.load
    encode_key, decode_key = names.dump, names.load

    def dump(value: Any) -> Data:
        if type(value) is not OBJECT:
            raise refuse_value(value, name)
        at: Any = None
        keys: list[Data] = []
        try:
            for at in value:
                keys.append(_dump_key(encode_key, at))
            if all(map(is_plain_key, keys)):
                out: dict[str, Data] = {}
                for encoded, at in zip(keys, value, strict=True):
                    out[encoded] = encode(value[at])
                if len(out) < len(keys):  # by a converter's hook
                    raise Wrong(name, "two of its keys are stored alike")
                return out
            pairs: list[Data] = []
            for encoded, at in zip(keys, value, strict=True):
                pairs.append([encoded, encode(value[at])])
            return tagged("dict", pairs)
        except Wrong as wrong:
            raise wrong.under(key(at)) from wrong.__cause__

    def load(data: Data) -> Any:
        if type(data) is not OBJECT:
            raise refuse_data(data, name)
        pairs: Iterable[Any] = data.items()
        if TAG in data:
            tag, inner = untagged(data, name)
            if tag != "dict" or not _are_pairs(inner):
                return other_form(data, name, load, "dict", "builtins.dict")
            pairs = inner
        out: dict[Any, Any] = {}
        at: Any = None
        try:
            for at, member in pairs:
                out[decode_key(at)] = decode(member)
        except Wrong as wrong:
            raise wrong.under(key(at)) from wrong.__cause__
        except TypeError as error:
            raise Wrong(name, f"the stored keys do not make a mapping: {error}") from None
        return out

    return Plan(name, dump, load, _DICT, (dict,), frozenset({"dict"}), endless=item.endless or names.endless)


def _are_pairs(data: Data) -> bool:
    return type(data) is ARRAY and all(type(pair) is ARRAY and len(pair) == 2 for pair in data)


def _dump_key(encode: Callable[[Any], Data], at: Any) -> Data:
    try:
        return encode(at)
    except Wrong as wrong:
        wrong.problem = f"of its key, {wrong.problem}"
        raise


def _dump_items(item: Plan) -> Callable[[Iterable[Any]], list[Data]]:
    encode = item.dump

    def dump(value: Iterable[Any]) -> list[Data]:
        out: list[Data] = []
        try:
            out.extend(map(encode, value))  # the items done before an error stay in *out*, and tell its place
        except Wrong as wrong:
            raise wrong.under(index(len(out))) from wrong.__cause__
        return out

    return dump


def _load_items(item: Plan, name: str) -> Callable[[Data], list[Any]]:
    decode = item.load

    def load(data: Data) -> list[Any]:
        if type(data) is not ARRAY:
            found: list[Any] = other_form(data, name, load, "list")
            return found
        out: list[Any] = []
        try:
            out.extend(map(decode, data))
        except Wrong as wrong:
            raise wrong.under(index(len(out))) from wrong.__cause__
        return out

    return load
