"""Arguments of `start` and `signal` on the command line, as data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redrive import CodecError
from redrive.cli.cli_errors import CommandError
from redrive.timeline import json_object


def parse_json(text: str, what: str) -> Any:
    """*text* as JSON; *what* is named in the error."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        hint = "text needs double quotes inside the shell's single ones: '\"Ada\"'" if "{" not in text and "[" not in text else ""
        raise CommandError(f"{what} is not JSON: {error.msg} at column {error.colno}: {text}", hint) from None


class Arguments(dict[str, Any]):
    """The arguments of a workflow by name. *texts* are those that came as ``name=value`` and look like JSON, as they were typed."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.texts: dict[tuple[str, ...], str] = {}

    def read(self, load: Callable[[str, Any], Any]) -> dict[str, Any]:
        """Each argument as *load* reads it; one that does not fit its type as JSON is tried as the text that was typed.

        Raises the `CodecError` of the first reading.
        """
        return {name: self._read(name, load) for name in self}

    def _read(self, name: str, load: Callable[[str, Any], Any]) -> Any:
        try:
            return load(name, self[name])
        except CodecError as error:
            first = wrong = error
        left = {path: text for path, text in self.texts.items() if path[0] == name}
        while left:
            at = tuple(re.findall(r"[^.\[\]'\"]+", wrong.path))
            paths = [path for path in left if path == at] or list(left)
            for path in paths:
                self._put(path, left.pop(path))
            try:
                return load(name, self[name])
            except CodecError as error:
                wrong = error
        raise first if wrong.path == first.path else wrong

    def _put(self, path: tuple[str, ...], value: Any) -> None:
        place: dict[str, Any] = self
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value


def parse_input(text: str | None, pairs: Sequence[str]) -> Arguments:
    """The arguments: a JSON object, then ``name=value`` pairs over it; ``order.id=o-1`` sets a field inside ``order``.

    The type decides how a value is read: as text for a ``str``, else as JSON; where the type is not known, as JSON if possible.
    """
    given = None if text is None else parse_json(text, "--input")
    values = {} if text is None else json_object(given)
    if values is None:
        raise CommandError(
            "--input must be a JSON object of the workflow's arguments by name", """like --input '{"order": {"id": "o-1"}}'"""
        )
    arguments = Arguments(values)
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CommandError(f"{pair!r} is not an argument", "write name=value, or --input JSON")
        *path, last = name.split(".")
        place: dict[str, Any] = arguments
        for part in path:
            inner = json_object(place.setdefault(part, {}))
            if inner is None:
                raise CommandError(f"{name}: {part} was given a value already, not fields")
            place = inner
        try:
            place[last] = json.loads(value)
            arguments.texts[*path, last] = value
        except json.JSONDecodeError:
            place[last] = value
    return arguments
