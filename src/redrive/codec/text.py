"""Data as JSON text, and how much of it there may be."""

from __future__ import annotations

import json
import json.encoder
import marshal
from collections.abc import Callable
from typing import Any, Final

from redrive.codec.plans import OBJECT, Data
from redrive_interpreter.errors import CodecError

MAX_BYTES: Final = 1 << 20
"""The default limit of one value, in bytes of JSON text."""

MAX_DEPTH: Final = 200
"""Levels to which lists and objects may nest, so that data stored from a shallow stack can be read from a deep one."""

_TINY: Final = frozenset({int, float, bool, type(None)})
_NESTING: Final = frozenset({list, dict})
_ENCODER: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":"))


def _encoding() -> Callable[[Any], str]:
    """`JSONEncoder.encode` without building its C encoder for each value, which would take half the time of a row."""
    parts: Any = json.encoder
    if parts.c_make_encoder is None:  # another Python than CPython
        return _ENCODER.encode
    chunks = parts.c_make_encoder(None, _ENCODER.default, parts.encode_basestring_ascii, None, ":", ",", False, False, False)

    def encode(obj: Any) -> str:
        return "".join(chunks(obj, 0))

    return encode


_encode: Final = _encoding()


def to_json(obj: Any) -> str:
    """Compact, pure ASCII. Takes data, and JSON that has data inside. Raises `CodecError` for anything else."""
    try:
        return _encode(obj)
    except (TypeError, ValueError) as error:
        raise CodecError("to_json", "value", type(obj).__name__, f"is not data: {error}") from None
    except RecursionError:
        raise CodecError("to_json", "value", type(obj).__name__, "is nested too deep, or contains itself") from None


def from_json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CodecError("from_json", "value", "JSON", f"the text is damaged: {error}") from None
    except RecursionError:
        raise CodecError("from_json", "value", "JSON", "is nested too deep") from None


def excess(data: Data, max_bytes: int, endless: bool) -> str | None:
    """The limit that *data* exceeds, or None. *endless* says that its depth must be checked too.

    Nearly all values are far below the limits, so the common case must cost next to nothing: the size of
    the binary form that ``marshal`` makes in a fifth of a microsecond, and that no JSON text is more than
    six times as long as, settles most of them. It is measured and thrown away.
    """
    if type(data) in _TINY:
        return None
    if type(data) is str:
        bound = len(data) * 12
    else:
        try:
            bound = len(marshal.dumps(data, 2)) * 6  # version 2 writes a repeated string out each time, as JSON does
        except ValueError:  # marshal has a limit of its own, in the thousands
            return _TOO_DEEP
        if endless and bound > MAX_DEPTH * 30 and _is_deeper(data, MAX_DEPTH):  # a level takes marshal 5 bytes or more
            return _TOO_DEEP
    if bound <= max_bytes:
        return None
    size = len(to_json(data))
    if size <= max_bytes:
        return None
    return f"takes {size:,} bytes, and the limit is {max_bytes:,} (max_bytes=)"


_TOO_DEEP: Final = f"is nested more than {MAX_DEPTH} levels deep, or contains itself"


def _is_deeper(data: Data, limit: int) -> bool:
    level = [data]
    for _ in range(limit):
        level = [item for node in level for item in (node.values() if type(node) is OBJECT else node) if type(item) in _NESTING]
        if not level:
            return False
    return True
