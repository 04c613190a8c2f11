"""Findings, and the comments that silence them."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Mapping
from typing import Final

import attrs

from redrive.lint.rules import RULES

_NOQA: Final = re.compile(r"#\s*noqa(?P<codes>:\s*[A-Z]+[0-9]+(?:[\s,]+[A-Z]+[0-9]+)*)?", re.IGNORECASE)
_CODE: Final = re.compile(r"[A-Z]+[0-9]+", re.IGNORECASE)


@attrs.frozen(order=True)
class Finding:
    """One breach of a rule. *line* and *column* count from 1; *end* is the last line of the code at fault."""

    path: str
    line: int
    column: int
    code: str
    message: str
    end: int = attrs.field(default=0, eq=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.code} {self.message} ({RULES[self.code].fix})"


def silenced(source: str) -> Mapping[int, frozenset[str]]:
    """The lines with a ``# noqa`` comment and the codes that it names; an empty set means all of them."""
    if "noqa" not in source.lower():
        return {}
    found: dict[int, frozenset[str]] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (noqa := _NOQA.search(token.string)):
            found[token.start[0]] = frozenset(code.upper() for code in _CODE.findall(noqa["codes"] or ""))
    return found


def is_silenced(finding: Finding, comments: Mapping[int, frozenset[str]]) -> bool:
    """Whether a comment silences *finding*: it counts on the first and on the last line of the code at fault."""
    for line in (finding.line, finding.end):
        codes = comments.get(line)
        if codes is not None and (not codes or finding.code in codes):
            return True
    return False
