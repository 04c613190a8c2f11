"""``redrive replay``: the deploy gate, for people and for CI."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from redrive import AsyncDurableService
from redrive.cli.apps import load_app, refuse_typo
from redrive.cli.cli_errors import DONE, FAILED, CommandError
from redrive.cli.colors import colors_for, visible
from redrive.counting import counted
from redrive.gate import Report, pages, sweep

_EVERY: Final = 0.2
"""Seconds between two updates of the progress line, and before the first."""


def add_replay(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = words.add_parser("replay", help="may this code take over what is running? Replays the live executions, read-only")
    parser.add_argument("--app", metavar="MODULE:SERVICE", default=os.environ.get("REDRIVE_APP"), help="the code to try")
    parser.add_argument("--store", metavar="URL", default=None, help="the store to read (default: the app's)")
    parser.add_argument("--limit", metavar="N", type=int, default=None, help="the newest N executions only")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(verb=replay_live)


async def replay_live(given: argparse.Namespace) -> int:
    if given.app is None:
        raise CommandError("which code?", "redrive replay --app module:service")
    if given.limit is not None and given.limit < 1:
        raise CommandError(f"--limit {given.limit} leaves nothing to replay")
    service = load_app(given.app)
    if given.store is not None:
        refuse_typo(given.store)
    elif service.store_name.startswith("sqlite:"):
        refuse_typo(service.store_name)
    try:
        store = service.store if given.store is None else AsyncDurableService(given.store, worker=False).store
    except ValueError as error:  # the URL names no store
        raise CommandError(str(error)) from None
    progress = Line(sys.stderr)
    report = await sweep(service.workflows, store, service.codec, limit=given.limit, progress=progress)
    progress.clear()
    if given.json:
        print(json.dumps(report.as_json()))
    else:
        colors = colors_for(sys.stdout)
        for line in pages(report):
            print("".join(colors(style, visible(text)) if style else visible(text) for style, text in line).rstrip())
    return DONE if report.safe else FAILED


class Line:
    """A progress line on *stream*, which is overwritten; only on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._on = stream.isatty()
        self._next = time.monotonic() + _EVERY
        self._width = 0

    def __call__(self, report: Report, total: int) -> None:
        done = report.executions / total
        self.show(lambda: f"[{'#' * round(done * 24):<24}] {report.executions:,} of {counted(total, 'execution')}, {report.rate:,} rows/s")

    def show(self, text: Callable[[], str]) -> None:
        """Write *text*, if it is time for an update."""
        if not self._on or (now := time.monotonic()) < self._next:
            return
        self._next = now + _EVERY
        line = text()
        self._stream.write(f"\r{line:<{self._width}}")
        self._stream.flush()
        self._width = len(line)

    def clear(self) -> None:
        if self._width:
            self._stream.write(f"\r{'':<{self._width}}\r")
            self._stream.flush()
