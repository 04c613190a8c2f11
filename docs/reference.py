"""Writes docs/reference.md, every public name with its signature and docstring, from the code: ``python docs/reference.py``.

``python docs/reference.py --check`` exits with 1 if the page is not what the code says.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "reference.md"
MODULES = {
    "redrive": "Workflows, steps, commands, services: what applications import.",
    "redrive.testing": "Testing workflows without a service.",
    "redrive_interpreter": "The kernel, for those who embed it; names that `redrive` has as well are described there.",
}
HEAD = """\
# Reference

Made from the docstrings by `make docs`; a test holds it against the code. The
[guides](guide/getting-started.md) tell how things are used together.
"""
_MEMORY = re.compile(r" at 0x[0-9a-f]+")
ALIASES = {
    "Flow": "What a workflow function returns, with the type of its result: `def process_order(order: Order) -> Flow[str]`.",
}
"""Type aliases, which have no docstring that Python keeps."""
_OF_PYTHON = frozenset(("add_note", "with_traceback", "__init__"))


def main(arguments: list[str]) -> int:
    text = page()
    if "--check" in arguments:
        return 0 if PAGE.exists() and PAGE.read_text() == text else 1
    PAGE.write_text(text)
    return 0


def page() -> str:
    parts = [HEAD]
    described: set[int] = set()
    for name, intro in MODULES.items():
        module = importlib.import_module(name)
        public = [(one, getattr(module, one)) for one in module.__all__]
        public = [(one, value) for one, value in public if id(value) not in described]
        described |= {id(value) for _, value in public}
        parts.append(f"## `{name}`\n\n{intro}\n")
        parts.append(" · ".join(f"[`{one}`](#{one.lower()})" for one, _ in public) + "\n")
        parts += [entry(one, value) for one, value in public]
    return "\n".join(parts)


def entry(name: str, value: Any) -> str:
    lines = [f"### `{name}`", ""]
    lines += ["```text", *_signatures(name, value), "```", ""]
    if text := ALIASES.get(name) or _doc(value):
        lines += [text, ""]
    if inspect.isclass(value):
        for member, found in _members(value):
            lines += _member(member, found)
    return "\n".join(lines)


def _member(name: str, value: Any) -> list[str]:
    if isinstance(value, property):
        head = f"**`{name}`**"
    else:
        head = f"**`{' '.join(_signatures(name, value)[:1])}`**"
    text = _doc(value)
    return [head + (f": {text}" if text else ""), ""]


def _signatures(name: str, value: Any) -> list[str]:
    """One line for each overload, or the one signature; a value that is no function or class shows what it is."""
    made = value.__init__ if inspect.isclass(value) else inspect.unwrap(getattr(value, "__func__", value))
    overloads = typing.get_overloads(made) if inspect.isfunction(made) else []
    shown = [_signature(name, one, skip_self=inspect.isclass(value)) for one in overloads]
    if not shown:
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):
            signature = None
        if inspect.isclass(value) and (signature is None or issubclass(value, BaseException)):
            bases = ", ".join(base.__name__ for base in value.__bases__)
            return [f"class {name}({bases})"]
        if signature is None:
            return [f"{name}: {_plain(value)}"]
        if inspect.isclass(value):
            signature = signature.replace(return_annotation=inspect.Signature.empty)
        if not inspect.isclass(value) and not callable(value):
            return [f"{name}: {_plain(value)}"]
        shown = [f"{name}{_clean(str(signature))}"]
    return list(dict.fromkeys(shown))


def _signature(name: str, fn: Any, *, skip_self: bool) -> str:
    signature = inspect.signature(fn)
    parameters = list(signature.parameters.values())
    if skip_self or (parameters and parameters[0].name == "self"):
        parameters = parameters[1:]
    returns = inspect.Signature.empty if skip_self else signature.return_annotation
    return f"{name}{_clean(str(signature.replace(parameters=parameters, return_annotation=returns)))}"


def _clean(text: str) -> str:
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", _MEMORY.sub("", text))
    return text.replace("'", "").replace("(self, /, ", "(").replace("(self, ", "(").replace("(self)", "()").replace("(self, /)", "()")


def _plain(value: Any) -> str:
    return _MEMORY.sub("", str(value)).replace("typing.", "")


def _doc(value: Any) -> str:
    text = inspect.getdoc(value) if not isinstance(value, (str, int, tuple, frozenset)) else ""
    own = getattr(value, "__doc__", None)
    if not text or (inspect.isclass(value) and own is None) or own == type(value).__doc__:
        return ""
    # Markdown would take what is in angle brackets for HTML, and reST marks code by two backquotes.
    return re.sub(r"(?<!`)<", "&lt;", text.replace("``", "`"))


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """The documented public methods and properties that *cls* has of its own."""
    for name, value in vars(cls).items():
        if name.startswith("_") or name in _OF_PYTHON:
            continue
        if isinstance(value, (property, staticmethod, classmethod)) or inspect.isfunction(value):
            found = value if isinstance(value, property) else getattr(cls, name)
            if _doc(found):
                yield name, found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
