"""Files of named SQL statements."""

from __future__ import annotations


def read_queries(text: str) -> dict[str, str]:
    """Statements by name; each begins with a line ``-- name: …``, and its comments stay in the file."""
    queries: dict[str, str] = {}
    for block in text.split("-- name: ")[1:]:
        name, _, body = block.partition("\n")
        lines = (line for line in body.splitlines() if line and not line.startswith("--"))
        queries[name.strip()] = "\n".join(lines).rstrip(";")
    return queries
