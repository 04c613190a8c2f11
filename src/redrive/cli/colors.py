"""Colours for terminals: never in a pipe, never against NO_COLOR."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TextIO

_CODES: Final[Mapping[str, str]] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Colors:
    """Wraps text in a colour, or leaves it as it is. No text differs by its colour alone."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.on and text else text


def colors_for(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Colors:
    """Colours if *stream* is a terminal; https://no-color.org and FORCE_COLOR have the last word."""
    if environ.get("NO_COLOR"):
        return Colors(False)
    if environ.get("FORCE_COLOR"):
        return Colors(True)
    return Colors(stream.isatty() and environ.get("TERM") != "dumb")


def visible(text: str, *, lines: bool = False) -> str:
    """*text* with escapes for the characters that a terminal would act upon, or cannot show.

    *lines* keeps line breaks and tabs.
    """
    kept = "\n\t" if lines else ""
    return "".join(char if char.isprintable() or char in kept else char.encode("unicode_escape", "surrogatepass").decode() for char in text)
