"""Keys name every command of a run: the path of (id, n) through the scopes, shown as ``a/b#2``."""

from __future__ import annotations

from typing import Final

from redrive_interpreter.errors import InvalidId, ReservedId

MAX_ID_BYTES: Final = 255
ROLLBACK: Final = "rollback:"
_ESCAPES: Final = {"%": "%25", "/": "%2F", "#": "%23"}


class Key(str):
    """The durable name of one command: unique in its run, stable across replays, equal to its text."""

    __slots__ = ()

    @property
    def path(self) -> tuple[tuple[str, int], ...]:
        """The (id, n) pairs from the outermost scope to the command, ids unescaped."""
        text = self.removeprefix(ROLLBACK)
        pairs: list[tuple[str, int]] = []
        for part in text.split("/"):
            name, _, n = part.partition("#")
            pairs.append((unescape(name), int(n or 1)))
        return tuple(pairs)

    @classmethod
    def of(cls, path: tuple[tuple[str, int], ...]) -> Key:
        """The key with *path*; the inverse of `path`."""
        return cls("/".join(escape(name) if n == 1 else f"{escape(name)}#{n}" for name, n in path))


def escape(id: str) -> str:
    """*id* with ``%``, ``/`` and ``#`` percent-escaped, so that no two paths print alike."""
    if "%" in id or "/" in id or "#" in id:
        return "".join(_ESCAPES.get(char, char) for char in id)
    return id


def unescape(text: str) -> str:
    return text.replace("%2F", "/").replace("%23", "#").replace("%25", "%")


def check_id(id: object, what: str) -> str:
    """Give back *id* if it can name something in a history.

    Raises `TypeError` if it is not text, `InvalidId` if it is empty, holds NUL or is longer than
    255 bytes in UTF-8, `ReservedId` if it begins with ``__`` or ``rollback:``.
    """
    text = check_name(id, what)
    if text.startswith(("__", ROLLBACK)):
        raise ReservedId(what, text)
    return text


def check_name(name: object, what: str) -> str:
    """`check_id` without the reserved prefixes: for execution ids, which live outside a history."""
    if not isinstance(name, str):
        kind = type(name).__name__
        raise InvalidId(what, name, f"is {'an' if kind[0] in 'aeio' else 'a'} {kind}, not a str")
    if not name:
        raise InvalidId(what, name, "is empty")
    if "\0" in name:
        raise InvalidId(what, name, "holds a NUL character")
    if len(name) * 4 > MAX_ID_BYTES and len(name.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise InvalidId(what, name, f"is longer than {MAX_ID_BYTES} bytes in UTF-8")
    return name


def scope_of(key: str) -> str:
    """The prefix of the scope that *key* was asked in."""
    return key[: key.rfind("/") + 1]


DEADLINE: Final = Key("__deadline")
"""The key of the timer that is the execution's deadline: when it fires, the fact is `DeadlinePassed`."""
