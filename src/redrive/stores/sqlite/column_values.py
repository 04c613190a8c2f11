"""Values as the database has them."""

from __future__ import annotations

import re
from typing import Final

from redrive.stores.times import EPOCH, from_us, maybe_from_us, maybe_us, to_us

__all__ = ["EPOCH", "from_text", "from_us", "maybe_from_us", "maybe_us", "to_text", "to_us"]

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
