"""Lives and deaths: forks processes that run the program, and kills each at one point.

``python -m tests.crash.nursery FOLDER POINTS SEED``: prints one JSON report. Points are executed lines of our own
code, and the moments just before and just after each sync of the database.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import attrs

import redrive
import redrive_interpreter
from redrive import DurableService
from tests.crash import program
from tests.crash.syncs import call_around_syncs

OURS = tuple(os.path.dirname(module.__file__ or "") + os.sep for module in (redrive, redrive_interpreter))


@attrs.frozen
class Point:
    """Where to kill: at the *number*-th event of *kind* (``line``, ``before`` or ``after`` a sync)."""

    kind: str
    number: int


@attrs.define
class Meter:
    """Counts events, and kills this process at the *target*."""

    target: Point | None
    counts: Counter[str] = attrs.Factory(Counter)

    def count(self, kind: str) -> None:
        self.counts[kind] += 1
        if self.target is not None and self.target.kind == kind and self.counts[kind] >= self.target.number:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        def lines(frame: FrameType, event: str, arg: object) -> Any:
            if event == "line":
                self.count("line")
            return lines

        def calls(frame: FrameType, event: str, arg: object) -> Any:
            return lines if frame.f_code.co_filename.startswith(OURS) else None

        threading.settrace(calls)
        sys.settrace(calls)
        call_around_syncs(lambda: self.count("before"), lambda: self.count("after"))


def live(folder: Path, target: Point | None, *, metered: bool) -> tuple[int, dict[str, int]]:
    """One life in a process of its own: how it ended (0, or minus the signal), and what it counted."""
    report = folder / "counts"
    child = os.fork()
    if child == 0:
        status = 3
        try:
            meter = Meter(target)
            if metered:
                meter.install()
            program.run(folder)
            sys.settrace(None)
            report.write_text(json.dumps(meter.counts))
            status = 0
        except BaseException:
            sys.settrace(None)
            import traceback

            (folder / "error").write_text(traceback.format_exc())
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code, json.loads(report.read_text()) if code == 0 else {}


def stored(folder: Path) -> tuple[set[str], list[str]]:
    """What a look into the database finds: keys of steps whose answers are recorded, and what of the acks is missing."""
    path = folder / "crash.db"
    acks = read(folder / "acks")
    if not path.exists():
        return set(), ["the database"] if acks else []
    with DurableService(f"sqlite:///{path}", worker=False) as service:
        try:
            execution = service.execution(program.ID)
            rows = execution.history()
            info = execution.info()
        except redrive.ExecutionNotFound:
            return set(), ["the start"] if "started" in acks else []
        answered = {row.key for row in rows if isinstance(row, redrive_interpreter.Answered)}
        signalled = any(isinstance(row, redrive_interpreter.Signalled) for row in rows) or _in_the_inbox(path)
        missing = ["the signal"] if "signalled" in acks and not signalled else []
        if any(ack.startswith("result") for ack in acks) and info.status != "completed":
            missing.append("the result")
        return answered, missing


def _in_the_inbox(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as db:
        return bool(db.execute("SELECT count(*) FROM inbox WHERE kind = 'signal'").fetchone()[0])


def read(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def kill_at(folder: Path, point: Point) -> dict[str, Any]:
    """Kill once at *point*, look, live again to the end; what was wrong, and what was done twice."""
    folder.mkdir()
    first, _ = live(folder, point, metered=True)
    wrong: list[str] = []
    if first not in (0, -signal.SIGKILL):
        wrong.append(f"the first life ended with {first}: {read(folder / 'error')[-1:]}")
    before = Counter(read(folder / "effects"))
    answered, missing = stored(folder)
    wrong += [f"acknowledged, and not there: {what}" for what in missing]
    code, _ = live(folder, None, metered=False)
    if code != 0:
        wrong.append(f"the second life ended with {code}: {read(folder / 'error')[-1:]}")
    after = Counter(read(folder / "effects"))
    result = read(folder / "acks")[-1:]
    if result != [f"result {program.EXPECTED}"]:
        wrong.append(f"the result is {result}")
    steps = Counter(effect.split()[0] for effect in after.elements())
    if set(steps) != program.STEPS:
        wrong.append(f"the effects are {dict(steps)}")
    if len(after) != len(program.STEPS):
        wrong.append("a step had two idempotency keys")
    recorded = {key.removeprefix("rollback:") if not key.startswith("rollback:") else "unfirst" for key in answered}
    for effect, times in after.items():
        if effect.split()[0] in recorded and times != before[effect]:
            wrong.append(f"{effect} ran again after its record was stored")
    doubled = sum(steps.values()) - len(program.STEPS)
    if doubled > 1:
        wrong.append(f"{doubled} extra effects for one kill")
    return {"point": attrs.asdict(point), "killed": first == -signal.SIGKILL, "doubled": doubled, "wrong": wrong}


def main(folder: Path, points: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "measure").mkdir()
    code, counts = live(folder / "measure", None, metered=True)
    if code != 0:
        sys.exit("\n".join(read(folder / "measure" / "error")))
    draw = random.Random(seed)
    syncs = [Point(kind, number + 1) for kind in ("before", "after") for number in range(counts[kind])]
    lines = [Point("line", draw.randint(1, counts["line"])) for _ in range(points)]
    share = syncs if len(syncs) <= points else draw.sample(syncs, points)
    reports = [kill_at(folder / str(number), point) for number, point in enumerate([*share, *lines][: points + len(share)])]
    print(json.dumps({"counts": counts, "reports": reports}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
