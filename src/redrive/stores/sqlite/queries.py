"""The named statements of ``queries.sql``."""

from __future__ import annotations

from pathlib import Path
from typing import Final


def read_queries(text: str) -> dict[str, str]:
    """Statements by name; each begins with a line ``-- name: …``, and its comments stay in the file."""
    queries: dict[str, str] = {}
    for block in text.split("-- name: ")[1:]:
        name, _, body = block.partition("\n")
        lines = (line for line in body.splitlines() if line and not line.startswith("--"))
        queries[name.strip()] = "\n".join(lines).rstrip(";")
    return queries


SQL: Final = read_queries(Path(__file__).with_name("queries.sql").read_text(encoding="utf-8"))
