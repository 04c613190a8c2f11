"""Processes that work on one store, whose steps hold up what runs beside them (programs/stalls.py)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redrive import DurableService, Workflow

PROGRAM = Path(__file__).parent / "programs" / "stalls.py"


class Workers:
    """Worker processes on one store, and a client beside them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.log = url, folder, folder / "log"
        self.client = DurableService(url, worker=False)
        self.running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.client.close()
        for worker in self.running:
            with worker:
                worker.kill()

    def launch(self, **options: float) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until it works."""
        errors = self.folder / f"errors-{len(self.running)}"
        with errors.open("wb") as said:
            worker = subprocess.Popen(
                [sys.executable, PROGRAM, self.url, self.log],
                env=os.environ | {key.upper(): str(value) for key, value in options.items()},
                stderr=said,
            )
        self.running.append(worker)
        self.wait_for("working on", lambda: self.said(worker))
        return worker

    def start(self, name: str, seconds: float) -> Any:
        return self.client.start(Workflow("stalls", returns=str)(name, seconds), id=name)

    def begun(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def said(self, worker: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"errors-{self.running.index(worker)}").read_text()

    def wait_for(self, what: str, where: Any = None) -> None:
        until = time.monotonic() + 20
        while what not in (where or self.begun)():
            assert time.monotonic() < until, (where or self.begun)()
            time.sleep(0.005)
