"""``--app module:service`` and ``--store URL``: from words to a service."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redrive import AsyncDurableService, DurableService
from redrive.cli.complaints import Complaint, did_you_mean
from redrive.passwords import without_password

_EXAMPLE: Final = "write module:service, like shop.orders:service"


def load_app(name: str) -> AsyncDurableService:
    """The service that *name* says, not opened yet; a function is called for it.

    The working directory is importable, as under ``python -m``.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise Complaint(f"{name!r} does not name a service", _EXAMPLE)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    module = _module(module_name)
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [known for known in dir(module) if not known.startswith("_")]
            raise Complaint(f"module {module_name!r} has no {attribute!r}", did_you_mean(part, public, _EXAMPLE)) from None
    if not isinstance(found, (AsyncDurableService, DurableService)) and callable(found) and not isinstance(found, type):
        found = found()
    if isinstance(found, DurableService):
        found = found.aio
    if not isinstance(found, AsyncDurableService):
        raise Complaint(f"{name!r} is a {type(found).__name__}, not a DurableService or AsyncDurableService, nor a function that makes one")
    return found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # the app is there; what it imports is not: its traceback says more than we could
        near = [path.stem for path in Path.cwd().glob("*.py")] + [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
        raise Complaint(
            f"there is no module {name!r}", did_you_mean(name, near, f"looked in {Path.cwd()} and where Python looks")
        ) from None


def refuse_typo(url: str, *, create: bool = False) -> None:
    """Raises `Complaint` for a store that is not there: asking must not make a database out of a slip of the pen."""
    if "://" not in url:
        shown = without_password(url)
        raise Complaint(f"{shown!r} is not the URL of a store", f"did you mean sqlite:///{shown}?")
    parts = urlsplit(url)
    if parts.scheme == "memory":
        raise Complaint(
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
    raise Complaint(f"there is no database {os.path.abspath(path)}", hint)
