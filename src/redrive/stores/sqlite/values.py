"""Values as the database has them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

# SQLite keeps text as UTF-8, which has no lone surrogates, and some of its functions end a text at its first NUL.
# Both are text in Python, so they are stored as NUL and four hex digits, and no two texts are taken for one.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_STORED: Final = re.compile("\0([0-9a-f]{4})")


def to_text(text: str) -> str:
    if (text.isascii() and "\0" not in text) or not _UNSTORABLE.search(text):
        return text
    return _UNSTORABLE.sub(lambda found: f"\0{ord(found[0]):04x}", text)


def from_text(text: str) -> str:
    return _STORED.sub(lambda found: chr(int(found[1], 16)), text) if "\0" in text else text


def to_us(at: datetime) -> int:
    return (at - EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def maybe_us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)


def maybe_from_us(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)
