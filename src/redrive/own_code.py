"""The source files that a module imports, directly or not, from its own distribution or folder.

1.  A module in an installation directory belongs to its distribution, any other to the folder that its top-level
    package or module lies in. What lies elsewhere is a library: it has a version, and is not followed.
2.  Imports are read from the text, at whatever depth they stand, so that one inside a function counts before it has
    run, and nothing is imported here. An import that is not one (in a docstring, say) does no harm: it names a file
    of the same application, or nothing.
3.  Files are named by their place below the folder: two hosts that keep the application elsewhere agree.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from importlib.machinery import all_suffixes
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

import attrs

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_OURS: Final = frozenset({"redrive", "redrive_interpreter", "redrive_pytest"})
_IMPORT: Final = re.compile(
    r"""\bfrom\s*(?P<dots>[.\s]*)(?P<base>[\w.]*)\s+import\s*(?P<names>\([^)]*\)|[^\n;]+)"""
    r"""|\bimport\s+(?P<modules>[^\n;]+)"""
    r"""|\b(?:import_module|__import__)\(\s*["'](?P<called>[\w.]+)["']"""
)
_COMMENT: Final = re.compile(r"#[^\n]*")


@attrs.frozen
class _Home:
    """The folder that a module's own code lies in; *tops*: the top-level names that belong to it, None for all."""

    folder: Path
    tops: frozenset[str] | None

    def find(self, name: str) -> Path | None:
        """The file of module *name*, if it is of this home."""
        top, *_ = parts = name.split(".")
        if top in _OURS or (self.tops is not None and top not in self.tops):
            return None
        path = self.folder.joinpath(*parts)
        for suffix in all_suffixes():
            for file in (path / f"__init__{suffix}", path.with_name(path.name + suffix)):
                if file.is_file():
                    return file
        return None

    def place(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()


def files_of(modules: Iterable[str]) -> dict[str, str]:
    """The digest of each file by its place, of *modules* and all that they import from their own home."""
    found: dict[str, str] = {}
    pending: list[tuple[_Home, str, Path]] = []
    for name in modules:
        file = _file_of(name)
        if file is not None:
            name = _true_name(name, file)
            home = _home(name, file)
            pending.append((home, name, file))
            pending += _parents(home, name)
    seen: set[Path] = set()
    while pending:
        home, name, file = pending.pop()
        if file in seen:
            continue
        seen.add(file)
        try:
            stat = file.stat()
            digest, imports = _read(file, stat.st_mtime_ns, stat.st_size)
        except OSError:  # frozen, zipped or gone: the code objects must do
            continue
        found[home.place(file)] = digest
        for imported in imports:
            for candidate in _resolved(imported, name, is_package=file.name.startswith("__init__.")):
                if (there := home.find(candidate)) is not None and there not in seen:
                    pending.append((home, candidate, there))
                    pending += _parents(home, candidate)
    return found


def _file_of(name: str) -> Path | None:
    file = getattr(sys.modules.get(name), "__file__", None)
    return None if file is None else Path(file).absolute()


def _true_name(name: str, file: Path) -> str:
    """The name that others import the module by: a program is ``__main__`` to itself."""
    if name not in ("__main__", "__mp_main__"):
        return name
    spec = getattr(sys.modules[name], "__spec__", None)
    return file.stem if spec is None else str(spec.name)


def _home(name: str, file: Path) -> _Home:
    parts = name.split(".")
    path = file.parent if file.name.startswith("__init__.") else file.with_name(file.name.split(".")[0])
    if path.parts[-len(parts) :] != tuple(parts):  # loaded under another name than its place says
        return _Home(file.parent, None)
    folder = path.parents[len(parts) - 1]
    return _Home(folder, _distribution(folder, parts[0]) if folder.name in _INSTALLED else None)


@lru_cache(maxsize=16)
def _distribution(folder: Path, top: str) -> frozenset[str]:
    """The top-level names of the distribution in *folder* that brought *top*."""
    for distribution in distributions(path=[str(folder)]):
        tops = {str(file).split("/")[0].split(".")[0] for file in distribution.files or () if not str(file).startswith(("..", "/"))}
        if top in tops:
            return frozenset(tops)
    return frozenset({top})


def _parents(home: _Home, name: str) -> Iterator[tuple[_Home, str, Path]]:
    """The packages that are imported on the way to *name*."""
    while "." in name:
        name = name.rpartition(".")[0]
        if (file := home.find(name)) is not None:
            yield home, name, file


@lru_cache(maxsize=4096)
def _read(file: Path, mtime_ns: int, size: int) -> tuple[str, tuple[str, ...]]:
    """The digest of a file, and what it imports; relative names begin with dots."""
    content = file.read_bytes()
    imports: dict[str, None] = {}
    if file.suffix == ".py":
        try:
            text = importlib.util.decode_source(content).replace("\\\n", " ")
        except (SyntaxError, UnicodeDecodeError):
            text = ""
        imports = dict.fromkeys(name for match in _IMPORT.finditer(text) for name in _names(match))
    return sha256(content).hexdigest(), tuple(imports)


def _names(match: re.Match[str]) -> Iterator[str]:
    if (called := match["called"]) is not None:
        yield called
    elif (modules := match["modules"]) is not None:
        for module in _COMMENT.sub("", modules).split(","):
            yield from module.split()[:1]
    else:
        base = "".join(match["dots"].split()) + match["base"]
        yield base
        for name in _COMMENT.sub("", match["names"]).strip("()\n ").split(","):
            for first in name.split()[:1]:
                yield base + first if base.endswith(".") else f"{base}.{first}"


def _resolved(imported: str, importer: str, *, is_package: bool) -> Iterator[str]:
    """The absolute name of *imported*, if it can be one."""
    if not imported.startswith("."):
        name = imported
    else:
        level = len(imported) - len(imported.lstrip("."))
        package = importer.split(".") if is_package else importer.split(".")[:-1]
        if level - 1 > len(package):
            return
        name = ".".join([*package[: len(package) - level + 1], *filter(None, imported.lstrip(".").split("."))])
    if name and all(part.isidentifier() for part in name.split(".")):
        yield name
