"""Numbers, text, bytes and the other values without parts.

Values that JSON has are stored as they are. The others have a tag, the same with and without a declared type:
non-finite floats, ints so long that Python may refuse to print them, and text in which two lone surrogates
happen to make a pair, which JSON would read as one character.
"""

from __future__ import annotations

import binascii
import math
import re
import struct
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from redrive.codec.plans import ARRAY, TAG, Data, Plan, Wrong, is_tagged, other_form, refuse_data, refuse_value, tagged, untagged
from redrive_interpreter.keys import Key

_BIG: Final = 1 << 2000
"""The least int that is stored in hexadecimal. Python's limit on printing ints is 640 digits or more; this one has 603."""

_INFINITY: Final = math.inf
_NAN_BITS: Final = struct.pack(">d", math.nan).hex()
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def dump_none(value: object) -> None:
    if value is not None:
        raise refuse_value(value, "None")


def load_none(data: Data) -> None:
    if data is not None:
        other_form(data, "None", load_none)


def dump_bool(value: object) -> Data:
    if type(value) is bool:
        return value
    raise refuse_value(value, "bool")


def load_bool(data: Data) -> bool:
    if type(data) is bool:
        return data
    return bool(other_form(data, "bool", load_bool))


def dump_int(value: Any) -> Data:
    if type(value) is int:
        if -_BIG < value < _BIG:
            return value
        return tagged("int", hex(value))
    raise refuse_value(value, "int")


def load_int(data: Data) -> int:
    if type(data) is int:
        return data
    if is_tagged(data):
        return read_int(data)
    raise refuse_data(data, "int")


def read_int(data: Data) -> int:
    tag, text = untagged(data, "int")
    if tag == "int" and type(text) is str:
        try:
            return int(text, 16)
        except ValueError:
            raise refuse_data(data, "int") from None
    return int(other_form(data, "int", load_int))


def dump_float(value: Any) -> Data:
    """Dump a float, or an int in its place: type checkers accept one, and 3 comes back as 3."""
    if type(value) is float:
        if -_INFINITY < value < _INFINITY:
            return value
        return tagged("float", write_non_finite(value))
    if type(value) is int:
        return dump_int(value)
    raise refuse_value(value, "float")


def load_float(data: Data) -> float:
    if type(data) is float or type(data) is int:
        return data
    if is_tagged(data):
        return read_float(data)
    raise refuse_data(data, "float")


def read_float(data: Data) -> float:
    tag, text = untagged(data, "float")
    if tag == "int":
        return read_int(data)
    if tag == "float" and type(text) is str:
        return read_non_finite(text)
    found: float = other_form(data, "float", load_float)  # an int in a float's place stays one
    return found


def write_non_finite(value: float) -> str:
    if value == value:
        return "inf" if value > 0 else "-inf"
    bits = struct.pack(">d", value).hex()
    return "nan" if bits == _NAN_BITS else bits


def read_non_finite(text: str) -> float:
    if text in ("inf", "-inf", "nan"):
        return float(text)
    try:
        return float(struct.unpack(">d", bytes.fromhex(text))[0])
    except (ValueError, struct.error):
        raise refuse_data(text, "float") from None


def dump_str(value: Any) -> Data:
    if type(value) is Key:  # the keys that Rollback gives are accepted where `str` is declared
        value = str(value)
    if type(value) is str:
        if value.isascii() or not _PAIR.search(value):
            return value
        return tagged("str", write_bytes(value.encode("utf-8", "surrogatepass")))
    raise refuse_value(value, "str")


def load_str(data: Data) -> str:
    if type(data) is str:
        return data
    if is_tagged(data) and data[TAG] == "str":
        return _escaped(data["v"])
    return str(other_form(data, "str", load_str))


def _escaped(text: Data) -> str:
    """The text of ``{"$": "str", "v": text}``: text that JSON cannot carry, or plain text under the tag of a union."""
    if is_tagged(text) and text[TAG] == "str":
        return read_text(text["v"])
    if type(text) is str:
        return read_text(text) if is_escape(text) else text
    raise refuse_data(text, "str")


def read_text(data: Data) -> str:
    try:
        return read_bytes(data, "str").decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise refuse_data(data, "str") from None


def is_escape(text: str) -> bool:
    """Whether `dump_str` may have written *text* under its tag, which the pair of surrogates inside shows."""
    if len(text) < 8 or len(text) % 4 or not text.isascii():
        return False
    try:
        return _PAIR.search(read_text(text)) is not None
    except Wrong:
        return False


def under_tag(data: Data) -> Data:
    """The data of a str as a union tags it: text that `is_escape` would mistake is escaped once more."""
    if type(data) is str and is_escape(data):
        return tagged("str", write_bytes(data.encode("utf-8")))
    return data


def is_plain_key(key: object) -> bool:
    """Whether *key* can be a key of a JSON object and come back as it was."""
    return type(key) is str and key[:1] != TAG and (key.isascii() or not _PAIR.search(key))


def write_bytes(value: bytes | bytearray) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def read_bytes(data: Data, declared: str = "bytes") -> bytes:
    if type(data) is str:
        try:
            return binascii.a2b_base64(data, strict_mode=True)
        except ValueError:
            pass
    found: bytes = other_form(data, declared, read_bytes)
    return found


def dump_bytes(value: Any) -> Data:
    if type(value) is bytes:
        return write_bytes(value)
    raise refuse_value(value, "bytes")


def dump_bytearray(value: Any) -> Data:
    if type(value) is bytearray:
        return write_bytes(value)
    raise refuse_value(value, "bytearray")


def load_bytearray(data: Data) -> bytearray:
    return bytearray(read_bytes(data, "bytearray"))


def dump_complex(value: Any) -> Data:
    if type(value) is complex:
        return [dump_float(value.real), dump_float(value.imag)]
    raise refuse_value(value, "complex")


def load_complex(data: Data) -> complex:
    if type(data) is ARRAY and len(data) == 2:
        return complex(load_float(data[0]), load_float(data[1]))
    return complex(other_form(data, "complex", load_complex))


def dump_decimal(value: Any) -> Data:
    if type(value) is Decimal:
        return str(value)
    raise refuse_value(value, "Decimal")


def load_decimal(data: Data) -> Decimal:
    if type(data) is str:
        try:
            return Decimal(data)
        except InvalidOperation:
            pass
    found: Decimal = other_form(data, "Decimal", load_decimal, "decimal", "decimal.Decimal")
    return found


def dump_uuid(value: Any) -> Data:
    if type(value) is UUID:
        return str(value)
    raise refuse_value(value, "UUID")


def load_uuid(data: Data) -> UUID:
    if type(data) is str:
        try:
            return UUID(data)
        except ValueError:
            pass
    found: UUID = other_form(data, "UUID", load_uuid, "uuid", "uuid.UUID")
    return found


def dump_key(value: Any) -> Data:
    """Dump a `Key`, such as those that `Rollback` gives back."""
    if type(value) is Key:
        return dump_str(str(value))
    raise refuse_value(value, "Key")


def load_key(data: Data) -> Key:
    if is_tagged(data) and data[TAG] != "str":
        return Key(other_form(data, "Key", load_str, "key"))
    return Key(load_str(data))


def dump_nothing(value: object) -> Data:
    raise Wrong("Never", "no value has this type")


_STR: Final = frozenset({"str"})

SCALARS: Final[dict[Any, Plan]] = {
    type(None): Plan("None", dump_none, load_none, frozenset({"null"}), (type(None),), plain=True, small=True),
    bool: Plan("bool", dump_bool, load_bool, frozenset({"bool"}), (bool,), plain=True, small=True),
    int: Plan("int", dump_int, load_int, frozenset({"int"}), (int,), frozenset({"int"}), plain=True),
    float: Plan("float", dump_float, load_float, frozenset({"float", "int"}), (float,), frozenset({"float", "int"}), plain=True),
    str: Plan("str", dump_str, load_str, _STR, (str,), _STR, plain=True),
    bytes: Plan("bytes", dump_bytes, read_bytes, _STR, (bytes,)),
    bytearray: Plan("bytearray", dump_bytearray, load_bytearray, _STR, (bytearray,)),
    complex: Plan("complex", dump_complex, load_complex, frozenset({"list"}), (complex,), small=True),
    Decimal: Plan("Decimal", dump_decimal, load_decimal, _STR, (Decimal,)),
    UUID: Plan("UUID", dump_uuid, load_uuid, _STR, (UUID,), small=True),
    Key: Plan("Key", dump_key, load_key, _STR, (Key,), _STR),
}
