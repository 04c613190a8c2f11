"""``--app module:service`` and ``--store URL``: load the service that they name."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from redrive import AsyncDurableService, DurableService
from redrive.cli.cli_errors import CommandError, did_you_mean
from redrive.cli.loading import call, load_name
from redrive.passwords import without_password

_EXAMPLE: Final = "module:service, like shop.orders:service"


def load_app(name: str) -> AsyncDurableService:
    """The service that *name* says, not opened yet; a function is called for it."""
    found = load_name(name, _EXAMPLE, "a service")
    if not isinstance(found, (AsyncDurableService, DurableService)) and callable(found) and not isinstance(found, type):
        found = call(found, name)
    if inspect.iscoroutine(found):
        found.close()
        raise CommandError(f"{name!r} is an async function", "name a service, or a plain function that makes one: opening it is done here")
    if isinstance(found, DurableService):
        found = found.aio
    if not isinstance(found, AsyncDurableService):
        kind = f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
        raise CommandError(f"{name!r} is {kind}, not a DurableService or AsyncDurableService, nor a function that makes one")
    if found._home.closed is not None:  # a service opens once
        raise CommandError(
            f"{name!r} was opened while its module was imported",
            'keep what runs at once, like `with service:`, under `if __name__ == "__main__":`',
        )
    return found


def refuse_typo(url: str, *, create: bool = False) -> None:
    """Raises `CommandError` for a store that does not exist: a command that only asks must not create a database from a mistyped
    URL."""
    if "://" not in url:
        shown = without_password(url)
        raise CommandError(f"{shown!r} is not the URL of a store", f"did you mean sqlite:///{shown}?")
    parts = urlsplit(url)
    if parts.scheme == "memory":
        raise CommandError(
            "memory:// lives inside one process, and dies with it", "name the store that the workers use, like sqlite:///orders.db"
        )
    if parts.scheme != "sqlite" or create:
        return
    path = Path(unquote(parts.path.removeprefix("/")))
    if path.exists():
        return
    folder = path.parent if path.parent.is_dir() else Path()
    near = [str(folder / other.name) for other in folder.glob("*") if other.suffix in (".db", ".sqlite", ".sqlite3")]
    hint = did_you_mean(str(path), near, "a worker makes it when it starts; `redrive start --create` does too")
    raise CommandError(f"there is no database {os.path.abspath(path)}", hint)
