"""Files in a ``histories`` folder, collected as tests: each is a recorded run, replayed on today's code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr

INI: Final = "redrive_app"
FOLDER: Final = "histories"
_HEAD: Final = 200
"""Bytes of a file that are looked at to tell a history from other JSON lines."""


def is_history(path: Path) -> bool:
    """Whether *path* is ours: others may keep JSON lines in a folder of this name, too."""
    if path.suffix != ".jsonl" or path.parent.name != FOLDER:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return b'"row":"started"' in head.replace(b" ", b"")


class HistoryFile(pytest.File):
    def collect(self) -> Iterator[HistoryItem]:
        yield HistoryItem.from_parent(self, name=self.path.stem)  # pyright: ignore[reportUnknownMemberType]


class HistoryItem(pytest.Item):
    def runtest(self) -> None:
        from redrive.histories import replay_file

        apps: list[str] = self.config.getini(INI)
        if not apps:
            raise pytest.UsageError(
                f"{self.path.name} is a recorded history; say which code it is replayed on, in the ini file: {INI} = module:service"
            )
        replay_file(self.path, apps)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        if type(excinfo.value).__module__.partition(".")[0] == "redrive" or isinstance(excinfo.value, (pytest.UsageError, ValueError)):
            return str(excinfo.value)  # the diff says it; frames of ours would not
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"history {self.path.stem}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(INI, "the code that histories/*.jsonl are replayed on: module:service, or module:workflow, one a line", "linelist")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not is_history(file_path):
        return None
    found: HistoryFile = HistoryFile.from_parent(parent, path=file_path)  # pyright: ignore[reportUnknownMemberType]
    return found
