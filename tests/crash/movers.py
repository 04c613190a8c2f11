"""Movers killed on their way: each moves the same store, and dies at one line of what moves it.

``python -m tests.crash.movers FOLDER POINTS SEED``: prints one JSON report. Points are executed lines.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any, Final

from redrive import AsyncDurableService, Flow, Signal, UnusableStore, WaitSignal, workflow
from redrive.moving import archive_of, move
from redrive.ports.archive import Archived, ArchivedEvent
from redrive.stores import table_archive
from redrive.stores.sqlite import database_file, file_archive

MANY: Final = 210
"""Executions; they are moved in pages of 200."""
_MODULES: Final = (sys.modules[move.__module__], table_archive, file_archive, database_file)
MOVING: Final = frozenset(file for module in _MODULES if (file := module.__file__))
MAKING: Final = ("connect", "prepare", "begin_writing")
ENDING: Final = ("finish_writing", "seal", "close")
"""What makes the target, and what ends both stores. A mover dies at so many lines of each, and of what is in between."""

word = Signal("movers.word", str)


@workflow("movers.waits", signals=[word])
def waits(n: int) -> Flow[str]:
    return (yield from WaitSignal(word))


def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def fill(store: str) -> None:
    async with AsyncDurableService(store, [waits], worker=False) as client:
        for n in range(MANY):
            await client.start(waits(n), id=f"number {n}")
            if n % 7 == 0:
                await client.signal(f"number {n}", word, "go")


async def everything(store: str) -> tuple[list[Archived], list[ArchivedEvent]]:
    reading = archive_of(store)
    try:
        await reading.begin_reading(alone=False)
        executions = [execution async for page in reading.executions() for execution in page]
        return executions, [event async for page in reading.events() for event in page]
    finally:
        await reading.close()


async def refusal(store: str) -> str | None:
    """What a service is told that opens *store*; None if it may work on it."""
    try:
        async with AsyncDurableService(store, [waits], worker=False):
            return None
    except UnusableStore as error:
        return str(error)


def mover(source: Path, target: Path, at: int | None, report: Path) -> int:
    """Move in a process of its own, which dies at line number *at*: how it ended, and in *report* which lines were whose."""
    child = os.fork()
    if child == 0:
        status = 3
        try:
            count, lines_of = 0, defaultdict[str, list[int]](list)

            def line(frame: FrameType, event: str, arg: object) -> Any:
                nonlocal count
                if event == "line":
                    count += 1
                    if at is None:
                        lines_of[frame.f_code.co_name].append(count)
                    elif count == at:
                        os.kill(os.getpid(), signal.SIGKILL)
                return line

            sys.settrace(lambda frame, event, arg: line if frame.f_code.co_filename in MOVING else None)
            asyncio.run(move(archive_of(url(source)), archive_of(url(target))))
            sys.settrace(None)
            report.write_text(json.dumps(lines_of))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def is_nothing(path: Path) -> bool:
    """Whether it is as if there were no file: there is none, or SQLite made one and nothing is in it."""
    with closing(sqlite3.connect(path)) as db:
        return not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]


def aside(target: Path) -> Path:
    """A copy to look at: who opens a file that its writer left puts it in order."""
    folder = target.parent / "aside"
    folder.mkdir()
    for file in target.parent.glob(f"{target.name}*"):
        shutil.copy(file, folder)
    return folder / target.name


def delete(target: Path) -> None:
    """As the message says: the file that it names, and not what SQLite left beside it."""
    target.unlink(missing_ok=True)


async def found(source: Path, target: Path, before: object) -> tuple[str, list[str]]:
    """How a mover that died left both stores, and what is wrong with that."""
    wrong: list[str] = []
    seen = aside(target)
    told, nothing = await refusal(url(source)), is_nothing(seen)
    said = None if nothing else await refusal(url(seen))
    sealed, finished = told is not None, not nothing and said is None
    if sealed and "moved to another store; use that one" not in str(told):
        wrong.append(f"the source says {told}")
    if sealed and not finished:
        wrong.append("neither can be used")
    if not sealed and await everything(url(source)) != before:
        wrong.append("the source was changed")
    if finished and await everything(url(seen)) != before:
        wrong.append("the target can be used and is not complete")
    if said is not None and "did not finish; delete it and move again" not in said:
        wrong.append(f"the target says {said}")
    if sealed:
        return "moved", wrong
    delete(target)
    await move(archive_of(url(source)), archive_of(url(target)))
    if await everything(url(target)) != before:
        wrong.append("not all came over when it was moved again")
    if await refusal(url(source)) is None:
        wrong.append("moved again, and the source is not sealed")
    return "nothing" if nothing else "both" if finished else "unfinished", wrong


def kill_at(folder: Path, full: Path, at: int, before: object) -> dict[str, Any]:
    folder.mkdir()
    source, target = folder / "old.db", folder / "new.db"
    shutil.copy(full, source)
    ended = mover(source, target, at, folder / "lines")
    state, wrong = asyncio.run(found(source, target, before))
    return {"at": at, "killed": ended == -signal.SIGKILL, "state": state, "wrong": wrong}


def drawn(lines_of: Mapping[str, list[int]], points: int, seed: int) -> list[int]:
    first, last = min(lines_of["begin_writing"]), max(lines_of["begin_writing"])
    making = [line for name in MAKING for line in lines_of[name] if line > first]
    ending = [line for name in ENDING for line in lines_of[name]]
    between = [line for lines in lines_of.values() for line in lines if last < line < min(ending)]
    draw = random.Random(seed)
    return [line for lines in (making, between, ending) for line in sorted(draw.sample(lines, points))]


def main(folder: Path, points: int, seed: int) -> None:
    folder.mkdir(parents=True)
    full = folder / "full.db"
    asyncio.run(fill(url(full)))
    before = asyncio.run(everything(url(full)))
    measured = folder / "measured.db"
    shutil.copy(full, measured)
    assert mover(measured, folder / "there.db", None, folder / "lines") == 0
    lines_of = json.loads((folder / "lines").read_text())
    print(json.dumps([kill_at(folder / str(at), full, at, before) for at in drawn(lines_of, points, seed)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
