"""``module:name``: import the object that a user names, or explain in a few lines why that fails."""

from __future__ import annotations

import importlib
import linecache
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from redrive.cli.cli_errors import CommandError, did_you_mean

_OWN: Final = ("importlib", "redrive", "redrive_interpreter")


def load_name(name: str, example: str, what: str) -> Any:
    """The object that *name* refers to, like ``shop.orders:service``; *what* it should be, and an *example*, are for the error
    message.

    The working directory is importable, as under ``python -m``.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise CommandError(f"{name!r} does not name {what}", f"write {example}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    module = _module(module_name)
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            file = getattr(module, "__file__", None)
            public = [known for known in dir(found) if not known.startswith("_")]
            hint = did_you_mean(part, public, f"it is {file}; write {example}" if file else f"write {example}")
            raise CommandError(f"module {module_name!r} has no {attribute!r}", hint) from None
    return found


def call(function: Any, name: str) -> Any:
    """The result of the user's *function*."""
    try:
        return function()
    except CommandError:
        raise
    except (Exception, SystemExit) as error:
        raise broken(f"{name!r} was called, and raised", error) from None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            near = [path.stem for path in Path.cwd().glob("*.py")] + [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
            raise CommandError(
                f"there is no module {name!r}", did_you_mean(name, near, f"looked in {Path.cwd()} and where Python looks")
            ) from None
        raise broken(f"module {name!r} cannot be imported", error) from None
    except (Exception, SystemExit) as error:
        raise broken(f"module {name!r} cannot be imported", error) from None


def broken(problem: str, error: BaseException) -> CommandError:
    """*problem*, the error in one line, and the line of the user's own source that raised it."""
    said = (str(error).strip().splitlines() or [""])[0]
    shown = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return CommandError(f"{problem}: {shown}", "\n".join(_frame(error)))


def _frame(error: BaseException) -> list[str]:
    if isinstance(error, SyntaxError) and error.filename is not None:
        return _lines(error.filename, error.lineno or 0, "", error.text or "")
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _OWN and not frame.f_code.co_filename.startswith("<frozen")
    ]
    if not frames:
        return []
    here = str(Path.cwd())
    own = [entry for entry in frames if entry[0].f_code.co_filename.startswith(here) and "site-packages" not in entry[0].f_code.co_filename]
    frame, line = (own or frames)[-1]
    lines = _lines(frame.f_code.co_filename, line, frame.f_code.co_name)
    if own and frames[-1] is not own[-1]:
        deepest, at = frames[-1]
        lines.append(f"raised in {deepest.f_code.co_filename}, line {at}")
    return lines


def _lines(file: str, line: int, function: str, text: str = "") -> list[str]:
    inside = f", in {function}" if function and function != "<module>" else ""
    source = (text or linecache.getline(file, line)).strip()
    return [f'File "{file}", line {line}{inside}', *([f"  {source}"] if source else [])]
