"""Values as texts that are compared instead of them, the same on all stores.

1.  Texts are in the order of their values, by code point, and equal exactly if the values are. A letter in front says the kind, so
    that values of two kinds never meet; int, float and Decimal are one kind, in one exact order: 0.1 is not ``Decimal("0.1")``.
2.  A number is its sign, its exponent and its significant digits, those below zero with each digit taken from 9. NaN is equal to
    itself and in no range.
3.  An instant is in microseconds UTC; a datetime without a zone is another kind. An enum is its member's name, as it is stored.
4.  Text is as it is, but for the characters that a store cannot keep, which are written as the character before them and
    another one. So the text of a prefix is a prefix of the text.
5.  A set has a text for each member, and one for how many there are.
"""

from __future__ import annotations

import enum
import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs

from redrive_interpreter.commands.conditions import MAX_SEARCHED_BYTES, can_be_searched, is_nan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redrive.ports.finding import Searchable
    from redrive_interpreter.commands.conditions import Attribute, Comparison

MOST_DIGITS: Final = 800
"""Significant digits of the longest number that can be searched; the longest float has 767."""
_NONE, _BOOL, _DATE, _ENUM, _LOCAL, _MEMBER, _NUMBER, _NAN, _SIZE, _TEXT, _INSTANT, _UUID = "0bdelmnq#stu"
_MINUS_INFINITY, _BELOW, _ZERO, _ABOVE, _INFINITY = "01234"
_SMALL, _LARGE = "NP"
_AFTER_DIGITS: Final = "~"
_LENGTHS: Final = "abcdefghijklmnopqrs"
"""For the number of digits of an exponent; Decimal's have 18 at most."""
_OPPOSITE: Final = str.maketrans(f"0123456789{_SMALL}{_LARGE}{_LENGTHS}", f"9876543210{_LARGE}{_SMALL}{_LENGTHS[::-1]}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - what has no zone is compared with what has none
_MICROSECOND: Final = timedelta(microseconds=1)
_YEAR_ZERO: Final = 100_000_000_000_000_000
"""Microseconds; more than there are from the first datetime to 1970."""

# Neither database keeps NUL or lone surrogates, and PostgreSQL's lists are separated by U+001E. Each is written as a character before
# it, which is then written twice over itself: \1 for \0, \x1d for \x1e, \ud7ff for the surrogates.
_UNSTORABLE: Final = re.compile("[\0\1\x1d\x1e\ud7ff-\udfff]")
_WRITTEN: Final = {"\0": "\1\1", "\1": "\1\2", "\x1d": "\x1d\1", "\x1e": "\x1d\2", "\ud7ff": "\ud7ff\x20"}
_ESCAPED: Final = re.compile("[\1\x1d\ud7ff].", re.DOTALL)
_AS_IT_WAS: Final = {written: char for char, written in _WRITTEN.items()}


def texts_of(value: object) -> tuple[str, ...]:
    """The texts of *value*, one unless it is a set; none if it cannot be searched."""
    if type(value) is str and len(value) * 4 <= MAX_SEARCHED_BYTES:  # nearly always
        return (_TEXT + _storable(value),)
    if can_be_searched(value):
        return ()
    if isinstance(value, (set, frozenset)):
        members = sorted(_MEMBER + _storable(member) for member in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return (f"{_SIZE}{len(members):09d}", *members)
    text = text_of(value)
    return () if text is None else (text,)


def text_of(value: object) -> str | None:
    """The text of *value*, which is no set; None if it cannot be searched."""
    match value:
        case enum.Flag():
            return _ENUM + str(value.value)
        case enum.Enum():
            return _ENUM + _storable(value.name)
        case str():
            return _TEXT + _storable(value)
        case None:
            return _NONE
        case bool():
            return _BOOL + str(int(value))
        case int() | float() | Decimal():
            if is_nan(value):
                return _NAN
            number = _number(value)
            return None if number is None else _NUMBER + number
        case datetime():
            if value.utcoffset() is None:
                return _LOCAL + _moment(value.replace(tzinfo=None) - _LOCAL_EPOCH)
            return _INSTANT + _moment(value - _EPOCH)
        case date():
            return _DATE + value.isoformat()
        case UUID():
            return _UUID + value.hex
        case _:
            return None


def searchable(values: Mapping[Attribute[Any] | str, Any]) -> Searchable:
    """The texts of the attributes to be started with, by name; those that are not to be searched have none."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for attribute, value in values.items():
        if isinstance(attribute, str):
            found.append((attribute, texts_of(value)))
        else:
            found.append((attribute.name, texts_of(value) if attribute.search else ()))
    return tuple(found)


# ── conditions ──────────────────────────────────────────────────────────────────────────────────
@attrs.frozen
class Texts:
    """The texts that fit a condition: *each* of these sets of alternatives has one, or all from *low* up to, not including, *below*."""

    each: tuple[tuple[str, ...], ...] = ()
    low: str | None = None
    below: str | None = None


def fitting(comparison: Comparison, values: tuple[Any, ...]) -> Texts:
    """The texts that an attribute has if a condition holds. Raises `ValueError` where a value cannot be searched."""
    match comparison:
        case "is" | "any of":
            alternatives = [_known(texts_of(value), value) for value in values]
            if len(alternatives) == 1:
                return Texts(each=tuple((text,) for text in alternatives[0]))
            if any(len(texts) != 1 for texts in alternatives):
                raise ValueError("any_of takes no sets: ask for their members with has")
            return Texts(each=(tuple(dict.fromkeys(text for (text,) in alternatives)),))
        case "has":
            return Texts(each=((_MEMBER + _storable(values[0]),),))
        case "starts with":
            prefix = _TEXT + _storable(values[0])
            return Texts(low=prefix, below=_after_all_with(prefix))
        case "at least":
            (low,) = _known(texts_of(values[0]), values[0])
            return Texts(low=low, below=_end_of_kind(low))
        case "at most":
            (high,) = _known(texts_of(values[0]), values[0])
            return Texts(low=high[0], below=_next(high))
        case "between":
            ((low,), (high,)) = (_known(texts_of(value), value) for value in values)
            return Texts(low=low, below=_next(high))


def guesses(word: str) -> tuple[str, ...]:
    """The texts that *word* may stand for where the attribute's type is not known: text, an enum's member, or what it spells."""
    found = [text_of(word), _ENUM + _storable(word)] if not can_be_searched(word) else []
    for read in (_read_bool, int, Decimal, UUID, date.fromisoformat, datetime.fromisoformat):
        try:
            found.append(text_of(read(word)))
        except (ValueError, ArithmeticError):
            continue
    if word in ("null", "None"):
        found.append(_NONE)
    if not can_be_searched(word):
        found.append(_MEMBER + _storable(word))
    return tuple(dict.fromkeys(text for text in found if text is not None))


def value_of(text: str) -> object:
    """A value whose text is *text*, for people who count by an attribute of unknown type: numbers as Decimals, enums as their names."""
    kind, rest = text[0], text[1:]
    match kind:
        case "0":
            return None
        case "b":
            return rest == "1"
        case "n":
            return _read_digits(rest)
        case "q":
            return math.nan
        case "t":
            return _EPOCH + timedelta(microseconds=int(rest) - _YEAR_ZERO)
        case "l":
            return _LOCAL_EPOCH + timedelta(microseconds=int(rest) - _YEAR_ZERO)
        case "d":
            return date.fromisoformat(rest)
        case "u":
            return UUID(rest)
        case _:
            return _as_it_was(rest)


# ── the parts ───────────────────────────────────────────────────────────────────────────────────
def _known(texts: tuple[str, ...], value: object) -> tuple[str, ...]:
    if not texts:
        raise ValueError(can_be_searched(value) or f"numbers of up to {MOST_DIGITS} digits are searched")
    return texts


def _moment(since: timedelta) -> str:
    return f"{since // _MICROSECOND + _YEAR_ZERO:018d}"


def _number(value: float | Decimal) -> str | None:
    exact = value if isinstance(value, Decimal) else Decimal.from_float(value)  # whatever the context of the caller traps
    if not exact:
        return _ZERO
    if exact.is_infinite():
        return _INFINITY if exact > 0 else _MINUS_INFINITY
    sign, digits, shift = exact.as_tuple()
    assert isinstance(shift, int)
    significant = len(digits)
    while not digits[significant - 1]:
        significant -= 1
    if significant > MOST_DIGITS:
        return None
    text = _exponent(len(digits) + shift) + "".join(map(str, digits[:significant]))
    return f"{_BELOW}{text.translate(_OPPOSITE)}{_AFTER_DIGITS}" if sign else _ABOVE + text


def _exponent(exponent: int) -> str:
    shown = str(abs(exponent))
    text = _LARGE + _LENGTHS[len(shown) - 1] + shown
    return text if exponent >= 0 else text.translate(_OPPOSITE)


def _read_digits(text: str) -> Decimal:
    match text[0]:
        case "2":
            return Decimal(0)
        case "0" | "4":
            return Decimal("-Infinity" if text[0] == _MINUS_INFINITY else "Infinity")
        case "1":
            return _read_digits(_ABOVE + text[1:-1].translate(_OPPOSITE)).copy_negate()
        case _:
            pass
    above, size, rest = text[1] == _LARGE, text[2], text[3:]
    length = (_LENGTHS if above else _LENGTHS[::-1]).index(size) + 1
    exponent = int(rest[:length]) if above else -int(rest[:length].translate(_OPPOSITE))
    digits = tuple(map(int, rest[length:]))
    return Decimal((0, digits, exponent - len(digits)))


def _storable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _UNSTORABLE.sub(_write, text)


def _write(found: re.Match[str]) -> str:
    char = found[0]
    return _WRITTEN.get(char) or f"\ud7ff{chr(ord(char) - 0xD800 + 0x100)}"


def _as_it_was(text: str) -> str:
    return _ESCAPED.sub(_read, text)


def _read(found: re.Match[str]) -> str:
    pair = found[0]
    return _AS_IT_WAS.get(pair) or chr(ord(pair[1]) - 0x100 + 0xD800)


def _next(text: str) -> str:
    """The first text after *text*: no text has a NUL."""
    return text + "\1"


def _after_all_with(prefix: str) -> str:
    """The first text after all that begin with *prefix*."""
    kept = prefix.rstrip("\U0010ffff")
    after = ord(kept[-1]) + 1
    return kept[:-1] + ("\ue000" if after == 0xD800 else chr(after))


def _end_of_kind(text: str) -> str:
    return chr(ord(text[0]) + 1)


def _read_bool(word: str) -> bool:
    if word in ("true", "false"):
        return word == "true"
    raise ValueError(word)
