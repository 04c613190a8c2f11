"""Values as the database has them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from redrive.stores.common import short_key
from redrive.stores.times import from_us, maybe_from_us, maybe_us, to_us

__all__ = ["SEPARATOR", "from_text", "from_us", "joined", "maybe_from_us", "maybe_us", "numbers", "to_key", "to_text", "to_us"]

SEPARATOR: Final = "\x1e"
"""What stands between the texts of a list: in no JSON text, and in no id or name as stored."""

# PostgreSQL keeps text as UTF-8 without NUL or lone surrogates. These, the separator and the mark itself are stored as
# the mark (SUB) and four hex digits, so that no two texts are taken for one.
_UNSTORABLE: Final = re.compile("[\0\x1a\x1e\ud800-\udfff]")
_STORED: Final = re.compile("\x1a([0-9a-f]{4})")


def to_text(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _UNSTORABLE.sub(lambda found: f"\x1a{ord(found[0]):04x}", text)


def from_text(text: str) -> str:
    return _STORED.sub(lambda found: chr(int(found[1], 16)), text) if "\x1a" in text else text


def maybe_text(text: str | None) -> str | None:
    return None if text is None else to_text(text)


def to_key(text: str) -> str:
    return to_text(short_key(text))


def joined(texts: Iterable[str | None]) -> str:
    """*texts*, none of them empty, for ``string_to_array(…, SEPARATOR, '')``; None becomes null."""
    return SEPARATOR.join([text or "" for text in texts])


def numbers(values: Iterable[int | None]) -> str:
    """*values* for ``string_to_array(…, ',', '')::bigint[]``."""
    return ",".join(["" if value is None else str(value) for value in values])
