"""`redrive workers`: who works on a store, what each serves, when it was last heard of, and how much it has in hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from redrive.attendance import workers_of
from redrive.cli.cli_errors import DONE
from redrive.cli.client import client_for
from redrive.cli.colors import Colors, colors_for, visible
from redrive.cli.formatting import plain, span
from redrive.counting import counted

if TYPE_CHECKING:
    from redrive.ports.workers import KnownWorker

Add = Callable[..., argparse.ArgumentParser]


def add_workers(add: Add) -> None:
    """*add* makes the parser of a command that asks a store."""
    add("workers", "who works on the store: workflows, last heartbeat, load", workers)


async def workers(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        found, now = await workers_of(client.store), await client.store.now()
    shown = sorted((one for one in found or () if one.workflows), key=lambda one: (not one.alive, one.id))
    if given.json:
        for one in shown:
            print(json.dumps({**plain(one), "workflows": sorted(one.workflows)}))
    elif shown:
        print("\n".join(page(shown, now, colors_for(sys.stdout))))
    else:
        known = "the store cannot say who works on it" if found is None else "no worker is running"
        print(known, file=sys.stderr)
    return DONE


def page(workers: Sequence[KnownWorker], now: datetime, colors: Colors) -> list[str]:
    """Each worker with what it serves; then the builds, where there are several."""
    lines: list[str] = []
    for one in workers:
        fate = colors("green", "alive") if one.alive else colors("red", "dead: its lease has ended")
        heard = "" if one.heartbeat_at is None else f", heard of {span(max(now - one.heartbeat_at, timedelta(0)))} ago"
        up = "" if one.started_at is None else f", up {span(now - one.started_at)}"
        lines.append(f"{colors('bold', visible(one.id))}  {fate}{heard}{up if one.alive else ''}")
        load = counted(one.executions, "execution") + (" or more" if one.executions >= 10_000 else "")
        lines.append(f"    build {visible(one.build) or '?'}, has {load}" + ("" if one.alive else ", for others to take over"))
        lines += [f"    {visible(name)}" for name in sorted(one.workflows)]
    builds = {one.build for one in workers if one.alive}
    if len(builds) > 1:
        lines += ["", f"{len(builds)} builds work side by side: {', '.join(sorted(map(visible, builds)))}"]
    return lines
