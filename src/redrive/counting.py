"""Numbers of things, as people write them."""

from __future__ import annotations


def counted(number: int, noun: str, many: str | None = None) -> str:
    """``1 attempt``, ``2 attempts``, ``1,000 attempts``; *many* is the plural where it is not *noun* with an s."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
