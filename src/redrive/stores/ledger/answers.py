"""The messages that a store writes on its own account: answers to commands, and results of children."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redrive.ports.store import Json

OK: Final[Json] = '{"ok": null}'


def refusal(error: str, id: str) -> Json:
    """The answer to a command whose other execution cannot take it: *error* names an error class."""
    return json.dumps({"err": {"type": error, "message": id}})


def child_result(status: str, outcome: Json | None) -> Json:
    return f'{{"status": "{status}", "outcome": {"null" if outcome is None else outcome}}}'
