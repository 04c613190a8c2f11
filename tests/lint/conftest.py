"""A workflow in a line or two, and what the linter says of it."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent, indent

import pytest

from redrive.lint import chosen, lint_sources

PRELUDE = """\
from redrive import All, Cancelled, Emit, Flow, Map, Note, Now, Race, Rollback, Signal, Sleep, Spawn, Step, Switch
from redrive import WaitSignal, step, workflow
import asyncio, datetime as dt, logging, os, random, subprocess, sys, threading, time, uuid, requests
from datetime import datetime
from contextlib import suppress
from pathlib import Path

@step
def charge(order):
    return time.time()

"""

Codes = Callable[..., list[str]]


@pytest.fixture
def codes() -> Codes:
    """The codes found in the body of a workflow; *before* is put above it."""

    def look(body: str, before: str = "", head: str = "@workflow('w')\ndef w(order):", select: tuple[str, ...] = ()) -> list[str]:
        source = PRELUDE + dedent(before) + "\n" + head + "\n" + indent(dedent(body).strip("\n"), "    ") + "\n"
        return [finding.code for finding in lint_sources({"shop.py": source.encode()}, chosen(select))]

    return look
