"""What `start` and `signal` are given on the command line, as data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redrive.cli.complaints import Complaint
from redrive.timeline import json_object


def parse_json(text: str, what: str) -> Any:
    """*text* as JSON; *what* is named in the complaint."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        hint = "text needs double quotes inside the shell's single ones: '\"Ada\"'" if "{" not in text and "[" not in text else ""
        raise Complaint(f"{what} is not JSON: {error.msg} at column {error.colno}: {text}", hint) from None


def parse_input(text: str | None, pairs: Sequence[str]) -> dict[str, Any]:
    """The arguments by name: a JSON object, then ``name=value`` pairs over it.

    A value is JSON if it can be read so, else text; ``order.id=o-1`` sets a field inside ``order``.
    """
    given = None if text is None else parse_json(text, "--input")
    arguments = {} if text is None else json_object(given)
    if arguments is None:
        raise Complaint("--input must be a JSON object of the workflow's arguments by name", """like --input '{"order": {"id": "o-1"}}'""")
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Complaint(f"{pair!r} is not an argument", "write name=value, or --input JSON")
        *path, last = name.split(".")
        place = arguments
        for part in path:
            inner = json_object(place.setdefault(part, {}))
            if inner is None:
                raise Complaint(f"{name}: {part} was given a value already, not fields")
            place = inner
        place[last] = _loosely(value)
    return arguments


def _loosely(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
